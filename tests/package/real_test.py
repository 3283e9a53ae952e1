"""Models that were trained elsewhere point, and time words, as they must (real.json says how well). Usage: real_test.py --gaze PROGRAM --torch PYTHON [--short]

--short: a few formulas and utterances, in a minute or two. Exit 77 where pip cannot fetch the models.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL = ROOT / "samples" / "real"
CANNOT_FETCH = 77

parser = argparse.ArgumentParser()
parser.add_argument("--gaze", required=True)
parser.add_argument("--torch", required=True)
parser.add_argument("--short", action="store_true")
arguments = parser.parse_args()
limits = json.loads((Path(__file__).parent / "real.json").read_text())["short" if arguments.short else "whole"]
gaze = str(Path(arguments.gaze).resolve())
problems = []


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
    if done.returncode != 0:
        sys.exit(f"{command[:3]}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


fetched = subprocess.run([sys.executable, REAL / "fetch.py", "--torch", arguments.torch], stdout=subprocess.PIPE, text=True)
if fetched.returncode == CANNOT_FETCH:
    print("skipped: pip cannot fetch the packages of samples/real/packages.txt")
    sys.exit(CANNOT_FETCH)
if fetched.returncode != 0:
    sys.exit("fetch.py failed")
models = Path(fetched.stdout.strip().splitlines()[-1])
python = models.parent / "venv" / "bin" / "python3"

# A model without attention has no site, and is told so.
detector = next((models.parent / "venv").glob("lib/*/site-packages/silero_vad/data/silero_vad.jit"))
sites = json.loads(call(gaze, "sites", detector, "--json"))
if sites["sites"]:
    problems.append(f"silero_vad.jit: expected no attention site, got {[site['name'] for site in sites['sites']]}")
for model, count in (("latex_ocr.pt", 12), ("whisper_tiny_en.pt", 12)):
    found = len(json.loads(call(gaze, "sites", models / model, "--json"))["sites"])
    if found != count:
        problems.append(f"{model}: expected {count} attention sites, got {found}")


def expect(name, figure, least=None, most=None):
    print(f"{name}: {figure}")
    if figure is None or (least is not None and figure < least) or (most is not None and figure > most):
        problems.append(f"{name}: expected {'at least' if most is None else 'at most'} {least if most is None else most}, got {figure}")


wanted = limits["latex_ocr"]
evaluate = [python, REAL / "evaluate_latex.py", "--gaze", gaze, "--models", models, "--symbols", wanted["symbols"]]
figures = json.loads(call(*evaluate))
expect("symbols that point", figures["pointing"], least=wanted["pointing"])
if len((figures["reduction"]["through"] or {"sites": []})["sites"]) != 4:
    problems.append(f"through: expected the encoder's four layers, got {figures['reduction']['through']}")
if not arguments.short:
    with tempfile.TemporaryDirectory() as folder:
        call(python, REAL / "heads_latex.py", folder)
        inputs = sorted(Path(folder).glob("in*.pt"))
        chosen = models / "latex_ocr_heads.json"
        call(gaze, "heads", models / "latex_ocr.pt", "--profile", models / "latex_ocr.json", "--method", "generate", "--inputs", *inputs, "--out", chosen)
    figures = json.loads(call(*evaluate, "--profile", chosen))
    expect("symbols that point, chosen heads", figures["pointing"], least=wanted["pointing_heads"])

wanted = limits["whisper"]
recordings = sorted((ROOT / "samples" / "data" / "speech" / "demo").glob("*.ogg"))[: wanted["recordings"]]
spoken = wanted["utterances"] if shutil.which("espeak-ng") else 0
figures = json.loads(call(python, REAL / "evaluate_whisper.py", "--gaze", gaze, "--models", models, "--utterances", spoken, "--recordings", *recordings))
expect("recordings with CTranslate2's tokens", figures["recordings_same_tokens"], least=len(recordings))
if spoken:
    ours, theirs = figures["start_error"], figures["ctranslate2_start_error"]
    expect("error of a word's start, median ms", ours["median_ms"], most=min(wanted["start_median_ms"], theirs["median_ms"]))
    expect("error of a word's start, 90th percentile ms", ours["p90_ms"], most=min(wanted["start_p90_ms"], theirs["p90_ms"]))
else:
    print("word times are left out: no espeak-ng")
print("\n".join(problems))
sys.exit(1 if problems else 0)
