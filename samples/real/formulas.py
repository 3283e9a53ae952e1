"""Formulas of which every glyph's place is known: matplotlib lays them out, and what is drawn are the same outlines that are measured."""
import dataclasses
import io
import random

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import TextPath
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D
from PIL import Image

DOTS_PER_INCH = 100
FONTS = ("cm", "stix", "dejavusans", "dejavuserif")
LETTERS = "abcdefghkmnpqrstuvwxyz"
DIGITS = "123456789"


@dataclasses.dataclass
class Symbol:
    text: str  # as it stands in LaTeX
    box_px: tuple  # left, top, right, bottom of its outline in the picture


@dataclasses.dataclass
class Formula:
    kind: str
    font: str
    size_pt: int
    tex: str
    picture: Image.Image  # "L", black on white
    symbols: list  # from left to right, as matplotlib lays them out


def _kinds(rng):
    """Texts for each kind: letters and digits differ within a formula, so that no symbol can be mistaken for another of the same name."""
    a, b, c, d, e, f, g, h = rng.sample(LETTERS, 8)
    i, j, k, m = rng.sample(DIGITS, 4)
    return {
        "powers": f"{a}^{i}+{b}^{j}={c}^{k}",
        "indices": f"{a}_{i}+{b}_{j}={c}_{k}",
        "brackets": f"({a}+{b})({c}-{d})",
        "function": f"{a}({b})={c}{d}+{e}",
        "mixed": f"{a}{b}-{c}^{i}+{j}{d}",
        "sum": f"{a}+{b}-{c}={d}",
        "product": f"{a}{b}{c}={d}^{i}{e}_{j}",
        "long": f"{a}_{i}{b}^{j}-{c}({d}+{e}_{k})={f}{g}+{m}{h}",
    }


def _outlines(tex, font, size_pt):
    """Each glyph's outline in points, y upwards, and the character that it shows."""
    with rc_context({"mathtext.fontset": font}):
        properties = FontProperties(size=size_pt)
        glyphs, outlines, bars = text_to_path.get_glyphs_mathtext(properties, f"${tex}$")
        parsed = text_to_path.mathtext_parser.parse(f"${tex}$", text_to_path.DPI, FontProperties(size=text_to_path.FONT_SCALE))
    points = size_pt / text_to_path.FONT_SCALE
    texts = [chr(code) for _, _, code, *_ in parsed.glyphs]
    if len(texts) != len(glyphs) or bars:
        raise ValueError(f"{tex}: expected one outline a character and no bars, got {len(glyphs)} for {len(texts)}")
    return [(text, Path(*outlines[glyph]).transformed(Affine2D().scale(scale).translate(x, y).scale(points)))
            for text, (glyph, x, y, scale) in zip(texts, glyphs)]


def compose(seed):
    """One formula; the same seed gives the same picture."""
    rng = random.Random(seed)
    kinds = _kinds(rng)
    kind = rng.choice(sorted(kinds))
    font, size_pt, margin_px = rng.choice(FONTS), rng.randint(11, 20), rng.randint(4, 20)
    outlines = _outlines(kinds[kind], font, size_pt)
    to_px = DOTS_PER_INCH / 72
    left, low = np.min([path.get_extents().min for _, path in outlines], 0) * to_px
    right, high = np.max([path.get_extents().max for _, path in outlines], 0) * to_px
    width, height = int(np.ceil(right - left)) + 2 * margin_px, int(np.ceil(high - low)) + 2 * margin_px
    place = Affine2D().scale(to_px).translate(margin_px - left, margin_px - low)
    figure = Figure(figsize=((width + 0.25) / DOTS_PER_INCH, (height + 0.25) / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    symbols = []
    for text, path in outlines:
        drawn = path.transformed(place)
        figure.add_artist(PathPatch(drawn, facecolor="black", linewidth=0, transform=None))
        (x0, y0), (x1, y1) = drawn.get_extents().get_points()
        symbols.append(Symbol("-" if text == "\u2212" else text, (x0, height - y1, x1, height - y0)))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    file.seek(0)
    picture = Image.open(file).convert("L")
    if picture.size != (width, height):
        raise ValueError(f"picture: expected {width} x {height}, got {picture.size}")
    return Formula(kind, font, size_pt, kinds[kind], picture, symbols)
