"""The rules of operate/prometheus are rules, and each alert fires where it should and not where it should not. Usage: rules_test.py SOURCE_DIR"""
import shutil
import subprocess
import sys
from pathlib import Path

source = Path(sys.argv[1])
rules, cases = source / "operate/prometheus/gaze.rules.yml", source / "tests/operate/gaze.rules_test.yml"
alerts = [line.split()[-1] for line in rules.read_text().splitlines() if "- alert:" in line]
untested = [alert for alert in alerts if f"alertname: {alert}\n        exp_alerts" not in cases.read_text() or f"alertname: {alert}}}" not in cases.read_text()]
if len(alerts) < 5 or untested:
    sys.exit(f"expected a test that fires and one that does not of each of {alerts}, missing for {untested}")
if shutil.which("promtool") is None:
    print("gaze-skip: no promtool: apt-get install prometheus")
    sys.exit(0)
for words in (["check", "rules", rules], ["test", "rules", cases]):
    subprocess.run(["promtool", *words], check=True)
