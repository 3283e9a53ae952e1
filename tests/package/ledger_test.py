"""gaze verify, purge and forget on bundles that the demo wrote. Usage: ledger_test.py --gaze PROGRAM"""
import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--gaze", required=True)
program = str(Path(parser.parse_args().gaze).resolve())
clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")} | {"OMP_NUM_THREADS": "1"}


def gaze(*words, status=0, **environment) -> str:
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, env=clean | environment, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout


def bundles(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder).iterdir() if path.name[:1].isdigit())


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem"], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"], check=True)
    os.chmod("key.pem", 0o600)
    gaze("demo", "--out", "out", GAZE_SIGNING_KEY="key.pem")
    count = len(bundles("out"))
    sum_up = json.loads(gaze("verify", "out", "--key", "public.pem", "--json"))
    assert sum_up["findings"] == [] and sum_up["proved"] == sum_up["signed"] == count == sum_up["last"]["sequence"], sum_up

    # One request, and what the gallery kept of it.
    request = json.loads((bundles("out")[3] / "request.json").read_text())["request_id"]
    rows = Path("out/index-data/rows-0001.js")
    assert json.dumps(request) in rows.read_text()
    gone = json.loads(gaze("forget", "out", "--request", request, "--dry-run", "--json"))["deleted"]
    assert len(bundles("out")) == count and len(gone) >= 1, gone
    gaze("forget", "out", "--request", request, GAZE_SIGNING_KEY="key.pem")
    assert len(bundles("out")) == count - len(gone) and json.dumps(request) not in rows.read_text()
    assert json.dumps(request) not in Path("out/index.html").read_text()
    gaze("verify", "out", "--key", "public.pem")

    # Until the oldest have made room; one that holds somebody's note stays, and is named.
    (bundles("out")[0] / "note.txt").write_text("keep")
    told = json.loads(gaze("purge", "out", "--bytes", "1500000", "--signing-key", "key.pem", "--json", status=1))
    assert [entry["folder"].endswith(bundles("out")[0].name) for entry in told["stays"]] == [True] and told["within"], told
    found = json.loads(gaze("verify", "out", "--key", "public.pem", "--json", status=1))["findings"]
    assert [finding["kind"] for finding in found] == ["added"], found
    (bundles("out")[0] / "note.txt").unlink()
    gaze("verify", "out", "--key", "public.pem")

    # A bundle is drawn, packed and compared with its manifest and without.
    first, last = bundles("out")[0], bundles("out")[-1]
    for _ in range(2):
        gaze("draw", last, "--out", "drawn")
        gaze("pack", last, "--out", "page.html")
        gaze("diff", first, last)
        for name in ("manifest.json", "manifest.dsse.json"):
            (last / name).unlink(missing_ok=True)
    assert "missing" in gaze("verify", "out", status=1)

    # Limits while it is written.
    gaze("demo", "--out", "small", GAZE_QUOTA_BYTES="1500000")
    assert sum(path.stat().st_size for bundle in bundles("small") for path in bundle.rglob("*") if path.is_file()) <= 1500000
    gaze("verify", "small")
    print(f"{count} bundles written, {len(bundles('small'))} kept within the quota")
