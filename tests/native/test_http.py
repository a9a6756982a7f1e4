"""Status over HTTP: every document and the stream, as docs/status.md says; what is public and what is not."""

import contextlib
import gzip
import json
import os
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from face import Face, FaceTest, UnixConnection, ask  # noqa: E402
from feeder import timestamp, uuid7  # noqa: E402
from scidextest import ScidexTest, deadline, eventually, needs_user, pidfd, wait_readable  # noqa: E402

DOCUMENTS = ("/api/quests/status", "/api/runs", "/api/events", "/healthz", "/metrics")
REASONS = {"timeout", "cpu-time", "memory", "host-oom", "orphaned", "cancelled", "orphan"}
SECRET = "rather-private-command"
PYTHON = "/usr/bin/python3"  # that other users can start, too


def ago(seconds):
    return timestamp(time.time() - seconds)


class Documents(FaceTest):
    def test_an_empty_host_has_an_empty_status_of_the_same_shape(self):
        status = self.begin().get("/api/quests/status").json()
        self.assertEqual(status["schema"], 1)
        watchdog = status["watchdog"]
        self.assertEqual((watchdog["monitored_count"], watchdog["grace_count"], watchdog["kills_last_24h"]), (0, 0, 0))
        self.assertEqual(watchdog["recent_events"], [])
        self.assertEqual(watchdog["kills_by_reason"], dict.fromkeys(REASONS, 0))
        self.assertEqual(set(watchdog["states"].values()), {0})
        self.assertEqual(self.face.get("/api/runs").json()["runs"], [])
        self.assertEqual(self.face.get("/api/events").json()["events"], [])
        self.assertEqual(self.face.get("/healthz").body, b"ok\n")

    def test_figures_are_those_of_the_record(self):
        face = self.begin()
        for state in ("running", "running", "grace"):
            face.alive(state=state)
        for reason in ("memory", "memory", "timeout"):
            face.ended(run_id=face.event(reason=reason)["run_id"], verdict=reason)
        face.event(reason="cancelled", decided_at=ago(25 * 3600))
        face.settle()
        watchdog = eventually(lambda: self.watchdog(kills=3))
        self.assertEqual((watchdog["monitored_count"], watchdog["grace_count"]), (3, 1))
        self.assertEqual((watchdog["states"]["running"], watchdog["states"]["grace"]), (2, 1))
        self.assertEqual({name: n for name, n in watchdog["kills_by_reason"].items() if n}, {"memory": 2, "timeout": 1})
        self.assertEqual(len(watchdog["recent_events"]), 4)
        times = [event["decided_at"] for event in watchdog["recent_events"]]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertEqual((watchdog["storage"]["runs"], watchdog["storage"]["events"]), (3, 4))

    def watchdog(self, kills):
        """Once it has that many kills: the sums of an instant may be counted anew only later, after a restart at once."""
        self.face.stop()
        self.face.start()
        watchdog = self.face.get("/api/quests/status").json()["watchdog"]
        return watchdog if watchdog["kills_last_24h"] == kills else None

    def test_a_kill_is_told_as_soon_as_it_is_recorded(self):
        face = self.begin()
        face.count = 0
        for n in (1, 2, 21, 22):
            while face.count < n:
                event = face.event(reason="memory")
                face.count += 1
            face.settle()
            watchdog = face.get("/api/quests/status").json()["watchdog"]
            self.assertEqual((watchdog["kills_last_24h"], watchdog["kills_by_reason"]["memory"]), (n, n))
            self.assertEqual(watchdog["recent_events"][0]["event_id"], event["event_id"])
            self.assertEqual(len(watchdog["recent_events"]), min(n, 20))

    def test_runs_come_by_their_need(self):
        face = self.begin()
        calm = face.alive(timeout_sec=None, memory_limit_bytes=1000, anon_bytes=100, shmem_bytes=0, analysis_id="calm")
        grace = face.alive(state="grace", analysis_id="grace")
        tight = face.alive(timeout_sec=None, memory_limit_bytes=1000, anon_bytes=900, shmem_bytes=0, analysis_id="tight")
        face.settle()
        runs = face.get("/api/runs").json()
        self.assertEqual(runs["count"], 3)
        self.assertEqual([run["run_id"] for run in runs["runs"]], [grace["run_id"], tight["run_id"], calm["run_id"]])
        self.assertEqual([run["run_id"] for run in face.get("/api/runs?limit=1&offset=1").json()["runs"]], [tight["run_id"]])
        self.assertEqual([run["run_id"] for run in face.get("/api/runs?state=grace").json()["runs"]], [grace["run_id"]])
        found = face.get("/api/runs?analysis_id=calm").json()
        self.assertEqual((found["count"], [run["run_id"] for run in found["runs"]]), (1, [calm["run_id"]]))

    def test_ended_runs_are_those_of_the_record(self):
        face = self.begin()
        rows = [face.ended(analysis_id=f"A{n}", ended_at=ago(100 - n), events=0, verdict="completed") for n in range(5)]
        runs = face.get("/api/runs?state=ended&limit=3").json()
        self.assertEqual([run["run_id"] for run in runs["runs"]], [row["run_id"] for row in rows[:1:-1]])
        self.assertIsNone(runs["count"])
        self.assertEqual({(run["state"], run["verdict"], run["reason"]) for run in runs["runs"]}, {("ended", "completed", None)})
        self.assertEqual([run["run_id"] for run in face.get("/api/runs?state=ended&analysis_id=A1").json()["runs"]], [rows[1]["run_id"]])
        self.assert_problem(face.get("/api/runs?state=ended&offset=1"), 400)

    def test_a_run_is_found_by_its_names(self):
        face = self.begin()
        live = face.alive(analysis_id="SDA 1/2")
        event = face.event(analysis_id="SDA-2", reason="timeout")
        face.ended(run_id=event["run_id"], analysis_id="SDA-2", verdict="timeout")
        for name in (live["run_id"], live["run_id"][-8:], "SDA%201%2F2"):
            answer = face.get("/api/runs/" + name).json()
            self.assertEqual((answer["run"]["run_id"], answer["run"]["state"], answer["events"]), (live["run_id"], "running", []))
        answer = face.get("/api/runs/SDA-2").json()
        self.assertEqual((answer["run"]["state"], answer["run"]["verdict"], answer["run"]["reason"]), ("ended", "timeout", "timeout"))
        self.assertEqual([one["event_id"] for one in answer["events"]], [event["event_id"]])
        self.assertEqual(answer["timeline"], event["timeline"])
        self.assertIn("time limit", answer["why"])
        self.assert_problem(face.get("/api/runs/00000000"), 404)

    def test_a_name_of_several_runs_is_ambiguous(self):
        face = self.begin()
        end = uuid7()[-8:]
        for _ in range(2):
            face.ended(run_id=uuid7()[:-8] + end)
        self.assertIn("several", self.assert_problem(self.face.get("/api/runs/" + end), 409)["detail"])

    def test_events_are_filtered(self):
        face = self.begin()
        rows = [face.event(reason=reason, analysis_id=f"A{n}", decided_at=ago(100 - n)) for n, reason in enumerate(("memory", "timeout", "memory"))]
        ids = lambda query: [event["event_id"] for event in face.get("/api/events" + query).json()["events"]]  # noqa: E731
        self.assertEqual(ids(""), [row["event_id"] for row in reversed(rows)])
        self.assertEqual(ids("?reason=memory"), [rows[2]["event_id"], rows[0]["event_id"]])
        self.assertEqual(ids("?limit=1"), [rows[2]["event_id"]])
        self.assertEqual(ids("?analysis_id=A1"), [rows[1]["event_id"]])
        self.assertEqual(ids("?since=" + rows[2]["decided_at"]), [rows[2]["event_id"]])
        self.assert_problem(face.get("/api/events?since=yesterday"), 400)

    def test_an_answer_is_as_new_as_what_the_supervisor_has_said(self):
        face = self.begin()
        for n in range(10):
            row = face.ended(analysis_id=f"new-{n}")
            self.assertEqual(face.get(f"/api/runs/{row['run_id']}").json()["run"]["state"], "ended")


class Manners(FaceTest):
    def test_every_answer_has_the_headers_that_keep_browsers_safe(self):
        face = self.begin()
        for path in (*DOCUMENTS, "/", "/nothing", "/api/runs?what=ever"):
            headers = face.get(path).headers
            self.assertIn("default-src 'none'", headers["content-security-policy"], path)
            self.assertIn("frame-ancestors 'none'", headers["content-security-policy"], path)
            self.assertEqual(headers["x-content-type-options"], "nosniff", path)
            self.assertEqual(headers["referrer-policy"], "no-referrer", path)
            self.assertEqual(headers["cross-origin-resource-policy"], "same-origin", path)
            self.assertEqual(headers["cache-control"], "no-store", path)
            self.assertNotIn("access-control-allow-origin", headers, path)

    def test_head_is_get_without_its_body(self):
        face = self.begin()
        for path in DOCUMENTS:
            with contextlib.closing(face.connect()) as connection:
                head = ask(connection, path, "HEAD")
                # On the same connection: nothing of a body is left in it.
                full = ask(connection, path)
            self.assertEqual((head.status, head.body), (200, b""), path)
            self.assertEqual(head.headers["content-type"], full.headers["content-type"])
            self.assertGreater(int(head.headers["content-length"]), 0)

    def test_nothing_but_get_and_head_is_allowed(self):
        face = self.begin()
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
            answer = face.get("/api/runs", method)
            self.assert_problem(answer, 405)
            self.assertEqual(answer.headers["allow"], "GET, HEAD", method)

    def test_what_is_not_understood_is_refused_with_the_remedy(self):
        face = self.begin()
        self.assertIn("limit, offset", self.assert_problem(face.get("/api/runs?Limit=3"), 400)["hint"])
        self.assert_problem(face.get("/api/quests/status?x=1"), 400)
        for query in ("limit=-1", "limit=1001", "limit=x", "limit=", "offset=9999999", "state=flying", "limit=1&limit=2", "limit=%31%00", "state=ended&limit=101"):
            self.assert_problem(face.get("/api/runs?" + query), 400)
        for path in ("/nothing", "/api", "/api/", "/api/runs/0000", "/metrics/", "/healthz/x", "//", "/api/quests/status/"):
            self.assert_problem(face.get(path), 404)
        self.assert_problem(face.get("/" + "a" * 3000), 414)

    def test_a_packed_answer_is_the_same(self):
        face = self.begin()
        for n in range(20):
            face.alive(analysis_id=f"SDA-{n}")
        face.settle()
        eventually(lambda: face.get("/api/runs").json()["count"] == 20)
        packed = face.get("/api/runs", Accept_Encoding="gzip")
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertIn("Accept-Encoding", packed.headers["vary"])
        runs = json.loads(gzip.decompress(packed.body))["runs"]
        self.assertEqual(len(runs), 20)
        plain = face.get("/api/runs", Accept_Encoding="gzip;q=0")
        self.assertNotIn("content-encoding", plain.headers)
        self.assertGreater(len(plain.body), 2 * len(packed.body))

    def test_one_connection_serves_many_requests(self):
        face = self.begin()
        with contextlib.closing(face.connect()) as connection:
            connection.connect()
            own = connection.sock
            for _ in range(50):
                self.assertEqual(ask(connection, "/healthz").status, 200)
                self.assertIs(connection.sock, own)

    def test_names_of_others_are_refused(self):
        face = self.begin(hosts=("status.example",))
        for host in (f"127.0.0.1:{face.port}", f"localhost:{face.port}", "localhost", "status.example", "Status.Example:443"):
            self.assertEqual(face.get("/healthz", Host=host).status, 200, host)
        for host in ("evil.example", f"evil.example:{face.port}", "127.0.0.1:1", "127.0.0.1.evil.example", "localhost.evil", "", "[::1"):
            answer = face.get("/healthz", Host=host)
            self.assertIn("hosts", self.assert_problem(answer, 421)["hint"], host)
        # There is nobody to be deceived at the other end of a Unix socket.
        self.assertEqual(face.get_local("/healthz", Host="anything").status, 200)


class Privacy(FaceTest):
    def rows(self, face, uid=0):
        labels = {"owner": SECRET}
        live = face.alive(cmdline=SECRET, comm=SECRET, labels=labels, group="/sys/fs/cgroup/" + SECRET, analysis_id="SDA-1", uid=uid)
        event = face.event(cmdline=SECRET, comm=SECRET, labels=labels, processes=[{"pid": 1, "comm": SECRET, "rss_bytes": 1}],
                           detail="scidexctl kill by uid " + SECRET, analysis_id="SDA-2", uid=uid, reason="cancelled")  # fmt: skip
        face.ended(run_id=event["run_id"], cmdline=SECRET, comm=SECRET, labels=labels, verdict="cancelled", analysis_id="SDA-2", uid=uid,
                   detail="scidexctl kill by uid " + SECRET)  # fmt: skip
        face.settle()
        return live["run_id"], event["run_id"]

    def paths(self, live, ended):
        return ("/api/quests/status", "/api/runs", "/api/runs?state=ended", f"/api/runs/{live}", f"/api/runs/{ended}", "/api/events", "/metrics")

    def test_over_tcp_nobody_sees_what_is_somebodys_own(self):
        face = self.begin()
        live, ended = self.rows(face)
        for path in self.paths(live, ended):
            answer = face.get(path)
            self.assertEqual(answer.status, 200, path)
            self.assertNotIn(SECRET.encode(), answer.body, path)
            self.assertNotIn(b"uid", answer.body, path)
        with face.messages() as messages:
            data = messages.until("snapshot")
            self.assertEqual([run["run_id"] for run in data["runs"]], [live])
            self.rows(face)
            data = (data, messages.until("event"), messages.until("update"))
        self.assertNotIn(SECRET, json.dumps(data))

    def test_over_the_unix_socket_ones_own_is_whole(self):
        face = self.begin()
        live, ended = self.rows(face)
        for path in ("/api/runs", "/api/runs?state=ended", f"/api/runs/{live}", f"/api/runs/{ended}", "/api/events"):
            self.assertIn(SECRET.encode(), face.get_local(path).body, path)
            # What one sees is not kept for those who may not.
            self.assertNotIn(SECRET.encode(), face.get(path).body, path)
        run = face.get_local(f"/api/runs/{ended}").json()
        self.assertEqual((run["run"]["cmdline"], run["events"][0]["labels"]), (SECRET, {"owner": SECRET}))
        self.assertIn("SDA-2", run["why"])

    @needs_user("nobody")
    def test_a_user_sees_others_as_everybody_does(self):
        face = self.begin(group=65534)
        os.chmod(face.unix_path, 0o666)
        live, ended = self.rows(face)
        own, _ = self.rows(face, uid=65534)
        for path in self.paths(live, ended)[3:5]:
            answer = self.get_as_nobody(face, path)
            self.assertEqual(answer["status"], 200)
            self.assertNotIn(SECRET, answer["body"], path)
        self.assertIn(SECRET, self.get_as_nobody(face, f"/api/runs/{own}")["body"])
        runs = {run["run_id"]: run for run in json.loads(self.get_as_nobody(face, "/api/runs")["body"])["runs"]}
        self.assertIn("cmdline", runs[own])
        self.assertNotIn("cmdline", runs[live])

    @needs_user("nobody")
    def test_who_is_no_user_is_told_whom_to_ask(self):
        face = self.begin(group=4242)
        os.chmod(face.unix_path, 0o666)
        answer = self.get_as_nobody(face, "/healthz")
        self.assertEqual(answer["status"], 403)
        self.assertIn("usermod -aG scidex-test", json.loads(answer["body"])["hint"])

    def get_as_nobody(self, face, path):
        code = (
            "import http.client, json, socket, sys\n"
            "c = http.client.HTTPConnection('localhost'); c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(sys.argv[1])\n"
            "c.request('GET', sys.argv[2]); r = c.getresponse(); print(json.dumps({'status': r.status, 'body': r.read().decode()}))\n"
        )
        done = subprocess.run([PYTHON, "-c", code, face.unix_path, path], user=65534, group=65534, extra_groups=(), stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def test_analysis_ids_can_be_hidden(self):
        face = self.begin(hides=True)
        live, ended = self.rows(face)
        for path in self.paths(live, ended):
            self.assertNotIn(b"SDA-", face.get(path).body, path)
        self.assert_problem(face.get("/api/runs?analysis_id=SDA-1"), 400)
        self.assert_problem(face.get("/api/events?analysis_id=SDA-2"), 400)
        self.assert_problem(face.get("/api/runs/SDA-1"), 404)
        # Nor can those be tried that look like a run id.
        number = face.alive(analysis_id="20261121")["run_id"]
        face.settle()
        self.assert_problem(face.get("/api/runs/20261121"), 404)
        self.assertEqual(face.get(f"/api/runs/{number}").status, 200)
        self.assertEqual(face.get(f"/api/runs/{number[-8:]}").json()["run"]["run_id"], number)
        self.assertEqual(face.get_local("/api/runs/20261121").json()["run"]["run_id"], number)
        self.assertEqual(face.get_local("/api/runs/SDA-2").json()["run"]["analysis_id"], "SDA-2")


class Stream(FaceTest):
    def test_it_begins_with_all_there_is(self):
        face = self.begin()
        live, event = face.alive(analysis_id="SDA-1"), face.event()
        face.settle()
        with face.messages() as messages:
            self.assertIn(b"text/event-stream", messages.head)
            name, identity, data = messages.next()
            self.assertEqual((name, identity, data["reset"]), ("snapshot", event["event_id"], False))
            self.assertEqual([run["run_id"] for run in data["runs"]], [live["run_id"]])
            self.assertEqual([one["event_id"] for one in data["watchdog"]["recent_events"]], [event["event_id"]])

    def test_a_kill_is_told_at_once_then_what_changed(self):
        face = self.begin()
        stays, ends = face.alive(), face.alive()
        face.settle()
        with face.messages() as messages:
            messages.until("snapshot")
            event = face.event(run_id=ends["run_id"])
            face.settle()
            name, identity, data = messages.next()
            while name == "update":
                name, identity, data = messages.next()
            self.assertEqual((name, identity, data["event"]["event_id"]), ("event", event["event_id"], event["event_id"]))
            face.ended(run_id=ends["run_id"])
            comes = face.alive()
            face.settle()
            seen, gone = set(), set()
            while ends["run_id"] not in gone or comes["run_id"] not in seen:
                data = messages.until("update")
                seen |= {run["run_id"] for run in data["runs"]}
                gone |= set(data["gone"])
            self.assertNotIn(stays["run_id"], gone)

    def test_a_quiet_host_is_told_to_be_one(self):
        with self.begin().messages() as messages:
            messages.until("snapshot")
            data = messages.until("update", lambda data: data["watchdog"] is None)
            self.assertEqual((data["runs"], data["gone"]), ([], []))

    def test_who_listens_to_silence_costs_nothing(self):
        face = self.begin()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(face.messages()) for _ in range(20)]
            for client in clients:
                client.until("snapshot")
            used = face.cpu_seconds()
            for client in clients:
                client.until("update")
                client.until("update")
        self.assertLess(face.cpu_seconds() - used, deadline(0.3))

    def test_who_was_away_misses_no_kill(self):
        face = self.begin()
        first = face.event(decided_at=ago(10))
        # Decided before, recorded after; and not in the order of the decision either.
        missed = [face.event(decided_at=ago(seconds)) for seconds in (90, 30, 60, 5, 20)]
        face.settle()
        with face.messages(first["event_id"]) as messages:
            for row in missed:
                name, identity, data = messages.next()
                self.assertEqual((name, identity), ("event", row["event_id"]))
            name, _, data = messages.next()
            self.assertEqual((name, data["reset"]), ("snapshot", False))

    def test_who_was_away_during_a_restart_misses_no_kill(self):
        face = self.begin()
        first = face.event()
        face.settle()
        face.stop()
        face.start()
        missed = face.event()
        face.settle()
        with face.messages(first["event_id"]) as messages:
            self.assertEqual(messages.next()[:2], ("event", missed["event_id"]))

    def test_an_id_that_nobody_knows_begins_anew(self):
        face = self.begin()
        face.event()
        face.settle()
        for identity in (uuid7(), "x", "%00", "'; DROP TABLE watchdog_events"):
            with face.messages(identity) as messages:
                name, _, data = messages.next()
                self.assertEqual((name, data["reset"]), ("snapshot", True))

    def test_a_run_of_a_snapshot_is_told_to_be_gone(self):
        """Also one that came and went between two updates, and that only who joined between has been shown."""
        face = self.begin()
        with face.messages() as early:
            early.until("snapshot")
            short = face.alive()
            face.settle()
            eventually(lambda: face.get("/api/runs").json()["count"] == 1)
            with contextlib.closing(eventually(lambda: self.who_is_shown(face, short["run_id"]))) as late:
                face.ended(run_id=short["run_id"])
                face.settle()
                late.until("update", lambda data: short["run_id"] in data["gone"])

    def who_is_shown(self, face, run_id):
        """A client whose snapshot has the run; None while that of a second ago still serves all who join."""
        client = face.messages()
        if run_id in [run["run_id"] for run in client.until("snapshot")["runs"]]:
            return client
        client.close()
        return None


class Supervised(ScidexTest):
    """As a whole: the supervisor binds, the recorder answers."""

    def begin(self, **environment):
        world = self.here()
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
            port = probe.getsockname()[1]
        path = os.path.join(world.directory, "http")
        self.environment = {"SCIDEX_HTTP_LISTEN": f"127.0.0.1:{port} {path}", **environment}
        return world, port, path

    def get(self, port, path):
        import http.client

        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=deadline(20))) as connection:
            return ask(connection, path)

    def test_a_run_is_seen_while_it_lives_and_after(self):
        world, port, path = self.begin()
        launch = world.start("--analysis-id", "SDA-1", "--timeout", "10min", "sleep", "1000", env=self.environment)
        runs = eventually(lambda: self.alive(port), 20)
        self.assertEqual(runs[0]["analysis_id"], "SDA-1")
        run_id = runs[0]["run_id"]
        one = self.get(port, "/api/runs/" + run_id).json()
        self.assertEqual(one["run"]["timeout_sec"], 600)
        with contextlib.closing(UnixConnection(path, deadline(20))) as connection:
            self.assertEqual(ask(connection, "/api/runs/" + run_id).json()["run"]["cmdline"], "sleep 1000")
        world.client().call("kill", run=run_id)
        launch.wait()
        one = self.get(port, "/api/runs/" + run_id).json()
        self.assertEqual((one["run"]["verdict"], one["events"][0]["reason"]), ("cancelled", "cancelled"))
        self.assertEqual(self.get(port, "/api/quests/status").json()["watchdog"]["kills_by_reason"]["cancelled"], 1)

    def alive(self, port):
        with contextlib.suppress(ConnectionError):
            return self.get(port, "/api/runs").json()["runs"]
        return None


if __name__ == "__main__":
    unittest.main()
