"""Spoken words of which every one's time is known: espeak-ng says each by itself, and they are laid out one after another."""
import dataclasses
import io
import random
import subprocess

import numpy as np
import soundfile

RATE_HZ = 16000
VOICES = ("en-us", "en-gb", "en-us+f2", "en-gb+m3", "en-us+m7", "en-gb+f4")
WORDS = ("water", "seven", "paper", "window", "garden", "yellow", "market", "summer", "river", "doctor", "kitchen", "letter", "music", "orange",
         "people", "morning", "number", "simple", "table", "winter", "brother", "picture", "station", "weather", "purple", "animal", "bottle", "center",
         "dinner", "engine", "finger", "golden", "hammer", "island", "jacket", "ladder", "mountain", "northern", "office", "pencil")
QUIET = 0.01  # of the loudest sample; what is quieter at either end of a word is cut off


@dataclasses.dataclass
class Spoken:
    text: str
    start_seconds: float
    end_seconds: float


@dataclasses.dataclass
class Utterance:
    samples: np.ndarray  # float32, 16 kHz
    words: list


def say(word, voice, speed):
    """One word, from its first to its last sound."""
    done = subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", word], capture_output=True, check=True)
    samples, rate_hz = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    places = np.arange(int(len(samples) * RATE_HZ / rate_hz)) * rate_hz / RATE_HZ
    samples = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > QUIET * np.abs(samples).max())
    return samples[loud[0]:loud[-1] + 1]


def compose(seed):
    """Five to nine words of one voice with pauses of 0.03 to 0.5 seconds and a little noise; the same seed gives the same samples."""
    rng = random.Random(seed)
    voice, speed = rng.choice(VOICES), rng.randint(130, 180)
    words = rng.sample(WORDS, rng.randint(5, 9))
    parts, spoken, at = [], [], 0
    for i, word in enumerate(words):
        pause = int(RATE_HZ * (rng.uniform(0.3, 1.0) if i == 0 else rng.uniform(0.03, 0.5)))
        sound = say(word, voice, speed)
        parts += [np.zeros(pause, np.float32), sound]
        spoken.append(Spoken(word, (at + pause) / RATE_HZ, (at + pause + len(sound)) / RATE_HZ))
        at += pause + len(sound)
    samples = np.concatenate([*parts, np.zeros(int(RATE_HZ * 0.5), np.float32)])
    noise = np.random.default_rng(seed).normal(0, 1, len(samples)).astype(np.float32)
    return Utterance(samples / np.abs(samples).max() * 0.5 + noise * 0.001, spoken)
