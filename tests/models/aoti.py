#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""AOTInductor packages under capture: made here, run by a host in C++ (aoti_host.cpp), compared with the eager model.

Usage: aoti.py --host PROGRAM --out DIR
"""
import argparse
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import List

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hooks" / "python"))
from gaze import export_names  # noqa: E402

HEADS, SIZE, KEYS, LAYERS, WORDS = 4, 8, 12, 2, 17
WIDTH = HEADS * SIZE


class Attention(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.fused = fused
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x, memory, past):
        split = lambda y: y.view(y.shape[0], -1, HEADS, SIZE).transpose(1, 2)
        q, k, v = split(self.q(x)), split(self.k(memory)), split(self.v(memory))
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        if self.fused:
            y = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(SIZE), -1) @ v
        return self.out(y.transpose(1, 2).reshape(x.shape[0], -1, WIDTH)), (k, v), q


class Layer(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.self_attn, self.cross_attn = Attention(fused), Attention(fused)

    def forward(self, x, memory, past):
        y, cache, own_q = self.self_attn(x, x, past)
        x = x + y
        y, (cross_k, _), cross_q = self.cross_attn(x, memory, None)
        return x + y, cache, ((own_q, cache[0]), (cross_q, cross_k))


class Decoder(nn.Module):
    """One step: logits and caches. `seen` are each call's queries and keys, in eager runs alone."""

    def __init__(self, fused):
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS)
        self.layers = nn.ModuleList(Layer(fused) for _ in range(LAYERS))
        self.seen = []

    def forward(self, token, memory, past_k, past_v):
        x, new_k, new_v, self.seen = self.embed(token), [], [], []
        for number, layer in enumerate(self.layers):
            x, (k, v), calls = layer(x, memory, (past_k[number], past_v[number]))
            new_k.append(k)
            new_v.append(v)
            self.seen = [*self.seen, *calls]
        return self.head(x), torch.stack(new_k), torch.stack(new_v)


class Held(nn.Module):
    def __init__(self, inputs, weights, names):
        super().__init__()
        self.inputs = torch.jit.Attribute(inputs, List[List[torch.Tensor]])
        self.weights = torch.jit.Attribute(weights, List[List[torch.Tensor]])
        self.names = torch.jit.Attribute(names, List[str])

    def forward(self, x):
        return x


def answer(model, steps=4):
    """Inputs of each step, and the weights of its calls."""
    generator = torch.Generator().manual_seed(3)
    memory = torch.randn(1, KEYS, WIDTH, generator=generator)
    past_k, past_v = (torch.randn(LAYERS, 1, HEADS, 3, SIZE, generator=generator) for _ in range(2))
    token, inputs, weights = torch.tensor([[5]]), [], []
    for _ in range(steps):
        inputs.append([token, memory, past_k, past_v])
        logits, past_k, past_v = model(*inputs[-1])
        weights.append([torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(SIZE), -1) for q, k in model.seen])
        token = logits.argmax(-1)
    return inputs, weights


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--out", required=True)
    given = parser.parse_args()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    failed = 0
    for fused in (True, False):
        torch.manual_seed(1)
        model = Decoder(fused).eval()
        with torch.no_grad():
            inputs, weights = answer(model)
            past = torch.export.Dim("past", min=1, max=256)
            program = torch.export.export(model, tuple(inputs[0]), dynamic_shapes=({}, {}, {3: past}, {3: past}))
            metadata = export_names(program)
            names = metadata["gaze.sites"].split("\n")
            torch.jit.script(Held(inputs, weights, names)).save(str(out / "held.pt"))
            for named in (True, False):
                print(f"{'fused' if fused else 'softmax'}, {'named' if named else 'unnamed'}: compiling", flush=True)
                configs = {"aot_inductor.metadata": metadata} if named else {}
                package = torch._inductor.aoti_compile_and_package(program, package_path=str(out / "model.pt2"), inductor_configs=configs)
                libraries = os.path.join(os.path.dirname(torch.__file__), "lib")
                run = subprocess.run([given.host, package, str(out / "held.pt"), "named" if named else "unnamed"], capture_output=True, text=True,
                                     timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": libraries})
                print(f"    {'passed' if run.returncode == 0 else 'FAILED: ' + run.stderr.strip()[-500:] + f' ({run.returncode})'}", flush=True)
                failed += run.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
