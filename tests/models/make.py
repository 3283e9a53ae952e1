#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes small TorchScript models of many architectures with random weights, their inputs, and the weights of every attention call.

Usage: make.py --out DIR [--only NAME...]

Needs torch and transformers (2.11.0 and 5.23.0 were used), and no network. Per model: NAME.FORM.pt, NAME.FORM.inputs.pt and
NAME.FORM.reference.pt.
"""
import argparse
import logging
import sys
import time
import traceback
import warnings
from pathlib import Path

import torch

import architectures  # noqa: F401  (fills the registry)
import own  # noqa: F401
from example import HALF, REGISTRY, Example, tensors_of
from reference import record

MIN_DIFFERENCE = 1e-3  # between any two maps that could be taken for one another


def half(example: Example) -> None:
    example.module.to(torch.bfloat16)
    example.inputs = tuple(t.to(torch.bfloat16) if t.is_floating_point() else t for t in example.inputs)


def nearest(calls: list[dict]) -> float:
    """The least difference between two calls of one shape, and between two heads of one call."""
    least = float("inf")
    for i, call in enumerate(calls):
        rows = call["weights"].flatten(0, -3) if call["weights"].dim() > 3 else call["weights"]
        for other in calls[:i]:
            if other["weights"].shape == call["weights"].shape:
                least = min(least, (other["weights"] - call["weights"]).abs().max().item())
        if rows.dim() == 3 and rows.shape[0] > 1 and rows.shape[-1] > 1:
            least = min(least, *((rows[j] - rows[j - 1]).abs().max().item() for j in range(1, rows.shape[0])))
    return least


def same_as_eager(fused: list[dict], eager: list[dict]) -> None:
    """The fused form's weights are recorded from torch's own formula; both must tell the same, but for rows with no visible key."""
    if len(fused) != len(eager):
        raise AssertionError(f"{len(fused)} attention calls, {len(eager)} in eager form")
    for a, b in zip(fused, eager):
        seen = a["weights"].sum(-1).flatten() > 0.5
        rows = [call["weights"].flatten(0, -2)[seen] for call in (a, b)]
        if a["module"] != b["module"] or not torch.allclose(*rows, atol=1e-3):
            raise AssertionError(f"{a['module']} has other weights in eager form")


def make(name: str, form: str, out: Path) -> str:
    torch.manual_seed(5)
    example = REGISTRY[name].build(form.split("-")[0])
    if form == HALF:
        half(example)
    calls, others, output = record(example.module, example.inputs, example.not_attention)
    if example.computed:
        calls = [{"module": module, "weights": weights} for module, weights in example.computed]
    if bool(calls) != example.calls_expected:
        raise AssertionError(f"{len(calls)} attention calls were recorded")
    distinct = nearest(calls)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if example.scripted:
            script = torch.jit.script(example.module)
        else:
            script = torch.jit.trace(example.module, example.inputs, strict=False, check_trace=False)
        script.eval()
        got = tensors_of(script(*example.inputs))
    for a, b in zip(got, tensors_of(output), strict=True):
        near = (3e-2 if form == HALF else 1e-4) * (1 + b.abs().max().item() if b.is_floating_point() else 0)
        torch.testing.assert_close(a, b, rtol=0, atol=near, equal_nan=True)
    if distinct < MIN_DIFFERENCE and not example.repeats:
        raise AssertionError(f"two maps differ by no more than {distinct:.2g}")
    if form == "sdpa" and (out / f"{name}.eager.reference.pt").exists():
        same_as_eager(calls, torch.load(out / f"{name}.eager.reference.pt")["attention"])
    stem = f"{name}.{form}"
    torch.jit.save(script, out / f"{stem}.pt")
    torch.save(example.inputs, out / f"{stem}.inputs.pt")
    torch.save({"name": name, "form": form, "attention": calls, "others": others, "unused": example.unused, "reported": example.reported,
                "calls_expected": example.calls_expected}, out / f"{stem}.reference.pt")
    return f"{len(calls)} attention calls, {len(others)} other softmaxes, {(out / f'{stem}.pt').stat().st_size >> 10} KiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="architectures; default: all")
    parser.add_argument("--trace-errors", action="store_true", help="print the traceback of a model that cannot be made")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in arguments.only or REGISTRY:
        for form in REGISTRY[name].forms:
            start = time.perf_counter()
            try:
                told = make(name, form, arguments.out)
            except Exception as error:  # one architecture must not hide the others
                if arguments.trace_errors:
                    traceback.print_exc()
                failed.append(f"{name}.{form}")
                told = f"FAILED {type(error).__name__}: {str(error).strip()[:300]}"
            print(f"{name}.{form}: {time.perf_counter() - start:.1f} s, {told}", flush=True)
    if failed:
        sys.exit("not made: " + " ".join(failed))


if __name__ == "__main__":
    main()
