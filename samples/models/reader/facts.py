"""The C++ composer of facts (samples/scenes) through ctypes: one composer for training and for the C++ programs."""
import ctypes
import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaze" / "reader"
PASSAGES_BYTES, QUESTION_BYTES, ANSWER_BYTES = 2048, 128, 48


def build_library() -> ctypes.CDLL:
    sources = [SAMPLES / "scenes" / name for name in ("facts.cpp", "facts_c_api.cpp", "facts.hpp", "random.hpp")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    library = CACHE / f"libgaze_facts-{digest}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}.part")
        subprocess.run(["g++", "-std=c++20", "-O2", "-fPIC", "-shared", *map(str, sources[:2]), "-o", str(part)], check=True)
        part.rename(library)
    return ctypes.CDLL(str(library))


LIBRARY = build_library()


@dataclass
class Question:
    text: str
    answer: str
    passage: int              # that holds the fact; -1: none
    sentence: tuple[int, int]  # bytes of that passage
    value: tuple[int, int]


@dataclass
class Case:
    passages: list[str]
    questions: list[Question]


def text_of(row: np.ndarray) -> str:
    return bytes(row).split(b"\0", 1)[0].decode()


def compose(first_seed: int, count: int, held_out: bool, questions: int = 1, relations: int = 4) -> list[Case]:
    passages = np.zeros((count, PASSAGES_BYTES), np.uint8)
    texts = np.zeros((count, questions, QUESTION_BYTES), np.uint8)
    answers = np.zeros((count, questions, ANSWER_BYTES), np.uint8)
    holders = np.zeros((count, questions, 5), np.int32)
    if LIBRARY.gaze_facts_compose(ctypes.c_ulonglong(first_seed), count, int(held_out), questions, relations,
                                  *(array.ctypes.data_as(ctypes.c_void_p) for array in (passages, texts, answers, holders))):
        raise RuntimeError("composing facts failed")
    return [Case(text_of(passages[i]).split("\n"),
                 [Question(text_of(texts[i, q]), text_of(answers[i, q]), numbers[0], (numbers[1], numbers[2]), (numbers[3], numbers[4]))
                  for q, numbers in enumerate(holders[i].tolist())])
            for i in range(count)]


def pieces() -> list[str]:
    buffer = ctypes.create_string_buffer(1 << 16)
    if LIBRARY.gaze_facts_pieces(buffer, len(buffer)):
        raise RuntimeError("the composer's pieces did not fit")
    return buffer.value.decode().split("\n")[:-1]
