"""The rules and the dashboard below operate/ use metrics that docs/metrics.md lists and metrics_text exposes, and each alert fires where it should and not where it should not. Usage: rules_test.py SOURCE_DIR"""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

source = Path(sys.argv[1])
rules, cases = source / "operate/prometheus/gaze.rules.yml", source / "tests/operate/gaze.rules_test.yml"
dashboard = json.loads((source / "operate/grafana/gaze.json").read_text())
page, code = (source / "docs/metrics.md").read_text(), (source / "render/src/operate/metrics_text.cpp").read_text()
problems = []

alerts = re.findall(r"- alert: (\w+)", rules.read_text())
for alert in alerts:
    if f"alertname: {alert}\n        exp_alerts" not in cases.read_text() or f"alertname: {alert}}}" not in cases.read_text():
        problems.append(f"{alert}: expected a test that it fires and one that it does not in {cases.name}")

listed = {name: kind for row, kind in re.findall(r"^\| (`gaze_.*?) \| (\w+) \|", page, re.MULTILINE) for name in re.findall(r"`(gaze_\w+)", row)}
problems += [f"{name}: docs/metrics.md and metrics_text.cpp do not both have it" for name in set(listed) ^ set(re.findall(r'"(gaze_\w+)"', code))]
recorded = set(re.findall(r"- record: (\S+)", rules.read_text()))


def queries(node) -> list[str]:
    """What a dashboard asks Prometheus for."""
    if isinstance(node, list):
        return [text for each in node for text in queries(each)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key in ("expr", "definition", "query") and isinstance(value, str)]
    return own + [text for value in node.values() for text in queries(value)]


asked = [text for text in queries(dashboard) if "gaze" in text]
made_up = [line for line in cases.read_text().splitlines() if "series: '" in line]
for where, texts in ((rules.name, rules.read_text().splitlines()), (cases.name, made_up), ("gaze.json", asked)):
    for text in texts:
        for name in re.findall(r"\bgaze[_:][a-z0-9_:]+", text):
            of_histogram = re.sub(r"_(bucket|sum|count)$", "", name)
            if name not in listed and listed.get(of_histogram) != "histogram" and name not in recorded:
                problems.append(f"{where}: expected a metric of docs/metrics.md, got {name}")
reasons = set(re.findall(r'return "(\w+)"', (source / "render/src/base/status.cpp").read_text()))
for text in (rules.read_text(), *asked):
    for words in re.findall(r'reason[!=~]+\\?"([^"\\]+)', text):
        problems += [f"expected a reason for drops, got {reason}" for reason in words.split("|") if reason not in reasons]
if len(alerts) < 7 or len(asked) < 9 or len(listed) < 20 or len(reasons) < 20:
    problems.append(f"expected to find more than {len(alerts)} alerts, {len(asked)} queries, {len(listed)} metrics and {len(reasons)} reasons")
if problems:
    sys.exit("\n".join(problems))
print(f"{len(alerts)} alerts and {len(asked)} queries of the dashboard use {len(listed)} metrics that there are")
if shutil.which("promtool") is None:
    print("gaze-skip: no promtool: apt-get install prometheus")
    sys.exit(0)
for words in (["check", "rules", rules], ["test", "rules", cases]):
    subprocess.run(["promtool", *words], check=True)
