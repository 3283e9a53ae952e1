#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets of a build: run.py BUILD [--seconds N | --runs N] [--jobs N] [TARGET...]

Corpora grow in BUILD/corpus; the first inputs are made here or are the samples. What fell lies in BUILD/fell.
"""
import argparse
import concurrent.futures
import io
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import types

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TARGETS = {  # most bytes of an input
    "profile": 4096, "control": 1024, "environment": 512, "image_header": 8192, "audio_header": 1024, "png": 1024, "words": 1024, "alignment": 4096, "inputs": 2048, "vocabulary": 4096,
    "bundle": 4096, "ledger": 4096, "escaping": 512}


def pickled_tensors():
    """As torch.save writes them, without torch: modules of its names, whose classes are pickled by name."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage_type = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2(*_):
        raise AssertionError("only its name is pickled")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    torch.FloatStorage, torch._utils, utils._rebuild_tensor_v2 = storage_type, utils, _rebuild_tensor_v2

    class Storage:
        def __init__(self, key):
            self.key = key

    class Tensor:
        def __init__(self, key, offset, sizes, strides):
            self.arguments = (Storage(key), offset, sizes, strides, False, {})

        def __reduce__(self):
            return _rebuild_tensor_v2, self.arguments

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", storage_type, value.key, "cpu", 64) if isinstance(value, Storage) else None

    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        for value in [Tensor("0", 0, (4, 16), (16, 1)), (Tensor("0", 0, (64,), (1,)), 3), {"x": Tensor("1", 4, (2, 3), (3, 1)), "y": 1},
                      [Tensor("0", 0, (8, 8), (1, 8))], (Tensor("1", 0, (), ()),)]:
            out = io.BytesIO()
            Pickler(out, protocol=2).dump(value)
            yield out.getvalue()
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]


def seeds(target):
    if target == "profile":
        for file in sorted(SOURCE.glob("samples/models/*/profile.json")):
            yield b"\x04\x04\x04\x04\x05\x00\x10\x10" + file.read_bytes()
        for heads in [b"topk:3", b"max:1-2", b"vtt,srt,textgrid", b"turbo"]:
            yield b"\x04" * 8 + heads
    elif target == "control":
        yield b"# at night\ncapture = off\nsample_rate = 0.01\nnext = 5\nids = 42*\nprompts = *invoice*\nper_second = 2\nkeep = flagged,slow:2.5,long:200\nuntil = 1796083200\n"
        yield b"flagged,slow:0.5,long:7"
        yield b"*a?b**caxbyyc"
    elif target == "environment":
        values = [b"1", b"0", b"out", b"profile.json", b"0.01", b"max:1-2", b"topk:3", b"turbo", b"jpeg", b"map", b"vtt,srt", b"1000000", b"8", b"warn"]
        yield b"\xff\x3f\x00" + b"\0".join(values)
        yield b"\xff\x3f\x01" + b"\0".join(values)
    elif target == "image_header":
        for file in sorted(SOURCE.glob("samples/data/*/*.jpg"))[:4] + sorted(SOURCE.glob("docs/**/*.png"))[:4]:
            yield file.read_bytes()[:8192]
        yield bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154089963f8cfc0000003010100"
                            "c9fe92ef0000000049454e44ae426082")
        yield b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
        still = b"VP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
        turned = b"EXIF\x1a\0\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
        for flags, parts in ((8, still + turned), (10, b"ANIM\x06\0\0\0" + bytes(6) + b"ANMF" + (16 + len(still)).to_bytes(4, "little") + bytes(16) + still + turned)):
            body = b"WEBPVP8X\x0a\0\0\0" + bytes([flags]) + bytes(9) + parts
            yield b"RIFF" + len(body).to_bytes(4, "little") + body
        for head in (b"GIF89a", b"II*\0", b"\0\0\0\x1cftypheic", b"P6\n1 1\n255\n", b"<svg "):
            yield head
        yield "a\u2028b\x1b[31m \ud7ff \U0001f600 ".encode() + b"\xed\xa0\x80\xff"
    elif target == "words":
        yield b"\x04\x00" + b"\0" * 24 + b"\xe2\x96\x81to\0ken\0 <x> -->\0##s\0" + b"\x00\x00\x80\x3f" * 24
    elif target == "vocabulary":
        answer = b"\x0c\x00" + bytes(range(12))
        yield b"\0" + answer + b'["<s>", "\xc4\xa0caf", "\xc3\x83\xc2\xa9", "\xe2\x96\x81ok", "##s", "a</w>", "b@@", "<0xC3>"]'
        yield b"\0" + answer + b'{"a": 0, "b": 2}'
        yield (b"\0" + answer + b'{"added_tokens": [{"id": 3, "content": "<s>", "special": true}], "decoder": {"type": "Sequence", "decoders": [{"type": '
               b'"Replace", "pattern": {"String": "_"}, "content": " "}]}, "model": {"type": "BPE", "unk_token": "u", "vocab": {"_a": 0, "b": 1}, "merges": []}}')
        yield b"\0" + answer + b'{"decoder": {"type": "ByteLevel"}, "model": {"type": "Unigram", "unk_id": 0, "vocab": [["u", 0.5], ["x", -1]]}}'
        yield b"\1" + answer + b"[PAD]\nre\n##d\n\n"
        yield b"\2" + answer + b"\x0a\x0c\x0a\x05<unk>\x15\0\0\0\0\x18\x02\x0a\x0b\x0a\x04\xe2\x96\x81a\x15\0\0\0\0"
        yield b"\3" + answer + b"Y2Fm 0\nww== 1\nqQ== 2\n"
    elif target == "audio_header":
        fmt = b"fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0"
        for length in (4, 0, 0xFFFFFFFF, 0x7FFFF000, 1000):
            size = length.to_bytes(4, "little")
            yield b"RIFF" + size + b"WAVE" + fmt + b"data" + size + b"\1\2\3\4"
            yield b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + (size + bytes(4)) * 3 + bytes(4) + fmt + b"data\xff\xff\xff\xff\1\2\3\4"
            yield (b"FORM" + size[::-1] + b"AIFFCOMM\0\0\0\x12\0\1" + size[::-1] + b"\0\x10\x40\x0b\xfa" + bytes(7) + b"SSND" + size[::-1] + bytes(8) + b"\1\2\3\4")
            yield b".snd\0\0\0\x18" + size[::-1] + b"\0\0\0\3\0\0\x1f\x40\0\0\0\1\1\2\3\4"
            yield b"caff\0\1\0\0data" + bytes(4) + size[::-1] + bytes(4) + b"\1\2\3\4"
        yield bytes.fromhex("726966662e91cf11a5d628db04c10000") + (140).to_bytes(8, "little") + b"wave" + bytes(12) + b"data" + bytes(12) + (28).to_bytes(8, "little") + b"\1\2\3\4"
    elif target == "inputs":
        for pickled in pickled_tensors():
            yield pickled
            # As the value of an ordered dict, and within what a processor returned.
            value = pickled[2:-1]
            yield b"\x80\x02ccollections\nOrderedDict\n)R(X\1\0\0\0a" + value + b"u."
            yield b"\x80\x02ctransformers.x\nBatchFeature\n)\x81}(X\4\0\0\0data}(X\1\0\0\0a" + value + b"uub."
    elif target == "bundle":
        request = {"gaze_request": 1, "request_id": "1", "error": None, "keys": 6, "geometry": {"kind": "grid", "rows": 2, "cols": 3}, "mass": 0.5,
                   "words": [{"text": "red", "first": 0, "count": 1, "mass": 0.5, "content": True, "diffuse": False, "grounding": {"verdict": "weak", "why": "x", "score": 0.2}},
                             {"text": "cup", "first": 1, "count": 1}], "grounding": {"verdict": "grounded", "why": "y", "score": 0.9},
                   "files": ["overlay.jpg", "words/01-red.jpg"], "tokens": [], "note": ""}
        for name, kind, shape, width in (("map_tk", "F16", [2, 6], 2), ("map_tk", "F32", [2, 6], 4), ("map_tyx", "F16", [2, 2, 3], 2), ("a.most_th", "F32", [2, 2], 4)):
            size = width
            for extent in shape:
                size *= extent
            header = json.dumps({"__metadata__": {"format": "pt"}, name: {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
            yield json.dumps(request).encode() + b"\0" + len(header).to_bytes(8, "little") + header + bytes(range(size))
            yield b"{\0" + len(header).to_bytes(8, "little") + header + b"\x3c" * size
        yield b"words/01-red.jpg\0"
    elif target == "ledger":
        digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        name = "20260102T030405Z-" + "5f" * 16
        yield json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "request.json", "digest": {"sha256": digest}}],
                          "predicateType": "https://gaze.invalid/bundle/v1", "predicate": {"sequence": 1, "unchained": None, "previous": None, "bundle": name,
                          "request_id_sha256": digest, "time": "2026-01-02T03:04:05Z", "gaze_version": "0.2.0", "writer": {"host": "h", "pid": 1}, "signer": None}}).encode()
        yield json.dumps({"sequence": 2, "manifest": digest, "bundle": name, "pending": {"sequence": 3, "manifest": digest, "bundle": name}, "pending_bytes": 5,
                          "deleted": digest, "bytes": 100, "counted": 1}).encode()
        yield json.dumps({"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": [{"keyid": digest, "sig": "c2ln"}]}).encode()
        yield b"request.json\0" + digest.encode() + b"\0\1\0\0" + digest.encode() + b"\0" + name.encode() + b"\0host\0" + bytes(8) + b"\0"
    elif target == "escaping":
        for text in (b"plain", b"</script><script>alert(1)</script>", b"=1+1", b'a,"b"\n', b"\x1b[31mred\x07", "\u2028\u202e\ud7ff\U0001f600".encode(), b"\xed\xa0\x80\xff", b"'=x", b"\0"):
            yield text
    else:
        yield bytes(range(256))


def run(build, target, arguments):
    corpus, fell = build / "corpus" / target, build / "fell"
    corpus.mkdir(parents=True, exist_ok=True)
    fell.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limit = [f"-runs={arguments.runs}"] if arguments.runs else [f"-max_total_time={arguments.seconds}"]
    # A hang is one within CI's patience; libFuzzer's memory limit is the amplification that is allowed.
    command = [build / "tests" / "fuzz" / f"gaze_{target}_fuzz", corpus, *limit, f"-max_len={TARGETS[target]}", "-timeout=20", "-rss_limit_mb=2048",
               "-print_final_stats=1", f"-artifact_prefix={fell}/{target}-"]
    environment = dict(os.environ, ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=1", OMP_NUM_THREADS="1",
                       LSAN_OPTIONS=f"suppressions={SOURCE}/tests/support/lsan.supp:print_suppressions=0")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False)
    text = done.stdout.decode(errors="replace")
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    executions = int(found.group(1)) if found else max([int(n) for n in re.findall(r"^#(\d+)", text, re.M)], default=0)
    print(f"{target}: {executions} executions{', fell' if done.returncode else ''}", flush=True)
    if done.returncode:
        (fell / f"{target}.log").write_text(text)
        told = [line for line in text.splitlines() if re.search(r"does not hold|ERROR|runtime error|#[0-9]+ 0x\S+ in gaze::|Test unit written|SUMMARY", line)]
        print("\n".join("  " + line[:300] for line in told[:12]), flush=True)
    return executions, done.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("targets", nargs="*", help="of " + ", ".join(TARGETS) + "; all unless named")
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--runs", type=int, default=0, help="executions of each target instead")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    arguments = parser.parse_intermixed_args()
    for target in arguments.targets:
        if target not in TARGETS:
            parser.error(f"target: expected one of {', '.join(TARGETS)}, got {target}")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda target: run(arguments.build.resolve(), target, arguments), arguments.targets or TARGETS))
    fallen = sum(1 for _, status in results if status)
    print(f"fuzz: {len(results)} targets, {sum(executions for executions, _ in results)} executions, {fallen} fell")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
