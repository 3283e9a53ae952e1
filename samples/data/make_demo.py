#!/usr/bin/env python3
"""Writes demo/: six held-out scenes as JPEG and demo.json with prompts and truth: python3 samples/data/make_demo.py"""
import json
import re
import sys
from pathlib import Path

import cv2

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "models" / "stickers"))
import scenes as sc  # noqa: E402

JPEG_QUALITY = 92
# name, held-out photograph (0 chelsea, 1 china, 2 coffee, 3 rocket), stickers, seed, asked colour (None: one that lies
# there). The seeds were chosen by the look of the pictures, not by what the model answers.
PICTURES = [
    ("coffee", 2, 3, 7_000_004, None),
    ("rocket", 3, 4, 7_000_101, None),
    ("temple", 1, 5, 7_000_204, None),
    ("cat", 0, 2, 7_000_303, "absent"),
    ("cup", 2, 5, 7_000_400, "absent"),
    ("launch", 3, 3, 7_000_503, None),
]


def main() -> None:
    composer = sc.Composer()
    folder = HERE / "demo"
    folder.mkdir(exist_ok=True)
    entries = []
    for name, photo, count, seed, asked in PICTURES:
        scene = composer.compose(seed, 1, held_out=True, min_stickers=count, max_stickers=count, photo=photo, with_photos=True)
        cv2.imwrite(str(folder / f"{name}.jpg"), scene.photos_nhwc[0][:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        colours = [sc.COLOURS[colour] for colour in scene.colours(0)]
        digits = [sc.DIGITS[digit] for digit in scene.digits(0)]
        number_on = dict(zip(colours, digits))
        colour = colours[len(colours) // 2] if asked is None else next(c for c in sc.COLOURS if c not in colours)
        entries.append({
            "file": f"{name}.jpg",
            "seed": seed,
            "prompts": [
                {"kind": "describe", "text": "describe the stickers :",
                 "answer": " ".join(f"{c} {d}" for c, d in zip(colours, digits))},
                {"kind": "which", "colour": colour, "text": f"which number is on the {colour} sticker ?",
                 "answer": number_on.get(colour, "none")},
            ],
            "stickers": [{"colour": c, "digit": d, "polygon": [[round(float(x), 1), round(float(y), 1)] for x, y in polygon]}
                         for c, d, polygon in zip(colours, digits, scene.polygons_px(0))],
        })
    text = json.dumps({"width": sc.PHOTO_WIDTH, "height": sc.PHOTO_HEIGHT, "pictures": entries}, indent=1)
    text = re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text)  # one corner, one line
    (folder / "demo.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
