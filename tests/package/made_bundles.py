"""Bundles as Gaze writes them, made without it: for the verbs that read bundles."""
import base64
import json
import struct
from datetime import datetime, timedelta
from pathlib import Path

# 8 x 8 pixels of one colour.
PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4UaGBFTEMLQkAUtVaASL5fhoAAAAASUVORK5CYII=")
SCRIPT = "</script><script>document.title='run'</script>"
# Texts that would like to be something else: markup, a formula, another direction, the end of a line in a script.
HOSTILE = [SCRIPT, "<img src=x onerror=\"document.title='run'\">", "]]><!--<script>", "\"'`${document.title='run'}\\", "=1+1", "@x\tb\r\nc", "שלום \u202eevil\u2066",
           "🦊👩‍🚀 e\u0301", "\u2028\u2029\u0000\u001b[31m", "a,b;\"c\"", "'quoted", "＝1"]


def name_of(number: int) -> str:
    """The folder of a bundle: a later one has a higher number."""
    return f"{datetime(2026, 1, 1) + timedelta(seconds=number):%Y%m%dT%H%M%SZ}-{number:032x}"


def word(text: str, index: int = 0, **changes) -> dict:
    return {"text": text, "first": index, "count": 1, "file": None, "mass": 0.9, "frame_mass": None, "max_lift": 4.5, "entropy": 0.5, "diffuse": False,
            "range_max_lift": 4.0, "hot_point": [3.0, 4.0], "flags": []} | changes


def request(answer: str = "a red seven", **changes) -> dict:
    words = [word(text, i) for i, text in enumerate(answer.split())]
    return {"gaze_request": 1, "gaze_version": "0.2.0", "request_id": "id", "prompt": "what is there ?", "answer": answer, "error": None,
            "created": "2026-01-02T03:04:05.678Z", "host": "h", "pid": 1, "attributes": {"user": "u"},
            "model": {"path": "/models/m.pt", "sha256": "ab" * 32, "parameters_sha256": ""}, "method": "generate", "profile": "p", "profile_sha256": "cd" * 32,
            "torch_version": "2.11.0", "picture": {"width": 8, "height": 8}, "sound": None, "geometry": {"kind": "grid", "rows": 2, "cols": 3, "fit": "resize"},
            "summary": {key: value for key, value in word("", file="overlay.png").items() if key not in ("text", "first", "count")}, "words": words,
            "tokens": [], "drops": {}, "timings_ms": {}, "files": ["overlay.png", "request.json"], "note": "evidence"} | changes


def maps(rows: list[list[float]]) -> bytes:
    """maps.safetensors with map_tc alone."""
    data = struct.pack(f"<{sum(map(len, rows))}f", *(value for row in rows for value in row))
    header = json.dumps({"map_tc": {"dtype": "F32", "shape": [len(rows), len(rows[0]) if rows else 0], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def write(folder: Path, made: dict | bytes, map_tc: list[list[float]] | None = None, report: str | None = None, picture: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "request.json").write_bytes(made if isinstance(made, bytes) else json.dumps(made).encode())
    if picture:
        (folder / "overlay.png").write_bytes(PICTURE)
    if map_tc is not None:
        (folder / "maps.safetensors").write_bytes(maps(map_tc))
    if report is not None:
        (folder / "report.html").write_text(report)
    return folder


def report(made: dict, jpeg: str = "", wav: str | None = None, beside: str = "") -> str:
    """A page of one answer with its data as Gaze puts it in."""
    drawn = {"medium": "picture" if wav is None else "sound", "jpeg": jpeg, "rows": 2, "shown": [{"most": 1, "bytes": "AAAA"}]} | ({} if wav is None else {"wav": wav})
    data = json.dumps({"request": made, "maps": [drawn]}).replace("<", "\\u003c")
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>one answer</title>{beside}<p id="p"></p>'
            f'<script id="data" type="application/json">{data}</script><script>const prefix = "data:image/jpeg;base64,";'
            f'document.getElementById("p").textContent = "report"</script></html>')
