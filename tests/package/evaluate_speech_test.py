"""The speech sample hears and marks words as it must (evaluate.json says how well). Usage: evaluate_speech_test.py --gaze PROGRAM --recordings N"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--gaze", required=True)
parser.add_argument("--recordings", required=True)
arguments = parser.parse_args()
limits = json.loads((Path(__file__).parent / "evaluate.json").read_text())["speech"][arguments.recordings]

done = subprocess.run([arguments.gaze, "evaluate", "--speech", "--recordings", arguments.recordings, "--json"], capture_output=True, text=True)
if done.returncode != 0:
    sys.exit(f"gaze evaluate --speech: exit {done.returncode}: {done.stderr}")
figures = json.loads(done.stdout)
print(json.dumps(figures))
got = {"word_error_rate": figures["word_error_rate"], "outside": 1 - figures["inside"],
       "start_median_ms": figures["start_error_ms"]["median"], "start_p90_ms": figures["start_error_ms"]["p90"]}
problems = [f"{key}: expected at most {limit}, got {got[key]}" for key, limit in limits.items() if not got[key] <= limit]
if figures["recordings"] != int(arguments.recordings) or figures["words"] < 3 * figures["recordings"]:
    problems.append(f"expected {arguments.recordings} recordings of at least 3 words, got {figures['recordings']} with {figures['words']}")
if figures["words_compared"] < (1 - 2 * figures["word_error_rate"]) * figures["words"] - 1:
    problems.append(f"words_compared: expected nearly all words, got {figures['words_compared']} of {figures['words']}")
# On a slow machine it says how far it is.
told = re.sub(r"^gaze: evaluate  \d+ of \d+ [a-z]+, about \d+ s left\n", "", done.stderr, flags=re.MULTILINE)
if told or done.stderr.count("\n") > 20:
    problems.append(f"stderr: expected nothing but a few lines of progress, got {done.stderr!r}")
print("\n".join(problems))
sys.exit(1 if problems else 0)
