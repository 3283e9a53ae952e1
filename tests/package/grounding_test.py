#!/usr/bin/env python3
"""The verdicts tell what a sample model sees or hears from what it does not, on inputs that chose no limit: docs/grounding.md."""
import argparse
import json
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--gaze", required=True)
parser.add_argument("--model", required=True, help="a folder of samples/models")
parser.add_argument("--scenes", required=True)
arguments = parser.parse_args()

folder = Path(__file__).parents[2] / "samples" / "models" / arguments.model
model = next(path for path in (folder / f"{arguments.model}.pt", folder / f"{arguments.model}_sdpa.pt") if path.exists())
words = ["--speech"] if arguments.model == "speech" else []
told = json.loads(subprocess.run([arguments.gaze, "evaluate", "--grounding", *words, "--model", str(model), "--scenes", arguments.scenes, "--json"],
                                 check=True, capture_output=True).stdout)
kinds = {kind["kind"]: kind for kind in told["answers"]["kinds"]}


def expect(condition: bool, *what) -> None:
    if not condition:
        sys.exit("expected otherwise: " + " | ".join(map(str, what)))


for of, least in (("answers", 0.98), ("words", 0.93)):
    expect(told[of]["auc"] >= least, of, told[of]["auc"])
expect(kinds["right"]["not grounded"] <= 0.06 * kinds["right"]["cases"], kinds["right"])
limits = json.loads((Path(__file__).parent / "evaluate.json").read_text())[arguments.model][arguments.scenes]
if "captions" in limits:
    expect(kinds["right"]["cases"] >= limits["captions"] * int(arguments.scenes), "right captions", kinds["right"])
for kind in kinds.values():
    if kind["kind"].startswith("said over") and kind["judged_together"]:
        expect(kind["grounded"] <= 0.05 * kind["cases"], kind)
print(f"answers {told['answers']['auc']}, words {told['words']['auc']}")
