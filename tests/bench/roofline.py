#!/usr/bin/env python3
"""How long the CUDA kernels may take, PREDICTED from what nvcc made of them and what their launchers start; nothing is measured.

    gaze_launch_shapes shapes.json
    tests/kernels/machine_code/machine_code_test.py . --json machine_code.json
    tests/bench/roofline.py shapes.json machine_code.json

The model. A launch of B blocks on a GPU of S multiprocessors, of which each has room for P of them, runs in ceil(B / (S P)) waves. A block of a
full wave is done after the longest of
- issue: the instructions of all warps beside it, over 4 schedulers that issue one a cycle, ISSUED of the time;
- one warp: its own instructions, CYCLES_BETWEEN apart, for most wait for an earlier one;
- memory: its loads, one after the other as many at a time as the machine code has in flight, each LATENCY; all at a time where they go past the
  registers (`async_copies` of the machine code).
An instruction counts as often as it runs: FMAS for each product of queries and keys; else `plain_path` of the machine code for each piece of work
(16 bytes stored), and once ONCE of the kernel's code. The work of a shape takes LAUNCH for each launch, and its waves or its bytes over the
bandwidth, whichever is longer. What is left out makes it an estimate to about a third: divergence, bank conflicts, caches, FP64 units (an L4 has
1/64 of them), the host. A time with ~ is rather more than that: some kernel's loops are not counted, or its atomics repeat until they succeed.
"""
import argparse
import json
import math
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

# Assumed, from what kernels of these sizes usually reach; to be replaced by what a GPU says.
ISSUED = 0.75           # of the schedulers' cycles
CYCLES_BETWEEN = 2.5    # instructions of one warp
FMAS = 1.5              # instructions for a multiply-add, its share of the loads from shared memory included
ONCE = 1 / 3            # of a kernel's code that a warp runs whatever its loops do; the rest is for other cases
NARROW_IN_FLIGHT = 4    # loads of single elements, as loops are unrolled
LAUNCH = 1.5            # us from a kernel's end to its dependent's first instructions
COPY = 0.9              # of the data sheet's bandwidth that a copy reaches
SCHEDULERS = 4          # of a multiprocessor, from Volta to Blackwell (NVIDIA's architecture white papers)


@dataclass(frozen=True)
class Gpu:
    name: str
    multiprocessors: int   # data sheet, as the bandwidth
    terabytes: float       # a second
    gigahertz: float       # below the data sheet's boost: H200 1.98, A100 1.41, L4 2.04
    threads: int           # a multiprocessor, CUDA programming guide, as the shared memory
    shared_bytes: int
    latency: float         # us of a load from memory that is busy; assumed

    @property
    def bytes_per_us(self) -> float:
        return self.terabytes * COPY * 1e6


GPUS = (Gpu("H200", 132, 4.8, 1.9, 2048, 228 * 1024, 0.8),
        Gpu("A100 80 GB", 108, 2.039, 1.4, 2048, 164 * 1024, 0.7),
        Gpu("L4", 58, 0.3, 1.9, 1536, 100 * 1024, 0.7))


@dataclass(frozen=True)
class Shape:
    """The least that has to be read and written, and the work."""
    unit: str                     # of the sources
    reads: int
    writes: int
    formula: str
    pieces: int = 0               # of 16 bytes stored or reduced
    fmas: int = 0
    small: str = "$^"             # kernels that see what another one made, and not the reads
    gate: str = ""
    share_of_copy: float = 0      # that the gate wants; 0: it has none
    element: int = 2              # bytes of a load that is not wide


def overlay(height, width, share):
    frame, gate = 3 * height * width, f">= {share} of a copy" if share else ""
    return Shape("overlay", frame, frame, "3 H W read, 3 H W written", frame // 16, gate=gate, share_of_copy=share)


def reduction(heads, queries, keys, gated):
    weights, sums = 2 * heads * queries * keys, 4 * queries * keys
    return Shape("reduce", weights + sums, sums, "2 H Q K of weights, 8 Q K of sums", weights // 16, gate=">= 0.85 of a copy" if gated else "",
                 share_of_copy=0.85 if gated else 0)


def rows(queries, heads, kv_heads, keys, size, layers=1):
    read = layers * 2 * (kv_heads * keys * size + heads * queries * size)
    return Shape("attend", read + 4 * queries * keys, 4 * queries * keys, "2 L (Hkv K D + H Q D) of keys and queries, 8 Q K of sums",
                 fmas=layers * heads * queries * keys * size, small=r"(measure_heads|add_cells|softmax_rows)\b.*")


SHAPES = {
    "overlay 224": overlay(224, 224, 0),
    "overlay 1080p": overlay(1080, 1920, 0.6),
    "overlay 4K": overlay(2160, 3840, 0.8),
    "reduce LLaVA 32x640x640, mean": reduction(32, 640, 640, True),
    "reduce LLaVA 32x640x640, weighted": reduction(32, 640, 640, False),
    "reduce Whisper 20x448x1500, mean": reduction(20, 448, 1500, True),
    "reduce Whisper 20x448x1500, weighted": reduction(20, 448, 1500, False),
    "one row LLaVA 32/32x640x128": rows(1, 32, 32, 640, 128),
    "one row Whisper 20/20x1500x64": rows(1, 20, 20, 1500, 64),
    "one row BLIP 16/16x577x64": rows(1, 16, 16, 577, 64),
    "one row Llama-3.2-V 32/8x6404x128": rows(1, 32, 8, 6404, 128),
    "SDXL 4096 rows 10x77x64": rows(4096, 10, 10, 77, 64),
    "flush LLaVA 32 layers x 32 rows": rows(32, 32, 32, 640, 128, layers=32),
    "step LLaVA 32 layers": rows(1, 32, 32, 640, 128, layers=32),
    "step LLaVA 32 layers, batch 16": rows(1, 32, 32, 640, 128, layers=32 * 16),
    "normalise 256x576": Shape("normalise", 4 * 256 * 576, 8 * 256 * 576, "4 T C read, 4 T C of lifts and of values written", 256 * 576 // 4,
                               element=4),
}

# Of one of the 32 layers of LLaVA-1.5-7B in bf16: 4 projections of 4096 x 4096 and 3 of 4096 x 11008, in about 12 kernels.
STEP_LAYERS = 32
STEP_BYTES, STEP_LAUNCHES = 2 * (4 * 4096 * 4096 + 3 * 4096 * 11008), 12


@dataclass
class Prediction:
    us: float = 0
    launches: int = 0
    more: bool = False
    not_counted: list[str] = field(default_factory=list)


def figures_of(kernels: dict, unit: str, name: str):
    """Kernels of several sources may have one name: then all but the first are listed with their source."""
    return kernels.get(f"{unit}: {name}", kernels.get(name))


def room(figures: dict, threads: int, dynamic_bytes: int, gpu: Gpu) -> int:
    """Blocks that a multiprocessor holds at a time."""
    warps = -(-threads // 32)
    of_a_warp = -(-figures["registers"] * 32 // 256) * 256  # registers are given out 256 at a time
    shared = figures["shared_bytes"] + dynamic_bytes + 1024  # as much is the system's
    return max(1, min(32, gpu.threads // (32 * warps), 65536 // of_a_warp // warps, gpu.shared_bytes // shared))


def launch_us(launch: dict, figures: dict, shape: Shape, gpu: Gpu, small: bool, share: float = 1) -> tuple[float, bool]:
    """All waves of a launch that does this share of the shape's work, and whether some of that is not counted."""
    blocks, threads = math.prod(launch["grid"]), launch["threads"]
    resident = room(figures, threads, launch["shared_bytes"], gpu)
    waves = -(-blocks // (gpu.multiprocessors * resident))
    beside = min(resident, -(-blocks // gpu.multiprocessors))
    of_a_thread = share / (blocks * threads)
    counted = not small and bool(shape.fmas or (shape.pieces and figures.get("plain_path")))
    instructions = ONCE * figures["instructions_total"]
    if counted and shape.fmas:
        instructions = shape.fmas * of_a_thread * FMAS
    elif counted:
        instructions += max(1, shape.pieces * of_a_thread) * figures["plain_path"]
    wide = figures["loads_in_flight"]
    loads = 1 if small else shape.reads * of_a_thread / (16 if wide else shape.element)
    warps = -(-threads // 32)
    cycle = 1e-3 / gpu.gigahertz
    issue = beside * warps * instructions / SCHEDULERS / ISSUED * cycle
    alone = instructions * CYCLES_BETWEEN * cycle
    rounds = 1 if figures.get("async_copies") else math.ceil(loads / (wide or NARROW_IN_FLIGHT))
    memory = rounds * gpu.latency
    repeats = any("CAS" in atomic for atomic in figures["atomics"])
    return waves * max(issue, alone, memory), repeats or not (counted or small)


def predict(launches: list[dict], kernels: dict, shape: Shape, gpu: Gpu) -> Prediction:
    found = Prediction(launches=len(launches))
    busy = 0.0
    blocks = Counter()  # what one kernel does in several launches is theirs together
    for launch in launches:
        blocks[launch["kernel"]] += math.prod(launch["grid"])
    for launch in launches:
        figures = figures_of(kernels, shape.unit, launch["kernel"])
        if figures is None:
            found.not_counted.append(launch["kernel"])
            continue
        share = math.prod(launch["grid"]) / blocks[launch["kernel"]]
        us, some = launch_us(launch, figures, shape, gpu, re.fullmatch(shape.small, launch["kernel"]) is not None, share)
        busy += us
        found.more |= some
    found.us = LAUNCH * len(launches) + max(busy, copy_us(shape, gpu) - LAUNCH)
    return found


def copy_us(shape: Shape, gpu: Gpu) -> float:
    """Of as many bytes."""
    return LAUNCH + (shape.reads + shape.writes) / gpu.bytes_per_us


def written(prediction: Prediction, gpu: Gpu, shape: Shape) -> str:
    if prediction.not_counted:
        return "not counted"
    mark = "~" if prediction.more else ""
    share = f" ({copy_us(shape, gpu) / prediction.us:.2f} of a copy)" if shape.share_of_copy else ""
    return f"{mark}{prediction.us:.1f}{share}"


def steps(predicted: dict[str, Prediction]) -> list[str]:
    """What capture adds to a step of all layers on the first GPU, where the GPU sets the pace."""
    gpu = GPUS[0]
    step = STEP_LAYERS * (STEP_LAUNCHES * LAUNCH + STEP_BYTES / gpu.bytes_per_us)
    lines = [f"A step of LLaVA-7B on the {gpu.name}, {STEP_LAYERS} layers of {STEP_BYTES / 1e6:.0f} MB of weights in {STEP_LAUNCHES} launches: "
             f"predicted {step / 1000:.1f} ms.", "With capture, predicted without the host's part, times that:"]
    for mode, shape, steps_of_it, gate in (("live", "step LLaVA 32 layers", 1, 1.03), ("deferred", "flush LLaVA 32 layers x 32 rows", 32, 1.005)):
        row = predicted.get(shape)
        if row is None or row.not_counted:
            lines.append(f"- {mode}: not counted (gate: at most {gate})")
        else:
            lines.append(f"- {mode}: {'~' if row.more else ''}{1 + row.us / steps_of_it / step:.3f} (gate: at most {gate})")
    return lines


def table(shapes: dict, kernels: dict) -> list[str]:
    gpus = " | ".join(f"{gpu.name}, predicted us" for gpu in GPUS)
    lines = [f"| work | launches | MB at least | {gpus} | gate on the {GPUS[0].name} |", "|---" * (len(GPUS) + 4) + "|"]
    first, missing = {}, set()
    for name, shape in SHAPES.items():
        cells = []
        for gpu in GPUS:
            launches = shapes.get(str(gpu.multiprocessors), {}).get(name)
            if launches is None:
                cells.append("not counted")
                continue
            prediction = predict(launches, kernels, shape, gpu)
            missing.update(prediction.not_counted)
            cells.append(written(prediction, gpu, shape))
            first.setdefault(name, prediction)
        count = first[name].launches if name in first else 0
        lines.append(f"| {name} | {count} | {(shape.reads + shape.writes) / 1e6:.1f} | " + " | ".join(cells) + f" | {shape.gate} |")
    formulas = {shape.unit: shape.formula for shape in SHAPES.values()}
    lines += ["", "Bytes at least: " + "; ".join(f"{unit}, {formula}" for unit, formula in formulas.items()) + "."]
    lines += ["", *steps(first)]
    if missing:
        lines += ["", "Not counted, for the machine code of these is not there: " + ", ".join(sorted(missing))]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", type=Path, help="written by gaze_launch_shapes")
    parser.add_argument("machine_code", type=Path, nargs="?", help="written by machine_code_test.py; without it nothing is counted")
    arguments = parser.parse_args()
    kernels = json.loads(arguments.machine_code.read_text())["kernels"] if arguments.machine_code else {}
    print("\n".join(table(json.loads(arguments.shapes.read_text()), kernels)))


if __name__ == "__main__":
    sys.exit(main())
