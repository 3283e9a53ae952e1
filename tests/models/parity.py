#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What gaze captures from the models of make.py equals the weights that Python recorded, call by call.

Usage: parity.py --gaze PROGRAM --models DIR [--only NAME...] [--table FILE.md] [--jobs N]

A model passes when every recorded attention call was captured with its weights and under its module's path, nothing else was captured, the output stayed byte for byte the same,
and at least one call was compared (or none is declared to exist).
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

LIMITS = {"float32": 5e-5, "bf16": 1e-2}


@dataclass
class Result:
    model: str
    form: str
    sites: int = 0
    expected: int = 0
    matched: int = 0
    worst: float = 0.0
    unknown: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def rows_of(weights: Tensor) -> Tensor:
    """[..., queries, keys] with everything before flattened: which leading dimension is the batch depends on the model."""
    while weights.dim() < 3:
        weights = weights.unsqueeze(0)
    return weights.flatten(0, -3)


def difference(a: Tensor, b: Tensor) -> float:
    if rows_of(a).shape != rows_of(b).shape:
        return float("inf")
    either_nan = a.isnan().flatten() != b.isnan().flatten()
    if either_nan.any():
        return float("inf")
    return (rows_of(a) - rows_of(b)).nan_to_num().abs().max().item()


def last_line(finished: subprocess.CompletedProcess) -> str:
    lines = (finished.stderr or finished.stdout).strip().splitlines()
    return f"exit status {finished.returncode}: {lines[-1][:300] if lines else ''}"


def compare(captured: dict[str, Tensor], reference: dict, limit: float, result: Result) -> None:
    left = dict(captured)
    wanted = [call for call in reference["attention"] if not any(re.search(pattern, call["module"]) for pattern in (*reference["unused"], *reference["reported"]))]
    result.expected = len(wanted)
    unmatched = []
    for call in wanted:
        named = {key for key in left if re.sub(r"(#\d+)+$", "", key) == call["module"]}
        close = [(key not in named, worst, key) for key in left if (worst := difference(left[key], call["weights"])) <= limit]
        if not close:
            unmatched.append(call)
            continue
        other_name, worst, key = min(close)
        if other_name:
            result.problems.append(f"name: {call['module']} is called {key}")
        result.matched += 1
        result.worst = max(result.worst, worst)
        del left[key]
    for call in unmatched:
        told = f"{call['module']} {list(call['weights'].shape)}"
        near = sorted((difference(left[key], call["weights"]), key) for key in left if re.sub(r"(#\d+)+$", "", key) == call["module"])
        if near:
            worst, key = near[0]
            result.problems.append(f"wrong weights: {told}: {key} {list(left[key].shape)} is off by {worst:.2g}")
            del left[key]
        else:
            result.problems.append(f"missing: {told}")
    for key, weights in left.items():
        result.problems.append(f"captured, but no attention: {key} {list(weights.shape)}")


def check(program: str, models: Path, stem: str) -> Result:
    name, form = stem.rsplit(".", 1)
    result = Result(name, form)
    reference = torch.load(models / f"{stem}.reference.pt")
    listed = subprocess.run([program, "sites", models / f"{stem}.pt", "--json"], capture_output=True, text=True)
    if listed.returncode != 0:
        result.problems.append("gaze sites: " + last_line(listed))
        return result
    report = json.loads(listed.stdout)
    result.sites = len(report["sites"])
    result.unknown = [f"{entry['source']}: {entry['why']}" for entry in report["unknown"]]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.safetensors")
        ran = subprocess.run([program, "run", models / f"{stem}.pt", "--inputs", models / f"{stem}.inputs.pt", "--weights", weights,
                              "--out", folder], capture_output=True, text=True)
        captured = load_file(weights) if ran.returncode == 0 and weights.exists() else {}
    if ran.returncode == 0 and "byte for byte that without capture" not in ran.stdout:
        result.problems.append("output: not seen to be that without capture")
    none_called = "to call attention, got none" in ran.stderr or "expected a module with attention" in ran.stderr
    if ran.returncode != 0 and not none_called:
        result.problems.append("gaze run: " + last_line(ran))
        return result
    compare(captured, reference, LIMITS["bf16" if "bf16" in form else "float32"], result)
    if reference["reported"] and not result.unknown:
        result.problems.append("silent: attention that is not captured is not reported either")
    if reference["calls_expected"] and not reference["reported"] and result.matched == 0:
        result.problems.append("no call was compared")
    if not reference["calls_expected"] and reference["attention"]:
        result.problems.append("declared to hold no attention, but some was recorded")
    return result


def table(results: list[Result]) -> str:
    lines = ["| architecture | form | sites | calls | equal | worst difference | not understood | result |", "|---|---|---|---|---|---|---|---|"]
    for r in results:
        verdict = "ok" if not r.problems else "**" + "; ".join(sorted({p.split(":")[0] for p in r.problems})) + "**"
        lines.append(f"| {r.model} | {r.form} | {r.sites} | {r.expected} | {r.matched} | {r.worst:.1e} | {len(r.unknown)} | {verdict} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaze", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    subprocess.run([arguments.gaze, "--version"], check=True, stdout=subprocess.DEVNULL)
    stems = sorted(file.name.removesuffix(".reference.pt") for file in arguments.models.glob("*.reference.pt"))
    if arguments.only:
        stems = [stem for stem in stems if stem.rsplit(".", 1)[0] in arguments.only]
    if not stems:
        sys.exit(f"--models: expected what make.py wrote, found none of it in {arguments.models}")
    results = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for stem, result in zip(stems, pool.map(lambda stem: check(arguments.gaze, arguments.models, stem), stems)):
            results.append(result)
            print(f"{stem}: {'ok' if not result.problems else 'FAILED'} ({result.matched} of {result.expected} calls equal)", flush=True)
            for line in result.problems:
                print("  " + line)
            for line in result.unknown:
                print("  not understood: " + line)
    if arguments.table:
        arguments.table.write_text(table(results))
    failed = [r for r in results if r.problems]
    print(f"{len(results) - len(failed)} of {len(results)} models equal")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
