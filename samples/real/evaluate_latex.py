"""Whether each symbol of a formula that was read right points at its glyph, through `gaze run` as anyone calls it.

Usage: evaluate_latex.py --gaze PROGRAM --models FOLDER [--profile FILE] [--symbols 500] [--seed 5000] [--json]
"""
import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import formulas
from reader import QuickReader
from latex_ocr_torch.data import load_and_preprocess_image

HEIGHT, WIDTH, CELL = 128, 512, 8  # of the model's input, pixels
TOGETHER = 16                      # pictures that are read at once
LIMIT = 110                        # tokens
LAYOUT = re.compile(r"\\(begin|end)\s*\{\s*align\*?\s*\}|\\(left|right|[bB]igg?[lr]?|,|;|!|quad|mathrm|mathbf|mathit|rm|it)(?![a-zA-Z])")


def glyph_places(text):
    """Where in the answer each glyph's character stands, and the character; None where a command stands for a glyph."""
    bare = LAYOUT.sub(lambda found: "\0" * len(found.group()), text)
    return None if "\\" in bare else [(i, c) for i, c in enumerate(bare) if c not in "\0{}_^ &~"]


def input_of(formula):
    """As the package makes it of a file: [1, height, width]."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        formula.picture.save(file.name)
        return load_and_preprocess_image(file.name, HEIGHT, WIDTH)


def read_right(text, formula):
    places = glyph_places(text)
    return places is not None and [c for _, c in places] == [s.text for s in formula.symbols]


def formulas_read_right(seed):
    """Endless: (formula, how many were tried)."""
    reader = QuickReader()
    for first in itertools.count(seed, TOGETHER):
        batch = [formulas.compose(first + i) for i in range(TOGETHER)]
        texts = reader.read(torch.stack([input_of(formula) for formula in batch]), LIMIT)
        for i, (formula, text) in enumerate(zip(batch, texts)):
            if read_right(text, formula):
                yield formula, first + i + 1 - seed


def run(arguments, formula, folder):
    """request.json of the formula's answer, as the bundle has it."""
    picture, inputs = folder / "formula.png", folder / "inputs.pt"
    formula.picture.save(picture)
    torch.save((input_of(formula)[None], LIMIT), inputs)
    command = [arguments.gaze, "run", arguments.models / "latex_ocr.pt", "--inputs", inputs, "--method", "generate", "--image", picture,
               "--profile", arguments.profile, "--out", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, GAZE_DELIVERY="map"))
    if done.returncode != 0:
        raise RuntimeError(f"gaze run: exit {done.returncode}: {done.stderr}")
    return json.loads(next((folder / "out").glob("*/request.json")).read_text())


def score(request, formula):
    """Of each symbol whether its word's hottest point lies in its glyph's box or at most half a cell beside; None when Gaze's run read otherwise."""
    if request["error"]:
        raise RuntimeError(f"{formula.tex}: {request['error']}")
    # One token is one character.
    text = "".join(token["text"] or "" for token in request["tokens"] if token["text"] != "<eos>").replace("<space>", " ")
    if not read_right(text, formula):
        return None
    word_of = {t: w for w in request["words"] for t in range(w["first"], w["first"] + w["count"])}
    half_cell = CELL / 2 * max(formula.picture.width / WIDTH, formula.picture.height / HEIGHT)
    hits = []
    for (place, _), symbol in zip(glyph_places(text), formula.symbols):
        left, top, right, bottom = symbol.box_px
        x, y = word_of[place]["hot_point"] or (float("nan"), float("nan"))
        hits.append(left - half_cell <= x <= right + half_cell and top - half_cell <= y <= bottom + half_cell)
    return hits


def share(hits):
    return round(sum(hits) / len(hits), 4) if hits else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gaze", required=True)
    parser.add_argument("--models", required=True, type=Path)
    parser.add_argument("--profile")
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--seed", type=int, default=5000)
    arguments = parser.parse_args()
    arguments.profile = arguments.profile or arguments.models / "latex_ocr.json"
    hits, by, read, facts = [], {}, 0, None
    for formula, tried in formulas_read_right(arguments.seed):
        with tempfile.TemporaryDirectory() as folder:
            request = run(arguments, formula, Path(folder))
        found = score(request, formula)
        if found is None:
            continue
        facts = {"layers": request["layers"], "heads": request["heads"], "through": request["through"]}
        read += 1
        hits += found
        for key in (formula.kind, formula.font):
            by.setdefault(key, []).extend(found)
        for symbol, hit in zip(formula.symbols, found):
            kind = "digits" if symbol.text.isdigit() else "letters" if symbol.text.isalpha() else "signs"
            by.setdefault(kind, []).append(hit)
        print(f"{len(hits)} of {arguments.symbols} symbols", end="\r", file=sys.stderr, flush=True)
        if len(hits) >= arguments.symbols:
            break
    print(json.dumps({"formulas": tried, "read": read, "seed": arguments.seed, "symbols": len(hits), "pointing": share(hits),
                      "by": {key: [share(of), len(of)] for key, of in sorted(by.items())}, "reduction": facts}, indent=1))


if __name__ == "__main__":
    main()
