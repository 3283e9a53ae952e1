# SPDX-License-Identifier: MIT
"""A bundle on disk as objects: its words, maps, pictures and verdict (docs/bundle.md)."""
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BundleError
from .safetensors_file import read_safetensors


@dataclass(frozen=True)
class Word:
    """A word of the answer. `facts` is its whole entry in request.json."""
    text: str
    first: int  #: its first token, from 0
    count: int  #: number of its tokens
    content: bool  #: false of words that only hold a sentence together
    mass: float | None  #: share of attention on the picture, sound or text
    max_lift: float | None  #: multiples of uniform attention at the hottest cell
    entropy: float | None
    diffuse: bool
    verdict: str | None  #: "grounded", "weak", "not grounded", "cannot say"
    why: str | None  #: a sentence about the verdict
    hot_point: tuple[float, float] | None  #: [x, y] in the original picture
    start_seconds: float | None  #: of a sound
    end_seconds: float | None
    picture: Path | None  #: its own picture
    facts: dict[str, Any]

    @property
    def end(self) -> int:
        """The token behind its last one."""
        return self.first + self.count


class Answer:
    """What one request left: a folder, read as it is asked for.

    >>> answer = gaze.Answer("overlays/20260102T030405Z-5f0c...")
    >>> [(word.text, word.verdict) for word in answer.words]
    """

    def __init__(self, bundle: str | Path):
        self.bundle = Path(bundle)
        file = self.bundle / "request.json"
        try:
            self.facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except OSError as problem:
            raise BundleError(f"'{file}' cannot be read: {problem.strerror}.") from problem
        except ValueError as problem:
            raise BundleError(f"'{file}' is no JSON: {problem}.") from problem
        if not isinstance(self.facts, dict) or self.facts.get("gaze_request") != 1:
            found = self.facts.get("gaze_request") if isinstance(self.facts, dict) else "no object"
            raise BundleError(f"'{file}': expected gaze_request 1, got {found}.")

    @property
    def id(self) -> str:
        """The host's name of the request."""
        return str(self.facts["request_id"])

    @property
    def text(self) -> str:
        """The words, with spaces between them where their script has any."""
        return self.facts.get("answer") or ""

    @property
    def prompt(self) -> str:
        """The prompt as the request was given it."""
        return self.facts.get("prompt") or ""

    @property
    def error(self) -> str | None:
        """Why nothing was drawn, "reason: sentence"; None where something was."""
        error = self.facts.get("error")
        return None if error is None else f"{error['reason']}: {error['message']}"

    @property
    def verdict(self) -> str | None:
        """Whether the input supports the answer: "grounded", "weak", "not grounded", "cannot say"; None where nothing was drawn."""
        return (self.facts.get("grounding") or {}).get("verdict")

    @property
    def why(self) -> str | None:
        """Why the verdict is as it is."""
        return (self.facts.get("grounding") or {}).get("why")

    @property
    def sites(self) -> list[str]:
        """Names of the attention calls that were captured."""
        return [site["name"] for site in self.facts.get("sites") or []]

    @property
    def tokens(self) -> list[dict[str, Any]]:
        """Of each captured token what request.json says: `text`, `id`, ..."""
        return self.facts.get("tokens") or []

    @cached_property
    def words(self) -> list[Word]:
        """The answer's words, in order."""
        return [self._word(entry) for entry in self.facts.get("words") or []]

    def _word(self, entry: dict[str, Any]) -> Word:
        grounding, hot = entry.get("grounding") or {}, entry.get("hot_point")
        return Word(text=entry["text"], first=entry["first"], count=entry["count"], content=bool(entry.get("content", True)), mass=entry.get("mass"),
                    max_lift=entry.get("max_lift"), entropy=entry.get("entropy"), diffuse=bool(entry.get("diffuse")),
                    verdict=grounding.get("verdict"), why=grounding.get("why"), hot_point=None if hot is None else (hot[0], hot[1]),
                    start_seconds=entry.get("start"), end_seconds=entry.get("end"),
                    picture=self.bundle / entry["file"] if entry.get("file") else None, facts=entry)

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """All of maps.safetensors; empty where nothing was drawn."""
        file = self.bundle / "maps.safetensors"
        return read_safetensors(file) if file.is_file() else {}

    @property
    def maps(self) -> np.ndarray | None:
        """Shares of attention: [tokens, rows, cols] of a picture, [tokens, keys] of a sound or a text. None where nothing was drawn."""
        return self._shaped("map_tk" if "map_tk" in self.tensors else "map_tc")

    @property
    def lift(self) -> np.ndarray | None:
        """The same in multiples of uniform attention; None of a text."""
        return self._shaped("lift_tc")

    @property
    def word_maps(self) -> np.ndarray | None:
        """[words, rows, cols] or [words, keys]: lift as it was drawn; None of a text."""
        return self._shaped("shown_wc")

    @property
    def mass(self) -> np.ndarray | None:
        """[tokens]: the share of each token's attention on the picture or sound."""
        return self.tensors.get("mass_t")

    def _shaped(self, name: str) -> np.ndarray | None:
        values = self.tensors.get(name)
        grid = self.grid
        if values is None or grid is None or values.shape[-1] != grid[0] * grid[1]:
            return values
        return values.reshape(values.shape[0], *grid)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of cells; None where keys have none, as of a sound or a text."""
        geometry = self.facts.get("geometry") or {}
        if geometry.get("time") or self.facts.get("sound") or self.facts.get("text"):
            return None
        tiles = geometry.get("tiles") or {}
        rows = (geometry.get("rows") or 0) * (tiles.get("rows") or 1)
        cols = (geometry.get("cols") or 0) * (tiles.get("cols") or 1)
        return (rows, cols) if rows > 0 and cols > 0 else None

    @property
    def overlay(self) -> Any:
        """The picture of the whole answer as a PIL image; None where there is none. Needs Pillow."""
        own = [name for name in self.facts.get("files") or [] if Path(name).stem in ("overlay", "text") and "/" not in name]
        return open_picture(self.bundle / own[0]) if own else None

    def picture_of(self, word: Word) -> Any:
        """The word's own picture as a PIL image; None where it has none."""
        return None if word.picture is None else open_picture(word.picture)

    @property
    def report(self) -> Path | None:
        """The page of this answer."""
        file = self.bundle / "report.html"
        return file if file.is_file() else None

    def show(self, height: int = 640, width: str | int = "100%") -> Any:
        """The report as a frame in a notebook. Needs IPython; None where there is no report."""
        if self.report is None:
            return None
        try:
            from IPython.display import HTML  # type: ignore[import-not-found,unused-ignore]
        except ImportError as problem:
            raise BundleError(f"show needs IPython: install it, or open '{self.report}' in a browser.") from problem
        # IPython warns of what is a frame and nothing else: its own takes addresses alone.
        return HTML(f"<div>{self.frame(height, width)}</div>")

    def frame(self, height: int = 640, width: str | int = "100%") -> str:
        """The same as HTML: a frame that holds the whole page, so that a saved notebook still shows it."""
        import html

        if self.report is None:
            raise BundleError(f"'{self.bundle}' holds no report.")
        page = html.escape(self.report.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="{width}" height="{height}" style="border: 0"></iframe>'

    def __repr__(self) -> str:
        return f"<gaze.Answer {self.text!r}, {self.error or self.verdict}, {self.bundle}>"


def open_picture(file: Path) -> Any:
    """A PIL image that does not hold its file open."""
    try:
        from PIL import Image
    except ImportError as problem:
        raise BundleError(f"pictures need Pillow: install it, or open '{file}'.") from problem
    with Image.open(file) as image:
        image.load()
        return image
