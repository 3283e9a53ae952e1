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
    "mobilevit-v2": (),  # holds no attention
}

PATCHES_3_3 = "3 x 3 of 8 x 8"
CLASS_FIRST = PATCHES_3_3 + ", 1 leading"
WINDOWS_3 = " in windows of 3 x 3 cells, "
# What the configurations in architectures/ make true; nothing else may be said. "n keys of t ms" leaves the verdict's own tolerance.
GROUND = {
    "audio-spectrogram-transformer": ["5 x 3 of 6 x 6, by columns, 2 leading"],  # stride 6; frequency changes last
    "beit": ["3 x 5 of 8 x 8, 1 leading"], "dinov2": ["3 x 5 of 8 x 8, 1 leading"], "vit": ["3 x 5 of 8 x 8, 1 leading"],
    "yolos": ["3 x 5 of 8 x 8, 1 leading, 5 trailing"],
    "blip": ["4 x 4 of 8 x 8, 1 leading"], "blip-vqa": [CLASS_FIRST], "blip2": [CLASS_FIRST], "clip": [CLASS_FIRST], "instructblip": [CLASS_FIRST],
    "aimv2": [PATCHES_3_3], "clipseg": [CLASS_FIRST, PATCHES_3_3 + ", from key 1"], "dinov3": ["3 x 5 of 8 x 8, 4 leading"],
    "layoutlmv3": ["2 x 2 of 8 x 8, from key 8"], "vitdet": ["4 x 6 of 8 x 8", "4 x 6 of 8 x 8" + WINDOWS_3 + "2 x 2 windows"],
    "owlvit": [CLASS_FIRST], "kosmos2": [CLASS_FIRST, CLASS_FIRST + ", 3 trailing"],
    "conditional-detr": ["3 x 4 of 32 x 32"], "detr": ["3 x 4 of 32 x 32"],  # stride 32
    "cvt": ["4 x 6 of 8 x 8", "2 x 3 of 16 x 16, 1 leading"],  # keys at half the resolution
    "donut": ["6 x 9 of 4 x 4" + WINDOWS_3 + "2 x 3 windows", "6 x 9 of 4 x 4" + WINDOWS_3 + "2 x 3 windows, shifted by 1 x 1 cells",
              "3 x 5 of 7 x 8" + WINDOWS_3 + "1 x 2 windows", "3 x 5 of 7 x 8"],
    "flava": [CLASS_FIRST, PATCHES_3_3 + ", from key 2"], "git": [CLASS_FIRST, PATCHES_3_3 + ", from key 1"],
    "llava": [CLASS_FIRST, PATCHES_3_3 + ", from key 2"],
    "florence2": ["8 x 10 of 4 x 4" + WINDOWS_3 + "3 x 4 windows", "4 x 5 of 8 x 8" + WINDOWS_3 + "2 x 2 windows"],
    "gemma3": ["4 x 4 of 8 x 8", "2 x 2 of 16 x 16, from key 2"], "smolvlm": ["4 x 4 of 8 x 8", "2 x 2 of 16 x 16, from key 2"],
    "internvl": ["4 x 4 of 8 x 8, 1 leading", "2 x 2 of 16 x 16, from key 2"],
    "groupvit": [PATCHES_3_3, PATCHES_3_3 + ", 4 trailing"], "idefics2": [PATCHES_3_3, PATCHES_3_3 + ", 3 trailing"],
    "hiera": ["8 x 12 of 4 x 4 in windows of 8 x 2 cells, 1 x 6 windows"],  # one pooling by 2: a unit is a column of the pooled grid
    "levit": ["4 x 4 of 16 x 16"],
    "llava-next": [CLASS_FIRST + ", in each of 3 tiles", "3 x 6 of 8 x 8, 1 key after each row, a thumbnail of 3 x 3 first, from key 2"],
    "llava-onevision-video": ["4 x 4 of 8 x 8, in each of 3 frames", "2 x 2 of 16 x 16, in 3 key frames, from key 2"],
    "mask2former": ["16 x 24 of 4 x 4 in windows of 4 x 4 cells, 4 x 6 windows", "8 x 12 of 8 x 8 in windows of 4 x 4 cells, 2 x 3 windows",
                    "4 x 6 of 16 x 16 in windows of 4 x 4 cells, 1 x 2 windows", "2 x 3 of 32 x 32",
                    "2 x 3 of 32 x 32, 1 key after each row, 8 trailing"],  # one padded window of 4 x 4
    "mllama": ["3 x 6 of 8 x 8, in 1 x 2 tiles with 1 leading and 6 trailing", "3 x 6 of 8 x 8, in 1 x 2 tiles with 1 leading"],  # padded to 16 keys
    "mobilevit": ["4 x 6 of 16 x 16", "2 x 3 of 32 x 32"],
    "paligemma": [PATCHES_3_3, PATCHES_3_3 + ", from key 2"], "siglip": [PATCHES_3_3], "siglip-vision": [PATCHES_3_3],
    "pix2struct": ["3 x 4 of 1 x 1 patches"],
    "pvt": ["4 x 4 of 8 x 8", "4 x 4 of 8 x 8, 1 leading"],  # the last stage has a class token
    "pvt-v2": ["4 x 6 of 8 x 8"],
    "qwen2-vl": ["4 x 6 of 1 x 1 patches, in windows of 2 x 2", "2 x 3 of 2 x 2 patches, from key 2"],
    "qwen2.5-vl": ["2 x 3 of 2 x 2 patches, from key 2"],
    "sam": ["8 x 8 of 8 x 8", "8 x 8 of 8 x 8" + WINDOWS_3 + "3 x 3 windows"],
    "segformer": ["4 x 6 of 8 x 8"],
    "timesformer": [CLASS_FIRST + ", in each of 3 frames"],
    "trocr": ["2 x 7 of 8 x 8, 1 leading"],
    "videomae": [PATCHES_3_3 + ", in 2 key frames of 2 frames"],
    "whisper": ["37 keys of 20.0 ms, from 0.0 s"], "speech-to-text": ["11 keys of 40.0 ms, from 0.0 s"],
    "moonshine": ["9 keys of 24.0 ms, from 0.02 s"],  # 384 samples; convolutions without padding see 447 samples to either side of a key
} | {name: ["14 keys of 1.25 ms, from 0.0 s"] for name in ("hubert", "speech-encoder-decoder", "wav2vec2", "wav2vec2-conformer", "wavlm")} | {
    name: ["7 x 10 of 4 x 4" + WINDOWS_3 + "3 x 4 windows", "7 x 10 of 4 x 4" + WINDOWS_3 + "3 x 4 windows, shifted by 1 x 1 cells",
           "4 x 5 of 8 x 7" + WINDOWS_3 + "2 x 2 windows", "4 x 5 of 8 x 7" + WINDOWS_3 + "2 x 2 windows, shifted by 1 x 1 cells"]
    for name in ("swin", "swinv2")}
TIMES = re.compile(r"(\d+ keys) of ([\d.]+) ms, (from [\d.]+ s)(?:, give or take ([\d.]+) ms)?")


def is_true(name: str, text: str) -> bool:
    if text in ("not seen", "no place"):
        return True
    text = text.removesuffix(", whose shift and order of keys are not seen")
    times = TIMES.fullmatch(text)
    for ground in GROUND.get(name, []):
        known = TIMES.fullmatch(ground)
        if ground == text or times and known and times[1] == known[1] and times[3] == known[3] and \
                abs(float(times[2]) - float(known[2])) <= float(times[4] or 0):
            return True
    return False


def column(page: str, name: str) -> str | None:
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 9 and cells[1] == name:
            return cells[6]
    return None


def with_column(page: str, told: dict[str, str]) -> str:
    lines = page.splitlines()
    for i, line in enumerate(lines):
        cells = line.split("|")
        if len(cells) == 9 and cells[1].strip() in told:
            cells[6] = f" {told[cells[1].strip()]} "
            lines[i] = "|".join(cells)
    return "\n".join(lines) + "\n"


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
    if "geometry" in site or " windows" in verdict and "in windows of" in verdict or "in each of" in verdict or verdict.startswith("tile after tile"):
        apart = re.search(r"in each of \d+ (tiles|frames)", verdict)
        text = re.sub(r"(, \d+ % of its keys local|: rows of keys).*", "", verdict).replace("cells of ", "of ").replace(" pixels", "")
        return text + (", " + apart[0] if apart else "")
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
    parser.add_argument("--page", type=Path, help="docs/architectures.md")
    parser.add_argument("--write", action="store_true", help="put the verdicts into the page instead of comparing")
    parser.add_argument("--verbose", action="store_true", help="print the verdict of every site")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = sorted(file.name.removesuffix(".eager.inputs.pt") for file in arguments.models.glob("*.eager.inputs.pt"))
    names = [name for name in names if not name.startswith("own-") and (not arguments.only or name in arguments.only)]
    if not names:
        sys.exit(f"--models: expected what make.py wrote, found none of it in {arguments.models}")
    page = arguments.page.read_text() if arguments.page else ""
    problems = []
    told = {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for name, (text, sites) in zip(names, pool.map(lambda name: measure(arguments.gaze, arguments.models, name), names)):
            told[name] = text
            print(f"{name}: {text}", flush=True)
            for site in sites if arguments.verbose else []:
                print(f"    {site['name']}: {site['verdict']}")
            for site in sites:
                if site["verdict"] != "did not run" and not is_true(name, short(site)):
                    problems.append(f"{name}: {site['name']}: not of its configuration: {site['verdict']}")
            if text.startswith("REFUSED"):
                problems.append(f"{name}: {text}")
            if page and not arguments.write and column(page, name) != text:
                problems.append(f"{name}: {arguments.page.name} says: {column(page, name)}")
    if arguments.write:
        arguments.page.write_text(with_column(page, told))
    for problem in problems:
        print("  " + problem)
    print(f"{len(names)} models probed")
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
