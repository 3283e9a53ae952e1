"""The C++ scene composer (samples/scenes) through ctypes: one composer for training and for the C++ programs."""
import ctypes
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).resolve().parents[2]
DATA = SAMPLES / "data"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaze" / "stickers"

COLOURS = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PHOTO_WIDTH, PHOTO_HEIGHT, WIDTH, HEIGHT = 960, 576, 160, 96
MAX_STICKERS, FIELDS = 5, 12


def build_library() -> tuple[ctypes.CDLL, str]:
    sources = [SAMPLES / "scenes" / name for name in ("scenes.cpp", "c_api.cpp", "scenes.hpp", "random.hpp")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    library = CACHE / f"libgaze_scenes-{digest}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}.part")
        subprocess.run(["g++", "-std=c++20", "-O3", "-fPIC", "-shared",
                        *map(str, sources[:2]), "-o", str(part), "-isystem", "/usr/include/opencv4",
                        "-lopencv_core", "-lopencv_imgproc", "-lopencv_imgcodecs", "-pthread"], check=True)
        part.rename(library)
    return ctypes.CDLL(str(library)), digest


@dataclass
class Scenes:
    inputs_nhwc: np.ndarray          # uint8 [n, 96, 160, 3], RGB
    stickers: np.ndarray             # float32 [n, 5, 12]: colour, digit, digit index, angle, four corners x y
    counts: np.ndarray               # int32 [n]
    photos_nhwc: np.ndarray | None   # uint8 [n, 576, 960, 3], RGB

    def colours(self, i: int) -> list[int]:
        return self.stickers[i, :self.counts[i], 0].astype(int).tolist()

    def digits(self, i: int) -> list[int]:
        return self.stickers[i, :self.counts[i], 1].astype(int).tolist()

    def polygons_px(self, i: int) -> np.ndarray:
        return self.stickers[i, :self.counts[i], 4:].reshape(-1, 4, 2)


class Composer:
    def __init__(self, data_dir: Path = DATA):
        self.library, self.digest = build_library()
        self.library.gaze_scenes_open.restype = ctypes.c_void_p
        self.handle = ctypes.c_void_p(self.library.gaze_scenes_open(str(data_dir).encode()))
        if not self.handle:
            raise RuntimeError(f"the scene composer found no data in {data_dir}; run make_data.py")
        assert self.library.gaze_scenes_sticker_fields() == FIELDS

    def compose(self, first_seed: int, count: int, held_out: bool, min_stickers: int = 2, max_stickers: int = MAX_STICKERS,
                photo: int = -1, threads: int = 2, with_photos: bool = False) -> Scenes:
        inputs_nhwc = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
        photos_nhwc = np.empty((count, PHOTO_HEIGHT, PHOTO_WIDTH, 3), np.uint8) if with_photos else None
        stickers = np.zeros((count, MAX_STICKERS, FIELDS), np.float32)
        counts = np.zeros(count, np.int32)
        failed = self.library.gaze_scenes_compose(
            self.handle, ctypes.c_ulonglong(first_seed), count, int(held_out), min_stickers, max_stickers, photo, threads,
            inputs_nhwc.ctypes.data_as(ctypes.c_void_p),
            photos_nhwc.ctypes.data_as(ctypes.c_void_p) if with_photos else None,
            stickers.ctypes.data_as(ctypes.c_void_p), counts.ctypes.data_as(ctypes.c_void_p))
        if failed:
            raise RuntimeError("composing scenes failed")
        return Scenes(inputs_nhwc, stickers, counts, photos_nhwc)
