#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is found in a frozen or optimised file is what is found in the plain one.

Usage: frozen.py --sites-of PROGRAM --out DIR [--only NAME...] [--jobs N] [--page docs/frozen.md]

Makes every model of the registry plain, frozen (torch.jit.freeze) and optimised (torch.jit.optimize_for_inference), traced, and scripted where it can
be, and compares what gaze_sites_of says of each. What may differ stands in frozen_known.py with its reason, and nothing else may: a difference that
has gone is an error too, and so is a page without the table of them.
"""
import argparse
import fnmatch
import json
import logging
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import torch

import architectures  # noqa: F401  (fills the registry)
import own  # noqa: F401
from example import HALF, REGISTRY
from frozen_known import KNOWN

FIELDS = ("kind", "relation", "heads", "kv_heads", "gate", "gathers_rows", "channels", "q_reads", "k_reads", "proposed", "tower", "through")
# What torch makes of a file, and a host of a plain file that it loaded.
VARIANTS = {"frozen": "{}.frozen.pt", "optimised": "{}.optimised.pt", "frozen after loading": "{}.plain.pt:frozen"}


def forms_of(name: str) -> list[str]:
    return [form for form in REGISTRY[name].forms if form != HALF]


def optimised(frozen: torch.jit.ScriptModule, file: Path) -> str:
    """Writes what can be loaded again: with oneDNN's layers it cannot, so without them where there are any."""
    whole = torch.jit.optimize_for_inference(frozen)
    if "MKLDNN" not in str(whole.inlined_graph):
        whole.save(file)
        return "whole"
    return "oneDNN"


def transposed(frozen: torch.jit.ScriptModule, file: Path) -> None:
    """What optimize_for_inference does of itself where torch has no oneDNN."""
    torch._C._jit_pass_fuse_frozen_conv_add_relu(frozen.graph)
    torch._C._jit_pass_transpose_frozen_linear(frozen.graph)
    frozen.save(file)


def make(name: str, form: str, out: Path) -> dict[str, str]:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    torch.manual_seed(5)
    example = REGISTRY[name].build(form)
    made = {}
    ways = [("traced", lambda: torch.jit.trace(example.module, example.inputs, strict=False, check_trace=False))]
    if example.scripted:
        ways.append(("scripted", lambda: torch.jit.script(example.module)))
    for way, script in ways:
        stem = f"{name}.{form}.{way}"
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                plain = script().eval()
            except Exception as error:  # what cannot be traced is made by scripting alone
                made[stem] = f"not made: {type(error).__name__}"
                continue
            plain.save(out / f"{stem}.plain.pt")
            torch.jit.freeze(plain).save(out / f"{stem}.frozen.pt")
            made[stem] = optimised(torch.jit.freeze(plain), out / f"{stem}.optimised.pt")
            if made[stem] == "oneDNN":
                transposed(torch.jit.freeze(plain), out / f"{stem}.optimised.pt")
    return made


def lines_of(program: str, files: list[str]) -> list[dict]:
    listed = subprocess.run([program], input="\n".join(files), capture_output=True, text=True)
    if listed.returncode != 0:
        sys.exit(f"{program}: exit status {listed.returncode}: {listed.stderr.strip()[-300:]}")
    return [json.loads(line) for line in listed.stdout.splitlines()]


def list_all(program: str, files: list[str], jobs: int) -> dict[str, dict]:
    with ThreadPoolExecutor(jobs) as pool:
        return {said["file"]: said for part in pool.map(lambda at: lines_of(program, files[at::jobs]), range(jobs)) for said in part}


def names_of(said: dict) -> list[str]:
    return [site["name"] for site in said.get("sites", [])]


def comparable(said: dict) -> list[dict]:
    """Names are what freezing takes away: towers are compared by which sites share one, sites by their places."""
    first_of_tower, places = {}, {site["name"]: at for at, site in enumerate(said["sites"])}
    sites = []
    for at, site in enumerate(said["sites"]):
        shown = {field: site[field] for field in FIELDS}
        shown["tower"] = first_of_tower.setdefault(site["tower"], at)
        shown["gate"] = round(shown["gate"], 6) if isinstance(shown["gate"], float) else shown["gate"]
        shown["through"] = sorted(places[name] for name in site["through"])
        sites.append(shown)
    return sites


def differences(plain: dict, other: dict) -> dict[str, str]:
    """Which fields differ, and where: {"heads": "2: 4 -> 1"}."""
    if "error" in plain or "error" in other:
        return {"error": f"{plain.get('error', '')} -> {other.get('error', '')}"}
    told = {}
    if plain["unknown"] != other["unknown"]:
        told["unknown"] = f"{plain['unknown']} -> {other['unknown']}"
    a, b = comparable(plain), comparable(other)
    if len(a) != len(b):
        told["sites"] = f"{len(a)} -> {len(b)}"
        return told
    for field in FIELDS:
        apart = [f"{at}: {x[field]} -> {y[field]}" for at, (x, y) in enumerate(zip(a, b)) if x[field] != y[field]]
        if apart:
            told[field] = "; ".join(apart)
    return told


def expand(stems: list[str], whole: bool) -> dict[tuple[str, str, str], str]:
    """Every difference that is known, one by one."""
    known = {}
    for row in KNOWN:
        matched = fnmatch.filter(stems, row.models)
        if whole and not matched:
            sys.exit(f"frozen_known.py: {row.models}: no such model")
        known.update({(stem, variant, field): row.reason for stem in matched for variant in row.variants for field in row.fields})
    return known


def table() -> str:
    rows: dict[tuple, list[str]] = {}
    for row in KNOWN:
        rows.setdefault((row.variants, row.fields, row.reason), []).append(f"`{row.models}`")
    lines = ["| models | files | differs | why |", "|---|---|---|---|"]
    for (variants, fields, reason), models in rows.items():
        files = "all" if variants == tuple(VARIANTS) else ", ".join(variants)
        lines.append(f"| {' '.join(models)} | {files} | {', '.join(fields)} | {reason} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites-of", required=True, help="gaze_sites_of")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page", type=Path, help="that must hold the table of known differences")
    parser.add_argument("--kept", action="store_true", help="compare what an earlier run made")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    made: dict[str, str] = {}
    record = arguments.out / "made.json"
    if arguments.kept:
        made = json.loads(record.read_text())
    else:
        jobs = [(name, form, arguments.out) for name in arguments.only or REGISTRY for form in forms_of(name)]
        with ProcessPoolExecutor(arguments.jobs) as pool:
            for part in pool.map(make, *zip(*jobs), chunksize=4):
                made.update(part)
        record.write_text(json.dumps(made, indent=1))
    stems = [stem for stem, how in made.items() if not how.startswith("not made")]
    if arguments.only:
        stems = [stem for stem in stems if stem.split(".")[0] in arguments.only]
    files = [str(arguments.out / way.format(stem)) for stem in stems for way in ("{}.plain.pt", *VARIANTS.values(), "{}.frozen.pt:again")]
    said = {Path(file).name: told for file, told in list_all(arguments.sites_of, files, arguments.jobs).items()}
    sites, problems, differs = 0, [], {}
    for stem in stems:
        if names_of(said[f"{stem}.frozen.pt"]) != names_of(said[f"{stem}.frozen.pt:again"]):
            problems.append(f"{stem} frozen: has other names when it is saved again")
        for variant, way in VARIANTS.items():
            sites += len(said[way.format(stem)].get("sites", []))
            for field, told in differences(said[f"{stem}.plain.pt"], said[way.format(stem)]).items():
                differs[stem, variant, field] = told
    known = expand(stems, whole=not arguments.only)
    problems += [f"{stem} {variant}: {field}: {told}" for (stem, variant, field), told in differs.items() if (stem, variant, field) not in known]
    problems += [f"{' '.join(key)} is known to differ, and does not: take it out of frozen_known.py" for key in known.keys() - differs.keys()]
    if arguments.page and table() not in arguments.page.read_text():
        problems.append(f"{arguments.page}: expected this table of what is known to differ:\n{table()}")
    print("\n".join(problems))
    print(f"{len(stems)} models, {len(stems) * len(VARIANTS)} frozen or optimised, {sites} sites; {len(differs)} known differences")
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
