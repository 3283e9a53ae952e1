"""A gaze_serve of the test's own, and ways to ask it."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

DESCRIBE = "describe the stickers :"


class Server:
    """Runs while the `with` does; is then ended, and must end cleanly."""

    def __init__(self, program: str, source: str, *arguments: str, **variables: str):
        stickers = Path(source, "samples/models/stickers")
        self.folder = tempfile.TemporaryDirectory()
        self.bundles = Path(self.folder.name, "overlays")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GAZE_")}
        self.process = subprocess.Popen(
            [program, "--model", stickers / "stickers_sdpa.pt", "--profile", stickers / "profile.json", "--bundles", self.bundles, *arguments],
            env=clean | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert re.fullmatch(r"gaze_serve: http://127\.0\.0\.1:\d+\n", line), (line, self.process.stderr.read() if not line else "")
        self.port = int(line.rsplit(":", 1)[1])
        self.said = self.errors = ""

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.end()
        self.folder.cleanup()

    def end(self, sign: int = signal.SIGTERM) -> None:
        if self.process.returncode is None:
            self.process.send_signal(sign)
            self.said, self.errors = self.process.communicate(timeout=60)
            assert self.process.returncode == 0, (self.process.returncode, self.said, self.errors)

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> tuple[int, bytes, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def ask(self, picture: bytes, prompt: str = DESCRIBE, **headers: str) -> tuple[int, dict]:
        body, kind = multipart({"picture": picture, "prompt": prompt.encode()})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, text, _ = self.request("POST", "/v1/answer", body, {"Content-Type": kind} | named)
        return status, json.loads(text)

    def raw(self, *pieces: bytes, close: bool = False) -> tuple[int, bytes]:
        """Sends bytes as they are, and reads until the server closes. (0, b"") where it said nothing."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            try:
                for piece in pieces:
                    client.sendall(piece)
                if close:
                    client.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            said = b""
            try:
                while piece := client.recv(65536):
                    said += piece
            except ConnectionResetError:
                pass
        head, _, body = said.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1\.1 (\d+) ", head)
        return (int(found[1]) if found else 0), body

    def metric(self, name: str) -> float:
        text = self.request("GET", "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((name + " ", name + "{")))

    def wait_until_drawn(self) -> list[dict]:
        """The bundles' request.json, once nothing is left to draw."""
        wait(lambda: self.metric("gaze_requests_in_flight") == 0)
        return [json.loads(file.read_text()) for file in self.bundles.glob("[0-9]*/request.json")]


def wait(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.01)


def multipart(parts: dict[str, bytes], boundary: str = "gaze-boundary") -> tuple[bytes, str]:
    body = b"".join(b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary.encode(), name.encode(), content)
                    for name, content in parts.items())
    return body + b"--%s--\r\n" % boundary.encode(), f"multipart/form-data; boundary={boundary}"


def post(body: bytes, *headers: str, path: str = "/v1/answer", length: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body) if length is None else length}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def at_once(calls: list) -> list:
    """Their results, each on a thread of its own; what one throws is thrown."""
    results: list = [None] * len(calls)

    def run(index: int) -> None:
        try:
            results[index] = calls[index]()
        except Exception as error:  # pylint: disable=broad-except
            results[index] = error
    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def demo(source: str) -> list[tuple[bytes, str, str]]:
    """Pictures, prompts, and what is right."""
    folder = Path(source, "samples/data/demo")
    shots = json.loads((folder / "demo.json").read_text())["pictures"]
    return [((folder / shot["file"]).read_bytes(), prompt["text"], prompt["answer"]) for shot in shots for prompt in shot["prompts"]]


def run_cases(cases: list) -> None:
    """Each by its name, all of them, whatever fails."""
    failed = 0
    for case in cases:
        begun = time.monotonic()
        try:
            case()
            print(f"ok    {case.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"FAILED {case.__name__}", flush=True)
            traceback.print_exc(file=sys.stdout)
    print(f"{len(cases) - failed} of {len(cases)} cases passed")
    sys.exit(1 if failed else 0)
