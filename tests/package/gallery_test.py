"""The verbs that read bundles, from outside: gaze report, gaze diff, gaze pack.

Usage: gallery_test.py --list | gallery_test.py --gaze PROGRAM --source DIR CASE
A case is a function below; it runs in an empty folder of its own.
"""
import argparse
import base64
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import made_bundles as made

GAZE = SOURCE = Path()
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def gaze(*words, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")}
    done = subprocess.run([GAZE, *words], env=clean | environment, capture_output=True, timeout=240, stdin=subprocess.DEVNULL)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


def expect(condition: bool, *what) -> None:
    if not condition:
        sys.exit("expected otherwise: " + " | ".join(map(str, what)))


def done_by(*words) -> str:
    done = gaze(*words)
    expect(done.returncode == 0 and (done.stderr == "" or re.fullmatch(r"(gaze: report .*\n)+", done.stderr)), words, done.returncode, done.stderr)
    return done.stdout


def refused(*words, says: tuple[str, ...] = ()) -> str:
    done = gaze(*words)
    expect(done.returncode == 1, words, done.returncode, done.stdout, done.stderr)
    line, = done.stderr.splitlines()
    expect(re.search(r"expected .*\b(got|found)\b|cannot ", line), line)
    for word in says:
        expect(word in line, f"no {word!r}", line)
    return line


def chunk(file: Path) -> list[dict]:
    text = file.read_text()
    return json.loads(text[text.index("["):text.rindex("]") + 1])


def rows(page="index.html", kind="rows") -> list[dict]:
    """All rows of a gallery, in order."""
    page = Path(page)
    files = sorted((page.parent / f"{page.stem}-data").glob(f"{kind}-*.js"))
    return [row for file in files for row in chunk(file)]


def data_of(page) -> dict:
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', Path(page).read_text(), re.DOTALL)[1])


def numbers(text: str) -> list[int]:
    return [int(each) for each in re.search(r"(\d+) answers below .*: (\d+) read, (\d+) as they were, (\d+) unreadable", text).groups()]


def policy_of(page: str) -> str:
    return re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]


# ---- report

@case
def the_page_is_its_source_and_its_policy_names_what_runs():
    made.write(Path("a", made.name_of(1)), made.request())
    made.write(Path("b", made.name_of(1)), made.request("a blue seven"))
    done_by("report", "a", "--out", "index.html")
    done_by("diff", Path("a", made.name_of(1)), Path("b", made.name_of(1)), "--out", "diff.html")
    for page, source in (("index.html", "gallery.html"), ("diff.html", "diff.html")):
        text, before = Path(page).read_text(), (SOURCE / "samples/cli" / source).read_text()
        policy = policy_of(text)
        data = re.search(r'application/json">(.*?)</script>', text, re.DOTALL)[1]
        expect(text.replace(policy, "POLICY_OF_THE_PAGE").replace(data, "DATA_OF_THE_PAGE") == before, "another text than", source)
        for tag in ("style", "script"):
            inner = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
            digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
            expect(f"{tag}-src 'sha256-{digest}'" in policy, tag, policy)
        expect(policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy and "*" not in policy, policy)
        expect(Path(page).stat().st_mode & 0o777 == 0o600, "as private as a bundle", page)


@case
def every_text_comes_through_and_stays_text():
    for number, text in enumerate(made.HOSTILE):
        changed = made.request(request_id=text, prompt=text, answer=text, profile=text, words=[made.word(text)], attributes={text: text}, drops={text: 2},
                               grounding={"verdict": text, "score": None, "why": text}, model={"path": "/m/" + text.replace("/", ""), "sha256": text})
        made.write(Path("a", made.name_of(number)), changed)
    done_by("report", "a", "--table", "t.csv")
    raw = "".join(file.read_text() for file in Path("a/index-data").iterdir())
    expect("<" not in raw, "markup in a script of data")
    listed = rows("a/index.html")
    expect([row["answer"] for row in listed] == made.HOSTILE[::-1], "newest first, whole", [row["answer"] for row in listed])
    for row, text in zip(listed, made.HOSTILE[::-1]):
        expect(row["request_id"] == row["prompt"] == row["profile"] == row["verdict"] == row["why"] == row["words"][0][0] == text and row["drops"] == {text: 2}, row)
    with open("t.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for row, text in zip(table, made.HOSTILE[::-1]):
        for column in ("request_id", "prompt", "answer", "word", "answer_verdict"):
            cell = row[column]
            expect(cell[:1] not in tuple("=+-@\t\r\n＝＋－＠"), "a spreadsheet would run", cell)
            expect(cell.removeprefix("'") == text, "one apostrophe less is the text", cell, text)


@case
def two_thousand_words_are_in_the_table_and_a_hundred_in_the_page():
    words = [made.word(f"w{i}", i, mass=i / 2000, flags=["gathered"] if i == 1999 else [], content=i % 2 == 0) for i in range(2000)]
    made.write(Path("a", made.name_of(1)), made.request(" ".join(each["text"] for each in words), words=words))
    done_by("report", "a", "--table", "t.csv")
    row, = rows("a/index.html")
    expect(len(row["words"]) == 100 and row["more_words"] == 1900 and row["answer"].endswith("…") and len(row["answer"]) <= 2001, row["more_words"], len(row["answer"]))
    expect("gathered" in row["flags"], "a flag of a word behind them", row["flags"])
    with open("t.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    expect(len(table) == 2000 and [each["word"] for each in table] == [each["text"] for each in words], len(table))
    expect(all(float(each["mass"]) == word["mass"] and each["content"] == str(int(word["content"])) and each["word_index"] == str(i + 1)
               for i, (each, word) in enumerate(zip(table, words))), "figures of each word")
    expect(Path("t.csv").read_bytes().count(b"\r\n") == 2001, "lines end as RFC 4180 has them")


@case
def what_is_no_bundle_is_listed_with_the_reason():
    made.write(Path("a", made.name_of(1)), made.request("good"))
    damaged = {
        "empty": (b"", "JSON"), "half": (json.dumps(made.request()).encode()[:400], "half of one"), "list": (b"[]", "array"), "text": (b'"x"', "string"),
        "no version": (b"{}", "another program"), "newer": (json.dumps(made.request() | {"gaze_request": 2, "gaze_version": "9.1"}).encode(), "gaze 9.1"),
        "version as text": (json.dumps(made.request() | {"gaze_request": "1"}).encode(), "gaze_request 1"), "not UTF-8": (b'{"gaze_request": 1, "answer": "\xff"}', "JSON"),
        "nested": (b"[" * 200000, "JSON"), "long number": (b'{"gaze_request": 1e999}', ""),
    }
    for number, (name, (raw, _)) in enumerate(damaged.items()):
        made.write(Path("a", name), raw)
    half = Path("a", made.name_of(2))
    made.write(half, made.request())
    (half / "request.json").unlink()
    Path("a", "folder", "request.json").mkdir(parents=True)
    os.makedirs("a/pipe")
    os.mkfifo("a/pipe/request.json")
    Path("a", "folder of nothing").mkdir()
    Path("a", ".tmp-gaze-1234").mkdir()
    Path("a", ".tmp-gaze-1234", "request.json").write_text("{")
    out = done_by("report", "a")
    listed = {row["name"]: row for row in rows("a/index.html")}
    reasons = {name: reason for name, (_, reason) in damaged.items()} | {half.name: "deleted in part", "folder": "expected a file", "pipe": "expected a file"}
    expect(numbers(out)[0] == len(reasons) + 1 and numbers(out)[3] == len(reasons), out)
    expect(set(listed) == set(reasons) | {made.name_of(1)}, set(listed) ^ set(reasons))
    for name, reason in reasons.items():
        expect(reason in listed[name]["unreadable"], name, listed[name])
    expect(listed[made.name_of(1)]["answer"] == "good" and "unreadable" not in listed[made.name_of(1)], "what is whole is shown")


@case
def fields_of_any_other_type_are_as_if_they_were_not_there():
    whole = made.request(grounding={"verdict": "weak", "score": 0.5, "why": "x"})
    number = 0
    for field in [*whole, None]:
        if field == "gaze_request":
            continue
        for value in (None, True, -3, 1.5, "text", [], {}, [1, "a", None, [[]], {"a": 1}], {"a": {"b": [1]}, "path": 3, "verdict": [], "score": "1", "text": 4, "rows": "2", "file": {}}):
            changed = dict(whole) | ({field: value} if field else {})
            changed["words"] = changed["words"] if field else [value]
            made.write(Path("a", made.name_of(number)), changed, [[0.5] * 6] * 3)
            made.write(Path("b", made.name_of(number)), whole, [[0.5] * 6] * 3)
            number += 1
    out = done_by("report", "a", "b", "--out", "index.html", "--table", "t.csv")
    expect(numbers(out) == [2 * number, 2 * number, 0, 0], out)
    for i in range(0, number, 7):
        done_by("diff", Path("a", made.name_of(i)), Path("b", made.name_of(i)), "--json")


@case
def a_bundle_names_no_file_beyond_itself():
    Path("secret.png").write_bytes(made.PICTURE)
    names = ["../../secret.png", str(Path("secret.png").resolve()), "javascript:alert(1)", "http://host.example/x.png", "//host.example/x.png", "words/../../../secret.png", "", "a\0b", "overlay.png"]
    for number, name in enumerate(names):
        request = made.request(files=[name])
        request["summary"]["file"] = name
        made.write(Path("a", made.name_of(number)), request)
    done_by("report", "a")
    pictures = [row["picture"] for row in rows("a/index.html")][::-1]
    expect(pictures == [""] * (len(names) - 1) + ["overlay.png"], pictures)


@case
def addresses_are_relative_and_encoded():
    folder = Path(os.fsdecode(b"odd #?%\"<'&:\xc3\xa9\xff"), "b")
    made.write(folder, made.request())
    Path("out").mkdir()
    done_by("report", folder.parent, "--out", "out")
    row, = rows("out/index.html")
    expect(row["folder"] == "../odd%20%23%3F%25%22%3C%27%26%3A%C3%A9%FF/b", row["folder"])
    os.symlink("out", "link")
    done_by("report", folder.parent, "--out", "link/other.html")
    expect(rows("out/other.html")[0]["folder"] == row["folder"], "a link on the way to the page is followed as the browser does")


@case
def run_again_it_reads_what_changed():
    for number in range(2100):
        made.write(Path("a", f"{number // 100:02}", made.name_of(number)), made.request(request_id=str(number)), picture=False)
    expect(numbers(done_by("report", "a")) == [2100, 2100, 0, 0], "all are new")
    expect(sorted(os.listdir("a/index-data")) == [f"rows-000{i}.js" for i in (1, 2, 3)], os.listdir("a/index-data"))
    first = [file.read_bytes() for file in sorted(Path("a/index-data").iterdir())]
    expect(numbers(done_by("report", "a")) == [2100, 0, 2100, 0], "none changed")
    expect([file.read_bytes() for file in sorted(Path("a/index-data").iterdir())] == first, "the same bytes")
    changed = Path("a", "07", made.name_of(777), "request.json")
    changed.write_text(json.dumps(made.request("changed answer", request_id="777")))
    made.write(Path("a", "new", made.name_of(5000)), made.request(request_id="new"), picture=False)
    for number in (3, 2099):
        Path("a", f"{number // 100:02}", made.name_of(number), "request.json").unlink()
        Path("a", f"{number // 100:02}", made.name_of(number)).rmdir()
    expect(numbers(done_by("report", "a")) == [2099, 2, 2097, 0], "one changed, one new, two gone")
    listed = rows("a/index.html")
    ids = [str(number) for number in range(2098, -1, -1) if number != 3]
    expect([row["request_id"] for row in listed] == ["new", *ids] and listed[ids.index("777") + 1]["answer"] == "changed answer", "the new list")
    for number in range(150, 2100):
        if (folder := Path("a", f"{number // 100:02}", made.name_of(number))).exists():
            (folder / "request.json").unlink()
            folder.rmdir()
    expect(numbers(done_by("report", "a")) == [150, 0, 150, 0], "most are gone")
    expect(os.listdir("a/index-data") == ["rows-0001.js"], "scripts of rows that are no more", os.listdir("a/index-data"))
    Path("a/index-data/rows-0001.js").write_text(Path("a/index-data/rows-0001.js").read_text()[:5000])
    expect(numbers(done_by("report", "a"))[0] == 150 and len(rows("a/index.html")) == 150, "half a script of the last run")
    Path("a/index-data/rows-0001.js").write_text('gaze_rows("0.1.0 1",[\n{"folder":"x"}\n]);')
    expect(numbers(done_by("report", "a")) == [150, 150, 0, 0], "what another version wrote is not taken over")


@case
def the_newest_are_kept_and_the_others_counted():
    for number in range(60):
        made.write(Path("a", str(number % 7), made.name_of(number * 1000)), made.request(request_id=str(number)), picture=False)
    out = done_by("report", "a", "--limit", "10")
    expect([row["request_id"] for row in rows("a/index.html")] == [str(number) for number in range(59, 49, -1)], "the newest")
    expect("50 older ones left out" in out and data_of("a/index.html")["left_out"] == 50, out)


@case
def the_worst_grounded_come_first():
    def ranked(**changes) -> dict:
        return made.request("one two", **changes)

    flat, sharp = made.word("one", 0, diffuse=True), made.word("two", 1)
    def verdict(name, score):
        return {"grounding": {"verdict": name, "score": score, "why": ""}}
    in_order = [
        ranked(**verdict("not grounded", 0.1)), ranked(**verdict("not grounded", 0.7)), ranked(**verdict("weak", 0.0)), ranked(**verdict("cannot say", None)),
        ranked(**verdict("grounded", 0.2)), ranked(**verdict("grounded", 0.9)), ranked(error={"reason": "grid_mismatch", "message": "no"}, summary=None, words=[]),
    ]
    without_verdict = [ranked(words=[flat, flat]), ranked(words=[flat, sharp]), ranked(words=[sharp, sharp])]
    content = [ranked(words=[flat | {"content": True}, sharp | {"content": False}]), ranked(words=[flat | {"content": False}, sharp | {"content": True}])]
    for kind in (in_order, without_verdict, content):
        for number, request in enumerate(kind):
            made.write(Path(f"{id(kind)}", made.name_of(number)), request)
        done_by("report", f"{id(kind)}")
        ranks = [row["rank"] for row in rows(f"{id(kind)}/index.html")][::-1]
        expect(ranks == sorted(ranks) and len(set(ranks)) == len(ranks), ranks)


@case
def two_directories_are_compared_by_request_id():
    a_tc, b_tc = [[1, 0, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0]], [[0, 1, 0, 0, 0, 0], [0, 0.5, 0.25, 0.25, 0, 0]]
    a, b = ([sum(column) / 2 for column in zip(*each)] for each in (a_tc, b_tc))
    moved = sum(abs(x - y) for x, y in zip(a, b))
    made.write(Path("a", made.name_of(1)), made.request(request_id="both"), a_tc)
    made.write(Path("b", made.name_of(9)), made.request(request_id="both"), b_tc)
    for number in (2, 3):  # asked twice: the newest belongs to the newest
        made.write(Path("a", made.name_of(number)), made.request(request_id="twice"), [[1] * 6])
    made.write(Path("b", made.name_of(20)), made.request(request_id="twice"), [[1] * 6])
    made.write(Path("a", made.name_of(4)), made.request(request_id="only a"))
    made.write(Path("b", made.name_of(4)), made.request(request_id="only b"))
    made.write(Path("a", made.name_of(5)), made.request(request_id="grids"), [[1] * 6])
    made.write(Path("b", made.name_of(5)), made.request(request_id="grids", geometry={"rows": 1, "cols": 4}), [[1] * 4])
    made.write(Path("a", made.name_of(6)), made.request(request_id="no maps"), [[1] * 6])
    made.write(Path("b", made.name_of(6)), made.request(request_id="no maps"))
    made.write(Path("a", made.name_of(7)), made.request(request_id="none"), [[0] * 6])
    made.write(Path("b", made.name_of(7)), made.request(request_id="none"), [[1] * 6])
    out = done_by("report", "a", "b", "--out", "index.html")
    expect("5 pairs by request id, 3 answers in one directory only" in out, out)
    listed, pairs = rows(), rows(kind="pairs")
    found = {listed[pair["a"]]["request_id"]: (listed[pair["a"]], listed[pair["b"]], pair) for pair in pairs}
    expect(all(x["request_id"] == y["request_id"] and (x["root"], y["root"]) == (0, 1) for x, y, _ in found.values()), pairs)
    expect(abs(found["both"][2]["moved"] - moved) < 1e-6, found["both"], moved)
    expect(found["twice"][0]["name"] == made.name_of(3) and found["twice"][2]["moved"] < 1e-6, found["twice"])
    for name, reason in (("grids", "2 x 3"), ("no maps", "maps.safetensors"), ("none", "without attention")):
        expect(found[name][2]["moved"] is None and reason in found[name][2]["why"], name, found[name][2])
    done_by("report", "a", "--out", "index.html")
    expect(not list(Path("index-data").glob("pairs-*")) and data_of("index.html")["pairs"] is None, "one directory has no pairs")


def damaged_maps() -> dict[str, bytes]:
    whole = made.maps([[1.0] * 6] * 2)
    def header(**changes) -> bytes:
        entry = {"dtype": "F32", "shape": [2, 6], "data_offsets": [0, 48]} | changes
        raw = json.dumps({"map_tc": entry}).encode()
        return len(raw).to_bytes(8, "little") + raw + bytes(48)
    return {"empty": b"", "seven bytes": whole[:7], "half": whole[:-1], "header beyond": (2**63).to_bytes(8, "little") + whole[8:], "no JSON": whole[:8] + b"x" * (len(whole) - 8),
            "dtype": header(dtype="F64"), "shape": header(shape=[2, 7]), "huge": header(shape=[2**40, 2**40]), "negative": header(shape=[-2, -6]), "one axis": header(shape=[12]),
            "offsets": header(data_offsets=[8, 56]), "turned offsets": header(data_offsets=[48, 0]), "texts": header(shape=["2", "6"]), "fractions": header(shape=[2.0, 6.0]), "no offsets": header(data_offsets=None)}


@case
def damaged_maps_are_not_compared_and_the_answers_are():
    for number, (name, raw) in enumerate(damaged_maps().items()):
        made.write(Path("a", made.name_of(number)), made.request(request_id=name), [[1] * 6] * 2)
        (made.write(Path("b", made.name_of(number)), made.request(request_id=name)) / "maps.safetensors").write_bytes(raw)
        result = json.loads(done_by("diff", Path("a", made.name_of(number)), Path("b", made.name_of(number)), "--json"))
        expect(result["moved"] is None and "map_tc" in result["no_maps"] and not result["answer_changed"], name, result["no_maps"])
    done_by("report", "a", "b", "--out", "index.html")
    for pair in rows(kind="pairs"):
        expect(pair["moved"] is None and "map_tc" in pair["why"], pair)


@case
def nothing_of_others_is_written_over():
    made.write(Path("a", made.name_of(1)), made.request())
    Path("a/index.html").write_text("<title>mine</title>")
    refused("report", "a", says=("--out", "index.html", "something else wrote"))
    expect(Path("a/index.html").read_text() == "<title>mine</title>" and not Path("a/index-data").exists(), "it stays")
    done_by("report", "a", "--out", "a/gaze.html")
    Path("a/gaze-data/notes.txt").write_text("mine")
    done_by("report", "a", "--out", "a/gaze.html")
    expect(Path("a/gaze-data/notes.txt").read_text() == "mine", "nor what lies beside the rows")


@case
def what_report_refuses():
    made.write(Path("a", "b", made.name_of(1)), made.request())
    Path("empty").mkdir()
    refused("report", "nowhere", says=("DIR", "nowhere"))
    expect(not Path("nowhere").exists(), "nothing is made of a mistake")
    refused("report", "a/b/" + made.name_of(1) + "/request.json", says=("DIR",))
    refused("report", "a", "a/b", says=("within",))
    refused("report", "a", "./a/../a", says=("within",))
    refused("report", "empty", says=("found none",))
    refused("report", "a", "--table", "nowhere/t.csv", says=("--table",))
    refused("report", "a", "--out", "a/b/" + made.name_of(1) + "/request.json/x", says=("--out",))
    for words in (("report",), ("report", "a", "--limit", "0"), ("report", "a", "--limit", "many")):
        expect(gaze(*words).returncode == 2, words)


@case
def links_are_not_followed_but_a_directory_may_be_one():
    made.write(Path("a", made.name_of(1)), made.request())
    os.symlink("..", "a/circle")
    os.symlink(made.name_of(1), Path("a", made.name_of(2)))
    os.symlink("a", "link")
    expect(numbers(done_by("report", "link", "--out", "index.html"))[0] == 1, "one bundle")
    made.write(Path("deep", *["d"] * 60, made.name_of(1)), made.request())
    made.write(Path("deep", *["d"] * 80, made.name_of(2)), made.request())
    expect("too many folders" in done_by("report", "deep", "--out", "index.html") and len(rows()) == 1, "what is too deep is told")
    expect("too many folders" in data_of("index.html")["not_entered"][0], "in the page too")
    expect(numbers(done_by("report", Path("a", made.name_of(1)), "--out", "index.html"))[0] == 1, "a bundle itself")


@case
def ten_thousand_bundles():
    ids = []
    for number in range(10000):
        text = made.HOSTILE[number % len(made.HOSTILE)]
        made.write(Path("a", f"{number % 10}", made.name_of(number)), made.request(f"{text} {number}", request_id=f"{number}"), picture=False)
        ids.append(f"{number}")
    out = done_by("report", "a")
    expect(numbers(out) == [10000, 10000, 0, 0], out)
    expect([len(chunk(file)) for file in sorted(Path("a/index-data").iterdir())] == [1000] * 10, "a thousand rows in each")
    expect([row["request_id"] for row in rows("a/index.html")] == ids[::-1], "each once, newest first")
    expect(Path("a/index.html").stat().st_size < 100_000, "the page itself stays small")


# ---- diff

@case
def identical_bundles_have_no_difference():
    made.write(Path("a"), made.request(), [[0.1] * 6] * 3)
    made.write(Path("b"), made.request(created="2027-01-01T00:00:00.000Z", pid=77, host="other", timings_ms={"render": 9}, drops={"queue_bytes": 3}), [[0.1] * 6] * 3)
    out = done_by("diff", "a", "b", "--out", "d.html")
    expect("No difference" in out and not Path("d.html").exists(), out)
    expect(json.loads(done_by("diff", "a", "b", "--json", "--out", "d.html"))["same"] is True, "in JSON")
    (Path("b") / "maps.safetensors").write_bytes(made.maps([[0.1] * 6] * 2 + [[0.1] * 5 + [0.2]]))
    expect(json.loads(done_by("diff", "a", "b", "--json", "--out", "d.html"))["same"] is False, "one cell of one token")
    (Path("b") / "maps.safetensors").unlink()
    expect(json.loads(done_by("diff", "a", "b", "--json", "--out", "d.html"))["same"] is False, "maps of one alone")


def common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, by the book."""
    before = [0] * (len(b) + 1)
    for x in a:
        row = [0]
        for j, y in enumerate(b):
            row.append(before[j] + 1 if x == y else max(row[j], before[j + 1]))
        before = row
    return before[-1]


@case
def words_are_paired_with_the_same_words():
    import random
    dice = random.Random(7)
    for number in range(40):
        a, b = ([dice.choice("pqrst") for _ in range(dice.randrange(0, 12))] for _ in range(2))
        made.write(Path(f"a{number}"), made.request(" ".join(a)))
        made.write(Path(f"b{number}"), made.request(" ".join(b)))
        words = json.loads(done_by("diff", f"a{number}", f"b{number}", "--json", "--out", "d.html"))["words"]
        expect([word["a"] for word in words if word["a"] is not None] == a, "all of A in order", a, words)
        expect([word["b"] for word in words if word["b"] is not None] == b, "all of B in order", b, words)
        expect(sum(word["a"] == word["b"] for word in words) >= common(a, b), "as many as can be", a, b, words)


@case
def what_changed_is_told():
    a_tc, b_tc = [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0.5, 0, 0, 0.5]]
    before = made.request("a red seven", grounding={"verdict": "grounded", "score": 0.9, "why": "x"})
    after = made.request("a red eight", grounding={"verdict": "weak", "score": 0.3, "why": "y"}, profile_sha256="ef" * 32)
    after["summary"] = after["summary"] | {"max_lift": 2.25}
    after["words"][2]["mass"] = 0.5
    made.write(Path("a"), before, a_tc)
    made.write(Path("b"), after, b_tc)
    result = json.loads(done_by("diff", "a", "b", "--json", "--out", "d.html"))
    expect(result["answer_changed"] and result["verdict"] == ["grounded", "weak"] and result["figures"] == {"max_lift": [4.5, 2.25]}, result)
    expect([fact["name"] for fact in result["facts"]] == ["profile_sha256"], result["facts"])
    expect([(word["a"], word["b"]) for word in result["words"]] == [("a", "a"), ("red", "red"), ("seven", "eight")], result["words"])
    expect([round(word["moved"], 6) for word in result["words"]] == [0, 0, 1] and abs(result["moved"] - 1 / 3) < 1e-6, result["words"], result["moved"])
    expect(result["words"][2]["figures"] == {"mass": [0.9, 0.5]}, result["words"][2])
    out = done_by("diff", "a", "b", "--out", "d.html")
    for line in ("answer     changed", "verdict    grounded -> weak", "seven -> eight  moved 1  mass 0.9 -> 0.5", "max_lift 4.5 -> 2.25", "2 of 3 unchanged", "profile_sha256"):
        expect(line in out, f"no {line!r}", out)
    page = data_of("d.html")
    decoded = [byte - 256 if byte > 127 else byte for byte in base64.b64decode(page["words"][2]["map"])]
    expect(decoded == [0, 0, -127, 0, 0, 127] and abs(page["words_range"] - 3) < 1e-6, decoded, page["words_range"])
    expect(page["place"] == {"left": 0, "top": 0, "width": 8, "height": 8} and page["picture"]["is_overlay"] and base64.b64decode(page["picture"]["data"].split(",")[1]) == made.PICTURE, page["place"])


@case
def the_grid_lies_where_the_model_saw_the_picture():
    # A letterbox of 8 x 4 pixels in 80 x 80: scaled by 10, 20 pixels of padding above and below; so the grid is 8 x 8 pixels from y = -2.
    for folder, answer in (("a", "one"), ("b", "two")):
        made.write(Path(folder), made.request(answer, picture={"width": 8, "height": 4}, geometry={"rows": 2, "cols": 2, "fit": "letterbox", "input_width": 80, "input_height": 80}),
                   [[1, 0, 0, 1 if folder == "a" else 0]])
    done_by("diff", "a", "b", "--out", "d.html")
    expect(data_of("d.html")["place"] == {"left": 0, "top": -2, "width": 8, "height": 8}, data_of("d.html")["place"])


@case
def sounds_are_compared_over_the_whole_recording():
    # The geometry is that of a window of 3 keys; the recording has 5.
    sound = {"seconds": 2.5, "start_seconds": 10.0, "sample_rate_hz": 16000}
    for folder, answer, row in (("a", "one", [1, 0, 0, 0, 0]), ("b", "one", [0, 0, 0, 0, 1])):
        made.write(Path(folder), made.request(answer, picture={"width": None, "height": None}, sound=sound, geometry={"kind": "time", "rows": 1, "cols": 3}), [row])
    result = json.loads(done_by("diff", "a", "b", "--json", "--out", "d.html"))
    expect(result["moved"] == 2 and not result["answer_changed"], result)
    page = data_of("d.html")
    expect(page["grid"] == {"rows": 1, "cols": 5} and (page["start_seconds"], page["seconds"]) == (10, 2.5) and page["place"] is None, page["grid"])


@case
def hostile_texts_steer_no_terminal_and_end_no_script():
    for number, text in enumerate(made.HOSTILE):
        made.write(Path(f"a{number}"), made.request(request_id=text, prompt=text, answer=text, words=[made.word(text)]), [[1] * 6])
        made.write(Path(f"b{number}"), made.request(request_id=text + "x", prompt=text, answer=text + "x", words=[made.word(text + "x")], attributes={text: text}), [[1] * 5 + [0]])
        out = done_by("diff", f"a{number}", f"b{number}", "--out", "d.html")
        expect(not re.search("[\u0000-\u0009\u000b-\u001f\u007f\u202a-\u202e\u2066-\u2069]", out), repr(out))
        expect(data_of("d.html")["b"]["answer"] == text + "x", "whole in the page", text)
        expect(json.loads(done_by("diff", f"a{number}", f"b{number}", "--json", "--out", "d.html"))["b"]["request_id"] == text + "x", text)


@case
def what_diff_refuses():
    made.write(Path("a"), made.request())
    made.write(Path("b"), made.request("other"))
    refused("diff", "a", "nowhere", says=("nowhere",))
    refused("diff", "a", "b", "--out", "nowhere/d.html", says=("--out",))
    made.write(Path("newer"), made.request() | {"gaze_request": 2})
    refused("diff", "newer", "a", says=("gaze_request 1", "got 2"))
    expect(gaze("diff", "a").returncode == 2, "one bundle")


# ---- pack

def jpeg_of(width: int, height: int, quality_bytes: int = 3000) -> str:
    """What has a JPEG's header; no picture."""
    head = b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + bytes(9) + b"\xff\xc0\x00\x11\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes(10)
    return base64.b64encode(head + bytes(quality_bytes)).decode()


def decoded_grey(encoded: str) -> tuple[int, int]:
    """Size of a JPEG that one grey fills, decoded bit by bit as its tables say; ends the test where it is not that."""
    raw, at, size, tables = base64.b64decode(encoded), 2, None, {}
    while raw[at + 1] != 0xda:
        marker, length = raw[at + 1], int.from_bytes(raw[at + 2:at + 4], "big")
        body = raw[at + 4:at + 2 + length]
        if marker == 0xc0:
            expect(body[0] == 8 and body[5] == 1, "8 bits of one component", body)
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
        elif marker == 0xc4:
            expect(body[1:17] == b"\1" + bytes(15) and len(body) == 18, "one code of one bit", body)
            tables[body[0]] = body[17]
        at += 2 + length
    data = raw[at + 2 + int.from_bytes(raw[at + 2:at + 4], "big"):-2]
    bits = "".join(f"{byte:08b}" for byte in data)
    blocks = -(-size[0] // 8) * -(-size[1] // 8)
    expect(tables == {0x00: 0, 0x10: 0} and bits[:2 * blocks] == "0" * 2 * blocks and set(bits[2 * blocks:]) <= {"1"} and len(bits) - 2 * blocks < 8, size)
    expect(raw[:2] == b"\xff\xd8" and raw[-2:] == b"\xff\xd9", raw[:2], raw[-2:])
    return size


@case
def a_packed_page_is_the_report_less_what_is_named():
    prompt = "is it <red> ? \"yes\""
    request = made.request("a red seven", request_id=f"cup.jpg: {prompt}", prompt=prompt, attributes={"asked": prompt})
    photo = jpeg_of(960, 577)
    made.write(Path("a"), request, report=made.report(request, photo))
    done_by("pack", "a", "--out", "whole.html")
    expect(data_of("whole.html") == data_of("a/report.html") and "<red>" not in Path("whole.html").read_text(), "nothing named, nothing gone")
    done_by("pack", "a", "--out", "p.html", "--redact", "picture")
    page = data_of("p.html")
    expect(photo[60:] not in Path("p.html").read_text() and page["request"] == request, page["request"])
    expect(decoded_grey(page["maps"][0].pop("jpeg")) == (960, 577), "a grey one of the same size")
    whole = data_of("whole.html")["maps"][0]
    expect(page["maps"][0] == {name: value for name, value in whole.items() if name != "jpeg"}, "the maps stay", page["maps"])
    out = done_by("pack", "a", "--out", "p.html", "--redact", "prompt")
    page = data_of("p.html")
    expect(page["request"] == request | {"prompt": None, "request_id": "cup.jpg: [prompt removed]"} and page["maps"][0]["jpeg"] == photo, page["request"])
    expect("kept     what repeats the prompt: attributes" in out, "the host's own stay, and that is said", out)
    done_by("pack", "a", "--out", "p.html", "--redact", "picture,prompt")
    page = data_of("p.html")
    expect(page["request"]["prompt"] is None and decoded_grey(page["maps"][0]["jpeg"]) == (960, 577), page)
    before, after = Path("a/report.html").read_text().split('application/json">')[0], Path("a/report.html").read_text().split("</script>", 1)[1]
    expect(Path("p.html").read_text().startswith(before) and Path("p.html").read_text().endswith(after), "the page around its data")


@case
def a_packed_page_of_a_sound_has_no_recording():
    request = made.request("seven", prompt="A")  # one that stands in every encoded text
    made.write(Path("a"), request, report=made.report(request, jpeg_of(1, 1), wav="UklGRgAA" * 100))
    done_by("pack", "a", "--out", "p.html", "--redact", "picture,prompt")
    page = data_of("p.html")
    expect("UklGR" not in Path("p.html").read_text() and decoded_grey(page["maps"][0]["jpeg"]) == (1, 1), page)
    expect(page["maps"][0]["shown"] == [{"most": 1, "bytes": "AAAA"}] and page["request"] == request | {"prompt": None}, "a short prompt is replaced nowhere else", page)
    for damaged in ("", "no base64", base64.b64encode(b"\xff\xd8\xff").decode(), base64.b64encode(b"\xff\xd8\xff\xe0\xff\xff" * 9).decode()):
        Path("a/report.html").write_text(made.report(request, damaged))
        done_by("pack", "a", "--out", "p.html", "--redact", "picture")
        expect(data_of("p.html")["maps"][0]["jpeg"] == "", damaged)


@case
def what_pack_refuses():
    made.write(Path("a"), made.request(gaze_version="0.1.7"))
    refused("pack", "a", "--out", "p.html", says=("report.html", "0.1.7", "again"))
    made.write(Path("empty page"), made.request(), report="<html>no data</html>")
    refused("pack", "empty page", "--out", "p.html", says=("report.html",))
    big = made.request()
    made.write(Path("big"), big, report=made.report(big, jpeg_of(640, 480, 900_000)))
    refused("pack", "big", "--out", "p.html", says=("1000000", "--redact picture"))
    done_by("pack", "big", "--out", "small.html", "--redact", "picture")
    expect(Path("small.html").stat().st_size < 20_000, "without its picture")
    wordy = made.request(words=[made.word("x" * 900, i) for i in range(1500)])
    made.write(Path("wordy"), wordy, report=made.report(wordy, jpeg_of(8, 8)))
    refused("pack", "wordy", "--out", "p.html", "--redact", "picture", says=("1500 words",))
    request = made.request(prompt="who is <he>, and what is he doing ?")
    beside = "<h1>who is &lt;he&gt;, and what is he doing ?</h1><img src='data:image/png;base64," + base64.b64encode(made.PICTURE).decode() + "'>"
    made.write(Path("beside"), request, report=made.report(request, jpeg_of(8, 8), beside=beside))
    refused("pack", "beside", "--out", "p.html", "--redact", "prompt", says=("prompt", "beside"))
    refused("pack", "beside", "--out", "p.html", "--redact", "picture", says=("picture", "beside"))
    expect(not Path("p.html").exists(), "nothing is written where something would stay")
    expect(gaze("pack", "a", "--out", "p.html", "--redact", "answer").returncode == 2 and gaze("pack", "a").returncode == 2, "wrong usage")


def main() -> None:
    global GAZE, SOURCE
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    for name in ("gaze", "source"):
        parser.add_argument("--" + name, type=Path)
    parser.add_argument("case", nargs="?")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return
    GAZE, SOURCE = arguments.gaze.resolve(), arguments.source.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        CASES[arguments.case]()
        os.chdir("/")


if __name__ == "__main__":
    main()
