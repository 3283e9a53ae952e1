"""samples/serve and what a network can send: each is refused with a JSON error, and the server lives.
Usage: bad_input_test.py SERVER LOAD SOURCE_DIR"""
import base64
import json
import socket
import struct
import sys
import threading
import zlib

from server import DESCRIBE, Server, at_once, demo, multipart, post, run_cases, wait

SERVER, _, SOURCE = sys.argv[1:]
PICTURE, PROMPT, TRUTH = demo(SOURCE)[0]
BODY, KIND = multipart({"picture": PICTURE, "prompt": PROMPT.encode()})
KIND_LINE = f"Content-Type: {KIND}"
JSON = "Content-Type: application/json"


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def with_picture(picture: bytes, prompt: str = DESCRIBE) -> bytes:
    body, kind = multipart({"picture": picture, "prompt": prompt.encode("utf-8", "surrogateescape")})
    return post(body, f"Content-Type: {kind}")


def with_header(*lines: str) -> bytes:
    return post(BODY, KIND_LINE, *lines)


def as_json(text: str | bytes) -> bytes:
    return post(text.encode() if isinstance(text, str) else text, JSON)


def of_parts(body: bytes, kind: str = KIND) -> bytes:
    return post(body, f"Content-Type: {kind}")


ENCODED = base64.b64encode(PICTURE).decode()
# What is sent, and the status of the answer.
TABLE: dict[str, tuple[bytes, int]] = {
    "a body beyond the limit": (post(b"", KIND_LINE, length=13 << 20), 413),
    "a length beyond all numbers": (post(b"", KIND_LINE, length=10 ** 30), 413),
    "a length below zero": (post(b"", KIND_LINE, length=-1), 400),
    "a length that is a word": (post(b"", KIND_LINE).replace(b"Content-Length: 0", b"Content-Length: many"), 400),
    "two lengths": (with_header("Content-Length: 3"), 400),
    "no length": (b"POST /v1/answer HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 411),
    "chunks": (b"POST /v1/answer HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 411),
    "a packed body": (with_header("Content-Encoding: gzip"), 415),
    "no type": (post(BODY), 415),
    "another type": (post(BODY, "Content-Type: image/jpeg"), 415),
    "two types": (with_header(JSON), 400),
    "a form": (post(b"prompt=x", "Content-Type: application/x-www-form-urlencoded"), 415),
    "an empty body": (post(b"", KIND_LINE), 400),
    "no picture": (of_parts(multipart({"prompt": b"describe"})[0]), 400),
    "no prompt": (of_parts(multipart({"picture": PICTURE})[0]), 400),
    "two pictures": (of_parts(BODY[:-len(b"--gaze-boundary--\r\n")] + BODY), 400),
    "another part": (of_parts(multipart({"picture": PICTURE, "prompt": b"x", "more": b"x"})[0]), 400),
    "many parts": (of_parts(multipart({f"p{i}": b"" for i in range(1000)})[0]), 400),
    "multipart without a boundary": (post(BODY, "Content-Type: multipart/form-data; x=y"), 400),
    "multipart with an endless boundary": (post(BODY, "Content-Type: multipart/form-data; boundary=" + "b" * 5000), 400),
    "multipart with another boundary": (of_parts(BODY, "multipart/form-data; boundary=other"), 400),
    "multipart that is cut off": (of_parts(BODY[:-30]), 400),
    "multipart that is cut off in a head": (of_parts(BODY[:40]), 400),
    "multipart without an end of line": (of_parts(b"--gaze-boundary"), 400),
    "a part's head of a megabyte": (
        of_parts(b'--gaze-boundary\r\nX: y\r\nContent-Disposition: form-data; name="' + b"a" * (1 << 20) + b'"\r\n\r\n'), 400),
    "a part with an open quote": (of_parts(b'--gaze-boundary\r\nContent-Disposition: form-data; name="picture\r\n\r\nx\r\n--gaze-boundary--'), 400),
    "bytes that are no picture": (with_picture(b"no picture at all"), 422),
    "a page": (with_picture(b"<html><script>alert(1)</script>"), 422),
    "half a picture": (with_picture(PICTURE[:len(PICTURE) // 2]), 422),
    "a picture with a turned byte": (with_picture(png(8, 8, b"\0" * 200).replace(b"IDAT", b"IDAX")), 422),
    "a bomb of 65500 x 65500": (with_picture(png(65500, 65500)), 422),
    "a bomb of 2147483647 x 1": (with_picture(png(2147483647, 1)), 422),
    "a picture of 0 x 0": (with_picture(png(0, 0)), 422),
    "a word that the model does not know": (with_picture(PICTURE, "describe the <script>"), 422),
    "a word of the model's own": (with_picture(PICTURE, "<eos>"), 422),
    "a prompt of many words": (with_picture(PICTURE, "the " * 100), 422),
    "a prompt of 10 KB": (with_picture(PICTURE, "the " * 2500), 400),
    "a prompt that is no text": (with_picture(PICTURE, "\udcff\udcfe\0"), 422),
    "JSON that is none": (as_json("{"), 400),
    "JSON of another kind": (as_json("[]"), 400),
    "JSON of a number": (as_json('{"picture": 1, "prompt": "x"}'), 400),
    "JSON with a field more": (as_json(f'{{"picture": "{ENCODED}", "prompt": "x", "path": "/etc/passwd"}}'), 400),
    "JSON with a field twice": (as_json('{"prompt": "a", "prompt": "b", "picture": "AAAA"}'), 400),
    "JSON in JSON": (as_json('{"picture": {"picture": "AAAA"}}'), 400),
    "JSON a million deep": (as_json("[" * 1_000_000), 400),
    "JSON objects a million deep": (as_json('{"picture":' * 1_000_000), 400),
    "JSON that is no UTF-8": (as_json(b'{"prompt": "\xff\xfe"}'), 400),
    "no base64": (as_json('{"picture": "%%%%", "prompt": "describe"}'), 400),
    "base64 that is cut off": (as_json('{"picture": "AAA", "prompt": "describe"}'), 400),
    "base64 of nothing": (as_json('{"picture": "====", "prompt": "describe"}'), 422),
    "an id of HTML": (with_header("X-Request-Id: <script>alert(1)</script>"), 400),
    "an id of a path": (with_header("X-Request-Id: ../../etc/passwd"), 400),
    "an id with a NUL": (with_header("X-Request-Id: a\0b"), 400),
    "an id with a written NUL": (with_header("X-Request-Id: a%00b"), 400),
    "an id with an end of line": (with_header("X-Request-Id: a%0d%0aSet-Cookie: b"), 400),
    "an id of 7 KB": (with_header("X-Request-Id: " + "a" * 7000), 400),
    "an id of 10 KB": (with_header("X-Request-Id: " + "a" * 10_000), 400),
    "an id of 129 letters": (with_header("X-Request-Id: " + "a" * 129), 400),
    "an id with a letter of elsewhere": (with_header("X-Request-Id: \xe9"), 400),
    "an unknown wish": (with_header("X-Gaze: maybe"), 400),
    "a head of 100 KB": (with_header("X-Much: " + "a" * 100_000), 431),
    "a thousand headers": (with_header(*[f"X-{i}: y" for i in range(1000)]), 431),
    "another host": (with_header().replace(b"Host: 127.0.0.1", b"Host: example.org"), 421),
    "no host": (with_header().replace(b"Host: 127.0.0.1\r\n", b""), 400),
    "two hosts": (with_header("Host: 127.0.0.1"), 400),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "HTTP 9": (b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n", 400),
    "an unknown method": (b"BREW /v1/answer HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    "a body that is waited for, and too large": (
        b"POST /v1/answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n", 413),
    "another method": (b"DELETE /v1/answer HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
    "a GET with a body": (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc", 400),
    "an address that does not exist": (b"GET /v2/answer HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "an address of 9 KB": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 414),
    "a report nobody asked for": (b"GET /report/none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "a report by a path": (b"GET /report/../../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "a report by a written path": (b"GET /report/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "a report with a NUL": (b"GET /report/a%00b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "a report with an address of 7 KB": (b"GET /report/" + b"a" * 7000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "a range that is none": (b"GET /report HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=x\r\n\r\n", 416),
}


def whatever_comes_is_refused() -> None:
    with Server(SERVER, SOURCE, "--max-wait-ms", "0", GAZE_CAPTURE="1") as server:
        wrong = []
        for name, (sent, expected) in TABLE.items():
            status, body = server.raw(sent)
            if status != expected or not isinstance(json.loads(body or b"{}").get("error"), str):
                wrong.append((name, status, expected, body[:100]))
            assert server.request("GET", "/healthz")[0] == 200, f"the server died of {name}"
        assert not wrong, wrong
        assert server.wait_until_drawn() == [], "what is refused leaves no bundle"
        assert server.ask(PICTURE, PROMPT, X_Request_Id="good")[1]["answer"] == TRUTH
        assert server.ask(PICTURE, PROMPT, X_Request_Id="good")[0] == 409
        # Long ranges are looked at by cpp-httplib; of pages there are none.
        many = b"bytes=" + b",".join(b"0-%d" % i for i in range(1500))
        assert server.raw(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nRange: " + many + b"\r\n\r\n")[0] in (200, 400)
        with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as file:
            peak_kb = int(next(line for line in file if line.startswith("VmHWM:")).split()[1])
        assert peak_kb < 1_500_000, peak_kb


def no_error_touches_another() -> None:
    bad = [with_picture(b"none"), with_picture(PICTURE, "describe nothing"), of_parts(BODY[:-30]), as_json("{"), with_header("X-Request-Id: <b>")]
    with Server(SERVER, SOURCE, "--max-batch", "4", "--max-wait-ms", "200", GAZE_CAPTURE="1") as server:
        good = [lambda i=i: server.ask(PICTURE, PROMPT, X_Request_Id=f"good{i}") for i in range(8)]
        results = at_once([call for i, call in enumerate(good) for call in (call, lambda i=i: server.raw(bad[i % len(bad)]))])
        assert all(status == 200 and answer["answer"] == TRUTH for status, answer in results[::2]), results[::2]
        assert all(status in (400, 422) for status, _ in results[1::2]), results[1::2]
        assert sorted(request["request_id"] for request in server.wait_until_drawn()) == sorted(f"good{i}" for i in range(8))


def slow_clients_are_told() -> None:
    with Server(SERVER, SOURCE, "--patience-ms", "400") as server:
        assert server.raw(b"POST /v1/answer HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")[0] == 408, "a head that never ends"
        assert server.raw(with_header()[:-1000])[0] == 408, "a body that never ends"
        assert server.raw(b"")[0] == 0, "a client that says nothing is left"
        stop = threading.Event()

        def drip() -> None:  # a byte now and then, for ever
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
                try:
                    while not stop.wait(0.02):
                        client.sendall(b"a")
                except OSError:
                    stop.set()
        thread = threading.Thread(target=drip)
        thread.start()
        wait(stop.is_set, 10)
        thread.join()
        for cut in (b"GE", with_header()[:200], with_header()[:-10]):
            assert server.raw(cut, close=True)[0] in (0, 400), "a client that leaves"
        with socket.create_connection(("127.0.0.1", server.port)) as client:  # one that does not wait for its answer
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(with_header())
        assert server.ask(PICTURE, PROMPT)[1]["answer"] == TRUTH


def too_many_connections_are_told() -> None:
    with Server(SERVER, SOURCE, "--max-connections", "2") as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(30)]
        try:
            told = []
            for client in reversed(idle):  # the newest found no room
                client.settimeout(5)
                said = client.recv(1000)
                told.append(said)
                if len(told) == 8:
                    break
            assert all(said.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in said and b'"error"' in said for said in told), told
        finally:
            for client in idle:
                client.close()
        wait(lambda: server.request("GET", "/healthz")[0] == 200)
        assert server.ask(PICTURE, PROMPT)[1]["answer"] == TRUTH


run_cases([whatever_comes_is_refused, no_error_touches_another, slow_clients_are_told, too_many_connections_are_told])
