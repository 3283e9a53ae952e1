#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Maps that gaze carries on through resamplers and encoders, or rolls out, equal the weights of make.py, composed here in float64, and so do
those of the profiles that gaze probe writes.

Usage: composed.py --gaze PROGRAM --models DIR
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from probe import flags_of

LIMIT = 2e-6
PICTURE = Path(__file__).parents[2] / "samples/data/demo/cup.jpg"


@dataclass
class Case:
    model: str
    sites: str             # glob of the sites over latents
    through: str           # glob of those between; empty: none
    geometry: dict
    latents: list[int]     # among the keys; without `through` the picture's cells
    reduce: str = "mean"   # of the layers between
    layers: str = "mean"   # of the sites themselves
    leading: int = 0
    forms: tuple[str, ...] = ("eager", "sdpa")
    probed: bool = False   # gaze probe finds all of it
    stated: bool = True    # the profile says `through`; else it is gaze's own choice


def spans(placeholder: int, argument: int) -> dict:
    return {"spans": {"placeholder": placeholder, "argument": {"forward": argument}}}


GRID = {"rows": 3, "cols": 3}
CASES = [
    Case("blip2", "*language_model*self_attn", "*crossattention.attention", GRID | {"leading": 1} | spans(96, 1), list(range(5)), leading=1,
         probed=True),
    Case("instructblip", "*language_model*self_attn", "*crossattention.attention", GRID | {"leading": 1} | spans(96, 2), list(range(3)), leading=1),
    Case("blip2", "*language_model*self_attn", "*crossattention.attention", GRID | {"leading": 1} | spans(96, 1), list(range(5)), layers="rollout",
         leading=1),
    Case("idefics2", "*text_model*", "*perceiver_resampler*", GRID | {"trailing": 3} | spans(96, 0), [2, 3, 4], probed=True),
    Case("blip", "*crossattention*", "*vision_model*", {"rows": 4, "cols": 4, "leading": 1}, list(range(17)), "rollout", leading=1, forms=("eager",)),
    Case("llava", "*language_model*", "", GRID | spans(96, 0), list(range(2, 11)), layers="rollout"),
    Case("git", "model.git.encoder.layer*", "", GRID | {"leading": 1, "spans": [{"first_key": 0, "keys": 10}]}, list(range(1, 10)), layers="rollout",
         leading=1, forms=("eager",)),
    Case("trocr", "*encoder_attn", "model.encoder*", {"rows": 2, "cols": 7, "leading": 1}, list(range(15)), "rollout", leading=1),
    Case("blip", "*crossattention*", "*vision_model*", {"rows": 4, "cols": 4, "leading": 1}, list(range(17)), "rollout", leading=1, forms=("eager",),
         stated=False),
    Case("trocr", "*encoder_attn", "model.encoder*", {"rows": 2, "cols": 7, "leading": 1}, list(range(15)), "rollout", leading=1, stated=False),
]


def heads_mean(weights: Tensor, rows: int) -> Tensor:
    """[batch, queries, keys], float64."""
    weights = weights.double()
    if weights.dim() == 3:
        weights = weights.unflatten(0, (rows, -1))
    return weights.mean(1)


def glob(pattern: str) -> re.Pattern:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))


def product(layers: list[Tensor]) -> Tensor:
    """Rollout (Abnar & Zuidema 2020): 0.5 A + 0.5 I over layers, the first one innermost."""
    identity = torch.eye(layers[0].shape[-1], dtype=torch.float64)
    rolled = identity.expand_as(layers[0])
    for weights in layers:
        rolled = (weights + identity) / (weights.sum(-1, keepdim=True) + 1) @ rolled
    return rolled


def strongest(weights: Tensor) -> Tensor:
    """The fewest keys that hold half of each row, made to sum to 1."""
    ordered, order = weights.sort(-1, descending=True)
    kept = ordered.masked_fill(ordered.cumsum(-1) - ordered >= 0.5 * ordered.sum(-1, keepdim=True), 0)
    kept = torch.zeros_like(weights).scatter(-1, order, kept)
    return kept / kept.sum(-1, keepdim=True)


def composed(case: Case, calls: list[dict], rows: int) -> Tensor:
    """[rows, cells] of the last query."""
    of = lambda pattern: [heads_mean(call["weights"], rows) for call in calls if glob(pattern).fullmatch(call["module"])]
    over = of(case.sites)
    row = (product(over) if case.layers == "rollout" else torch.stack(over).mean(0))[:, -1, case.latents]
    if not case.through:
        return row
    between = of(case.through)
    if not case.stated:
        between = [strongest(weights) for weights in between]
    made_of = product(between) if case.reduce == "rollout" else torch.stack(between).mean(0)
    cells = case.geometry["rows"] * case.geometry["cols"]
    made_of = made_of[..., case.leading:case.leading + cells]
    if case.stated:  # else what came to the class token stays away from the picture
        made_of = made_of / made_of.sum(-1, keepdim=True)
    return torch.einsum("bn,bnk->bk", row, made_of)


def stated(case: Case) -> dict:
    profile = {"gaze_profile": 1, "sites": {"match": [case.sites]}, "heads": {"reduce": "mean"}, "geometry": case.geometry}
    profile["layers"] = {"reduce": case.layers}
    if case.through and case.stated:
        profile["through"] = {"match": [case.through], "reduce": case.reduce}
    return profile


def probed(arguments: argparse.Namespace, case: Case, form: str, folder: Path) -> dict:
    """What gaze probe writes, verified by itself."""
    model, inputs = (arguments.models / f"{case.model}.{form}.{ending}" for ending in ("pt", "inputs.pt"))
    command = [arguments.gaze, "probe", model, "--inputs", inputs, *flags_of(case.model, torch.load(inputs))]
    for more in (["--out", folder / "probed.json"], ["--profile", folder / "probed.json"]):
        ran = subprocess.run([*command, *more], capture_output=True, text=True)
        if ran.returncode != 0:
            raise RuntimeError(f"{ran.stderr.strip()} {ran.stdout.strip()[-600:]}")
    return json.loads((folder / "probed.json").read_text()) | {"heads": {"reduce": "mean"}}


def captured(arguments: argparse.Namespace, case: Case, profile: dict, form: str, rows: int, folder: Path) -> list[Tensor]:
    (folder / "profile.json").write_text(json.dumps(profile))
    ran = subprocess.run([arguments.gaze, "run", arguments.models / f"{case.model}.{form}.pt", "--inputs",
                          arguments.models / f"{case.model}.{form}.inputs.pt", "--profile", folder / "profile.json", "--out", folder / "out",
                          *["--image", PICTURE] * rows], capture_output=True, text=True, env={"GAZE_DELIVERY": "map"})
    bundles = sorted((folder / "out").glob("*/request.json"), key=lambda file: json.loads(file.read_text())["request_id"])
    errors = [json.loads(file.read_text())["error"] for file in bundles]
    if ran.returncode != 0 or any(errors):
        raise RuntimeError(f"{ran.stderr.strip()} {errors}")
    return [load_file(file.with_name("maps.safetensors"))["map_tc"][0] for file in bundles]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaze", required=True)
    parser.add_argument("--models", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    for case, form, by_probe in [(case, form, by_probe) for case in CASES for form in case.forms for by_probe in sorted({False, case.probed})]:
        calls = torch.load(arguments.models / f"{case.model}.{form}.reference.pt")["attention"]
        rows = 2
        with tempfile.TemporaryDirectory() as folder:
            try:
                profile = probed(arguments, case, form, Path(folder)) if by_probe else stated(case)
                got = captured(arguments, case, profile, form, rows, Path(folder))
                wanted = composed(case, calls, rows)
                worst = max((a.double() - b).abs().max().item() for a, b in zip(got, wanted, strict=True))
                told = f"worst difference {worst:.1e}, largest value {wanted.max().item():.3f}"
            except (RuntimeError, ValueError) as error:
                worst, told = float("inf"), str(error)
        failed |= not worst <= LIMIT
        how = f"{case.layers}{' through ' + case.reduce if case.through else ''}{'' if case.stated else ', by itself'}{', as probed' if by_probe else ''}"
        print(f"{case.model}.{form} ({how}): {'ok' if worst <= LIMIT else 'FAILED'}, {told}", flush=True)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
