"""What nvcc makes of the CUDA kernels keeps within the bounds below. Usage: machine_code_test.py SOURCE_DIR [--json FILE] [--only UNIT]... [--install]

Prints a row for each kernel. --json writes the same figures for other programs; --only looks at some sources, such as overlay; --install fetches the
disassembler where the toolkit has none, and ends.
"""
import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import sass
import toolkit

ARCHITECTURE = "sm_90"
FLAGS = ("-O3", "-std=c++17")  # as CMake builds the part in release

# A multiprocessor of that architecture.
REGISTERS, REGISTERS_OF_A_WARP, THREADS, BLOCKS, SHARED_BYTES, SHARED_BYTES_OF_A_BLOCK = 65536, 256, 2048, 32, 228 * 1024, 1024

# Kernels with a loop that stores: an instruction that stores, and one that the plain way round the loop does not leave out.
LOOPS = {
    r"draw_overlay<16>": (r"^STG\.E\.128", r"^FADD\.RZ"),
    r"draw_overlay<4>": (r"^STG\.E$", r"^FADD\.RZ"),
    r"draw_overlay<3>": (r"^STG\.E\.U8", r"^FADD\.RZ", 3),
}

# Kernels whose loads in flight are others than those of 16 bytes.
LOADS = {
    r"find_range": r"^LDG\.E",
}

# What a launch adds to the shared memory that the kernel's own code declares.
DYNAMIC_SHARED_BYTES = {
}

# Kernel, figure, relation, bound. Kernels are regular expressions over whole names; `lacks` is for lists of instructions.
BOUNDS = [
    # 16 bytes of a row, four bytes, one pixel.
    (r"draw_overlay<16>", "plain_path", "<=", 160),
    (r"draw_overlay<4>", "plain_path", "<=", 70),
    (r"draw_overlay<3>", "plain_path", "<=", 70),
    (r"draw_overlay<16>", "loads_in_flight", ">=", 2),
    (r"draw_overlay<16>", "registers", "<=", 80),
    (r"draw_overlay<16>", "blocks_per_sm", ">=", 3),
    (r"draw_overlay<[34]>", "blocks_per_sm", ">=", 4),
    (r"draw_overlay<.*>", "spill_bytes", "<=", 0),
    (r"draw_overlay<.*>", "atomics", "lacks", r"."),
    # All of a row's loads are under way before the first is waited for; sums of warps are put together in order.
    (r"reduce_rows<.*>", "async_copies", ">=", 8),
    (r"reduce_rows<.*>", "blocks_per_sm", ">=", 2),
    (r"reduce_rows<.*>", "registers", "<=", 48),
    (r"reduce_rows<.*>", "spill_bytes", "<=", 0),
    (r"reduce_rows<.*>", "atomics", "lacks", r"."),
    # One row of a kv head, as a decode step has; up to four; up to eight; many.
    (r"score_keys<., [14], .*>", "loads_in_flight", ">=", 7),
    (r"score_keys<., [08], .*>", "loads_in_flight", ">=", 4),
    (r"score_keys<., 1, .*>", "blocks_per_sm", ">=", 4),
    (r"score_keys<., [048], .*>", "blocks_per_sm", ">=", 3),
    (r"score_keys<., [148], .*>", "shared_bytes", "<=", 2048),
    (r"measure_heads<.*>", "blocks_per_sm", ">=", 10),
    (r"add_cells<.*>", "blocks_per_sm", ">=", 2),
    (r"(score_keys|measure_heads|add_cells)<.*>", "spill_bytes", "<=", 0),
    (r"(score_keys|measure_heads|add_cells)<.*>", "atomics", "lacks", r"."),
    # A row each; no block waits for another's count.
    (r"append_rows", "registers", "<=", 40),
    (r"append_rows", "spill_bytes", "<=", 0),
    (r"append_rows", "atomics", "lacks", r"."),
    # A loop of compare and swap is one thread at a time where many count the same.
    (r"find_range", "atomics", "lacks", r"CAS|64"),
    (r"find_range", "loads_in_flight", ">=", 8),
    (r"find_range", "spill_bytes", "<=", 0),
]

RELATIONS = {
    "<=": lambda got, bound: got is not None and got <= bound,
    ">=": lambda got, bound: got is not None and got >= bound,
    "lacks": lambda got, pattern: not any(re.search(pattern, item) for item in got),
}
COLUMNS = ("registers", "spill_bytes", "shared_bytes", "threads", "blocks_per_sm", "instructions_total", "plain_path", "loads_in_flight", "async_copies",
           "atomics")


def entry(table: dict, kernel: str):
    return next((value for pattern, value in table.items() if re.fullmatch(pattern, kernel)), None)


def blocks_per_sm(registers: int, shared_bytes: int, threads: int) -> int:
    warps = -(-threads // 32)
    of_a_warp = -(-registers * 32 // REGISTERS_OF_A_WARP) * REGISTERS_OF_A_WARP
    return min(BLOCKS, THREADS // (32 * warps), REGISTERS // of_a_warp // warps, SHARED_BYTES // (shared_bytes + SHARED_BYTES_OF_A_BLOCK))


def figures_of(source: Path, cubin: Path, nvcc: str, disassembler: str) -> dict[str, dict]:
    """The figures of every kernel of one source."""
    report = toolkit.output_of(nvcc, "-cubin", f"-arch={ARCHITECTURE}", *FLAGS, "-I", source.parents[1], "--resource-usage", "-o", cubin, source)
    used = toolkit.resources(report)
    threads = toolkit.most_threads(cubin.read_bytes())
    code = sass.parse(toolkit.output_of(disassembler, "-c", cubin))
    if missing := set(used) ^ set(code):
        sys.exit(f"{source.name}: compiled and disassembled kernels differ: {', '.join(sorted(missing))}")
    found = {}
    for mangled, name in toolkit.short_names(sorted(used)).items():
        kernel = code[mangled]
        figures = dict(used[mangled], threads=threads.get(mangled, 1024), instructions_total=len(kernel.instructions))
        figures["shared_bytes"] += entry(DYNAMIC_SHARED_BYTES, name) or 0
        figures["blocks_per_sm"] = blocks_per_sm(figures["registers"], figures["shared_bytes"], figures["threads"])
        loop = entry(LOOPS, name)
        figures["plain_path"] = kernel.plain_path(*loop) if loop else None
        figures["loads_in_flight"] = kernel.loads_in_flight(re.compile(entry(LOADS, name))) if entry(LOADS, name) else kernel.loads_in_flight()
        figures["async_copies"] = kernel.async_copies()
        figures["atomics"] = kernel.atomics()
        found[f"{source.stem}: {name}"] = figures
    return found


def problems_with(kernels: dict[str, dict], bounds: list[tuple], all_sources: bool) -> list[str]:
    problems = []
    for pattern, figure, relation, bound in bounds:
        meant = {name: figures for name, figures in kernels.items() if re.fullmatch(pattern, name)}
        if not meant and all_sources:
            problems.append(f"{pattern}: no kernel has such a name")
        problems += [f"{name}: {figure} is {figures[figure]}, expected {relation} {bound}"
                     for name, figures in meant.items() if not RELATIONS[relation](figures[figure], bound)]
    return problems


def show(kernels: dict[str, dict]) -> None:
    print(f"{'kernel':48}" + "".join(f" {column.replace('_', ' '):>18}" for column in COLUMNS))
    for name, figures in kernels.items():
        cells = [figures[column] for column in COLUMNS]
        texts = ["-" if cell in (None, []) else " ".join(cell) if isinstance(cell, list) else str(cell) for cell in cells]
        print(f"{name:48}" + "".join(f" {text:>18}" for text in texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", action="append")
    parser.add_argument("--install", action="store_true")
    arguments = parser.parse_args()
    if arguments.install:
        return toolkit.install_disassembler()
    nvcc, disassembler = toolkit.find_program("nvcc"), toolkit.find_disassembler()
    if nvcc is None:
        return print("gaze-skip: nvcc was not found")
    if disassembler is None:
        return print("gaze-skip: nvdisasm was not found: neither in the toolkit nor in the cache, where --install puts it")
    sources = [source for source in sorted((arguments.source / "cuda" / "src" / "cuda").glob("*.cu")) if source.stem in (arguments.only or [source.stem])]
    kernels = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            print(f"{source.name}", file=sys.stderr)
            for name, figures in figures_of(source, Path(folder) / f"{source.stem}.cubin", nvcc, disassembler).items():
                short = name.split(": ")[1]
                kernels[name if short in kernels else short] = figures
    show(kernels)
    if arguments.json:
        arguments.json.write_text(json.dumps({"architecture": ARCHITECTURE, "kernels": kernels}, indent=1) + "\n")
    problems = problems_with(kernels, BOUNDS, not arguments.only)
    print(f"{len(kernels)} kernels, {len(BOUNDS)} bounds, {len(problems)} problems", *problems, sep="\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
