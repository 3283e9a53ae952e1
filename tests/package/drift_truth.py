#!/usr/bin/env python3
"""How often `gaze drift` calls drift where there is none, and where there is, on answers of a sample model: docs/drift.md.

Pools of answers are made once in --work; each draw compares two disjoint lots of them.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--gaze", required=True)
parser.add_argument("--bundles", required=True, help="gaze_drift_bundles")
parser.add_argument("--work", help="keeps the pools here")
parser.add_argument("--short", action="store_true", help="fewer answers and draws, and fail where they are not told apart")
arguments = parser.parse_args()
GAZE, BUNDLES = Path(arguments.gaze).resolve(), Path(arguments.bundles).resolve()
MODELS = Path(__file__).resolve().parents[2] / "samples" / "models"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")}
SEEN, OTHER = (400, 200) if arguments.short else (2000, 500)
WINDOWS = (100, 200) if arguments.short else (100, 200, 500)
SPLITS, DRAWS = (10, 3) if arguments.short else (50, 20)
KINDS = ["plain", "blurred-12", "describe"] if arguments.short else [
    "plain", "squares", "blurred-6", "blurred-12", "noisy-40", "noisy-120", "dim-50", "dim-20", "describe"]


def pool(work: Path, model: str, kind: str, seed: int, count: int) -> list[Path]:
    folder = work / f"{model}-{kind}"
    if not folder.exists():
        part = work / f"{model}-{kind}.part"
        subprocess.run([BUNDLES, MODELS / model / f"{model}_sdpa.pt", kind, str(seed), str(count), part], check=True, env=CLEAN)
        part.rename(folder)
    found = sorted(request.parent for request in folder.glob("*/request.json"))
    if len(found) != count:
        sys.exit(f"expected {count} bundles in {folder}, got {len(found)}")
    return found


def drift(a: list[Path], b: list[Path]) -> dict:
    with tempfile.TemporaryDirectory(dir=work) as folder:
        for side, bundles in (("a", a), ("b", b)):
            for bundle in bundles:
                to = Path(folder, side, bundle.name)
                to.mkdir(parents=True)
                os.link(bundle / "request.json", to / "request.json")
        done = subprocess.run([GAZE, "drift", Path(folder, "a"), Path(folder, "b"), "--json"], env=CLEAN, capture_output=True, text=True)
        told = json.loads(done.stdout)
        if done.returncode != (3 if told["verdict"] == "major" else 0):
            sys.exit(f"expected another exit status than {done.returncode}: {done.stderr}")
        return told


def row(name: str, size: int, told: list[dict]) -> dict[str, int]:
    count = {verdict: sum(each["verdict"] == verdict for each in told) for verdict in ("none", "moderate", "major")}
    alone = sum(any(figure["psi"] >= 0.25 for figure in each["versions"][0]["figures"]) for each in told)
    print(f"| {name} | {size} | {len(told)} | {count['none']} / {count['moderate']} / {count['major']} | {alone} |", flush=True)
    return count


with tempfile.TemporaryDirectory() as temporary:
    work = Path(arguments.work or temporary).resolve()
    work.mkdir(parents=True, exist_ok=True)
    seen = pool(work, "stickers", "scenes", 90000000, SEEN)
    others = {kind: pool(work, "stickers", kind, 91000000 + 10000 * i, OTHER) for i, kind in enumerate(KINDS)}
    others["early_fusion"] = pool(work, "early_fusion", "scenes", 92000000, OTHER)
    draw = random.Random(1)
    wrong = []
    print("| B | answers on each side | draws | none / moderate / major | PSI alone from 0.25 |\n|---|---|---|---|---|")
    for size in WINDOWS:
        told = []
        for _ in range(SPLITS):
            lot = draw.sample(seen, 2 * size)
            told.append(drift(lot[:size], lot[size:]))
        if SPLITS - row("other scenes", size, told)["none"] > 1:
            wrong.append(f"drift between scenes and scenes, {size} each")
    for kind, bundles in others.items():
        for size in WINDOWS:
            found = row(kind, size, [drift(draw.sample(seen, size), draw.sample(bundles, size)) for _ in range(DRAWS)])
            if kind in ("plain", "early_fusion") and found["major"] < DRAWS:
                wrong.append(f"no major drift to {kind}, {size} each")
if arguments.short and wrong:
    sys.exit("expected otherwise: " + "; ".join(wrong))
