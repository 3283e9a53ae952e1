"""A real Prometheus scrapes gaze_serve: every rule is evaluated, and every query of the dashboard answers. Usage: prometheus_test.py SERVER GAZE SOURCE_DIR

--picture FILE [--seconds N] keeps on asking, twice calmly and twice with far too many questions, and then draws the dashboard's queries with
Prometheus's own graphs."""
import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "serve"))
from server import Server, demo, wait  # noqa: E402

words = argparse.ArgumentParser()
words.add_argument("server")
words.add_argument("gaze")
words.add_argument("source", type=Path)
words.add_argument("--picture", type=Path)
words.add_argument("--seconds", type=int, default=240)
GIVEN = words.parse_args()
GIVEN.source = GIVEN.source.resolve()
ANSWERS = 60  # a baseline of drift needs 50
QUESTIONS = demo(str(GIVEN.source))
if shutil.which("prometheus") is None:
    print("gaze-skip: no prometheus: apt-get install prometheus")
    sys.exit(0)


def queries() -> dict[str, list[str]]:
    """What each panel asks, with everything chosen."""
    panels = json.loads((GIVEN.source / "operate/grafana/gaze.json").read_text())["panels"]
    asked = {}
    for panel in panels:
        texts = [target["expr"] for target in panel.get("targets", [])]
        if texts:
            asked[panel["title"]] = [re.sub(r"\$(job|instance|model)\b", ".*", text).replace("$__rate_interval", "15s") for text in texts]
    return asked


class Prometheus:
    """Scrapes one server every second; on a port and with a folder of its own."""

    def __init__(self, folder: Path, scraped_port: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(GIVEN.source / "operate/prometheus/gaze.rules.yml")],
            "scrape_configs": [{"job_name": "gaze", "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}]}]}))
        self.log = (folder / "log").open("w")
        self.process = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                         f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"], stdout=self.log, stderr=self.log)
        wait(lambda: self.up(), 60)

    def ask(self, path: str, **parameters: str):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
            said = json.loads(answer.read())
        assert said["status"] == "success", said
        return said["data"]

    def query(self, text: str) -> list:
        return self.ask("query", query=text)["result"]

    def rules(self) -> list:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def up(self) -> bool:
        try:
            return [each["value"][1] for each in self.query("up")] == ["1"]
        except OSError:
            assert self.process.poll() is None, "Prometheus ended"
            return False

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


def ask_some(server: Server, count: int) -> None:
    for number in range(count):
        picture, prompt, _ = QUESTIONS[number % len(QUESTIONS)]
        server.ask(picture, prompt)


def make_baseline(folder: Path) -> Path:
    with Server(GIVEN.server, str(GIVEN.source), GAZE_CAPTURE="1") as server:
        ask_some(server, ANSWERS)
        server.wait_until_drawn()
        subprocess.run([GIVEN.gaze, "drift", server.bundles, "--save", folder / "baseline.json"], check=True, stdout=subprocess.DEVNULL)
    return folder / "baseline.json"


def ask_for_a_picture(server: Server) -> None:
    """Calm and crowded in turns, so that there is something to see."""
    end = time.monotonic() + GIVEN.seconds
    for quarter in range(4):
        until = end - GIVEN.seconds * (3 - quarter) / 4
        asked = [0]

        def go_on(until=until, asked=asked):
            while time.monotonic() < until:
                ask_some(server, 1)
                asked[0] += 1
        askers = [threading.Thread(target=go_on) for _ in range(12 if quarter % 2 else 1)]
        for each in askers:
            each.start()
        for each in askers:
            each.join()
        print(f"{(quarter + 1) * GIVEN.seconds // 4} of {GIVEN.seconds} s, {asked[0]} questions in this quarter", file=sys.stderr)


def draw(prometheus: Prometheus, asked: dict[str, list[str]]) -> None:
    texts = [text for panel in asked.values() for text in panel]
    page = "&".join(f"g{i}.expr={urllib.parse.quote(text)}&g{i}.tab=0&g{i}.range_input={GIVEN.seconds + 20}s" for i, text in enumerate(texts))
    subprocess.run(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1400,{700 * len(texts)}",
                    "--virtual-time-budget=20000", f"--screenshot={GIVEN.picture}", f"http://127.0.0.1:{prometheus.port}/graph?{page}"],
                   check=True, capture_output=True)


with tempfile.TemporaryDirectory(prefix="gaze-prometheus-") as temporary:
    folder = Path(temporary)
    panels = queries()
    assert sum(map(len, panels.values())) >= 10, panels
    with Server(GIVEN.server, str(GIVEN.source), GAZE_CAPTURE="1", GAZE_DRIFT=str(make_baseline(folder)), GAZE_QUEUE_BYTES="4000000") as server:
        with Prometheus(folder, server.port) as prometheus:
            if GIVEN.picture:
                ask_for_a_picture(server)
            while server.metric("gaze_requests_written_total") < ANSWERS:  # some find the small queue full
                ask_some(server, 10)
                server.wait_until_drawn()
            wait(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), 60)
            rules = prometheus.rules()
            assert len(rules) >= 7 and all(rule["health"] == "ok" for rule in rules), rules
            # A rate needs two looks, the second after the answers. Where nothing is dropped there is nothing to show.
            silent = panels.pop("Drops by reason")
            wait(lambda: not [text for texts in panels.values() for text in texts if not prometheus.query(text)], 60)
            for text in silent:
                prometheus.query(text)
            if GIVEN.picture:
                draw(prometheus, queries())
    print(f"{len(rules)} rules were evaluated, {sum(map(len, panels.values())) + len(silent)} queries of {len(panels) + 1} panels answered")
