"""A sample model answers and points as it must (evaluate.json says how well). Usage: evaluate_test.py --gaze PROGRAM --model NAME --scenes N"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

KEYS = ("scenes", "exact", "words", "pointing", "pointing_other", "pointing_raw_mean")

parser = argparse.ArgumentParser()
parser.add_argument("--gaze", required=True)
parser.add_argument("--model", required=True, help="a folder of samples/models")
parser.add_argument("--scenes", required=True)
arguments = parser.parse_args()
limits = json.loads((Path(__file__).parent / "evaluate.json").read_text())[arguments.model][arguments.scenes]
model = Path(__file__).parents[2] / "samples" / "models" / arguments.model / f"{arguments.model}_sdpa.pt"

done = subprocess.run([arguments.gaze, "evaluate", "--model", str(model), "--scenes", arguments.scenes, "--json"], capture_output=True, text=True)
if done.returncode != 0:
    sys.exit(f"gaze evaluate: exit {done.returncode}: {done.stderr}")
figures = json.loads(done.stdout)
print(json.dumps(figures))
problems = [f"{key}: missing" for key in KEYS if key not in figures]
if figures.get("scenes") != int(arguments.scenes):
    problems.append(f"scenes: expected {arguments.scenes}, got {figures.get('scenes')}")
if figures.get("words", 0) < int(arguments.scenes):
    problems.append(f"words: expected at least one per scene, got {figures.get('words')}")
problems += [f"{key}: expected at least {limit}, got {figures.get(key)}" for key, limit in limits.items() if not (figures.get(key) or 0) >= limit]
# On a slow machine it says how far it is.
told = re.sub(r"^gaze: evaluate  \d+ of \d+ [a-z]+, about \d+ s left\n", "", done.stderr, flags=re.MULTILINE)
if told or done.stderr.count("\n") > 20:
    problems.append(f"stderr: expected nothing but a few lines of progress, got {done.stderr!r}")
print("\n".join(problems))
sys.exit(1 if problems else 0)
