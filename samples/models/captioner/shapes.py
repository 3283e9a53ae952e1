"""The C++ composer of shapes (samples/scenes) through ctypes: one composer for training and for the C++ programs."""
import ctypes
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaze" / "captioner"

COLOURS = ["red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "white"]
SHAPES = ["circle", "square", "triangle", "star", "cross"]
PICTURE_SIDE, SIDE = 384, 96
CAPTION_BYTES = 64


def build_library() -> ctypes.CDLL:
    sources = [SAMPLES / "scenes" / name for name in ("shapes.cpp", "shapes_c_api.cpp", "scenes.cpp", "shapes.hpp", "scenes.hpp", "random.hpp")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    library = CACHE / f"libgaze_shapes-{digest}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}.part")
        subprocess.run(["g++", "-std=c++20", "-O3", "-fPIC", "-shared", *map(str, sources[:3]), "-o", str(part),
                        "-isystem", "/usr/include/opencv4", "-lopencv_core", "-lopencv_imgproc", "-lopencv_imgcodecs"], check=True)
        part.rename(library)
    return ctypes.CDLL(str(library))


@dataclass
class Pictures:
    inputs_nhwc: np.ndarray  # uint8 [n, 96, 96, 3], RGB
    shapes: np.ndarray       # float32 [n, 2, 5]: colour, kind, centre x y and radius in pixels of the picture
    captions: list[str]


class Composer:
    def __init__(self, data_dir: Path = SAMPLES / "data"):
        self.library = build_library()
        self.library.gaze_shapes_open.restype = ctypes.c_void_p
        self.handle = ctypes.c_void_p(self.library.gaze_shapes_open(str(data_dir).encode()))
        if not self.handle:
            raise RuntimeError(f"the composer found no photographs in {data_dir}")

    def compose(self, first_seed: int, count: int, held_out: bool) -> Pictures:
        inputs_nhwc = np.empty((count, SIDE, SIDE, 3), np.uint8)
        shapes = np.zeros((count, 2, 5), np.float32)
        captions = np.zeros((count, CAPTION_BYTES), np.uint8)
        if self.library.gaze_shapes_compose(self.handle, ctypes.c_ulonglong(first_seed), count, int(held_out),
                                            *(array.ctypes.data_as(ctypes.c_void_p) for array in (inputs_nhwc, shapes, captions))):
            raise RuntimeError("composing pictures failed")
        return Pictures(inputs_nhwc, shapes, [bytes(row).split(b"\0")[0].decode() for row in captions])
