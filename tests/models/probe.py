#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What gaze probe says of the models of make.py is true of their configurations, and is what docs/architectures.md says.

Usage: probe.py --gaze PROGRAM --models DIR [--only NAME...] [--page architectures.md] [--write] [--jobs N]

Every grid, window and time that is named must be one that the model's configuration has (GROUND). The page's column must be what was
measured; --write puts it there.
"""
import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

WAVE = ("--audio-arg", "0", "--sample-rate", "16000")
LOG_MEL = ("--audio-arg", "0", "--hop-seconds", "0.01")
# Inputs that are no single picture. Pictures are found by their shape.
FLAGS = {
    "audio-spectrogram-transformer": ("--image-arg", "0"),
    "hubert": WAVE, "moonshine": WAVE, "speech-encoder-decoder": WAVE, "wav2vec2": WAVE, "wav2vec2-conformer": WAVE, "wavlm": WAVE,
    "speech-to-text": (*LOG_MEL, "--time-first"), "whisper": LOG_MEL,
    "llava-next": ("--tiles-arg", "1"), "mllama": ("--tiles-arg", "1", "--tiles", "1", "2"),
    "llava-onevision-video": ("--video-arg", "1"), "timesformer": ("--video-arg", "0"), "videomae": ("--video-arg", "0"),
    "qwen2-vl": ("--patches-arg", "1", "--patch-grid", "1", "4", "6", "--patch-merge", "2"),
    "qwen2.5-vl": ("--patches-arg", "1", "--patch-grid", "1", "4", "6", "--patch-merge", "2"),
    "pix2struct": ("--patches-arg", "0"),
}


def flags_of(name: str, inputs: tuple) -> tuple[str, ...]:
    if name in FLAGS:
        return FLAGS[name]
    for index, tensor in enumerate(inputs):
        picture = tensor.dim() == 4 and tensor.shape[1] == 3 or tensor.dim() == 5 and tensor.shape[1] == 1
        if tensor.is_floating_point() and picture:
            return ("--image-arg", str(index))
    return ()


def short(site: dict) -> str:
    verdict = site["verdict"]
    if "does not see" in verdict or "no key responds" in verdict:
        return "not seen"
    if "geometry" in site or " windows" in verdict or verdict.startswith("tile after tile"):
        text = re.sub(r", \d+ % of its keys local.*", "", verdict)
        return re.sub(r": rows of keys.*", "", text).replace("cells of ", "of ").replace(" pixels", "")
    if "patches of time" in verdict:
        return "patches"
    return "no place"


def measure(program: str, models: Path, name: str) -> tuple[str, list[dict]]:
    stem = models / f"{name}.eager"
    flags = flags_of(name, torch.load(f"{stem}.inputs.pt"))
    if not flags:
        return "", []
    done = subprocess.run([program, "probe", f"{stem}.pt", "--inputs", f"{stem}.inputs.pt", *flags, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        return "REFUSED " + done.stderr.strip()[:300], []
    sites = json.loads(done.stdout)["sites"]
    told = Counter(short(site) for site in sites if site["verdict"] != "did not run")
    last = ("not seen", "no place")
    return "; ".join(f"{text} ({n})" for text, n in sorted(told.items(), key=lambda each: (each[0] in last, -each[1], each[0]))), sites


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaze", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = sorted(file.name.removesuffix(".eager.inputs.pt") for file in arguments.models.glob("*.eager.inputs.pt"))
    names = [name for name in names if not name.startswith("own-") and (not arguments.only or name in arguments.only)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for name, (text, sites) in zip(names, pool.map(lambda name: measure(arguments.gaze, arguments.models, name), names)):
            print(f"{name}: {text}", flush=True)
            if arguments.verbose:
                for site in sites:
                    print(f"    {site['name']}: {site['verdict']}")


if __name__ == "__main__":
    main()
