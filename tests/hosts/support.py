# SPDX-License-Identifier: MIT
"""What the tests of hosts share: a server that is started, asked over HTTP and ended; eight clients; and what must be in the bundles.

The answers are byte equal with capture off and on; with it on every request has its bundle, with its own picture, and the same maps whether it was
asked alone or beside seven others; with it off nothing is written and nothing of Gaze is loaded.
"""
import argparse
import base64
import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
ROUNDS = 3  # in which all clients ask at once, after each asked alone
START_SECONDS, ANSWER_SECONDS, WRITE_SECONDS, END_SECONDS = 180, 120, 60, 90
MARK = "GAZE_TEST_HOST_MARK"


def skip_without(*modules: str) -> None:
    """Ends with 77 where a package is not there."""
    for module in (*modules, "torch", "transformers", "numpy", "PIL"):
        if importlib.util.find_spec(module) is None:
            print(f"skipped: {module} is not installed for {sys.executable}")
            sys.exit(77)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gaze", required=True, help="the program")
    parser.add_argument("--library", required=True, help="libgaze_python.so")
    parser.add_argument("--preload", required=True, help="libgaze_preload.so")
    return parser.parse_args()


def wait_for(condition, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"expected {what} within {seconds} s"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- what clients ask

def prompt_of(model: str, client: int) -> list[int]:
    if model == "stickers":  # describe the stickers: / which number is on the <colour> sticker?
        return [1, 3, 4, 5, 11] if client % 2 == 0 else [1, 6, 7, 8, 9, 4, 14 + client, 10, 12]
    return [20 + client, 40 + 3 * client, 7]


def as_json(name: str, picture_hwc, prompt: list[int]) -> dict:
    return {"name": name, "picture": base64.b64encode(picture_hwc.tobytes()).decode(), "shape": picture_hwc.shape, "prompt": prompt}


class Server:
    """A host in a folder of its own. What it starts bears a mark in its environment, whatever session it moves to.

    @param command  of a port: the program's words
    @param ready    path that answers 200 once the model is there
    """

    def __init__(self, command, ready: str, path: str, environment: dict[str, str], folder: Path):
        self.port, self.ready, self.path = free_port(), ready, path
        self._mark = uuid.uuid4().hex
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GAZE_") and key != "LD_PRELOAD"}
        home = folder / "home"
        home.mkdir(parents=True)
        shared = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", MARK: self._mark}
        self.folder, self._log = folder, open(folder / "log", "w+b")
        self._process = subprocess.Popen(command(self.port), env=kept | shared | environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._log,
                                         stderr=subprocess.STDOUT, start_new_session=True,
                                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def processes(self) -> list[int]:
        """Those that live, of this server's."""
        mark, found = f"{MARK}={self._mark}".encode(), []
        for each in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if each.name.isdigit() and mark in (each / "environ").read_bytes() and (each / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(int(each.name))
        return found

    def has_loaded(self, library: str) -> bool:
        for each in self.processes():
            with contextlib.suppress(OSError):
                if library in Path(f"/proc/{each}/maps").read_text():
                    return True
        return False

    def post(self, body: dict) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{self.path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return answer.read()

    def is_ready(self) -> bool:
        assert self._process.poll() is None, f"the server ended with {self._process.returncode} before it was ready"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready}", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def end(self) -> None:
        """As Ctrl+C does. Nothing of it stays."""
        os.kill(self._process.pid, signal.SIGINT)
        status = self._process.wait(END_SECONDS)
        assert status in (0, -signal.SIGINT), f"expected the server to end by the SIGINT it was sent, got {status}"
        wait_for(lambda: not self.processes(), END_SECONDS, "that no process of the server stays")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            print(f"---- what the server said:\n{self.log[-8000:]}\n----")
        for each in self.processes():
            with contextlib.suppress(OSError):
                os.kill(each, signal.SIGKILL)
        self._process.wait()
        self._log.close()


# ---- what must be in the bundles

class Bundle:
    def __init__(self, folder: Path):
        import pictures

        self.facts = json.loads((folder / "request.json").read_text())
        assert self.facts["error"] is None, f"{folder}: {self.facts['error']}"
        self.client = pictures.client_in(pictures.picture_in(folder))
        self.maps = hashlib.sha256((folder / "maps.safetensors").read_bytes()).hexdigest()


def bundles_in(folder: Path) -> list[Path]:
    return sorted(each.parent for each in folder.glob("[0-9]*/request.json"))


def check_bundles(model: str, folders: list[Path], answers: dict[str, list[int]]) -> set[int]:
    """@param answers  ids by the name of the request: client-round. @return processes that wrote."""
    bundles = [Bundle(each) for each in folders]
    by_client: dict[int, list[Bundle]] = {}
    for each in bundles:
        by_client.setdefault(each.client, []).append(each)
    clients = {int(name.split("-")[0]) for name in answers}
    assert set(by_client) == clients, f"bundles of the clients {sorted(by_client)}, expected {sorted(clients)}"
    for client, own in by_client.items():
        names = sorted(name for name in answers if name.split("-")[0] == str(client))
        ids = answers[names[0]]
        assert len(own) == len(names), f"client {client}: {len(own)} bundles of {len(names)} requests"
        assert len({each.maps for each in own}) == 1, f"client {client}: its maps depend on who else asked"
        for each in own:
            assert len(each.facts["tokens"]) == len(ids), f"client {client}: {len(each.facts['tokens'])} tokens of {len(ids)}"
        if model == "llava":
            assert sorted(each.facts["request_id"] for each in own) == names, f"{[each.facts['request_id'] for each in own]}, expected {names}"
            for each in own:
                assert [token["id"] for token in each.facts["tokens"]] == ids
                assert [word["text"].strip() for word in each.facts["words"]] == [f"word{one}" for one in ids]
                assert each.facts["prompt"] == "".join(f"word{one} " for one in prompt_of(model, client))
        else:  # nobody said ids or words
            assert all(token["id"] is None for each in own for token in each.facts["tokens"])
    shared = len(bundles) // len(by_client) * len({own[0].maps for own in by_client.values()})
    assert shared == len(bundles), "two clients have the same maps"
    return {each.facts["pid"] for each in bundles}


# ---- one run of a host

def check_host(host: str, command, ready, path, body=as_json, ids_of=lambda answer: json.loads(answer)["ids"], environment=None, hand_over=None) -> None:
    """@param command    of a model's name, a port and a folder: the host's words
    @param ready, path   of a model's name: where to ask whether it is there, and where to ask it
    @param hand_over     of variables: further words of the host that give them to its workers alone; None: it has no such way
    """
    given = arguments()
    profile = SOURCE / "samples" / "models" / "stickers" / "profile.json"
    preloaded = {"LD_PRELOAD": given.preload}
    on = {"GAZE_CAPTURE": "1", "GAZE_LOG": "info"}
    library = {"GAZE_LIBRARY": given.library}
    with tempfile.TemporaryDirectory(prefix="gaze-", ignore_cleanup_errors=True) as scratch:
        ways = [("stickers", "off", [], preloaded | {"GAZE_PROFILE": str(profile)}, False),
                ("stickers", "gaze preload", [given.gaze, "preload", "--"], {"GAZE_PROFILE": str(profile)}, False),
                ("stickers", "its workers' environment", [], preloaded | on | {"GAZE_PROFILE": str(profile)}, True),
                ("llava", "off", [], library, False), ("llava", "on", [], library | on, False)]
        expected: dict[str, dict[int, bytes]] = {}
        for number, (model, way, before, variables, handed) in enumerate(ways):
            if handed and hand_over is None:
                continue
            begun, folder = time.monotonic(), Path(scratch) / str(number)
            bundles = folder / "bundles"
            variables = variables | {"GAZE_OUT_DIR": str(bundles)}
            words = hand_over(variables) if handed else []
            (folder / "home").parent.mkdir()
            with Server(lambda port: [*before, *command(model, port, folder), *words], ready(model), path(model),
                        (environment or {}) | ({} if handed else variables), folder) as server:
                wait_for(server.is_ready, START_SECONDS, f"{host} to be ready")
                started = time.monotonic()
                if way == "off":
                    expected[model] = ask_alone(server, model, body)
                    assert not any(server.has_loaded(each) for each in ("libgaze_loaded", "libgaze_python", "libgaze_hooks")), "off: Gaze is loaded"
                    answers = {}
                else:
                    answers = ask_alone_and_at_once(server, model, body, expected[model])
                    wait_for(lambda: len(bundles_in(bundles)) >= len(answers), WRITE_SECONDS, f"{len(answers)} bundles, found {len(bundles_in(bundles))},")
                asked = time.monotonic()
                server.end()
            if way == "off":
                assert not bundles.exists() and not (folder / "overlays").exists() and "[gaze]" not in server.log, f"off: {server.log}"
                print(f"{host}, {model}, {way}: nothing written; ", end="")
            else:
                found = bundles_in(bundles)
                assert len(found) == len(answers), f"{len(found)} bundles of {len(answers)} requests"
                pids = check_bundles(model, found, {name: ids_of(answer) for name, answer in answers.items()})
                assert "[warning]" not in server.log and "[error]" not in server.log, server.log
                print(f"{host}, {model}, {way}: {len(found)} bundles of {len(pids)} process{'es' if len(pids) > 1 else ''}; ", end="")
            ended = time.monotonic()
            print(f"{started - begun:.1f} s to start, {asked - started:.1f} s to ask, {ended - asked:.1f} s to end and look", flush=True)


def ask(server: Server, model: str, client: int, turn: int, body) -> bytes:
    import pictures

    return server.post(body(f"{client}-{turn}", pictures.picture_of(client), prompt_of(model, client)))


def ask_alone(server: Server, model: str, body) -> dict[int, bytes]:
    import pictures

    answers = {client: ask(server, model, client, 0, body) for client in range(pictures.CLIENTS)}
    assert len(set(answers.values())) >= pictures.CLIENTS // 2, "expected answers that tell clients apart"
    return answers


def ask_alone_and_at_once(server: Server, model: str, body, expected: dict[int, bytes]) -> dict[str, bytes]:
    """By the name of the request. All are what they were with capture off."""
    answers = {f"{client}-0": answer for client, answer in ask_alone(server, model, body).items()}
    for turn in range(1, ROUNDS + 1):
        gate = threading.Barrier(len(expected))

        def at_once(client: int) -> bytes:
            gate.wait(ANSWER_SECONDS)
            return ask(server, model, client, turn, body)

        with ThreadPoolExecutor(len(expected)) as pool:
            answers |= {f"{client}-{turn}": answer for client, answer in zip(expected, pool.map(at_once, expected))}
    for name, answer in answers.items():
        before = expected[int(name.split("-")[0])]
        assert answer == before, f"request {name}: capture off {before}, on {answer}"
    return answers
