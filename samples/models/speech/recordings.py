"""Spoken words from espeak-ng, and the C++ composer (samples/scenes/recordings.hpp) that lays them on a timeline.

A clip is one word of one voice, cut where it is first and last heard. Held-out voices say no training clip.
"""
import ctypes
import hashlib
import json
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

SAMPLES = Path(__file__).resolve().parents[2]
DATA = SAMPLES / "data" / "speech"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaze" / "speech"

RATE_HZ = 16000
WINDOW_SECONDS = 8
MAX_SPOKEN = 8

# A word is one or two tokens: longer ones are cut as sub-word vocabularies cut them.
SPELLING = """zero one two three four five six seven eight nine red green blue yel+low black white or+ange pur+ple left right up down
yes no stop go start o+pen close light door win+dow mu+sic kit+chen gar+den ta+ble to+day to+mor+row morn+ing even+ing cat dog bird
horse fish""".split()
SPOKEN = [spelling.replace("+", "") for spelling in SPELLING]

ACCENTS = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"]
# espeak-ng's voice variants: other throats, pitches and rhythms.
VOICES = """f1 f3 f4 m1 m2 m4 m5 m6 m8 Alex Alicia Andrea Andy Annie Denis Diogo Gene Hugo Jacky Lee Marco Mario Michael Mike Nguyen
adam anika antonio belinda boris caleb david ed edward grandma grandpa iven iven3 john kaukovalta klatt klatt3 linda marcelo max
miguel norbert pablo""".split()
HELD_OUT_VOICES = "f2 f5 m3 m7 Gene2 Henrique aunty benjamin gustave klatt2 michel paul pedro robert shelby travis".split()


@dataclass
class Clips:
    samples: np.ndarray   # int16, one clip after the other
    offsets: np.ndarray   # int64 [clips + 1]
    words: np.ndarray     # int32 [clips], index into SPOKEN
    voices: np.ndarray    # int32 [clips]


def trim(samples: np.ndarray) -> np.ndarray:
    """From where a word is first to where it is last heard: 10 ms frames within 35 dB of the loudest."""
    frame = RATE_HZ // 100
    count = len(samples) // frame
    level = np.sqrt(np.square(samples[:count * frame].reshape(count, frame)).mean(1))
    heard = np.flatnonzero(level > level.max() * 10 ** (-35 / 20))
    return samples[heard[0] * frame:(heard[-1] + 1) * frame]


def speak(word: str, voice: str, accent: str, words_per_minute: int, pitch: int) -> np.ndarray:
    command = ["espeak-ng", "-v", f"{accent}+{voice}", "-s", str(words_per_minute), "-p", str(pitch), "--stdout", word]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples = np.frombuffer(wav[44:len(wav) - (len(wav) - 44) % 2], np.int16).astype(np.float64) / 32768
    samples = trim(resample_poly(samples, 320, 441))  # espeak-ng speaks at 22,050 Hz
    return (samples / max(np.abs(samples).max(), 1e-9) * 0.9 * 32767).astype(np.int16)


def make_clips(voices: list[str], takes: int, seed: int) -> Clips:
    """`takes` clips of every word by every voice, at accents, speeds and pitches of their own."""
    dice = random.Random(seed)
    orders = [(word, v, (spoken, voice, dice.choice(ACCENTS), dice.randint(110, 210), dice.randint(20, 80)))
              for v, voice in enumerate(voices) for word, spoken in enumerate(SPOKEN) for _ in range(takes)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        clips = list(tqdm(pool.map(lambda order: speak(*order[2]), orders), total=len(orders), desc="clips", mininterval=5))
    return Clips(np.concatenate(clips), np.cumsum([0] + [len(clip) for clip in clips]).astype(np.int64),
                 np.array([order[0] for order in orders], np.int32), np.array([order[1] for order in orders], np.int32))


def training_clips(takes: int = 3) -> Clips:
    """Made once; kept in the cache."""
    kept = CACHE / f"clips-{hashlib.sha256(repr((SPELLING, ACCENTS, VOICES, takes)).encode()).hexdigest()[:12]}.npz"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        clips = make_clips(VOICES, takes, seed=1)
        part = kept.with_suffix(".part.npz")
        np.savez(part, **vars(clips))
        part.rename(kept)
    with np.load(kept) as arrays:
        return Clips(**{name: arrays[name] for name in arrays.files})


def held_out_clips() -> Clips:
    """Of the committed file, which the C++ programs read too."""
    listed = json.loads((DATA / "held_out.json").read_text())
    samples, rate_hz = soundfile.read(DATA / "held_out.ogg", dtype="int16")
    assert rate_hz == RATE_HZ
    clips = [samples[clip["first"]:clip["first"] + clip["samples"]] for clip in listed["clips"]]
    return Clips(np.concatenate(clips), np.cumsum([0] + [len(clip) for clip in clips]).astype(np.int64),
                 np.array([clip["word"] for clip in listed["clips"]], np.int32),
                 np.array([clip["voice"] for clip in listed["clips"]], np.int32))


def build_library() -> ctypes.CDLL:
    scenes = SAMPLES / "scenes"
    sources = [scenes / name for name in ("recordings.cpp", "recordings_c_api.cpp", "recordings.hpp", "random.hpp")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    library = CACHE / f"libgaze_recordings-{digest}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}.part")
        subprocess.run(["g++", "-std=c++20", "-O3", "-fPIC", "-shared", *map(str, sources[:2]), "-o", str(part)], check=True)
        part.rename(library)
    return ctypes.CDLL(str(library))


@dataclass
class Recording:
    samples: np.ndarray                        # float32, at RATE_HZ
    words: list[tuple[int, float, float]]      # index into SPOKEN, start and end seconds
    snr_db: float
    disturbance: str

    def heard_beside(self) -> str:
        return "nothing else" if self.disturbance == "none" else f"{self.disturbance} at {self.snr_db:.0f} dB"


class Composer:
    def __init__(self, clips: Clips):
        self.library = build_library()
        self.library.gaze_recordings_open.restype = ctypes.c_void_p
        self.library.gaze_recordings_compose.restype = ctypes.c_longlong
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (clips.samples, clips.offsets, clips.words, clips.voices)]
        self.handle = ctypes.c_void_p(self.library.gaze_recordings_open(*pointers, len(clips.words)))
        if not self.handle:
            raise RuntimeError("the composer refused the clips: expected every voice to say every word")

    def compose(self, seed: int, min_words: int = 3, max_words: int = MAX_SPOKEN, max_seconds: float = WINDOW_SECONDS) -> Recording:
        samples = np.zeros(int((max_seconds + 2) * RATE_HZ), np.float32)
        words = np.zeros((256, 3), np.float64)
        count, snr_db, disturbance = ctypes.c_int(), ctypes.c_double(), ctypes.create_string_buffer(32)
        length = self.library.gaze_recordings_compose(
            self.handle, ctypes.c_ulonglong(seed), min_words, max_words, ctypes.c_double(max_seconds),
            samples.ctypes.data_as(ctypes.c_void_p), ctypes.c_longlong(len(samples)), words.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(count), ctypes.byref(snr_db), disturbance)
        if length < 0:
            raise RuntimeError("composing a recording failed")
        return Recording(samples[:length], [(int(w), float(s), float(e)) for w, s, e in words[:count.value]], snr_db.value,
                         disturbance.value.decode())
