"""samples/serve over the network: answers, batches, bundles, the switch, metrics, the end. Usage: answers_test.py SERVER LOAD SOURCE_DIR"""
import base64
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from server import Server, at_once, demo, run_cases, wait

SERVER, LOAD, SOURCE = sys.argv[1:]
QUESTIONS = demo(SOURCE)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def answers_are_right() -> None:
    with Server(SERVER, SOURCE) as server:
        for index, (picture, prompt, truth) in enumerate(QUESTIONS):
            status, answer = server.ask(picture, prompt, X_Request_Id=f"q{index}")
            assert (status, answer) == (200, {"id": f"q{index}", "answer": truth, "bundle": None, "batch_size": 1}), (status, answer, truth)
        as_json = json.dumps({"picture": base64.b64encode(QUESTIONS[0][0]).decode(), "prompt": QUESTIONS[0][1]})
        status, text, headers = server.request("POST", "/v1/answer", as_json.encode(), {"Content-Type": "application/json"})
        assert status == 200 and json.loads(text)["answer"] == QUESTIONS[0][2], text
        assert headers["X-Request-Id"] == json.loads(text)["id"] != ""
        assert server.wait_until_drawn() == [], "without GAZE_CAPTURE nothing is captured"
        assert server.metric("gaze_requests_sampled_total") == 0


def batches_give_the_same_answers() -> None:
    with Server(SERVER, SOURCE, "--max-batch", "4", "--max-wait-ms", "300", GAZE_CAPTURE="1") as server:
        asked = QUESTIONS * 2
        answers = at_once([lambda q=q, i=i: server.ask(q[0], q[1], X_Request_Id=f"b{i}") for i, q in enumerate(asked)])
        assert [(status, answer["answer"]) for status, answer in answers] == [(200, truth) for _, _, truth in asked], answers
        sizes = [answer["batch_size"] for _, answer in answers]
        assert max(sizes) > 1 and max(sizes) <= 4, sizes
        bundles = {request["request_id"]: request for request in server.wait_until_drawn()}
        assert set(bundles) == {f"b{i}" for i in range(len(asked))}, sorted(bundles)
        for i, (_, prompt, truth) in enumerate(asked):
            request = bundles[f"b{i}"]
            assert (request["prompt"], request["answer"], request["error"]) == (prompt, truth, None), request
            assert answers[i][1]["bundle"] == f"/report/b{i}"
            status, page, headers = server.request("GET", f"/report/b{i}")
            assert status == 200 and f'"request_id":"b{i}"'.encode() in page.replace(b'": "', b'":"'), page[:200]
            assert headers["Content-Type"].startswith("text/html")
        assert b'href="/report/b0"' in server.request("GET", "/report")[1]


def wishes_and_the_switch() -> None:
    picture, prompt, truth = QUESTIONS[0]
    with Server(SERVER, SOURCE, "--max-wait-ms", "0", GAZE_CAPTURE="1") as server:
        def captured(name: str, **headers: str) -> bool:
            status, answer = server.ask(picture, prompt, X_Request_Id=name, **headers)
            assert status == 200 and answer["answer"] == truth, answer
            return answer["bundle"] is not None

        def switch(**settings) -> dict:
            status, text, _ = server.request("POST", "/admin/capture", json.dumps(settings).encode(), {"Content-Type": "application/json"})
            assert status == 200, text
            return json.loads(text)
        assert captured("traced", traceparent=TRACE) and captured("badly-traced", traceparent="00-zz")
        assert not captured("opted-out", X_Gaze="off")
        assert switch(capture=False) == {"capture": False, "sample_rate": 1}
        assert not captured("off") and not captured("off-wished", X_Gaze="on")
        assert switch(capture=True, sample_rate=0) == {"capture": True, "sample_rate": 0}
        assert not captured("unsampled") and captured("wished", X_Gaze="on")
        assert switch(sample_rate=1)["capture"] and captured("again")
        bundles = {request["request_id"]: request["attributes"] for request in server.wait_until_drawn()}
        assert bundles == {"traced": {"traceparent": TRACE}, "badly-traced": {}, "wished": {}, "again": {}}, bundles
        assert server.request("GET", "/report/opted-out")[0] == 404 and server.request("GET", "/report/wished")[0] == 200
        assert server.metric("gaze_requests_begun_total") == 8 and server.metric("gaze_requests_sampled_total") == 4
        refused = {b"{}", b"[]", b"no", b'{"capture":1}', b'{"sample_rate":2}', b'{"sample_rate":-0.1}', b'{"other":true}', b" " * 5000}
        for body in refused:
            assert server.request("POST", "/admin/capture", body, {"Content-Type": "application/json"})[0] == 400, body
        assert server.request("POST", "/admin/capture", b'{"capture":true}', {"Content-Type": "text/plain"})[0] == 415
    with Server(SERVER, SOURCE, GAZE_CAPTURE="1", GAZE_DISABLED="1") as server:
        assert server.request("POST", "/admin/capture", b'{"capture":true}', {"Content-Type": "application/json"})[0] == 409
        assert server.ask(picture, prompt, X_Gaze="on")[1]["bundle"] is None


def it_is_steered_from_outside() -> None:
    picture, prompt, _ = QUESTIONS[0]
    gaze = Path(SERVER).with_name("gaze")
    with Server(SERVER, SOURCE, "--max-wait-ms", "0", GAZE_CAPTURE="1") as server:
        def ctl(*flags: str) -> str:
            return subprocess.run([gaze, "ctl", server.bundles, *flags], check=True, capture_output=True, text=True, timeout=30).stdout

        def captured(name: str) -> bool:
            return server.ask(picture, prompt, X_Request_Id=name)[1]["bundle"] is not None
        assert captured("before")
        ctl("--capture", "off")
        wait(lambda: server.metric("gaze_capture_on") == 0)
        assert not captured("off")
        ctl("--capture", "on", "--rate", "0", "--ids", "named-*")
        wait(lambda: server.metric("gaze_capture_on") == 1)
        assert not captured("other") and captured("named-1")
        said = ctl("--capture", "off", "--next", "3", "--for", "10m")
        assert "capture = off, so that nothing else in it captures" in said and re.search(r"holds for \d+ s more", said), said
        said = ctl("--keep", "all")
        assert re.search(r"holds for \d+ s more", said) and "until" in (server.bundles / "control.txt").read_text(), said
        said = ctl("--reset")
        assert "more" not in said and "next = 0" in said, said
        wait(lambda: server.metric("gaze_sample_rate") == 1)
        assert captured("after")
        assert {request["request_id"] for request in server.wait_until_drawn()} == {"before", "named-1", "after"}
        status = json.loads(ctl("--json"))
        assert "stickers" in json.dumps(status), status
        subprocess.run([gaze, "verify", server.bundles], check=True, capture_output=True, timeout=30)


def answers_are_the_same_bytes_with_capture() -> None:
    def all_answers(**variables: str) -> list[bytes]:
        with Server(SERVER, SOURCE, "--max-batch", "1", **variables) as server:
            return [json.dumps(server.ask(picture, prompt)[1]["answer"]).encode() for picture, prompt, _ in QUESTIONS]
    assert all_answers() == all_answers(GAZE_CAPTURE="1")


def metrics_are_prometheus_text() -> None:
    name, label, number = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*"', r"(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[+-]Inf|NaN)"
    with Server(SERVER, SOURCE, GAZE_CAPTURE="1") as server:
        server.ask(*QUESTIONS[0][:2])
        server.wait_until_drawn()
        assert server.request("GET", "/nothing\"<here>")[0] in (400, 404)
        _, text, headers = server.request("GET", "/metrics")
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
        types: dict[str, str] = {}
        values: dict[str, float] = {}
        for line in text.decode().splitlines():
            if found := re.fullmatch(rf"# TYPE ({name}) (counter|gauge|histogram)", line):
                assert found[1] not in types, line
                types[found[1]] = found[2]
            elif not re.fullmatch(rf"# HELP {name} .+", line):
                found = re.fullmatch(rf"({name})(?:\{{({label}(?:,{label})*)?\}})? ({number})", line)
                assert found and (found[1] in types or types[re.sub("_(bucket|sum|count)$", "", found[1])] == "histogram"), line
                key = f"{found[1]}{{{found[2] or ''}}}"
                assert key not in values, line
                values[key] = float(found[3])
        assert values['gaze_serve_requests_total{path="/v1/answer",status="200"}'] == 1, values
        assert values['gaze_requests_written_total{model="stickers"}'] == 1 and values["gaze_serve_answer_seconds_count{}"] == 1, values
        assert values['gaze_serve_answer_seconds_bucket{le="+Inf"}'] == 1, values


def ends_with_work_in_flight() -> None:
    for sign in (signal.SIGTERM, signal.SIGINT):
        with Server(SERVER, SOURCE, "--max-batch", "4", "--max-wait-ms", "1000", "--threads", "1", GAZE_CAPTURE="1") as server:
            answers: dict[str, int] = {}

            def ask(name: str) -> None:
                try:
                    answers[name] = server.ask(*QUESTIONS[0][:2], X_Request_Id=name)[0]
                except OSError:
                    answers[name] = 0  # it came when nobody listened any more
            threads = [threading.Thread(target=ask, args=(f"e{i}",)) for i in range(7)]
            for thread in threads:
                thread.start()
            wait(lambda: server.metric("gaze_serve_queued") > 0)  # the last three wait for others to go with them
            server.end(sign)
            for thread in threads:
                thread.join()
            whole = [name for name, status in answers.items() if status == 200]
            assert whole and set(answers.values()) <= {200, 503, 0}, answers
            found = {}
            for file in server.bundles.glob("[0-9]*/request.json"):
                request = json.loads(file.read_text())
                found[request["request_id"]] = all((file.parent / name).stat().st_size > 0 for name in request["files"])
            assert sorted(found) == sorted(whole) and all(found.values()), (found, answers)
            assert f"ended: {len(whole)} answered, {len(whole)} bundles, 0 lost" in server.said, server.said


# A server that lays the pages of two bundles in each other's place when it has ended.
MIXER = """#!{python}
import os, signal, subprocess, sys
server = subprocess.Popen(["{server}", *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *_: server.terminate())
server.wait()
folder = sys.argv[sys.argv.index("--bundles") + 1]
one, other = (os.path.join(folder, name, "report.html") for name in sorted(name for name in os.listdir(folder) if name[0].isdigit())[:2])
os.rename(one, one + "x"), os.rename(other, one), os.rename(one + "x", other)
"""


def a_bundle_of_another_is_seen() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures, mixer = Path(folder, "figures.json"), Path(folder, "mixer")
        mixer.write_text(MIXER.format(python=sys.executable, server=SERVER))
        mixer.chmod(0o700)
        done = subprocess.run([LOAD, "--server", mixer, "--isolate", "--requests", "6", "--clients", "2", "--seconds", "20", "--json", figures],
                              check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and json.loads(figures.read_text())["isolation"]["mixed"] == 2, (done.stdout, done.stderr)


def no_bundle_is_anothers() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder, "figures.json")
        subprocess.run([LOAD, "--server", SERVER, "--isolate", "--requests", "40", "--clients", "8", "--seconds", "20", "--json", figures, "--",
                        "--max-batch", "4", "--max-wait-ms", "50"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        read = json.loads(figures.read_text())
        assert read["isolation"] == {"bundles": 40, "checked": 40, "mixed": 0, "torn": 0, "missing": 0, "notes": []}, read
        assert read["mean_batch"] > 1 and read["failed"] == 0, read


run_cases([answers_are_right, batches_give_the_same_answers, wishes_and_the_switch, it_is_steered_from_outside, answers_are_the_same_bytes_with_capture,
           metrics_are_prometheus_text, ends_with_work_in_flight, no_bundle_is_anothers, a_bundle_of_another_is_seen])
