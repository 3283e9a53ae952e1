#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What two builds of the gaze program write must be the same, byte for byte: compare_bundles.py BEFORE AFTER [--python P]

Bundles of the sample models in every format, of pictures and of recordings, but for what tells when and where they were made.
--python: one with torch; then the exact weights of the models are compared as well. With one program twice: whether it does the
same twice.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

MODELS = pathlib.Path(__file__).resolve().parents[2] / "samples/models"
DEMOS = {  # name: arguments and environment
    "pictures": (["demo"], {"GAZE_COLORMAP": "cividis"}),
    "all pictures as png": (["demo"], {"GAZE_FORMAT": "png", "GAZE_PICTURES": "all", "GAZE_LONGEST_SIDE": "full"}),
    "pictures as webp, one head": (["demo"], {"GAZE_FORMAT": "webp", "GAZE_HEADS": "one:1", "GAZE_LAYERS": "1-2"}),
    "pictures, deferred": (["demo"], {"GAZE_DEFERRED_TOKENS": "4", "GAZE_HEADS": "topk:2", "GAZE_LAYERS": "max"}),
    "maps of pictures": (["demo"], {"GAZE_DELIVERY": "map"}),
    "recordings": (["demo", "--speech"], {"GAZE_WORD_FILES": "vtt,srt,textgrid", "GAZE_FORMAT": "png", "GAZE_PICTURES": "all"}),
    "maps of recordings": (["demo", "--speech"], {"GAZE_DELIVERY": "map", "GAZE_HEADS": "mean"}),
}
# model, method, the arguments as Python
WEIGHTS = [
    ("stickers/stickers_softmax.pt", "generate", "(torch.rand(1, 3, 96, 160), torch.tensor([[1, 4, 5]]), 6)"),
    ("stickers/stickers_sdpa.pt", "generate", "(torch.rand(1, 3, 96, 160), torch.tensor([[1, 4, 5]]), 6)"),
    ("early_fusion/early_fusion_sdpa.pt", "generate", "(torch.rand(1, 3, 96, 160), torch.tensor([[32] * 60 + [1, 4, 5]]), 6)"),
    ("early_fusion/early_fusion_softmax.pt", "generate", "(torch.rand(1, 3, 96, 160), torch.tensor([[32] * 60 + [1, 4, 5]]), 6)"),
    ("captioner/captioner.pt", "forward", "(torch.rand(1, 3, 96, 96), torch.tensor([[1, 4, 5]]))"),
]


def plain(text):
    """A request.json without what no two runs share."""
    def strip(value):
        if isinstance(value, dict):
            return {key: strip(inner) for key, inner in value.items() if key not in ("id", "created", "host", "pid", "timings_ms", "path", "gaze_version")}
        return [strip(inner) for inner in value] if isinstance(value, list) else value
    return json.dumps(strip(json.loads(text)), sort_keys=True).encode()


def plain_page(text):
    """A report.html, the request within it likewise."""
    mark = b'<script id="data" type="application/json">'
    begin = text.index(mark) + len(mark)
    end = text.index(b"</script>", begin)
    data = json.loads(text[begin:end])
    return text[:begin] + plain(json.dumps(data["request"])) + json.dumps(data["maps"]).encode() + text[end:]


PLAIN = {"request.json": plain, "report.html": plain_page}


def run(program, arguments, environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GAZE_")}
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, env=dict(clean, OMP_NUM_THREADS="1", SOURCE_DATE_EPOCH="1767323045", **environment))
    if done.returncode:
        sys.exit(f"{program} {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def bundles(program, arguments, environment):
    """By the order of the answers: every file of each bundle."""
    with tempfile.TemporaryDirectory() as folder:
        told = run(program, [*arguments, "--out", folder], environment)
        files = {}
        for number, bundle in enumerate(re.findall(r"^ *(?:overlays|bundle) +(\S+)$", told, re.M)):
            for file in sorted(pathlib.Path(bundle).rglob("*")):
                if file.is_file() and file.name != "manifest.json":  # it names its folder
                    data = file.read_bytes()
                    files[f"{number}/{file.relative_to(bundle)}"] = PLAIN.get(file.name, bytes)(data)
        # What it says of the answers, without the folders' names.
        files["what was printed"] = re.sub(r"\S*/\S*", "", re.sub(r"(?m)^\d+ answers below .*\n|^page .*\n", "", told)).encode()
        return files


def weights(program, inputs, model, method):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "weights.safetensors"
        run(program, ["run", str(MODELS / model), "--inputs", str(inputs), "--method", method, "--weights", str(out), "--profile", str((MODELS / model).parent / "profile.json"), "--out", folder], {})
        return {"weights": out.read_bytes()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--python", default="")
    arguments = parser.parse_args()
    differ = compared = 0

    def compare(title, before, after):
        nonlocal differ, compared
        if len(before) < 1 or not any(before.values()):
            sys.exit(f"{title}: expected files to compare, got none")
        wrong = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        compared += len(before)
        differ += len(wrong)
        print(f"{title}: {len(before)} files, {len(wrong)} differ{': ' + ', '.join(wrong[:8]) if wrong else ''}", flush=True)

    for title, (words, environment) in DEMOS.items():
        compare(title, bundles(arguments.before, words, environment), bundles(arguments.after, words, environment))
    for model, method, inputs in WEIGHTS if arguments.python else []:
        with tempfile.NamedTemporaryFile(suffix=".pt") as file:
            subprocess.run([arguments.python, "-c", f"import torch; torch.manual_seed(5); torch.save({inputs}, {file.name!r})"], check=True)
            compare(f"weights of {model}", *(weights(program, file.name, model, method) for program in (arguments.before, arguments.after)))
    print(f"{compared} files compared, {differ} differ")
    return 1 if differ or compared < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
