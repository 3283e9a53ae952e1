"""The gaze program from outside: what it prints, writes and refuses.

Usage: cli_test.py --list | cli_test.py --gaze PROGRAM --files FOLDER --source DIR CASE
FOLDER holds what cli_files.cpp writes. A case is a function below; it runs in an empty folder of its own.
"""
import argparse
import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

GAZE = FILES = SOURCE = STICKERS = Path()
CASES = {}
HOST_TEXT = re.compile(r"Exception raised from|terminate called|Segmentation|frame #\d|Traceback")

# What long work says on a slow machine.
PROGRESS = re.compile(r"^gaze: [a-z]+  \d+ of \d+ [a-z]+, about \d+ s left\n", re.MULTILINE)


def case(function):
    CASES[function.__name__] = function
    return function


def gaze(*words, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")}
    done = subprocess.run([str(GAZE), *map(str, words)], env=clean | environment, capture_output=True, timeout=240, stdin=subprocess.DEVNULL)
    done.stdout, done.stderr = done.stdout.decode(), PROGRESS.sub("", done.stderr.decode())
    return done


def expect(condition: bool, *what) -> None:
    if not condition:
        sys.exit("expected otherwise: " + " | ".join(map(str, what)))


def done_by(*words, **environment: str) -> str:
    """Standard output of a command that must succeed silently."""
    done = gaze(*words, **environment)
    expect(done.returncode == 0, words, done.returncode, done.stderr)
    expect(done.stderr == "", words, done.stderr)
    return done.stdout


def refused(*words, says: tuple[str, ...] = (), **environment: str) -> str:
    """The one line on stderr of a command that must be refused: what was expected, what was got, how to fix it."""
    done = gaze(*words, **environment)
    expect(done.returncode == 1, words, done.returncode, done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    expect(len(lines) == 1 and lines[0].startswith("gaze: "), words, done.stderr)
    line = lines[0]
    expect(re.search(r"expected .*\b(got|found)\b|cannot .*: ", line), words, line)
    expect(not HOST_TEXT.search(line) and len(line) < 1500, words, line)
    for word in says:
        expect(word in line, f"no {word!r}", line)
    return line


def bundles(folder) -> list[Path]:
    """Beside them lie the head of their chain, and perhaps a gallery."""
    return sorted(path for path in Path(folder).iterdir() if path.name[:1].isdigit()) if Path(folder).exists() else []


def request_of(bundle: Path) -> dict:
    return json.loads((bundle / "request.json").read_text())


def safetensors(path) -> dict[str, dict]:
    raw = Path(path).read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    for entry in header.values():
        begin, end = entry["data_offsets"]
        inside = raw[8 + size + begin:8 + size + end]
        entry["values"] = inside if entry["dtype"] == "U8" else struct.unpack(f"<{(end - begin) // 4}f", inside)
    return header


def sdpa() -> Path:
    return STICKERS / "stickers_sdpa.pt"


def sticker_words() -> list[str]:
    return json.loads((STICKERS / "vocab.json").read_text())["words"]


def photo() -> Path:
    return SOURCE / "samples/data/demo/cup.jpg"


def alone() -> Path:
    """The model without its profile beside it: weights only."""
    Path("alone.pt").write_bytes(sdpa().read_bytes())
    return Path("alone.pt")


def tiny_profile(**changes) -> Path:
    name = json.loads(done_by("sites", FILES / "tiny.pt", "--json"))["sites"][0]["name"]
    profile = {"gaze_profile": 1, "name": "tiny", "sites": {"match": [name]}, "geometry": {"kind": "grid", "rows": 2, "cols": 3}} | changes
    Path("tiny.json").write_text(json.dumps(profile))
    return Path("tiny.json")


# ---- files that are not what they seem

def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def whole(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def wholes(values) -> bytes:
    return b"(" + b"".join(map(whole, values)) + b"t"


def tensor(sizes, strides, offset=0, stored=24, record="0", kind=b"FloatStorage", rebuilt=b"_rebuild_tensor_v2") -> bytes:
    storage = b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(record) + text("cpu") + whole(stored) + b"tQ"
    return b"ctorch._utils\n" + rebuilt + b"\n(" + storage + whole(offset) + wholes(sizes) + wholes(strides) + b"\x89ccollections\nOrderedDict\n)RtR"


QUERY, KEYS = tensor((1, 1, 1, 4), (4, 4, 4, 1)), tensor((1, 1, 6, 4), (24, 24, 4, 1))


def saved(name: str, pickle: bytes, floats: int = 24) -> str:
    """A file as torch.save writes it, with this pickle and one stored tensor's numbers."""
    with zipfile.ZipFile(name, "w", zipfile.ZIP_STORED) as file:
        file.writestr("x/data.pkl", pickle)
        file.writestr("x/version", "3\n")
        file.writestr("x/data/0", struct.pack(f"<{floats}f", *(0.1 * i for i in range(floats))))
    return name


def arguments(*values: bytes) -> bytes:
    return b"\x80\x02(" + b"".join(values) + b"t."


def hostile_pickles() -> dict[str, bytes]:
    many = 300000
    lists = b"".join(b"]q" + bytes([i]) for i in range(200))
    each_into_the_one_before = b"".join(b"h" + bytes([i]) + b"h" + bytes([i + 1]) + b"a" for i in range(199))
    doubled = b"N\x85q\x00" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60))
    pickles = {
        "lists": b"\x80\x02" + b"]" * many + b"a" * (many - 1) + b".",
        "tuples": b"\x80\x02N" + b"\x85" * many + b".",
        "dicts": b"\x80\x02" + (b"}" + text("a")) * many + b"N" + b"s" * many + b".",
        "marks": b"\x80\x02" + b"(" * many + b"t" * many + b".",
        "nested after they were made": b"\x80\x02(" + lists + each_into_the_one_before + b"t.",
        "holds itself": b"\x80\x02]q\x00h\x00a.",
        "holds itself by another": b"\x80\x02]q\x00]q\x01h\x00aa.",
        "many times the same": b"\x80\x02(" + doubled + b"t.",
        "type": b"\x80\x02ctorch.jit._pickle\nrestore_type_tag\n(" + b"]" + text("List[" * many + "int" + "]" * many) + b"tR.",
        "sizes beyond": arguments(QUERY, tensor((1, 1, 7, 4), (24, 24, 4, 1)), KEYS),
        "sizes far beyond": arguments(QUERY, tensor((1, 1, 2**40, 4), (24, 24, 4, 1)), KEYS),
        "sizes overflow": arguments(QUERY, tensor((2**62, 2**62, 6, 4), (0, 0, 4, 1)), KEYS),
        "size negative": arguments(QUERY, tensor((1, 1, -6, 4), (24, 24, 4, 1)), KEYS),
        "strides beyond": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 2**28, 1)), KEYS),
        "strides overflow": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 2**62, 2**62)), KEYS),
        "offset beyond": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1), offset=1), KEYS),
        "offset far beyond": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1), offset=2**40), KEYS),
        "offset negative": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1), offset=-1), KEYS),
        "more strides than sizes": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1, 1)), KEYS),
        "fewer strides than sizes": arguments(QUERY, tensor((1, 1, 6, 4), (4, 1)), KEYS),
        "more stored than the file has": arguments(QUERY, tensor((1, 1, 60, 4), (240, 240, 4, 1), stored=240), KEYS),
        "stored negative": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1), stored=-1), KEYS),
        "stored overflows": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1), stored=2**62 + 6), KEYS),
        "wider numbers": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1), kind=b"DoubleStorage"), KEYS),
        "record that is not there": arguments(QUERY, tensor((1, 1, 6, 4), (24, 24, 4, 1), record="1"), KEYS),
        "no value": b"\x80\x02.",
        "empty": b"",
        "operands below a mark": b"\x80\x02NN(\x86.",
        "key without a value": b"\x80\x02}(Nu.",
        "nothing to append to": b"\x80\x02(e.",
        "unknown code": b"\x80\x02cposix\nsystem\n" + text("touch PWNED") + b"\x85R.",
        "opcode": b"\x80\x04\x95" + bytes(8) + b"N.",
    }
    good = arguments(QUERY, KEYS, KEYS)
    pickles |= {f"cut at {at}": good[:at] for at in range(1, len(good), len(good) // 7)}
    return pickles


@case
def inputs_that_are_not_what_they_seem():
    good = saved("good.pt", arguments(QUERY, KEYS, KEYS))
    run = ("run", FILES / "tiny.pt", "--weights", "w.safetensors", "--inputs")
    done_by(*run, good)
    for title, pickle in hostile_pickles().items():
        line = refused(*run, saved("hostile.pt", pickle), says=("--inputs: expected",))
        expect("hostile.pt" in line or "cannot be read" in line, title, line)
    expect(not Path("PWNED").exists(), "nothing of a file is run")
    for name in ("lists", "sizes far beyond"):
        hostile = saved("hostile.pt", hostile_pickles()[name])
        refused("probe", FILES / "tiny.pt", "--inputs", hostile, "--image-arg", "0", says=("--inputs",))
        refused("heads", FILES / "tiny.pt", "--inputs", good, hostile, "--profile", tiny_profile(), says=("--inputs",))
    sizes = refused(*run, saved("hostile.pt", hostile_pickles()["sizes beyond"]))
    expect("[1, 1, 7, 4]" in sizes and "96 bytes" in sizes, sizes)


@case
def an_error_of_the_model_is_told_by_its_own_words():
    line = refused("run", FILES / "no_kernel.pt", "--inputs", FILES / "tiny_inputs.pt", "--weights", "w.safetensors", says=("Could not run", "aten::cos"))
    expect("registered at" not in line, line)


# ---- usage

@case
def help_for_every_verb():
    for words in ((), ("demo",), ("sites",), ("run",), ("probe",), ("heads",), ("ground",), ("evaluate",)):
        text = done_by(*words, "--help")
        expect("Usage: gaze" in text and len(text) > 200, words, text)
    expect(re.fullmatch(r"gaze \d+\.\d+\.\d+\n", done_by("--version")), "version")
    for flag in ("--inputs", "--method", "--image", "--profile", "--labels", "--out", "--weights", "--device"):
        expect(flag in done_by("run", "--help"), flag)


@case
def wrong_usage_is_2():
    for words in ((), ("nonsense",), ("sites",), ("run", sdpa()), ("sites", sdpa(), "--jsno"), ("evaluate", "--scenes", "0"), ("evaluate", "--scenes", "ten"),
                  ("run", sdpa(), "--inputs")):
        done = gaze(*words)
        expect(done.returncode == 2, words, done.returncode)
        expect(done.stderr != "" and done.stdout == "", words, done.stdout, done.stderr)


# ---- sites

@case
def sites_as_json():
    for kind in ("softmax", "sdpa"):
        report = json.loads(done_by("sites", STICKERS / f"stickers_{kind}.pt", "--json"))
        sites = {site["name"]: site for site in report["sites"]}
        wanted = {f"decoder.layers.{layer}.{which}_attn": which for layer in range(3) for which in ("self", "cross")}
        expect(set(sites) == set(wanted), sorted(sites))
        for name, relation in wanted.items():
            site = sites[name]
            expect(site["kind"] == kind and site["heads"] == 4, site)
            expect(site["relation"] == relation and site["proposed"] == (relation == "cross"), site)
            expect(set(site["methods"]) == {"forward", "decode_step", "generate"}, site)
            expect("model.py:" in site["source"], site)
        expect(report["unknown"] == [], report["unknown"])


@case
def sites_as_a_tree():
    lines = done_by("sites", sdpa()).splitlines()
    expect("6 attention sites" in lines[0], lines[0])
    cross = [line for line in lines if re.search(r"\bcross_attn\b", line)]
    expect(len(cross) == 3 and all("sdpa" in line and "4 heads" in line and "model.py:" in line for line in cross), lines)
    expect(sum("decoder.layers" in line for line in lines) == 1, "the common path is written once", lines)


@case
def sites_writes_a_profile():
    done_by("sites", sdpa(), "--out", "proposed.json")
    profile = json.loads(Path("proposed.json").read_text())
    expect(profile == {"gaze_profile": 1, "name": "proposed", "sites": {"match": [f"decoder.layers.{n}.cross_attn" for n in range(3)]}}, profile)
    Path("proposed.json").write_text(json.dumps(profile | {"geometry": {"rows": 6, "cols": 10}}))
    done_by("run", alone(), "--inputs", FILES / "generate.pt", "--method", "generate", "--profile", "proposed.json", "--image", photo(), "--out", "out")
    expect(len(bundles("out")) == 1 and not request_of(bundles("out")[0]).get("error"), bundles("out"))
    refused("sites", FILES / "no_attention.pt", "--out", "none.json", says=("--out", "would make the overlay"))
    refused("sites", sdpa(), "--out", "missing/folder.json", says=("--out", "can be written"))


@case
def sites_of_a_model_without_attention():
    expect("0 attention sites" in done_by("sites", FILES / "no_attention.pt"), "count")
    report = json.loads(done_by("sites", FILES / "no_attention.pt", "--json"))
    expect(report["sites"] == [] and report["unknown"] == [], report)


# ---- model files

@case
def bad_model_files():
    Path("text.pt").write_text("this is not a model\n")
    Path("empty.pt").write_bytes(b"")
    Path("cut.pt").write_bytes(sdpa().read_bytes()[:100_000])
    with zipfile.ZipFile(sdpa()) as source, zipfile.ZipFile("broken.pt", "w") as broken:
        for entry in source.infolist():
            broken.writestr(entry.filename, b"def garbage" if entry.filename.endswith(".py") else source.read(entry))
    os.mkdir("folder.pt")
    for name in ("text.pt", "empty.pt", "cut.pt", "broken.pt", "folder.pt", "missing.pt"):
        refused("sites", name, says=(name, "torch.jit"))
        refused("run", name, "--inputs", FILES / "forward.pt", "--weights", "w", says=(name,))
    refused("sites", FILES / "forward.pt", says=("forward.pt",))  # torch.save's, not torch.jit.save's
    expect(not Path("w").exists(), "weights of nothing")


@case
def model_without_attention():
    refused("run", FILES / "no_attention.pt", "--inputs", FILES / "encode.pt", "--weights", "w", says=("attention",))
    expect(not Path("w").exists(), "weights of nothing")


# ---- run: inputs

@case
def weights_of_one_call():
    out = done_by("run", FILES / "tiny.pt", "--inputs", FILES / "tiny_inputs.pt", "--weights", "w.safetensors")
    expect("w.safetensors" in out and not Path("overlays").exists(), out)
    (entry,) = safetensors("w.safetensors").values()
    expect(entry["dtype"] == "F32" and entry["shape"] == [1, 1, 1, 6], entry["dtype"], entry["shape"])
    expect(abs(sum(entry["values"]) - 1) < 1e-6, entry["values"])


@case
def weights_of_many_calls():
    out = done_by("run", alone(), "--method", "generate", "--inputs", FILES / "generate.pt", "--weights", "w")
    found = safetensors("w")
    calls = {}
    for key, entry in found.items():
        site, _, call = key.partition("#")
        calls.setdefault(site, set()).add(int(call))
        rows, keys = entry["shape"][2:]
        expect(entry["shape"][:2] == [1, 4] and rows == (5 if call == "0" else 1), key, entry["shape"])
        for begin in range(0, len(entry["values"]), keys):
            expect(abs(sum(entry["values"][begin:begin + keys]) - 1) < 1e-5, key)
    expect(len(calls) == 6 and all(numbers == set(range(max(numbers) + 1)) for numbers in calls.values()), calls)
    expect(f"({len(found)} attention calls)" in out, out)


@case
def inputs_by_name_and_alone():
    run = ("run", alone(), "--method")
    by_order = done_by(*run, "generate", "--inputs", FILES / "generate.pt", "--weights", "a")
    by_name = done_by(*run, "generate", "--inputs", FILES / "generate_named.pt", "--weights", "b")
    expect(by_order.splitlines()[-1] == by_name.splitlines()[-1], by_order, by_name)
    expect(Path("a").read_bytes() == Path("b").read_bytes(), "same arguments, same weights")
    # A file with one tensor is one argument; a list of anything becomes the schema's List[Tensor].
    refused(*run, "encode", "--inputs", FILES / "encode.pt", "--weights", "w", says=("encode", "attention"))
    done_by(*run, "decode_step", "--inputs", FILES / "decode_step.pt", "--weights", "w")
    expect(len(safetensors("w")) == 6, sorted(safetensors("w")))


@case
def bad_inputs():
    Path("text.pt").write_text("no tensors here")
    for name, word in (("too_few.pt", "prompt"), ("too_many.pt", "4 values"), ("wrong_type.pt", "max_new"), ("wrong_name.pt", "max_new"),
                       ("wrong_size.pt", "80, 160")):
        refused("run", sdpa(), "--method", "generate", "--inputs", FILES / name, "--weights", "w", says=(word,))
    refused("run", sdpa(), "--inputs", "text.pt", "--weights", "w", says=("text.pt", "torch.save"))
    refused("run", sdpa(), "--inputs", "missing.pt", "--weights", "w", says=("missing.pt", "torch.save"))
    refused("run", sdpa(), "--inputs", FILES / "forward.pt", "--method", "forwards", "--weights", "w", says=("forwards", "generate("))
    refused("run", sdpa(), "--inputs", FILES / "forward.pt", "--device", "tpu", "--weights", "w", says=("tpu", "cpu"))
    expect(not Path("w").exists(), "weights of nothing")


# ---- run: profiles

@case
def without_profile_and_weights():
    line = refused("run", FILES / "tiny.pt", "--inputs", FILES / "tiny_inputs.pt", says=("--profile", "--weights"))
    expect("profile.json" in line, line)


@case
def bad_profiles():
    run = ("run", FILES / "tiny.pt", "--inputs", FILES / "tiny_inputs.pt", "--out", "out", "--profile")
    refused(*run, "missing.json", says=("missing.json",))
    Path("broken.json").write_text('{"sites": ')
    refused(*run, "broken.json", says=("broken.json",))
    refused(*run, tiny_profile(sites={"match": ["decoder.layers.*"]}), says=("decoder.layers.*", "gaze sites"))
    refused(*run, tiny_profile(colour="red"), says=("colour",))
    refused("run", FILES / "tiny.pt", "--inputs", FILES / "tiny_inputs.pt", "--out", "out", says=("missing.json",), GAZE_PROFILE="missing.json")
    expect(bundles("out") == [], bundles("out"))


@case
def overlay_refuses_what_does_not_fit():
    run = ("run", FILES / "tiny.pt", "--out", "out", "--image", photo(), "--profile")
    refused(*run, tiny_profile(geometry={"kind": "grid", "rows": 3, "cols": 3}), "--inputs", FILES / "tiny_inputs.pt", says=("9", "6"))
    refused(*run, tiny_profile(), "--inputs", FILES / "tiny_nan.pt", says=("NaN",))
    for bundle in bundles("out"):
        expect(request_of(bundle)["error"], bundle)
        expect(sorted(path.name for path in bundle.rglob("*")) == ["manifest.json", "request.json"], "a picture of broken attention", bundle)
    expect(len(bundles("out")) == 2, bundles("out"))
    done_by(*run, tiny_profile(), "--inputs", FILES / "tiny_inputs.pt")


# ---- run: overlays

@case
def overlay_with_words_from_the_vocabulary():
    out = done_by("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--image", photo(), "--out", "out")
    (bundle,) = bundles("out")
    expect(f"overlays  {bundle}" in out, out)
    request = request_of(bundle)
    expect(request["error"] is None and request["answer"], request)
    words = sorted(path.name for path in (bundle / "words").iterdir())
    expect(len(words) == len(request["answer"].split()), words, request["answer"])
    for picture in ("overlay.jpg", *(f"words/{name}" for name in words)):
        expect((bundle / picture).read_bytes().startswith(b"\xff\xd8\xff"), picture)
    expect((bundle / "report.html").read_text().startswith("<!doctype html>"), "a page")
    expect(set(safetensors(bundle / "maps.safetensors")) == {"map_tc", "lift_tc", "shown_wc", "mass_t"}, "the numbers")


@case
def pictures_are_those_that_the_environment_asks_for():
    def made(out, **environment):
        done_by("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--image", photo(), "--out", out, **environment)
        (bundle,) = bundles(out)
        return bundle, {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} - {"report.html", "request.json", "maps.safetensors", "manifest.json"}
    expect(made("none", GAZE_PICTURES="none")[1] == set(), "no picture")
    bundle, files = made("all", GAZE_PICTURES="all", GAZE_FORMAT="png", GAZE_LONGEST_SIDE="64")
    expect({"overlay.png", "sheet.png"} < files and (bundle / "words").is_dir(), files)
    drawn = request_of(bundle)["picture"]["drawn"]
    expect(max(drawn) == 64 and struct.unpack(">II", (bundle / "overlay.png").read_bytes()[16:24]) == tuple(drawn), drawn)


@case
def drawn_again_from_the_numbers():
    done_by("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--image", photo(), "--out", "out",
            GAZE_FORMAT="png", GAZE_PICTURES="all", GAZE_LONGEST_SIDE="full")
    (bundle,) = bundles("out")
    before = request_of(bundle)
    # From the original and in the same way it is the same to the bit.
    done_by("draw", bundle, "--out", "same", "--image", photo(), "--format", "png", "--pictures", "all", "--longest-side", "full")
    for name in ("overlay.png", *(word["file"] for word in before["words"])):
        expect((Path("same") / name).read_bytes() == (bundle / name).read_bytes(), name)
    after = request_of(Path("same"))
    kept = [field for field in before if field not in ("files", "picture")]
    expect([field for field in kept if before[field] != after[field]] == [], "what was captured is told as it was")
    expect(safetensors("same/maps.safetensors")["map_tc"] == safetensors(bundle / "maps.safetensors")["map_tc"], "the numbers")
    # From the page's own picture, in other ways.
    done_by("draw", bundle, "--out", "other", "--colormap", "viridis", "--ground", "colour", "--cells", "exact", "--own-range", "--raw")
    other = request_of(Path("other"))
    expect(other["colormap"] == "viridis" and other["style"]["ground"] == "colour" and other["style"]["per_map_min_max"], other["style"])
    expect((Path("other") / other["summary"]["file"]).read_bytes().startswith(b"\xff\xd8\xff") and (Path("other") / "report.html").exists(), other["files"])
    done_by("draw", bundle, "--out", "small", "--pictures", "sheet", "--longest-side", "100")
    expect(sorted(path.name for path in Path("small").iterdir()) == ["maps.safetensors", "report.html", "request.json", "sheet.jpg"], "the sheet alone")
    # Of numbers alone, with the original.
    done_by("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--image", photo(), "--out", "maps", GAZE_DELIVERY="map")
    (alone,) = bundles("maps")
    refused("draw", alone, "--out", "late", says=("--image",))
    done_by("draw", alone, "--out", "late", "--image", photo(), "--format", "png", "--pictures", "all", "--longest-side", "full")
    expect((Path("late") / "overlay.png").read_bytes() == (bundle / "overlay.png").read_bytes(), "as if it had been drawn then")


def kept_of(folder: Path, site: str) -> list[list[list[float]]]:
    """[heads][tokens][cells] of detail.safetensors."""
    kept = safetensors(folder / "detail.safetensors")
    (heads, tokens, cells), roots, most = kept[site]["shape"], kept[site]["values"], kept[f"{site}/most"]["values"]
    return [[[most[h * tokens + t] * (root / 255) ** 2 for root in roots[(h * tokens + t) * cells:(h * tokens + t + 1) * cells]] for t in range(tokens)] for h in range(heads)]


@case
def drawn_again_of_one_layer_or_head():
    run = ("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--image", photo())
    done_by(*run, "--out", "out", GAZE_DETAIL="all", GAZE_HEADS="mean", GAZE_LAYERS="mean")
    (bundle,) = bundles("out")
    request, whole = request_of(bundle), safetensors(bundle / "maps.safetensors")["map_tc"]
    expect(request["detail"] == {"file": "detail.safetensors", "left_out": None}, request["detail"])
    sites = [site["name"] for site in request["sites"]]
    kept = {site: kept_of(bundle, site) for site in sites}
    # The mean of all heads of all layers is the map.
    tokens, cells = whole["shape"]
    rows = [kept[site][h] for site in sites for h in range(len(kept[site]))]
    worst = max(abs(sum(row[t][c] for row in rows) / len(rows) - whole["values"][t * cells + c]) for t in range(tokens) for c in range(cells))
    expect(worst < 0.004, worst)
    for head in (None, 2):
        out = f"head-{head}"
        done_by("draw", bundle, "--out", out, "--site", sites[-1], *(("--head", head) if head is not None else ()))
        drawn, heads = safetensors(f"{out}/maps.safetensors")["map_tc"], kept[sites[-1]]
        wanted = heads[head] if head is not None else [[sum(each[t][c] for each in heads) / len(heads) for c in range(cells)] for t in range(tokens)]
        expect(max(abs(drawn["values"][t * cells + c] - wanted[t][c]) for t in range(tokens) for c in range(cells)) < 1e-6, out)
        told = request_of(Path(out))
        expect([site["name"] for site in told["sites"]] == [sites[-1]] and told["heads"]["reduce"] == ("one" if head else "mean"), told["heads"])
        expect(told["answer"] == request["answer"] and told["created"] == request["created"] and told["grounding"]["verdict"] == "cannot say", told["grounding"])
        expect((Path(out) / "overlay.jpg").exists() and (Path(out) / "report.html").exists(), "pictures")
    refused("draw", bundle, "--site", sites[0], "--head", "99", says=("--head", "0 to"))
    refused("draw", bundle, "--site", "nowhere", says=("--site", sites[0]))
    done_by(*run, "--out", "plain")
    refused("draw", bundles("plain")[0], "--site", sites[0], says=("detail.safetensors",))
    expect(request_of(bundles("plain")[0])["detail"] is None, "nobody asked")


@case
def speech_is_drawn_again_from_the_numbers():
    recording = SOURCE / "samples/data/speech/demo/music.ogg"
    done_by("demo", "--speech", "--audio", recording, "--out", "out", GAZE_FORMAT="png", GAZE_PICTURES="all", GAZE_DETAIL="all")
    (bundle,) = bundles("out")
    before = request_of(bundle)
    done_by("draw", bundle, "--out", "same", "--audio", recording, "--format", "png", "--pictures", "all")
    for name in ("overlay.png", *(word["file"] for word in before["words"])):
        expect((Path("same") / name).read_bytes() == (bundle / name).read_bytes(), name)
    after = request_of(Path("same"))
    expect([field for field in before if field != "files" and before[field] != after[field]] == [], "what was captured is told as it was")
    # From the page's own recording, and of one head.
    site = before["sites"][-1]["name"]
    done_by("draw", bundle, "--out", "head", "--site", site, "--head", "1", "--colormap", "viridis")
    told, wanted = request_of(Path("head")), kept_of(bundle, site)[1]
    drawn = safetensors("head/maps.safetensors")["map_tc"]
    cells = drawn["shape"][1]
    expect(max(abs(drawn["values"][t * cells + c] - wanted[t][c]) for t in range(drawn["shape"][0]) for c in range(cells)) < 1e-6, "its weights")
    expect((Path("head") / "overlay.jpg").exists() and told["colormap"] == "viridis" and told["answer"] == before["answer"], told["colormap"])
    done_by("pack", bundle, "--redact", "picture", "--out", "page.html")
    (bundle / "report.html").write_bytes(Path("page.html").read_bytes())
    refused("draw", bundle, "--out", "mute", says=("--audio",))
    # Of a sound in windows, no places are kept.
    done_by("demo", "--speech", "--audio", SOURCE / "samples/data/speech/demo/long.ogg", "--out", "windows")
    refused("draw", bundles("windows")[0], "--out", "late", says=("windows", "GAZE_PICTURES=all"))


@case
def what_cannot_be_drawn_again_says_why():
    done_by("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--image", photo(), "--out", "out", GAZE_LONGEST_SIDE="64")
    (bundle,) = bundles("out")
    refused("draw", bundle, "--longest-side", "full", says=("--image", "64"))
    refused("draw", bundle, "--out", bundle, says=("--out",))
    refused("draw", bundle, "--image", "missing.jpg", says=("missing.jpg",))
    refused("draw", bundle, "--image", SOURCE / "samples/data/photos/held_out/china.jpg", says=("expected", "pixels"))
    refused("draw", bundle, "--colormap", "jet", says=("jet", "viridis"))
    refused("draw", bundle, "--pictures", "some", says=("some", "overlay,words,sheet"))
    refused("draw", bundle, "--longest-side", "3", says=("16",))
    refused("draw", "nowhere", says=("nowhere",))
    request = request_of(bundle)
    request["words"][0]["count"] = 99
    (bundle / "request.json").write_text(json.dumps(request))
    refused("draw", bundle, says=("tokens", "changed"))
    (bundle / "maps.safetensors").unlink()
    refused("draw", bundle, says=("map_tc",))


@case
def a_hosts_loop_answers_as_the_model_does():
    done_by("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--out", "own")
    prompt = ",".join(str(sticker_words().index(word)) for word in "<bos> describe the stickers :".split())
    cached = done_by("run", sdpa(), "--generate", "encode,decode_step", "--bos", prompt, "--max", "11", "--inputs", FILES / "encode.pt", "--out", "cached")
    anew = done_by("run", sdpa(), "--generate", "forward", "--max", "11", "--inputs", FILES / "forward.pt", "--out", "anew")
    (own,) = (request_of(bundle) for bundle in bundles("own"))
    expect(len(own["words"]) > 1, own["words"])
    for told, folder in ((cached, "cached"), (anew, "anew")):
        (request,) = (request_of(bundle) for bundle in bundles(folder))
        expect(f"answer    {own['answer']}\n" in told, told)
        expect(request["answer"] == own["answer"] and request["error"] is None, request["answer"])
        for word, wanted in zip(request["words"], own["words"], strict=True):
            expect(word["hot_point"] == wanted["hot_point"] and abs(word["max_lift"] - wanted["max_lift"]) < 1e-3, folder, word, wanted)
    batch = done_by("run", sdpa(), "--generate", "encode,decode_step", "--bos", prompt, "--max", "11", "--inputs", FILES / "encode_two.pt", "--out", "two")
    expect(batch.count("answer    ") == 2 and len(bundles("two")) == 2, batch)


def text_profile(text: dict, **changes) -> Path:
    profile = json.loads((sdpa().parent / "profile.json").read_text()) | changes
    profile["text"] = text
    profile["tokens"]["vocabulary"] = str(sdpa().parent / profile["tokens"]["vocabulary"])
    Path("text.profile.json").write_text(json.dumps({name: value for name, value in profile.items() if value is not None}))
    return Path("text.profile.json")


def sources_in(bundle: Path) -> dict:
    return json.loads((bundle / "sources.json").read_text())


@case
def texts_are_read_beside_a_picture_and_alone():
    prompt = "<bos> describe the stickers :".split()
    ids = [sticker_words().index(word) for word in prompt]
    Path("text.json").write_text(json.dumps({"ids": ids, "sources": [{"kind": "user", "id": "task", "tokens": [1, 4]}]}))
    flags = ("run", sdpa(), "--generate", "encode,decode_step", "--bos", ",".join(map(str, ids)), "--max", "11", "--inputs", FILES / "encode.pt", "--text", "text.json")
    own_sites = {"sites": ["decoder.layers.*.self_attn"]}
    done_by(*flags, "--profile", text_profile(own_sites), "--out", "beside")
    done_by("run", sdpa(), "--generate", "encode,decode_step", "--bos", ",".join(map(str, ids)), "--max", "11", "--inputs", FILES / "encode.pt", "--out", "without")
    (beside,), (without,) = bundles("beside"), bundles("without")
    request = request_of(beside)
    expect([entry["medium"] for entry in request["more_maps"]] == ["text"], request["more_maps"])
    expect(request["words"] == request_of(without)["words"], "the picture's words are as without a text")
    read = json.loads((beside / "text-2" / "sources.json").read_text())
    expect([source["kind"] for source in read["sources"]][0] == "user" and read["sources"][0]["tokens"] == 3, read["sources"])
    expect(read["answer_key"] == len(ids) and read["sites"] == [f"decoder.layers.{i}.self_attn" for i in range(3)], read)
    for token in read["tokens"]:
        expect(abs(sum(token["mass"]) - 1) < 1e-4, token)
    expect({"text-2/text.jpg", "text-2/sources.json", "text-2/maps.safetensors", "report.html"} <= set(request["files"]), request["files"])
    # Alone: the same rows, of the same sites.
    done_by(*flags, "--profile", text_profile({}, geometry=None, grounding=None, heads=None, layers=None, sites={"match": own_sites["sites"]}), "--out", "alone", GAZE_PICTURES="all")
    (bundle,) = bundles("alone")
    alone_read = sources_in(bundle)
    expect([token["mass"] for token in alone_read["tokens"]] == [token["mass"] for token in read["tokens"]], "the same rows")
    expect((bundle / "text.jpg").exists() and (bundle / "matrix.jpg").exists(), list(bundle.iterdir()))
    refused("draw", bundle, says=("picture or a sound", "report.html"))


@case
def texts_are_read_beside_a_sound():
    model = SOURCE / "samples/models/speech/speech.pt"
    profile = json.loads((model.parent / "profile.json").read_text()) | {"text": {"argument": {"generate": 1}, "sites": ["decoder.layers.*.self_attn"]}}
    profile["tokens"]["vocabulary"] = str(model.parent / profile["tokens"]["vocabulary"])
    Path("speech.json").write_text(json.dumps(profile))
    for name, chosen in (("with", "speech.json"), ("without", model.parent / "profile.json")):
        done_by("run", model, "--method", "generate", "--inputs", FILES / "speech_inputs.pt", "--profile", chosen, "--out", name)
    (told,), (without,) = bundles("with"), bundles("without")
    request = request_of(told)
    expect([entry["medium"] for entry in request["more_maps"]] == ["text"] and request["words"] == request_of(without)["words"], "the sound is as without a text")
    read = json.loads((told / "text-2" / "sources.json").read_text())
    expect(read["answer_key"] == read["prompt_tokens"] == 1 and len(read["words"]) == len(request["words"]), read["answer_key"])
    for t, token in enumerate(read["tokens"]):
        # Its own words, and what the answer begins with: there is nothing else.
        expect(abs(sum(token["mass"]) - 1) < 1e-4 and (t == 0) == (token["mass"][0] > 0.9999), token)


@case
def a_text_that_is_none_is_told_what_it_lacks():
    profile = text_profile({"sites": ["decoder.layers.*.self_attn"]})
    for content, says in (("", ("JSON object",)), ("[1]", ("JSON object",)), ('{"ids": 5}', ("ids", "list")), ('{"ids": ["a"]}', ("whole numbers", "ids")), ('{"words": []}', ("ids, tokens, text",)),
                          ('{"sources": [{"kind": "book", "tokens": [0, 1]}]}', ("system, user, passage, turn, tool", "book")), ('{"sources": [{"tokens": [0]}]}', ("[first, end]",)),
                          ('{"sources": [{"name": "x"}]}', ("kind, id, tokens or characters",)), ('{"tokens": [1]}', ("text in tokens",))):
        Path("bad.json").write_text(content)
        refused("run", sdpa(), "--inputs", FILES / "generate.pt", "--method", "generate", "--profile", profile, "--text", "bad.json", says=("--text", "bad.json", *says))
    refused("run", sdpa(), "--inputs", FILES / "generate.pt", "--method", "generate", "--profile", profile, "--text", "missing.json", says=("missing.json", "cannot be read"))
    Path("good.json").write_text("{}")
    refused("run", sdpa(), "--inputs", FILES / "generate.pt", "--method", "generate", "--profile", profile, "--text", "good.json", "--text", "good.json", says=("--text", "one per row"))


@case
def a_hosts_loop_that_cannot_be_driven():
    loop = ("run", sdpa(), "--inputs", FILES / "encode.pt", "--generate")
    refused(*loop, "encode,decode_stp", "--bos", "1", says=("--generate", "decode_stp", "gaze sites"))
    refused(*loop, "encode,decode_step", says=("--bos",))
    refused(*loop, "encode,encode", "--bos", "1", says=("--generate", "error from it"))
    expect(gaze("run", sdpa(), "--inputs", FILES / "encode.pt", "--bos", "1").returncode == 2)
    expect(gaze(*loop, "encode,decode_step", "--method", "encode").returncode == 2)


@case
def rows_are_chosen_by_flags():
    words = ("run", FILES / "tiny.pt", "--inputs", FILES / "tiny_rows.pt", "--profile", tiny_profile(), "--image", photo())
    for flags, tokens in (((), 1), (("--rows", "all"), 4), (("--rows", "first"), 1), (("--rows", "1-2"), 2), (("--prompt-tokens", "2"), 3)):
        folder = "-".join(("out", *flags))
        done_by(*words, "--out", folder, *flags)
        (request,) = (request_of(bundle) for bundle in bundles(folder))
        expect(len(request["tokens"]) == tokens and request["rows"]["tokens"] == tokens, flags, request["rows"])
    refused(*words, "--out", "refused", "--rows", "2-9", says=("rows.of_call", "got one of 4"))
    refused(*words, "--out", "refused", "--passes", "2:2", says=("--passes", "2:2"))
    expect(gaze(*words, "--rows", "some").returncode == 2)
    Path("labels").write_text("a\nb\nc\nd\n")
    refused(*words, "--out", "refused", "--labels", "labels", says=("expected at most 1", "--rows all"))
    done_by(*words, "--out", "named", "--labels", "labels", "--rows", "all")
    expect([word["text"] for word in request_of(bundles("named")[0])["words"]] == ["a", "b", "c", "d"])


@case
def overlay_names_words_by_ids_in_any_form():
    vocabulary = {"<pad>": 0, "what": 1, "is": 2, "this": 3, "\u0120red": 4, "\u0120caf\u00c3": 5, "\u00a9": 6, "<eos>": 7}
    Path("vocab.json").write_text(json.dumps(vocabulary))
    profile = tiny_profile(sites={"match": ["*"]}, tokens={"vocabulary": "vocab.json", "eos": 7})
    def words_of(method: str, inputs: str = "tiny_queries.pt") -> tuple[list[str], str]:
        out = done_by("run", FILES / "ids.pt", "--method", method, "--profile", profile, "--inputs", FILES / inputs, "--image", photo(), "--out", method)
        (bundle,) = bundles(method)
        return [(word["text"], word["count"]) for word in request_of(bundle)["words"]], out

    for method in ("rows", "one_row", "small", "with_scores", "behind_scores", "numbers", "list_of_rows", "a_tensor_a_token", "sequences", "nested"):
        words, out = words_of(method)
        expect(words == [("red", 1), ("caf\u00e9", 2)], method, words)
        expect("\nwords " not in "\n" + out, out)
    # A prompt in front, with the end token in it, as some begin.
    words, out = words_of("behind_its_prompt", "tiny_prompted.pt")
    expect(words == [("red", 1), ("caf\u00e9", 2)] and "the last 3 of the ids that behind_its_prompt returned: 4 before them" in out, words, out)
    words, out = words_of("filled_up")
    expect(words == [("red", 1)], words, out)
    for method in ("no_ids", "two_rows"):
        words, out = words_of(method)
        expect(len(words) == 3 and not any(text for text, _ in words) and "words     have no names: the vocabulary needs token ids for 1 row" in out, words, out)


@case
def overlay_on_the_models_own_input():
    done_by("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--out", "out")
    (bundle,) = bundles("out")
    expect(request_of(bundle)["picture"] == {"width": 160, "height": 96, "drawn": [160, 96]}, request_of(bundle)["picture"])


@case
def overlay_per_batch_row():
    batch = ("run", sdpa(), "--method", "generate", "--inputs", FILES / "batch.pt", "--out", "out")
    done_by(*batch)
    done_by(*batch, "--image", photo(), "--image", SOURCE / "samples/data/demo/cat.jpg")
    expect(len(bundles("out")) == 4, bundles("out"))
    refused(*batch, "--image", photo(), says=("--image", "2"))
    Path("labels").write_text("a\n")
    refused(*batch, "--labels", "labels", says=("--labels", "batch of 1"))
    expect(len(bundles("out")) == 4, bundles("out"))


@case
def overlay_with_hostile_labels():
    step = ("run", sdpa(), "--method", "decode_step", "--inputs", FILES / "decode_step.pt", "--image", photo(), "--out", "out")
    for text in (b"../../escape", b"<script>alert(1)</script>", b"a\x00b\x1b[31m\x07", b"x" * 10_000, b"\xff\xfe broken", "\u202edrow".encode(), b'"}],"x":', b"", b"."):
        Path("labels").write_bytes(text + b"\n")
        out = done_by(*step, "--labels", "labels")
        expect(not re.search(r"[\x00-\x09\x0b-\x1f]", out), text, out)
    for bundle in bundles("out"):
        expect(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{32}", bundle.name), bundle)
        expect(request_of(bundle)["error"] is None, bundle)
        for path in bundle.rglob("*"):
            expect(re.fullmatch(r"[a-z0-9.-]{1,80}", path.name), path)
    expect(len(bundles("out")) == 9 and sorted(os.listdir(".")) == ["labels", "out"], os.listdir("."))


@case
def overlay_with_bad_labels():
    step = ("run", sdpa(), "--method", "decode_step", "--inputs", FILES / "decode_step.pt", "--image", photo(), "--out", "out", "--labels")
    Path("three").write_text("red\nseven\nblue\n")
    refused(*step, "three", says=("labels", "3"))
    refused(*step, "missing", says=("--labels", "missing"))
    Path("empty").write_text("")
    refused(*step, "empty", says=("--labels",))


@case
def bad_pictures():
    run = ("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--out", "out", "--image")
    Path("text.jpg").write_text("no picture")
    Path("cut.jpg").write_bytes(photo().read_bytes()[:200])
    for name in ("text.jpg", "cut.jpg", "missing.jpg"):
        refused(*run, name, says=(name,))
    for bundle in bundles("out"):
        expect(sorted(path.name for path in bundle.rglob("*")) == ["manifest.json", "request.json"], bundle)


@case
def overlay_directories_that_cannot_be_written():
    run = ("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt")
    Path("file").write_text("in the way")
    line = refused(*run, "--out", "file/out", says=("file",))
    refused(*run, "--weights", "file/w", "--out", "out", says=("output file",))
    refused("demo", "--out", "file/out", says=("file",))
    refused(*run, "--out", "/proc/gaze", says=("/proc/gaze",))
    expect(Path("file").read_text() == "in the way", line)


@case
def overlay_settings_from_the_environment():
    run = ("run", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--image", photo())
    done_by(*run, GAZE_OUT_DIR="from-environment", GAZE_FORMAT="webp", GAZE_HEADS="mean", GAZE_CAPTURE="0", GAZE_SAMPLE_RATE="0")
    (bundle,) = bundles("from-environment")
    expect((bundle / "overlay.webp").exists() and request_of(bundle)["heads"]["reduce"] == "mean", list(bundle.iterdir()))
    done_by(*run, "--out", "from-flag", GAZE_OUT_DIR="from-environment")
    expect(len(bundles("from-flag")) == 1 and len(bundles("from-environment")) == 1, "the flag wins")
    done = gaze(*run, "--out", "out", GAZE_COLORMAP="banana", GAZE_HEADS="")
    expect(done.returncode == 0 and len(done.stderr.splitlines()) == 1, done.stderr)
    expect("GAZE_COLORMAP" in done.stderr and "banana" in done.stderr and "turbo" in done.stderr, done.stderr)
    refused(*run, "--out", "none", says=("GAZE_HEADS", "banana", "weighted"), GAZE_HEADS="banana")
    refused(*run, "--out", "none", says=("GAZE_HEADS", "got 9"), GAZE_HEADS="one:9")
    expect(not Path("none").exists(), "what limits is not guessed")
    refused(*run, says=("GAZE_DISABLED",), GAZE_DISABLED="1")


# ---- demo, evaluate

# ---- probe

def probed(*words) -> tuple:
    return ("probe", sdpa(), "--inputs", FILES / "generate.pt", "--method", "generate", "--image-arg", "0", *words)


@case
def probe_measures_what_the_profile_states():
    for kind in ("softmax", "sdpa"):
        words = ("probe", STICKERS / f"stickers_{kind}.pt", *probed()[2:])
        report = json.loads(done_by(*words, "--json"))
        expect(report["runs"] == 90 and report["strip"] == [4, 2], report["runs"], report["strip"])
        sites = {site["name"]: site for site in report["sites"]}
        expect(len(sites) == 6, sorted(sites))
        for layer in range(3):
            site = sites[f"decoder.layers.{layer}.cross_attn"]
            expect(site["geometry"] == {"kind": "grid", "rows": 6, "cols": 10}, site["geometry"])
            expect(site["keys"] == 60 and site["responding"] == 60 and site["local_share"] > 0.9, site["verdict"])
        expect("does not see argument 0" in sites["decoder.layers.0.self_attn"]["verdict"], sites["decoder.layers.0.self_attn"]["verdict"])


@case
def probe_writes_a_profile_that_run_accepts():
    text = done_by(*probed("--out", "found.json"))
    expect("6 x 10 cells of 16 x 16 pixels" in text and "found.json" in text, text)
    profile = json.loads(Path("found.json").read_text())
    expect(profile["image"]["argument"] == {"generate": 0}, profile["image"])
    expect(profile["geometry"] == {"kind": "grid", "rows": 6, "cols": 10}, profile["geometry"])
    expect(profile["sites"]["match"] == [f"decoder.layers.{layer}.cross_attn" for layer in range(3)], profile["sites"])
    done_by("run", alone(), "--inputs", FILES / "generate.pt", "--method", "generate", "--profile", "found.json", "--image", photo(), "--out", "out")
    expect(len(bundles("out")) == 1 and not request_of(bundles("out")[0]).get("error"), bundles("out"))


@case
def probe_verifies_a_profile():
    expect("verified: " in done_by(*probed("--profile", STICKERS / "profile.json")), "the model's own profile")
    profile = json.loads((STICKERS / "profile.json").read_text())
    profile.pop("tokens")
    for changes, says in (({"rows": 10, "cols": 6}, "10 x 6"), ({"leading": 1}, "expected 61 keys"), ({"order": "columns"}, "by columns")):
        Path("wrong.json").write_text(json.dumps(profile | {"geometry": profile["geometry"] | changes}))
        done = gaze(*probed("--profile", "wrong.json"))
        expect(done.returncode == 1 and done.stderr == "", done.returncode, done.stderr)
        lines = [line for line in done.stdout.splitlines() if line.startswith("differs: ")]
        expect(len(lines) == 3 and all(says in line and "6 x 10 cells" in line for line in lines), lines)


@case
def probe_draws_what_it_found():
    done_by(*probed("--picture", "found.png"))
    header = Path("found.png").read_bytes()[:24]
    expect(header.startswith(b"\x89PNG") and struct.unpack(">II", header[16:24]) == (1120, 672), header)
    refused(*probed("--picture", "missing/found.png"), says=("--picture", "missing/found.png"))
    refused(*probed("--picture", "found.nothing"), says=("--picture", ".png"))


def heard(*words) -> tuple:
    return ("probe", FILES / "sound.pt", "--inputs", FILES / "sound_inputs.pt", *words)


@case
def probe_measures_a_sound():
    text = done_by(*heard("--audio-arg", "0", "--sample-rate", "1000", "--out", "found.json"))
    expect("30 keys of 20.0 ms, from 0.0 s" in text and "strips of 10 samples" in text, text)
    found = json.loads(Path("found.json").read_text())
    # A longer sound has more keys, so that their number is not in the profile.
    expect(found["geometry"] == {"kind": "time", "time": {"seconds_per_key": 0.02, "first_seconds": 0.0}}, found)
    expect("a longer sound has more" in text and found["sound"]["sample_rate_hz"] == 1000, text, found)
    verify = ("--audio-arg", "0", "--sample-rate", "1000", "--profile", "found.json")
    expect("verified: " in done_by(*heard(*verify)), "its own profile")
    done = gaze(*heard(*verify[:2], "--sample-rate", "2000", *verify[4:]))
    expect(done.returncode == 1 and "10.0 ms" in done.stdout, done.stdout)
    refused(*heard("--audio-arg", "0"), says=("seconds_per_step", "--sample-rate"))
    refused(*heard("--image-arg", "0"), says=("argument 0", "--audio-arg"))


@case
def probe_takes_one_input():
    for words in ((), ("--image-arg", "0", "--audio-arg", "0"), ("--image-arg", "0", "--tiles", "1", "2"), ("--audio-arg", "0", "--patch-merge", "2"),
                  ("--tiles-arg", "0", "--tiles", "1"), ("--patches-arg", "0", "--patch-grid", "1", "2"), ("--tiles-arg", "0", "--thumbnail", "middle")):
        expect(gaze(*heard(*words)).returncode == 2, words)


@case
def probe_refuses_what_it_cannot_measure():
    refused(*probed("--out", "found.json", "--profile", STICKERS / "profile.json"), says=("--out", "--profile"))
    refused(*probed()[:-1], "1", says=("argument 1", "[batch, channels, height, width]"))
    refused(*probed()[:-1], "7", says=("below 3, got 7",))
    refused("probe", sdpa(), "--inputs", FILES / "wrong_size.pt", "--method", "generate", "--image-arg", "0", says=("generate", "error from it"))
    refused(*probed("--out", "missing/found.json"), says=("--out", "missing/found.json"))
    refused("probe", sdpa(), "--inputs", FILES / "encode.pt", "--method", "encode", "--image-arg", "0", says=("attention", "gaze sites"))
    refused("probe", FILES / "tiny.pt", "--inputs", FILES / "tiny_inputs.pt", "--image-arg", "0", says=("argument 0",))
    for words in (("--bands", "1"), ("--image-arg", "first")):
        expect(gaze(*probed(*words)).returncode == 2, words)


# ---- heads

@case
def init_goes_from_a_model_to_a_host():
    out = done_by("init", alone(), "--inputs", FILES / "forward.pt", "--out", "first")
    expect("decoder.layers" in out and "Argument 0 is probed" in out and "gaze run alone.pt" in out, out)
    profile = json.loads(Path("first/profile.json").read_text())
    expect((profile["geometry"]["rows"], profile["geometry"]["cols"]) == (6, 10), profile)
    done_by("run", alone(), "--inputs", FILES / "forward.pt", "--profile", "first/profile.json", "--image", photo(), "--out", "out")
    expect(request_of(bundles("out")[0])["error"] is None)
    host = Path("first/host.cpp").read_text()
    expect("@" not in host and 'get_method("forward")' in host, host)
    expect("find_package(Gaze REQUIRED)" in Path("first/CMakeLists.txt").read_text())
    # What somebody wrote since stays.
    Path("first/host.cpp").write_text("mine")
    expect("kept      first/host.cpp" in done_by("init", alone(), "--inputs", FILES / "forward.pt", "--image-arg", "0", "--out", "first"))
    expect(Path("first/host.cpp").read_text() == "mine")
    refused("init", FILES / "tiny.pt", "--inputs", FILES / "tiny_words.pt", "--out", "none", says=("init:", "--image-arg"))
    Path("file").write_text("")
    refused("init", alone(), "--inputs", FILES / "forward.pt", "--out", "file/below", says=("--out",))


def headed(*words) -> tuple:
    return ("heads", sdpa(), "--inputs", FILES / "generate.pt", FILES / "generate.pt", "--method", "generate", *words)


@case
def heads_are_measured_and_chosen():
    report = json.loads(done_by(*headed("--json", "--top", "2")))
    expect(report["samples"] == 2 and report["rows"] > 2, report["samples"], report["rows"])
    expect(len(report["heads"]) == 3 * 4, len(report["heads"]))
    expect(all(head["site"].endswith(".cross_attn") and 0 <= head["change"] <= 1 for head in report["heads"]), report["heads"])
    chosen = [head for head in report["heads"] if head["chosen"]]
    expect(len(chosen) == 2 and report["heads"][:2] == chosen and all(head["votes"] == 2 and head["discarded"] is None for head in chosen), chosen)
    text = done_by(*headed("--top", "2"))
    lines = [line.split() for line in text.splitlines() if line.startswith("* ")]
    expect([line[1:3] for line in lines] == [[head["site"], str(head["head"])] for head in chosen], text)


@case
def heads_writes_a_profile_that_run_accepts():
    expect("heads.json" in done_by(*headed("--out", "heads.json")), "the profile's name")
    profile = json.loads(Path("heads.json").read_text())
    given = json.loads((STICKERS / "profile.json").read_text())
    expect(profile["heads"]["reduce"] == "mean" and sum(len(of["heads"]) for of in profile["heads"]["select"]) == 3, profile["heads"])
    expect("grounding" in given and "grounding" not in profile, "limits hold for the heads they were measured with")
    expect({**profile, "heads": 0, "tokens": 0} == {name: 0 if name in ("heads", "tokens") else value for name, value in given.items() if name != "grounding"}, profile)
    done_by("run", alone(), "--inputs", FILES / "generate.pt", "--method", "generate", "--profile", "heads.json", "--image", photo(), "--out", "out")
    request = request_of(bundles("out")[0])
    expect({site["name"]: site["chosen_heads"] for site in request["sites"]} == {of["site"]: of["heads"] for of in profile["heads"]["select"]}, request["sites"])
    expect(request["answer"] != "", "the vocabulary is found from the new place")


@case
def heads_of_a_hosts_loop_are_those_of_the_models_own():
    prompt = ",".join(str(sticker_words().index(word)) for word in "<bos> describe the stickers :".split())
    own = json.loads(done_by("heads", sdpa(), "--method", "generate", "--inputs", FILES / "generate.pt", "--json"))
    driven = json.loads(done_by("heads", sdpa(), "--generate", "encode,decode_step", "--bos", prompt, "--max", "11", "--inputs", FILES / "encode.pt", "--json"))
    named = lambda told: [(head["site"], head["head"], head["votes"], round(head["share"], 4), round(head["change"], 4)) for head in told["heads"]]
    expect(own["rows"] > 2 and driven["rows"] == own["rows"] and named(driven) == named(own), own, driven)


@case
def heads_draws_the_best():
    done_by(*headed("--picture", "heads.png"))
    expect(Path("heads.png").read_bytes().startswith(b"\x89PNG"), "a picture")
    refused(*headed("--picture", "missing/heads.png"), says=("--picture", "missing/heads.png"))


@case
def heads_refuses_what_it_cannot_measure():
    refused("heads", alone(), *headed()[2:], says=("--profile", "gaze probe"))
    refused(*headed("--out", "missing/heads.json"), says=("--out", "missing/heads.json"))
    refused("heads", sdpa(), "--inputs", FILES / "wrong_size.pt", "--method", "generate", says=("generate", "error from it"))
    refused("heads", sdpa(), "--inputs", FILES / "encode.pt", "--method", "encode", says=("encode", "gaze sites"))
    for words in (("--top", "0"), ("--top", "65")):
        expect(gaze(*headed(*words)).returncode == 2, words)


@case
def without_opencv_the_verbs_say_so():
    for words in (("demo",), ("demo", "--speech"), ("evaluate",), ("evaluate", "--speech"), probed("--picture", "found.png"), headed("--picture", "heads.png")):
        refused(*words, says=("GAZE_WITH_OPENCV=ON",))


@case
def demo_answers_the_shipped_photographs():
    out = done_by("demo", "--out", "out")
    asked = json.loads((SOURCE / "samples/data/demo/demo.json").read_text())
    questions = [(prompt["text"], prompt["answer"]) for picture in asked["pictures"] for prompt in picture["prompts"]]
    expect(len(questions) >= 6 and len(bundles("out")) == len(questions) + 1, len(questions), len(bundles("out")))
    paths = re.findall(r"^  overlays  (.*)$", out, re.MULTILINE)
    truths = re.findall(r"^  truth     (.*?)(?:   <-- differs)?$", out, re.MULTILINE)
    answers = re.findall(r"^  answered  (.*?)(?:   \((?:grounded|weak|not grounded|cannot say)\))?$", out, re.MULTILINE)
    expect(truths == [answer for _, answer in questions] + ["there is none"], truths)
    expect(sorted(paths) == [str(bundle) for bundle in bundles("out")], paths)
    for path, answer, (prompt, _) in zip(paths, answers, questions):
        request = request_of(Path(path))
        expect(request["prompt"] == prompt and request["answer"] == answer and request["error"] is None, request)
        expect((Path(path) / "report.html").exists(), path)
    right = sum(answer == truth for answer, (_, truth) in zip(answers, questions))
    expect(f"{right} of {len(questions)} answers about photographs right" in out, out.splitlines()[-4:])
    # What is said of nothing is caught.
    verdicts = [request_of(Path(path))["grounding"]["verdict"] for path in paths]
    expect(verdicts[-1] == "not grounded" and verdicts.count("grounded") >= len(questions) // 2, verdicts)
    expect(Path("out/index.html").exists() and "index.html" in out.splitlines()[-2], out.splitlines()[-2:])
    expect(right >= len(questions) * 3 // 4, f"{right} right")


@case
def demo_without_its_data():
    refused("demo", "--data", "nowhere", says=("nowhere", "--data"))
    os.makedirs("data/demo")
    Path("data/demo/demo.json").write_text("{}")
    refused("demo", "--data", ".", says=("demo.json",))


@case
def evaluate_for_people():
    out = done_by("evaluate", "--scenes", "3")
    expect(re.search(r"^exact answers +[\d.]+ %  \d of 3$", out, re.MULTILINE), out)
    expect("raw mean" in out and "pointing" in out, out)
    again = json.loads(done_by("evaluate", "--scenes", "3", "--json"))
    expect(again == json.loads(done_by("evaluate", "--scenes", "3", "--json", GAZE_HEADS="min", GAZE_PROFILE="missing.json")), "the environment changes no figure")
    Path("lonely.pt").write_bytes(sdpa().read_bytes())
    refused("evaluate", "--scenes", "1", "--model", "lonely.pt", says=("profile.json",))


# ---- grounding

def area(supported: list[float], unsupported: list[float]) -> float | None:
    """The share of pairs in the right order, a tie counting half."""
    if not supported or not unsupported:
        return None
    return sum((a > b) + (a == b) / 2 for a in supported for b in unsupported) / len(supported) / len(unsupported)


def verdict_of(score: float | None, limits: dict, of: str) -> str:
    if score is None:
        return "cannot say"
    return "not grounded" if score < limits[of + "_weak"] else "weak" if score < limits[of + "_grounded"] else "grounded"


def check_judged(told: dict, limits: dict | None, of: str) -> None:
    """A report against its own cases: areas by pairs, counts, and verdicts by the limits."""
    cases = told["cases"]
    scores = lambda wanted: [case["score"] for case in cases if wanted(case) and case["score"] is not None]
    right = scores(lambda case: case["supported"])
    near = lambda a, b: a == b or (a is not None and b is not None and abs(a - b) <= 1e-4)
    expect(near(told["auc"], area(right, scores(lambda case: not case["supported"] and case["judged_together"]))), of, told["auc"])
    expect(sum(kind["cases"] for kind in told["kinds"]) == len(cases), of, told["kinds"])
    for kind in told["kinds"]:
        same = lambda case: (case["kind"], case["supported"]) == (kind["kind"], kind["supported"])
        expect(near(kind["auc"], None if kind["supported"] else area(right, scores(same))), of, kind)
        for verdict in ("grounded", "weak", "not grounded", "cannot say"):
            expect(kind[verdict] == sum(same(case) and case["verdict"] == verdict for case in cases), of, kind)
    for case in cases:
        expect(case["score"] is None or 0 <= case["score"] <= 1, case)
        expect(case["verdict"] == (verdict_of(case["score"], limits, of) if limits else "cannot say"), of, case)


def check_evaluated(folder: str, kinds: set[str], blank: str, *words) -> None:
    told = json.loads(done_by("evaluate", "--grounding", "--json", *words))
    limits = json.loads((SOURCE / "samples/models" / folder / "profile.json").read_text())["grounding"]
    check_judged(told["answers"], limits, "answer")
    check_judged(told["words"], limits, "word")
    found = {kind["kind"]: kind for kind in told["answers"]["kinds"]}
    expect(kinds <= set(found), found)
    expect(found[blank]["auc"] == 1 and found[blank]["grounded"] == 0, folder, found[blank])


@case
def evaluate_grounding_counts_what_it_says():
    kinds = {"right", "plain colour", "noise", "photograph", "absent sticker", "said over noise", "said over another scene"}
    check_evaluated("stickers", kinds, "said over plain colour", "--scenes", "6")
    check_evaluated("early_fusion", kinds, "said over plain colour", "--scenes", "4", "--model", SOURCE / "samples/models/early_fusion/early_fusion_sdpa.pt")
    captions = kinds - {"absent sticker"}
    check_evaluated("captioner", captions, "said over plain colour", "--scenes", "4", "--model", SOURCE / "samples/models/captioner/captioner.pt")
    out = done_by("evaluate", "--grounding", "--scenes", "3")
    expect("area under the ROC curve" in out and "said over noise" in out, out)
    expect(out == done_by("evaluate", "--grounding", "--scenes", "3", GAZE_HEADS="min"), "the environment changes no figure")


@case
def speech_grounding_counts_what_it_says():
    check_evaluated("speech", {"right", "silence", "tones", "said over silence", "said over other words"}, "said over silence", "--speech", "--recordings", "3")


def grounded(*words, inputs=("which.pt",) * 10) -> tuple:
    return ("ground", sdpa(), "--inputs", *(FILES / name for name in inputs), "--method", "generate", *words)


@case
def ground_writes_limits_that_run_judges_by():
    told = json.loads(done_by(*grounded("--json", "--out", "limits.json")))
    check_judged(told["answers"], json.loads((STICKERS / "profile.json").read_text())["grounding"], "answer")
    profile, given = json.loads(Path("limits.json").read_text()), json.loads((STICKERS / "profile.json").read_text())
    expect(profile["grounding"] == told["grounding"], profile["grounding"])
    expect({**profile, "grounding": 0, "tokens": 0} == {**given, "grounding": 0, "tokens": 0}, profile)
    # The quantiles that the page names, anew.
    for of in ("answer", "word"):
        cases = told[of + "s"]["cases"]
        quantile = lambda values, at: (lambda v, x: v[int(x)] + (x - int(x)) * (v[min(int(x) + 1, len(v) - 1)] - v[int(x)]))(sorted(values), at * (len(values) - 1))
        right = [case["score"] for case in cases if case["supported"]]
        wrong = [case["score"] for case in cases if not case["supported"]]
        expect(abs(told["grounding"][of + "_weak"] - quantile(right, 0.02)) <= 1e-4, of, told["grounding"])
        expect(abs(told["grounding"][of + "_grounded"] - max(quantile(right, 0.1), quantile(wrong, 0.95))) <= 1e-4, of, told["grounding"])
    expect(told == json.loads(done_by(*grounded("--json"))), "the same inputs, the same limits")
    done_by("run", alone(), "--inputs", FILES / "which.pt", "--method", "generate", "--profile", "limits.json", "--image", photo(), "--out", "out")
    request = request_of(bundles("out")[0])
    expect(request["grounding"]["verdict"] == "grounded" and request["words"][0]["grounding"]["verdict"] == "grounded", request["grounding"])
    expect(abs(request["grounding"]["score"] - told["answers"]["cases"][0]["score"]) < 1e-5, request["grounding"])
    # Limits hold for the heads they were measured with.
    done_by("run", alone(), "--inputs", FILES / "which.pt", "--method", "generate", "--profile", "limits.json", "--image", photo(), "--out", "max", GAZE_HEADS="max")
    expect(request_of(bundles("max")[0])["grounding"]["verdict"] == "cannot say", "other heads")


@case
def ground_refuses_what_it_cannot_measure():
    refused(*grounded("--out", "few.json", inputs=("which.pt",) * 3), says=("--inputs", "at least 10"))
    refused(*grounded("--out", "silent.json", inputs=("generate.pt",) * 10), says=("--inputs", "at least 10"))  # nothing is said of nothing
    expect(not Path("few.json").exists() and not Path("silent.json").exists())
    refused("ground", alone(), *grounded()[2:], says=("--profile", "gaze probe"))
    refused(*grounded("--out", "missing/limits.json"), says=("--out", "missing/limits.json"))
    refused("ground", sdpa(), "--inputs", FILES / "encode.pt", "--method", "decode_step", says=("decode_step",))
    refused("ground", sdpa(), "--inputs", FILES / "wrong_size.pt", "--method", "generate", says=("generate", "error from it"))


# ---- speech

def shipped_recordings() -> list[dict]:
    return json.loads((SOURCE / "samples/data/speech/demo/demo.json").read_text())["recordings"]


@case
def speech_demo_writes_down_the_shipped_recordings():
    out = done_by("demo", "--speech", "--out", "out")
    shipped = shipped_recordings()
    paths = re.findall(r"^  overlays  (.*)$", out, re.MULTILINE)
    expect(sorted(paths) == [str(bundle) for bundle in bundles("out")] and len(paths) == len(shipped), paths)
    right = 0
    for path, recording in zip(paths, shipped):
        request = request_of(Path(path))
        expect(request["error"] is None and request["request_id"] == recording["file"], request)
        for name in ("overlay.jpg", "report.html", "words.json"):
            expect((Path(path) / name).exists(), path, name)
        words = json.loads((Path(path) / "words.json").read_text())["words"]
        expect([word["text"] for word in words] == [word["text"] for word in request["words"]], words)
        starts = [word["start"] for word in words]
        expect(starts == sorted(starts) and all(word["end"] > word["start"] for word in words), words)
        expect(all(0 <= word["start"] and word["end"] <= request["sound"]["seconds"] + 1e-3 for word in words), words)
        if recording["words"] and request["answer"] == recording["answer"]:
            right += 1
            for word, truth in zip(words, recording["words"]):
                expect(abs(word["start"] - truth["start"]) < 0.5 and abs(word["end"] - truth["end"]) < 0.5, word, truth)
    expect(right >= 3, out)
    # A person is heard, not understood: nothing is promised but a bundle that says so.
    expect("people-novel.ogg" in out, out)


@case
def speech_demo_hears_files_of_other_rates_and_lengths():
    def wav(path: str, rate: int, samples: list[int], channels: int = 1, width: int = 2) -> None:
        data = b"".join(int(s).to_bytes(width, "little", signed=width > 1) for s in samples)
        Path(path).write_bytes(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack(
            "<IHHIIHH", 16, 1, channels, rate, rate * channels * width, channels * width, 8 * width) + b"data" + struct.pack("<I", len(data)) + data)
    tone = lambda rate, seconds: [8000 * math.sin(2764 * i / rate) for i in range(int(rate * seconds))]
    wav("low.wav", 8000, tone(8000, 1.5))
    wav("high.wav", 192000, tone(192000, 0.5))
    wav("eight_bit.wav", 11025, [128 + s / 256 for s in tone(11025, 1)], width=1)
    wav("seven.wav", 16000, tone(16000, 7), channels=7)
    wav("one.wav", 16000, [1000])
    wav("silent.wav", 44100, [0] * 44100)
    wav("clipped.wav", 16000, [max(-32768, min(32767, 9 * s)) for s in tone(16000, 1)])
    wav("long.wav", 16000, tone(16000, 20))
    names = ("low", "high", "eight_bit", "seven", "one", "silent", "clipped", "long")
    files = [f"{name}.wav" for name in names]
    done_by("demo", "--speech", "--audio", *files, "--out", "out")
    requests = {request["request_id"]: request for request in map(request_of, bundles("out"))}
    expect(set(requests) == set(files), set(requests))
    for name, seconds in zip(names, (1.5, 0.5, 1, 1, 1 / 16000, 1, 1, 20)):
        sound = requests[f"{name}.wav"]["sound"]
        expect(abs(sound["seconds"] - seconds) < 1e-3, name, sound)
    expect(requests["seven.wav"]["sound"]["channels"] == 7 and requests["high.wav"]["sound"]["sample_rate_hz"] == 192000, requests["seven.wav"]["sound"])
    expect(requests["long.wav"]["sound"]["windows"] >= 3, requests["long.wav"]["sound"])
    expect(all(word["silence"] for word in requests["silent.wav"]["words"]), requests["silent.wav"]["words"])


@case
def speech_demo_divides_an_hour():
    rate, seconds = 16000, 3600
    word = bytes(b for i in range(rate) for b in int(8000 * math.sin(2764 * i / rate)).to_bytes(2, "little", signed=True))
    data = bytearray(2 * rate * seconds)
    for at in (3, 299, 1800, 3598):
        data[2 * rate * at:2 * rate * (at + 1)] = word
    Path("hour.wav").write_bytes(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack(
        "<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16) + b"data" + struct.pack("<I", len(data)) + data)
    done_by("demo", "--speech", "--audio", "hour.wav", "--out", "out")
    parts = sorted((request_of(bundle)["sound"] for bundle in bundles("out")), key=lambda sound: sound["start_seconds"])
    expect(len(parts) >= 12, len(parts))
    end = 0
    for sound in parts:  # one after the other, without a gap
        expect(abs(sound["start_seconds"] - end) < 1e-3 and sound["seconds"] <= 300, parts)
        end = sound["start_seconds"] + sound["seconds"]
    expect(abs(end - seconds) < 1e-3, parts)
    for bundle in bundles("out"):
        request = request_of(bundle)
        expect(not request["error"] and (bundle / "report.html").exists(), request["error"])
        for heard in request["words"]:
            first = request["sound"]["start_seconds"]
            expect(first - 1e-3 <= heard["start"] < heard["end"] <= first + request["sound"]["seconds"] + 1e-3, heard)


@case
def speech_demo_refuses_what_is_no_sound():
    Path("text.wav").write_text("this is no sound at all, whatever its name says")
    Path("empty.wav").write_bytes(b"")
    whole = (SOURCE / "samples/data/speech/demo/hum.ogg").read_bytes()
    Path("cut.ogg").write_bytes(whole[:30])
    for name in ("text.wav", "empty.wav", "cut.ogg", "missing.wav"):
        refused("demo", "--speech", "--audio", name, "--out", "out", says=(name,))
    expect(gaze("demo", "--audio", "text.wav").returncode == 2, "--audio goes with --speech")


@case
def speech_overlays_of_a_model_of_ones_own():
    model, data = SOURCE / "samples/models/speech/speech.pt", SOURCE / "samples/data/speech/demo"
    inputs = ("--inputs", FILES / "speech_inputs.pt", "--method", "generate", "--out", "out")
    done_by("run", model, *inputs, "--word-files", "vtt,srt,textgrid")
    bundle, = bundles("out")
    for name in ("words.vtt", "words.srt", "words.TextGrid", "words.json", "report.html"):
        expect((bundle / name).exists(), name)
    expect((bundle / "words.vtt").read_text().startswith("WEBVTT"), "vtt")
    request = request_of(bundle)
    expect(request["sound"]["aligned"] == "attention" and abs(request["sound"]["seconds"] - 2) < 0.1, request["sound"])
    done_by("run", model, "--align-to-energy", *inputs[:-1], "moved")
    expect("energy" in request_of(bundles("moved")[0])["sound"]["aligned"], "said")
    # The recording of somebody else is longer than what the model is given, or shorter than what sounds in it.
    refused("run", model, *inputs, "--audio", data / "long.ogg", says=("sound", "2.00 s", "18.38 s"))
    of_hum = ("--inputs", FILES / "speech_hum.pt", *inputs[2:-1], "hum")
    refused("run", model, *of_hum, "--audio", data / "white-noise.ogg", says=("sound that the model is given", "white-noise.ogg"))
    done_by("run", model, *of_hum, "--audio", data / "hum.ogg")
    expect(len(bundles("hum")) == 1, "its own recording")
    refused("run", model, *inputs, "--image", photo(), says=("--image", "--audio"))
    refused("run", sdpa(), "--inputs", FILES / "generate.pt", "--method", "generate", "--audio", data / "hum.ogg", says=("--audio", "--image"))
    refused("run", model, *inputs, "--audio", "missing.wav", says=("missing.wav",))


@case
def overlays_of_a_picture_and_a_sound_of_one_model():
    site = json.loads(done_by("sites", FILES / "omni.pt", "--json"))["sites"][0]["name"]
    profile = {"gaze_profile": 1, "sites": {"match": [site]}, "image": {"argument": {"forward": 0}}, "geometry": {"rows": 3, "cols": 4},
               "sound": {"argument": {"forward": 1}, "sample_rate_hz": 1000, "beside": {"first_key": 12, "keys": 20, "seconds_per_key": 0.05}}}
    Path("omni.json").write_text(json.dumps(profile))
    run = ("run", FILES / "omni.pt", "--inputs", FILES / "omni_inputs.pt", "--profile", "omni.json")
    done_by(*run, "--out", "own")
    refused(*run, "--audio", SOURCE / "samples/data/speech/demo/long.ogg", "--out", "long", says=("sound", "1.00 s"))
    done_by(*run, "--image", photo(), "--out", "given")
    for out in ("own", "given"):
        bundle, = bundles(out)
        for name in ("overlay.jpg", "report.html", "sound-2/overlay.jpg", "sound-2/words.json"):
            expect((bundle / name).exists(), out, name)
        request = request_of(bundle)
        more, = request["more_maps"]
        expect(more["medium"] == "sound" and abs(more["sound"]["seconds"] - 1) < 1e-6, more["sound"])
        # What the row gave to both is all that it had.
        expect(abs(request["summary"]["mass"] + more["summary"]["mass"] - 1) < 1e-5, request["summary"], more["summary"])
    expect(request_of(bundles("given")[0])["picture"]["width"] > 32, "the photograph")


@case
def speech_probe_finds_the_seconds_per_key_and_the_padding():
    model = SOURCE / "samples/models/speech/speech.pt"
    padding = {"speech_inputs.pt": 300, "speech_padded_inputs.pt": 300, "speech_long.pt": 0, "speech_hum.pt": 162, "speech_music.pt": 199,
               "speech_pink-noise.pt": 209, "speech_white-noise.pt": 276, "speech_people-cards.pt": 224, "speech_people-five.pt": 322}
    # A tone, and recordings so short that no one number of samples is certain.
    open_times = {"speech_inputs.pt": 6e-4, "speech_white-noise.pt": 1e-4, "speech_people-five.pt": 1e-4}
    for inputs, padded in padding.items():
        probe = ("probe", model, "--inputs", FILES / inputs, "--method", "generate", "--audio-arg", "0", "--sample-rate", "16000")
        out = done_by(*probe, "--out", "probed.json")
        geometry = json.loads(Path("probed.json").read_text())["geometry"]["time"]
        expect(geometry["keys"] == 400 and geometry.get("first_seconds", 0) == 0, inputs, geometry)
        far = abs(geometry["seconds_per_key"] - 0.02)
        expect(far < open_times.get(inputs, 1e-9) and ("give or take" in out) == (inputs in open_times), inputs, geometry, out)
        told = re.search(r"the last (\d+) keys", out)
        expect(abs((int(told[1]) if told else 0) - padded) <= 1, inputs, out)
        expect(("the sound after 8.04 s changes no key" in out) == (inputs == "speech_long.pt"), "what lies behind the window", inputs, out)
    done_by(*probe, "--profile", SOURCE / "samples/models/speech/profile.json")
    done_by("run", model, "--inputs", FILES / "speech_hum.pt", "--method", "generate", "--profile", "probed.json", "--out", "out")
    expect(abs(request_of(bundles("out")[0])["sound"]["seconds"] - 4.75) < 0.01, "a profile as it was found draws")
    Path("wrong.json").write_text(Path("probed.json").read_text().replace(str(geometry["seconds_per_key"]), "0.025"))
    expect("differs" in gaze(*probe, "--profile", "wrong.json").stdout, "another time")


@case
def speech_heads_are_drawn():
    model = SOURCE / "samples/models/speech/speech.pt"
    done_by("heads", model, "--inputs", FILES / "speech_inputs.pt", "--method", "generate", "--picture", "heads.png")
    expect(Path("heads.png").stat().st_size > 1000, "a picture of one row of cells")


@case
def speech_is_evaluated_for_people():
    out = done_by("evaluate", "--speech", "--recordings", "2")
    expect(re.search(r"^word error rate +[\d.]+ %", out, re.MULTILINE) and "median" in out, out)
    figures = json.loads(done_by("evaluate", "--speech", "--recordings", "2", "--json", "--align-to-energy"))
    expect(figures["recordings"] == 2 and "energy" in figures["aligned"], figures)


def main() -> None:
    global GAZE, FILES, SOURCE, STICKERS
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    for name in ("gaze", "files", "source"):
        parser.add_argument("--" + name, type=Path)
    parser.add_argument("case", nargs="?")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return
    GAZE, FILES, SOURCE = (path.resolve() for path in (arguments.gaze, arguments.files, arguments.source))
    STICKERS = SOURCE / "samples/models/stickers"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        CASES[arguments.case]()
        os.chdir("/")


if __name__ == "__main__":
    main()
