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
    """Self-attention, whose weights `seen` holds in eager runs."""

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
        return nn.functional.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2), torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(SIZE) + bias, -1)


class FusedNarrow(Form):
    """Values of another size than keys, which torch's own kernel for the processor does not take."""

    def attend(self, q, k, v, bias):
        q, k, v = heads_first(q, k, v)
        y = nn.functional.scaled_dot_product_attention(q, k, v[..., :6], is_causal=True)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(SIZE)).masked_fill(torch.ones_like(bias).triu(1) > 0, float("-inf"))
        return nn.functional.pad(y, (0, 2)).transpose(1, 2), torch.softmax(scores, -1)


FORMS = {"scaled": Scaled, "masked": Masked, "einsum": Einsum, "canonical": Canonical, "fused": Fused, "narrow": FusedNarrow}


KNOWN = ("canonical", "fused")  # what the compiler leaves to torch
SITES = [f"layers.{name}" for name in FORMS]


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({name: form() for name, form in FORMS.items()})

    def forward(self, x, bias):
        for layer in self.layers.values():
            x = layer(x, bias)
        return x


class Held(nn.Module):
    def __init__(self, inputs, weights, sites):
        super().__init__()
        self.inputs = torch.jit.Attribute(inputs, List[List[torch.Tensor]])
        self.weights = torch.jit.Attribute(weights, List[List[torch.Tensor]])
        self.sites = torch.jit.Attribute(sites, List[str])

    def forward(self, x):
        return x


def compiled(program, metadata, file):
    configs = {"aot_inductor.metadata": metadata} if metadata else {}
    return torch._inductor.aoti_compile_and_package(program, package_path=str(file), inductor_configs=configs)


def hosted(given, package, out, route):
    libraries = os.path.join(os.path.dirname(torch.__file__), "lib")
    return subprocess.run([given.host, package, str(out / "held.pt"), str(out / route), given.ops if route == "ready" else ""], capture_output=True, text=True,
                          timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": libraries})


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
    model, inputs, weights = Stack().eval(), [], []
    with torch.no_grad():
        for keys in (5, 6, 7):
            inputs.append([torch.randn(1, keys, WIDTH), torch.randn(1, 1, keys, keys)])
            model(*inputs[-1])
            weights.append([layer.seen for layer in model.layers.values()])
        keys = torch.export.Dim("keys", min=2, max=64)
        program = torch.export.export(model, tuple(inputs[0]), dynamic_shapes=({1: keys}, {2: keys, 3: keys}))
        begun = time.monotonic()
        ready = gaze.export_ready(program)
        print(f"export_ready: {time.monotonic() - begun:.1f} s", flush=True)
        named, full = gaze.export_names(program), gaze.export_names(ready)
        assert named["gaze.sites"].split("\n") == [f"layers.{name}" for name in KNOWN], named
        assert full["gaze.sites"].split("\n") == SITES, full
        unnamed = [f"attention{number}" for number in range(len(FORMS))]
        # A product that looks like one of attention is proposed, and never named.
        partly, proposals = [], iter(unnamed)
        for name in FORMS:
            partly.append(f"layers.{name}" if name in KNOWN else next(proposals))
        routes = {"plain": (program, None, unnamed), "named": (program, named, partly), "ready": (ready, full, SITES)}
        failed = 0
        for route, (made, metadata, sites) in routes.items():
            begun = time.monotonic()
            package = compiled(made, metadata, out / f"{route}.pt2")
            took = time.monotonic() - begun
            torch.jit.script(Held(inputs, weights, sites)).save(str(out / "held.pt"))
            run = hosted(given, package, out, route)
            print(f"{route}: compiled in {took:.0f} s, {run.stdout.strip() if run.returncode == 0 else 'FAILED: ' + run.stderr.strip()[-700:]}", flush=True)
            failed += run.returncode != 0
        outputs = [(out / route).read_bytes() for route in routes if (out / route).exists()]
        assert len(outputs) == len(routes) and len(set(outputs)) == 1, "expected the same bytes of all packages"
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
