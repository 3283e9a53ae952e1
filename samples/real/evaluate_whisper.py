"""Whisper tiny.en against CTranslate2, which runs the same weights: the tokens of recordings, and when words were said.

Usage: evaluate_whisper.py --gaze PROGRAM --models FOLDER [--recordings FILE...] [--utterances 200] [--seed 5000]
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import ctranslate2
import numpy as np
import soundfile
import torch
from tokenizers import Tokenizer
from transformers import WhisperFeatureExtractor

import utterances
from convert_whisper import END, NO_TIMES, START, package

RATE_HZ, LIMIT = utterances.RATE_HZ, 100
FRAME_SECONDS = 0.02  # of one key of the encoder


def resampled(path):
    samples, rate_hz = soundfile.read(path, dtype="float32")
    samples = samples if samples.ndim == 1 else samples.mean(1)
    places = np.arange(int(len(samples) * RATE_HZ / rate_hz)) * rate_hz / RATE_HZ
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


class Reference:
    """CTranslate2, most likely token each time, nothing suppressed."""

    def __init__(self):
        self.model = ctranslate2.models.Whisper(str(package()), device="cpu", compute_type="float32", intra_threads=1)
        self.tokenizer = Tokenizer.from_file(str(package() / "tokenizer.json"))

    def listen(self, mel_bmt, frames):
        """Ids, and (text, start in seconds) of every word."""
        encoded = self.model.encode(ctranslate2.StorageView.from_array(mel_bmt))
        answer = self.model.generate(encoded, [[START, NO_TIMES]], beam_size=1, max_length=LIMIT + 2, suppress_tokens=[], suppress_blank=False)[0]
        ids = [i for i in answer.sequences_ids[0] if i < END]
        path = self.model.align(encoded, [START], [ids], [frames], median_filter_width=7)[0].alignments if ids else []
        starts = {}
        for token, frame in path:
            starts.setdefault(token, frame * FRAME_SECONDS)
        words = []
        for i, token in enumerate(ids):
            text = self.tokenizer.decode([token])
            if text.startswith(" ") or not words:
                words.append([text, starts.get(i, float("nan"))])
            else:
                words[-1][0] += text
        return ids, words


def run(arguments, samples, mel_bmt, folder):
    """request.json of the answer; its words carry their times."""
    sound, inputs = folder / "sound.wav", folder / "inputs.pt"
    soundfile.write(sound, samples, RATE_HZ)
    torch.save((torch.from_numpy(mel_bmt), torch.tensor([[START, NO_TIMES]]), LIMIT), inputs)
    command = [arguments.gaze, "run", arguments.models / "whisper_tiny_en.pt", "--inputs", inputs, "--method", "generate", "--audio", sound,
               "--profile", arguments.profile, "--out", folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, GAZE_DELIVERY="map"))
    if done.returncode != 0:
        raise RuntimeError(f"gaze run: exit {done.returncode}: {done.stderr}")
    request = json.loads(next((folder / "out").glob("*/request.json")).read_text())
    if request["error"]:
        raise RuntimeError(request["error"])
    return request


def plain(text):
    return re.sub(r"[^a-z]", "", text.lower())


def start_errors(truth, heard):
    """Milliseconds for each word that was said once and heard once, under the same name."""
    said = {plain(word.text): word.start_seconds for word in truth}
    names = [plain(text) for text, _ in heard]
    return {name: 1e3 * abs(start - said[name]) for name, (_, start) in zip(names, heard) if name in said and names.count(name) == 1}


def quantiles(values):
    return {"median_ms": round(float(np.median(values)), 1), "p90_ms": round(float(np.quantile(values, 0.9)), 1)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gaze", required=True)
    parser.add_argument("--models", required=True, type=Path)
    parser.add_argument("--profile")
    parser.add_argument("--recordings", nargs="*", default=[])
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5000)
    arguments = parser.parse_args()
    arguments.profile = arguments.profile or arguments.models / "whisper.json"
    features = WhisperFeatureExtractor(feature_size=80)
    reference = Reference()

    def both(samples):
        mel_bmt = features(samples, sampling_rate=RATE_HZ, return_tensors="np").input_features.astype(np.float32)
        ids, words = reference.listen(mel_bmt, int(len(samples) / 160))
        with tempfile.TemporaryDirectory() as folder:
            request = run(arguments, samples, mel_bmt, Path(folder))
        own = [token["id"] for token in request["tokens"] if token["id"] is not None]
        return ids, words, own, [(word["text"], word["start"]) for word in request["words"]], request

    same = 0
    for path in arguments.recordings:
        ids, _, own, _, request = both(resampled(path))
        same += ids == own
        if ids != own:
            print(f"{path}: {request['answer']!r} is not what CTranslate2 writes down: {reference.tokenizer.decode(ids)!r}", flush=True)
    ours, theirs, said, equal = [], [], 0, 0
    for seed in range(arguments.seed, arguments.seed + arguments.utterances):
        utterance = utterances.compose(seed)
        ids, words, own, timed, _ = both(utterance.samples)
        equal += ids == own
        said += len(utterance.words)
        mine, other = start_errors(utterance.words, timed), start_errors(utterance.words, words)
        for name in mine.keys() & other.keys():
            ours.append(mine[name])
            theirs.append(other[name])
        print(f"{seed - arguments.seed + 1} of {arguments.utterances} utterances", end="\r", file=sys.stderr, flush=True)
    figures = {"recordings": len(arguments.recordings), "recordings_same_tokens": same, "utterances": arguments.utterances, "seed": arguments.seed,
               "utterances_same_tokens": equal, "words": said, "words_compared": len(ours)}
    if ours:
        figures |= {"start_error": quantiles(ours), "ctranslate2_start_error": quantiles(theirs)}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
