#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Forms of attention that AOTInductor's patterns know and do not know, each in a package as it is, with names, and with gaze.export_ready:
run by a host in C++ (aoti_forms_host.cpp), compared with the eager model and with each other.

Usage: aoti_forms.py --host PROGRAM --ops LIBRARY --out DIR
"""
import argparse
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hooks" / "python"))
import gaze  # noqa: E402

HEADS, SIZE = 4, 8
WIDTH = HEADS * SIZE


class Form(nn.Module):
    """Self-attention, whose weights `seen` holds in eager runs. Tensors begin as [batch, queries or keys, heads, size]."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.seen = None

    def forward(self, x, bias):
        q, k, v = (each(x).view(x.shape[0], -1, HEADS, SIZE) for each in (self.q, self.k, self.v))
        y_bqhd, weights = self.attend(q, k, v, bias)
        if not torch.compiler.is_exporting():
            self.seen = weights
        return x + y_bqhd.reshape(x.shape[0], -1, WIDTH)


def heads_first(*each):
    return (one.transpose(1, 2) for one in each)


class Scaled(Form):
    def attend(self, q, k, v, bias):
        q, k, v = heads_first(q, k, v)
        weights = torch.softmax(q @ k.transpose(-1, -2) * 0.3 + bias, -1)
        return (weights * 1.5 @ v).transpose(1, 2), weights


class Masked(Form):
    def attend(self, q, k, v, bias):
        q, k, v = heads_first(q, k, v)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(SIZE)).masked_fill(bias > 1, float("-inf")) + bias
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype)
        return torch.matmul(weights, v).transpose(1, 2), weights


class Einsum(Form):
    def attend(self, q, k, v, bias):
        weights = torch.softmax(torch.einsum("bqhd,bkhd->bqhk", q, k) + bias.transpose(1, 2), -1)
        return torch.einsum("bqhk,bkhd->bqhd", weights, v), weights.transpose(1, 2)


class Canonical(Form):
    def attend(self, q, k, v, bias):
        q, k, v = heads_first(q, k, v)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(SIZE), -1)
        return (weights @ v).transpose(1, 2), weights


class Fused(Form):
    def attend(self, q, k, v, bias):
        q, k, v = heads_first(q, k, v)
        y = nn.functional.scaled_dot_product_attention(q, k, v, bias)
        return y.transpose(1, 2), torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(SIZE) + bias, -1)


class FusedNarrow(Form):
    """Values of another size than keys, which torch's own kernel for the processor does not take."""

    def attend(self, q, k, v, bias):
        q, k, v = heads_first(q, k, v)
        y = nn.functional.scaled_dot_product_attention(q, k, v[..., :6], is_causal=True)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(SIZE)).masked_fill(torch.ones_like(bias).triu(1) > 0, float("-inf"))
        return nn.functional.pad(y, (0, 2)).transpose(1, 2), torch.softmax(scores, -1)


class Lookalike(Form):
    """Products and a softmax that are no attention: rows without negative numbers, of many sums; a choice of one; a gate."""

    def attend(self, q, k, v, bias):
        q, k, v = heads_first(q, k, v)
        scores = q @ k.transpose(-1, -2)
        y = torch.relu(scores) @ v + (scores == scores.amax(-1, keepdim=True)).to(v.dtype) @ v
        return (y * torch.softmax(y, -1)).transpose(1, 2), None


FORMS = {"scaled": Scaled, "masked": Masked, "einsum": Einsum, "canonical": Canonical, "fused": Fused, "narrow": FusedNarrow}


KNOWN = ("canonical", "fused")  # what the compiler leaves to torch


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({"none": Lookalike(), **{name: form() for name, form in FORMS.items()}})

    def forward(self, x, bias):
        for layer in self.layers.values():
            x = layer(x, bias)
        return x


class Step(nn.Module):
    """One query over all keys so far: its product is no call of torch's, for the compiler multiplies and adds itself."""

    def __init__(self):
        super().__init__()
        self.attn, self.out = Scaled(), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, past, bias):
        k = torch.cat([past, self.attn.k(x).view(x.shape[0], -1, HEADS, SIZE)], 1)
        y, weights = self.attn.attend(self.attn.q(x).view(x.shape[0], -1, HEADS, SIZE), k, k * 2, bias)
        if not torch.compiler.is_exporting():
            self.attn.seen = weights
        return self.out(y.reshape(x.shape[0], -1, WIDTH)), k


class Held(nn.Module):
    def __init__(self, inputs, weights, sites):
        super().__init__()
        self.inputs = torch.jit.Attribute(inputs, List[List[torch.Tensor]])
        self.weights = torch.jit.Attribute(weights, List[List[torch.Tensor]])
        self.sites = torch.jit.Attribute(sites, List[str])

    def forward(self, x):
        return x


class Case:
    """A model, its inputs of each run, and what its calls saw in the eager model."""

    def __init__(self, name, model, forms, inputs, dynamic_shapes, strict):
        self.name, self.inputs, self.weights = name, inputs, []
        for each in inputs:
            model(*each)
            self.weights.append([form.seen for form in forms])
            for form in forms:
                form.seen = None
        self.program = torch.export.export(model, tuple(inputs[0]), dynamic_shapes=dynamic_shapes, strict=strict)
        begun = time.monotonic()
        self.ready = gaze.export_ready(self.program)
        print(f"{name}: export_ready in {time.monotonic() - begun:.1f} s", flush=True)


def hosted(given, out, case, route, sites, observed):
    """The host's answer for a package of the case; what it prints, or what it complains of."""
    program = case.ready if observed else case.program
    metadata = None if route == "plain" else gaze.export_names(program)
    begun = time.monotonic()
    file = out / f"{case.name}-{route}.pt2"
    configs = {"aot_inductor.metadata": metadata} if metadata else {}
    torch._inductor.aoti_compile_and_package(program, package_path=str(file), inductor_configs=configs)
    took = time.monotonic() - begun
    torch.jit.script(Held(case.inputs, case.weights, sites)).save(str(out / "held.pt"))
    libraries = os.path.join(os.path.dirname(torch.__file__), "lib")
    command = [given.host, file, str(out / "held.pt"), file.with_suffix(".bytes"), given.ops if observed else ""]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300,
                         env={**os.environ, "OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": libraries})
    said = run.stdout.strip() if run.returncode == 0 else run.stderr.strip()[-700:] or str(run.returncode)
    print(f"{case.name}, {route}: compiled in {took:.0f} s, {said}", flush=True)
    return run.returncode == 0, said


def same_bytes(out, name):
    files = [each.read_bytes() for each in sorted(out.glob(f"{name}-*.bytes"))]
    print(f"{name}: outputs of {len(files)} packages {'are the same bytes' if len(set(files)) == 1 else 'DIFFER'}", flush=True)
    return len(files) > 1 and len(set(files)) == 1


IN_PYTHON = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import gaze
try:
    torch._inductor.aoti_load_package(sys.argv[2])
    print("loaded without")
except RuntimeError as problem:
    print("gaze::observe_" in str(problem))
gaze.load_ops()
gaze.load_ops()
held = torch.jit.load(sys.argv[3])
torch._inductor.aoti_load_package(sys.argv[2])(*held.inputs[0])
print("ran")
"""


def loads_in_python(out, file):
    command = [sys.executable, "-BW", "ignore", "-c", IN_PYTHON, str(Path(gaze.__file__).parents[1]), str(file), str(out / "held.pt")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    print(f"in Python: {run.stdout.split()} {run.stderr.strip()[-500:]}", flush=True)
    return run.stdout.split() == ["True", "ran"]


def forms(given, out):
    model = Stack().eval()
    keys = torch.export.Dim("keys", min=2, max=64)
    inputs = [[torch.randn(1, n, WIDTH), torch.randn(1, 1, n, n)] for n in (5, 6, 7)]
    case = Case("forms", model, [model.layers[name] for name in FORMS], inputs, ({1: keys}, {2: keys, 3: keys}), strict=False)
    # A product that looks like one of attention is proposed, and never named.
    unnamed = [f"attention{number}" for number in range(len(FORMS))]
    proposals = iter(unnamed)
    named = [f"layers.{name}" if name in KNOWN else next(proposals) for name in FORMS]
    routes = (("plain", unnamed, False), ("named", named, False), ("ready", [f"layers.{name}" for name in FORMS], True))
    passed = [hosted(given, out, case, *each)[0] for each in routes]
    return [*passed, same_bytes(out, "forms"), loads_in_python(out, out / "forms-ready.pt2")]


def step(given, out):
    model = Step().eval()
    past = torch.export.Dim("past", min=2, max=64)
    inputs = [[torch.randn(2, 1, WIDTH), torch.randn(2, n, HEADS, SIZE), torch.randn(2, 1, 1, n + 1)] for n in (4, 5, 6)]
    case = Case("step", model, [model.attn], inputs, ({}, {1: past}, {3: past + 1}), strict=True)
    ready, _ = hosted(given, out, case, "ready", ["attention"], True)
    attached, said = hosted(given, out, case, "plain", ["attention"], False)
    return [ready, not attached and "gaze.export_ready" in said, same_bytes(out, "step")]


def unchanged():
    """Where the compiler leaves all attention to torch."""
    model = nn.ModuleList([Canonical().eval()])[0]
    inputs = (torch.randn(1, 5, WIDTH), torch.randn(1, 1, 5, 5))
    program = torch.export.export(model, inputs)
    return gaze.export_ready(program) is program


def main():
    parser = argparse.ArgumentParser()
    for name in ("host", "ops", "out"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    os.environ["GAZE_LIBRARY"] = str(Path(given.ops).with_name("libgaze_python.so"))
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    with torch.no_grad():
        passed = [*forms(given, out), *step(given, out), unchanged()]
    print(passed)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
