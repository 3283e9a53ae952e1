# SPDX-License-Identifier: MIT
"""A picture for each client that no other has: a photograph with the client's number in its lowest rows, as eight black or white squares."""
import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

DEMO = Path(__file__).resolve().parents[2] / "samples" / "data" / "demo"
PHOTOS = ("cat", "coffee", "cup", "launch", "rocket", "temple")
CLIENTS, WIDTH, HEIGHT, SQUARE = 8, 160, 96, 20


def code_of(client: int) -> list[bool]:
    """Two clients' codes differ in four of eight squares."""
    return [bin(client & square).count("1") % 2 == 0 for square in range(8)]


def picture_of(client: int) -> np.ndarray:
    photo = Image.open(DEMO / f"{PHOTOS[client % len(PHOTOS)]}.jpg").convert("RGB").resize((WIDTH, HEIGHT))
    picture_hwc = np.array(photo)[:, :: -1 if client >= len(PHOTOS) else 1].copy()
    for square, white in enumerate(code_of(client)):
        picture_hwc[-16:, square * SQUARE:(square + 1) * SQUARE] = 255 if white else 0
    return picture_hwc


def picture_in(bundle: Path) -> np.ndarray:
    """The picture that a bundle's page shows below its maps."""
    jpeg = re.search(r'"jpeg":"([^"]+)"', (bundle / "report.html").read_text())
    assert jpeg, f"{bundle}: its page holds no picture"
    return np.array(Image.open(io.BytesIO(base64.b64decode(jpeg[1]))).convert("RGB"))


def client_in(picture_hwc: np.ndarray) -> int:
    """Whose code it has. Also that all of it is that client's picture, but for what JPEG costs."""
    assert picture_hwc.shape == (HEIGHT, WIDTH, 3), picture_hwc.shape
    middles = picture_hwc[-8, SQUARE // 2::SQUARE].mean(1)
    assert ((middles < 40) | (middles > 215)).all(), f"squares that are neither black nor white: {middles}"
    found = [client for client in range(CLIENTS) if code_of(client) == [bool(each > 127) for each in middles]]
    assert len(found) == 1, f"a code of nobody's: {middles}"
    error = np.abs(picture_hwc.astype(int) - picture_of(found[0]).astype(int)).mean()
    assert error < 8, f"client {found[0]}'s code on another's picture: {error:.1f} of 255 off"
    return found[0]
