"""/metrics: what promtool and a strict reader make of it, and that its figures are those of the record."""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import IN_VM, REPO, eventually, read_text, skip, skip_missing  # noqa: E402
from statustest import Crowd, StatusTest, scale  # noqa: E402

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0; q=0.5, text/plain; version=0.0.4; q=0.3"}
SAMPLE = re.compile(r'^([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.]+(?:e[+-][0-9]+)?)$')
KILLED = ("--timeout", "200ms", "--", "sleep", "1000")


def promtool(page):
    if shutil.which("promtool") is None:
        # A 90 MB program whose answers do not depend on the kernel.
        (skip if IN_VM else skip_missing)("promtool is not installed")
    return subprocess.run(["promtool", "check", "metrics"], input=page, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)


def series(page):
    """{name{labels}: value}; a line that is none is an error, so is a series that is there twice."""
    found = {}
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        if not match:
            raise AssertionError(f"no sample: {line!r}")
        name = match[1] + ("{" + match[2] + "}" if match[2] else "")
        if name in found:
            raise AssertionError(f"twice: {name}")
        found[name] = float(match[3])
    return found


class Metrics(StatusTest):
    def begin(self):
        world = self.new_world()
        world.start_daemon()
        return world

    def page(self, world, headers=None):
        answer = world.web.ask("/metrics", headers=headers)
        self.assertEqual(answer.status, 200, answer.body[:500])
        return answer.text

    def wait_series(self, world, name, value):
        return eventually(lambda: (found := series(self.page(world))).get(name) == value and found, 10, f"{name} is {value}")

    def test_promtool_finds_nothing_before_the_first_run_and_after_kills(self):
        world = self.begin()
        done = promtool(self.page(world))
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.run_scidex("--", "true")
        self.run_scidex(*KILLED)
        self.wait_series(world, 'scidex_runs_ended_total{verdict="timeout"}', 1)
        done = promtool(self.page(world))
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_a_kill_moves_its_counters_by_one_and_no_others(self):
        world = self.begin()
        before = series(self.page(world))
        kills = {name for name in before if name.startswith("scidex_kills_total")}
        self.assertEqual(len(kills), 7)
        self.assertEqual({before[name] for name in kills}, {0})
        run_id = self.run_scidex(*KILLED).run["run_id"]
        after = self.wait_series(world, 'scidex_runs_ended_total{verdict="timeout"}', 1)
        self.assertEqual({name for name in kills if after[name]}, {'scidex_kills_total{reason="timeout"}'})
        self.assertEqual(after['scidex_kills_total{reason="timeout"}'], 1)
        self.assertEqual(after['scidex_kills_last_24h{reason="timeout"}'], 1)
        for name in ("kill_latency_seconds", "deadline_delay_seconds", "run_duration_seconds", "launch_duration_seconds"):
            self.assertEqual(after[f"scidex_{name}_count"], 1, name)
        (run,) = world.history(limit=1)
        self.assertEqual(run["run_id"], run_id)
        self.assertAlmostEqual(after["scidex_run_duration_seconds_sum"], run["duration_sec"], places=5)
        self.assertAlmostEqual(after["scidex_launch_duration_seconds_sum"], run["launch_sec"], places=5)
        self.assertAlmostEqual(after["scidex_runs_cpu_seconds_total"], run["cpu_sec"] or 0, places=5)

    def test_a_restarted_recorder_begins_at_zero_and_counts_nothing_twice(self):
        world = self.begin()
        self.run_scidex(*KILLED)
        self.wait_series(world, 'scidex_kills_total{reason="timeout"}', 1)
        recorder = world.recorder_pid()
        os.kill(recorder, 9)
        eventually(lambda: world.recorder_pid() not in (None, recorder), 10, "another recorder")
        world.wait_web()
        found = series(self.page(world))
        self.assertEqual(found['scidex_kills_total{reason="timeout"}'], 0)
        self.assertEqual(found['scidex_kills_last_24h{reason="timeout"}'], 1)
        self.run_scidex(*KILLED)
        self.wait_series(world, 'scidex_kills_total{reason="timeout"}', 1)

    def test_runs_make_no_series(self):
        world = self.begin()
        before = set(series(self.page(world)))
        number = scale(100)
        with Crowd(world, number):
            found = self.wait_series(world, 'scidex_runs{state="running"}', number)
            self.assertEqual({name for name in set(found) ^ before if not name.startswith("scidex_runs_")}, set())
            self.assertEqual(found["scidex_runs_memory_limit_bytes"], number << 30)
            self.assertLess(len(found), 200)

    def test_both_formats_have_the_same_series(self):
        world = self.begin()
        self.run_scidex(*KILLED)
        self.wait_series(world, 'scidex_runs_ended_total{verdict="timeout"}', 1)
        plain, strict = self.page(world), self.page(world, OPENMETRICS)
        self.assertEqual(set(series(plain)), set(series(strict)))
        self.assertTrue(strict.endswith("# EOF\n"))
        self.assertEqual(world.web.ask("/metrics").headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(world.web.ask("/metrics", headers=OPENMETRICS).headers["Content-Type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")

    def test_openmetrics_heads_come_once_before_their_samples(self):
        page = self.page(self.begin(), OPENMETRICS)
        family, seen = None, set()
        for line in page.splitlines()[:-1]:
            if line.startswith("# HELP "):
                family = line.split()[2]
                self.assertNotIn(family, seen)
                seen.add(family)
            elif line.startswith("# "):
                self.assertEqual(line.split()[2], family, line)
            else:
                suffix = line[len(family) :]
                self.assertTrue(line.startswith(family), line)
                self.assertRegex(suffix, r"^(_total|_info|_bucket|_sum|_count)?[{ ]")

    def test_alerts_and_dashboard_ask_for_nothing_that_is_not_there(self):
        page = self.page(self.begin())
        heads = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
        names = heads | {name + suffix for name in heads for suffix in ("_bucket", "_sum", "_count")}
        for path in ("docs/prometheus/scidex-alerts.yml", "docs/grafana/scidex.json", "docs/operations.md"):
            asked = set(re.findall(r"\bscidex_[a-z0-9_]+", read_text(os.path.join(REPO, path)))) - {"scidex_host", "scidex_reader", "scidex_writer", "scidex_events"}
            self.assertEqual(asked - names, set(), path)
            for label, values in (("reason", "scidex_kills_total"), ("verdict", "scidex_runs_ended_total"), ("state", "scidex_runs")):
                for name, value in re.findall(rf'(scidex_\w+)\{{[^}}]*\b{label}=\\?"([\w-]+)\\?"', read_text(os.path.join(REPO, path))):
                    if name == values:
                        self.assertIn(f'{name}{{{label}="{value}"}}', page, path)


if __name__ == "__main__":
    import unittest

    unittest.main()
