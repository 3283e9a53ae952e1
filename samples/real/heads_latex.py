"""Inputs for `gaze heads` of formulas that nobody labelled. Usage: heads_latex.py FOLDER [COUNT] [SEED]"""
import sys
from pathlib import Path

import torch

import formulas
from evaluate_latex import HEIGHT, LIMIT, WIDTH
from latex_ocr_torch.data import load_and_preprocess_image


def write(folder: Path, count=20, seed=9000):
    """`in00.pt` and so on: the arguments of `generate`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture = folder / "formula.png"
        formulas.compose(seed + i).picture.save(picture)
        torch.save((load_and_preprocess_image(picture, HEIGHT, WIDTH)[None], LIMIT), folder / f"in{i:02}.pt")
    picture.unlink()


if __name__ == "__main__":
    write(Path(sys.argv[1]), *(int(n) for n in sys.argv[2:]))
