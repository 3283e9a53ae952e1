"""What GAZE_OTEL_DIR holds is OTLP, as the protocol's own package reads it, and /metrics what promtool takes. Usage: otlp_test.py SERVER LOAD SOURCE_DIR"""
import base64
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from server import Server, demo

SERVER, _, SOURCE = sys.argv[1:]
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def with_base64_ids(value):
    """OTLP's JSON has ids in hexadecimal, protobuf's in base64."""
    if isinstance(value, dict):
        return {name: base64.b64encode(bytes.fromhex(each)).decode() if name in ("traceId", "spanId", "parentSpanId") else with_base64_ids(each)
                for name, each in value.items()}
    return [with_base64_ids(each) for each in value] if isinstance(value, list) else value


def ask(folder: Path) -> tuple[int, bytes]:
    questions = demo(SOURCE)
    with Server(SERVER, SOURCE, GAZE_CAPTURE="1", GAZE_OTEL_DIR=str(folder)) as server:
        for number, (picture, prompt, _) in enumerate(questions):
            server.ask(picture, prompt, X_Request_Id=f"q{number}", traceparent=f"00-{TRACE}-{SPAN}-01")
        server.wait_until_drawn()
        return len(questions), server.request("GET", "/metrics")[1]


def check_lines(folder: Path, answers: int) -> None:
    from google.protobuf.json_format import Parse
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    spans, events = [], []
    for line in (folder / "traces.jsonl").read_text().splitlines():
        for resource in Parse(json.dumps(with_base64_ids(json.loads(line))), ExportTraceServiceRequest()).resource_spans:
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    for line in (folder / "logs.jsonl").read_text().splitlines():
        for resource in Parse(json.dumps(with_base64_ids(json.loads(line))), ExportLogsServiceRequest()).resource_logs:
            events += [record for scope in resource.scope_logs for record in scope.log_records]
    assert len(spans) == len(events) == answers, (len(spans), len(events))
    for span in spans:
        assert (span.trace_id.hex(), span.parent_span_id.hex(), len(span.span_id)) == (TRACE, SPAN, 8), span
        assert 0 < span.start_time_unix_nano < span.end_time_unix_nano, span
        named = {each.key: each.value for each in span.attributes}
        assert named["gen_ai.request.model"].string_value == "stickers" and named["gaze.verdict"].string_value, span
    assert {event.span_id for event in events} == {span.span_id for span in spans}


with tempfile.TemporaryDirectory() as temporary:
    count, metrics = ask(Path(temporary))
    done = []
    if importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.proto"):
        check_lines(Path(temporary), count)
        done.append("lines are OTLP")
    if shutil.which("promtool"):
        found = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, check=False)
        assert found.returncode == 0, found.stderr.decode()
        done.append("metrics are Prometheus'")
print("; ".join(done) if done else "gaze-skip: neither opentelemetry-proto (pip) nor promtool (apt-get install prometheus) is there")
