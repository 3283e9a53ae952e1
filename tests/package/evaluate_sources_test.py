"""The retrieval reader answers, and rests on the right passage, as it must (evaluate.json says how well).
Usage: evaluate_sources_test.py --gaze PROGRAM --questions N"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--gaze", required=True)
parser.add_argument("--questions", required=True)
arguments = parser.parse_args()
limits = json.loads((Path(__file__).parent / "evaluate.json").read_text())["reader"][arguments.questions]

done = subprocess.run([arguments.gaze, "evaluate", "--sources", "--questions", arguments.questions, "--json"], capture_output=True, text=True)
if done.returncode != 0:
    sys.exit(f"gaze evaluate --sources: exit {done.returncode}: {done.stderr}")
figures = json.loads(done.stdout)
print(json.dumps(figures))
problems = [f"{key}: expected at least {limit}, got {figures[key]}" for key, limit in limits.items() if not figures[key] >= limit]
if figures["questions"] != int(arguments.questions):
    problems.append(f"expected {arguments.questions} questions, got {figures['questions']}")
print("\n".join(problems))
sys.exit(1 if problems else 0)
