#!/usr/bin/env python3
"""Makes samples/data/speech: held-out words of espeak-ng, and the demo's recordings: python3 make_data.py [--people FOLDER]

--people is the data folder of Debian's package pocketsphinx-testdata (usr/share/pocketsphinx/test/data); without it the recordings
of people stay as they are.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import soundfile

import recordings as rec

GAP = rec.RATE_HZ // 20  # silence between clips, so that a codec smears none into the next
# What is heard beside the words is drawn by the composer; these seeds are varied.
COMPOSED = [("white-noise", 3, {}), ("hum", 11, {}), ("pink-noise", 12, {}), ("music", 20, {}),
            ("long", 31, {"min_words": 26, "max_words": 26, "max_seconds": 40})]
PEOPLE = [
    ("people-five.ogg", "cards/004.wav", "five five", "a person, within the vocabulary"),
    ("people-cards.ogg", "cards/005.wav", "eight of spades four of clubs seven of hearts", "a person; the model knows three of these words"),
    ("people-go.ogg", "goforward.raw", "go forward ten meters", "a person; the model knows one of these words"),
    ("people-novel.ogg", "librivox/sense_and_sensibility_01_austen_64kb-0880.wav", "he was not an ill disposed young man",
     "a person reading a novel; the model knows none of these words"),
]


def write(path: Path, samples: np.ndarray) -> None:
    with soundfile.SoundFile(path, "w", rec.RATE_HZ, 1, format="OGG", subtype="VORBIS", compression_level=0.5) as file:
        for first in range(0, len(samples), rec.RATE_HZ):  # libsndfile's encoder takes no long blocks
            file.write(samples[first:first + rec.RATE_HZ])


def held_out() -> None:
    clips = rec.make_clips(rec.HELD_OUT_VOICES, takes=1, seed=2)
    listed, parts, at = [], [], 0
    for i, (word, voice) in enumerate(zip(clips.words, clips.voices)):
        clip = clips.samples[clips.offsets[i]:clips.offsets[i + 1]]
        listed.append({"word": int(word), "voice": int(voice), "first": at, "samples": len(clip)})
        parts += [clip, np.zeros(GAP, np.int16)]
        at += len(clip) + GAP
    write(rec.DATA / "held_out.ogg", np.concatenate(parts))
    rows = ",\n  ".join(json.dumps(clip) for clip in listed)
    (rec.DATA / "held_out.json").write_text(
        f'{{"words": {json.dumps(rec.SPOKEN)},\n "voices": {json.dumps(rec.HELD_OUT_VOICES)},\n "clips": [\n  {rows}]}}\n')


def demo(people: Path | None) -> None:
    folder = rec.DATA / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    composer = rec.Composer(rec.held_out_clips())
    entries = []
    for name, seed, limits in COMPOSED:
        recording = composer.compose(seed, **limits)
        write(folder / f"{name}.ogg", recording.samples)
        words = [{"text": rec.SPOKEN[word], "start": round(start, 3), "end": round(end, 3)} for word, start, end in recording.words]
        entries.append({"file": f"{name}.ogg", "answer": " ".join(word["text"] for word in words), "note": recording.heard_beside(),
                        "words": words})
    for name, source, said, note in PEOPLE:
        if people is not None:
            raw = source.endswith(".raw")
            options = {"samplerate": rec.RATE_HZ, "channels": 1, "format": "RAW", "subtype": "PCM_16"} if raw else {}
            samples, rate_hz = soundfile.read(people / source, dtype="int16", **options)
            assert rate_hz == rec.RATE_HZ
            write(folder / name, samples)
        entries.append({"file": name, "answer": said, "note": note, "words": []})
    rows = ",\n".join(json.dumps(entry) for entry in entries)
    (folder / "demo.json").write_text(f'{{"recordings": [\n{rows}]}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path)
    arguments = parser.parse_args()
    held_out()
    demo(arguments.people)


if __name__ == "__main__":
    main()
