#!/usr/bin/env python3
"""Writes digits.png, digits.txt and photos/ from the files that the scikit-learn and scikit-image wheels ship.

Needs no network. Run from anywhere: python3 samples/data/make_data.py
"""
from pathlib import Path

import cv2
import numpy as np
import skimage
import sklearn.datasets

HERE = Path(__file__).resolve().parent
SPRITES_PER_ROW = 50
JPEG_QUALITY = 88
LONGEST_SIDE_PX = 900

# Whole photographs are held out, not only regions of them: the model is measured on pictures it has never seen a part of.
PHOTOS = {
    "train": ["astronaut.png", "brick.png", "camera.png", "flower.jpg", "grass.png", "gravel.png", "hubble_deep_field.jpg",
              "retina.jpg"],
    "held_out": ["chelsea.png", "china.jpg", "coffee.png", "rocket.jpg"],
}


def write_digits() -> None:
    digits = sklearn.datasets.load_digits()
    images_nhw = np.round(digits.images * (255 / 16)).astype(np.uint8)
    rows = -(-len(images_nhw) // SPRITES_PER_ROW)
    sheet_hw = np.zeros((rows * 8, SPRITES_PER_ROW * 8), np.uint8)
    for index, image_hw in enumerate(images_nhw):
        y, x = divmod(index, SPRITES_PER_ROW)
        sheet_hw[y * 8:y * 8 + 8, x * 8:x * 8 + 8] = image_hw
    cv2.imwrite(str(HERE / "digits.png"), sheet_hw, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    (HERE / "digits.txt").write_text("".join(map(str, digits.target)) + "\n")


def find_photo(name: str) -> Path:
    folders = [Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images"]
    return next(folder / name for folder in folders if (folder / name).is_file())


def write_photos() -> None:
    for split, names in PHOTOS.items():
        folder = HERE / "photos" / split
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            bgr_hwc = cv2.imread(str(find_photo(name)), cv2.IMREAD_COLOR)
            scale = LONGEST_SIDE_PX / max(bgr_hwc.shape[:2])
            if scale < 1:
                bgr_hwc = cv2.resize(bgr_hwc, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / (Path(name).stem + ".jpg")), bgr_hwc, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


if __name__ == "__main__":
    write_digits()
    write_photos()
