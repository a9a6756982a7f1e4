"""What docs/ offers for Prometheus and Grafana: that promtool takes it, and that it asks for nothing that /metrics has not."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import IN_VM, REPO, read_text, skip, skip_missing  # noqa: E402

ALERTS = os.path.join(REPO, "docs/prometheus/scidex-alerts.yml")
ALERTS_TEST = os.path.join(REPO, "docs/prometheus/scidex-alerts-test.yml")
DASHBOARD = os.path.join(REPO, "docs/grafana/scidex.json")


def promtool(*arguments, **options):
    if shutil.which("promtool") is None:
        # A 90 MB program whose answers do not depend on the kernel.
        (skip if IN_VM else skip_missing)("promtool is not installed")
    return subprocess.run(["promtool", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120, **options)


def dashboard():
    return json.loads(read_text(DASHBOARD))


def expressions():
    """All queries of the dashboard, the variables of Grafana replaced by what it would put there."""
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    found += [entry["expr"] for entry in dashboard()["annotations"]["list"]]
    return [text.replace("$__rate_interval", "5m").replace("$instance", ".*") for text in found]


class Monitoring(unittest.TestCase):
    def test_the_alert_rules_are_rules(self):
        done = promtool("check", "rules", ALERTS)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_each_alert_fires_where_it_should_and_on_a_quiet_host_none_does(self):
        done = promtool("test", "rules", ALERTS_TEST)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_every_alert_has_a_test_of_its_firing_and_one_of_its_silence(self):
        names = set(re.findall(r"- alert: (\w+)", read_text(ALERTS)))
        tests = read_text(ALERTS_TEST)
        fires = set(re.findall(r"- eval_time: \w+\n +alertname: (\w+)\n +exp_alerts:", tests))
        silent = set(re.findall(r"- \{eval_time: \w+, alertname: (\w+)\}", tests))
        self.assertGreater(len(names), 5)
        self.assertEqual(fires, names)
        self.assertEqual(silent, names)

    def test_every_query_of_the_dashboard_is_one(self):
        rules = {"groups": [{"name": "queries", "rules": [{"record": f"query:{i}", "expr": text} for i, text in enumerate(expressions())]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump(rules, file)  # JSON is YAML
            file.flush()
            done = promtool("check", "rules", file.name)
        self.assertGreater(len(rules["groups"][0]["rules"]), 10)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_every_panel_has_a_place_of_its_own(self):
        taken = {}
        for panel in dashboard()["panels"]:
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
                self.assertNotIn(cell, taken, f"{panel['title']} lies on {taken.get(cell)}")
                taken[cell] = panel["title"]
        self.assertEqual(len({panel["id"] for panel in dashboard()["panels"]}), len(dashboard()["panels"]))


if __name__ == "__main__":
    unittest.main()
