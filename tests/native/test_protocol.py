"""The wire, spoken by a program that is none of ours: docs/protocol.md is enough to write one."""

import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import IN_VM, REPO, Client, ProtocolError, ScidexTest, deadline, eventually, read_text, skip, wait_readable  # noqa: E402

RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

RUN_MEMBERS = """run_id analysis_id host boot_id uid pid comm cmdline cmdline_length launcher_pid state verdict detail launched_at
    deadline_at ended_at duration_sec exit_status exit_signal timeout_sec cpu_limit_sec grace_sec thrash_sec memory_limit_bytes
    memory_high_bytes swap_limit_bytes pids_limit cpus term_signal memory_bytes memory_peak_bytes anon_bytes file_bytes
    shmem_bytes private_peak_bytes swap_bytes oom_events oom_kill_events max_events pids pids_peak pids_max_events cpu_sec
    cpu_user_sec cpu_system_sec cpu_throttled_sec psi_memory_some_sec psi_memory_full_sec psi_cpu_some_sec psi_io_some_sec
    psi_io_full_sec io_read_bytes io_write_bytes enforcement containment not_enforced outer_run_id labels group events launch_sec""".split()

EVENT_MEMBERS = """event_id seq reason detail signals decided_at term_at kill_at empty_at processes_killed processes overshoot_bytes
    evidence timeline""".split()


class Operations(ScidexTest):
    def setUp(self):
        super().setUp()
        self.launch = self.start_scidex("--analysis-id", "SDA-7", "--", "sh", "-c", "echo ready; exec sleep 1000")
        self.launch.read_line()
        self.run_id = self.launch.run_id()

    def tearDown(self):
        if self.launch.result is None:
            self.launch.signal(signal.SIGTERM)
            self.launch.wait()
        super().tearDown()

    def refused(self, op, code, **members):
        with self.world.client() as client:
            with self.assertRaises(ProtocolError) as caught:
                client.call(op, **members)
        if code:
            self.assertEqual(caught.exception.code, code, caught.exception.packet)
        self.assertTrue(caught.exception.message)
        return caught.exception

    def test_status_tells_what_the_document_says(self):
        status = self.world.status()
        for member in ("version", "pid", "mode", "started_at", "tree", "enforcement", "runs", "states", "storage", "unrecorded", "record_socket"):
            self.assertIn(member, status)
        self.assertEqual(status["mode"], "private")
        self.assertEqual(status["runs"], 1)
        self.assertEqual(status["states"].get("running"), 1)
        self.assertRegex(status["started_at"], RFC3339)
        self.assertTrue({"kind", "path", "memory", "pids", "cpu", "detail", "hint"} <= set(status["tree"]))

    def test_a_run_has_exactly_the_documented_members(self):
        (row,) = self.world.list()
        self.assertEqual(sorted(set(row) - {"timeline"}), sorted(RUN_MEMBERS))
        shown = self.world.show(self.run_id)
        self.assertEqual(sorted(shown), sorted([*RUN_MEMBERS, "timeline"]))
        for member in ("launched_at", "deadline_at"):
            self.assertRegex(shown[member], RFC3339)
        self.assertIsNone(shown["ended_at"])
        self.assertIsNone(shown["verdict"])

    def test_an_event_has_every_documented_member(self):
        self.world.kill(self.run_id)
        self.launch.wait()
        _, (event,) = self.assert_recorded(self.run_id, "cancelled")
        missing = (set(RUN_MEMBERS) - {"state", "verdict", "events", "group"} | set(EVENT_MEMBERS)) - set(event)
        self.assertEqual(missing, set())
        self.assertFalse({"state", "verdict", "events", "group"} & set(event))
        for member in ("decided_at", "term_at", "empty_at", "launched_at"):
            self.assertRegex(event[member], RFC3339)

    def test_selectors_are_id_prefix_suffix_and_analysis(self):
        for selector in (self.run_id, self.run_id[:-1], self.run_id[-8:], self.run_id[-4:], "SDA-7"):
            with self.subTest(selector=selector):
                self.assertEqual(self.world.show(selector)["run_id"], self.run_id)
        self.refused("show", "not-found", run="no-such-run")
        self.refused("show", "not-found", run=self.run_id[-3:])
        self.refused("show", "bad-request", run=7)
        self.refused("show", "bad-request")

    def test_a_selector_that_fits_two_is_ambiguous_and_names_them(self):
        other = self.start_scidex("--analysis-id", "SDA-7", "--", "sh", "-c", "echo ready; exec sleep 1000")
        other.read_line()
        error = self.refused("show", "ambiguous", run="SDA-7")
        both = sorted([self.run_id, other.run_id()])
        self.assertEqual(sorted(error.packet["error"]["candidates"]), both)
        # Of an analysis, kill means all its runs.
        self.assertEqual(sorted(self.world.kill("SDA-7")), both)
        self.assert_status(other.wait(), 143)
        self.assert_status(self.launch.wait(), 143)

    def test_wait_answers_when_the_run_has_ended(self):
        with self.world.client() as client:
            client.send({"v": 1, "op": "wait", "run": self.run_id})
            self.world.kill(self.run_id)
            reply = client.receive()
        self.assertEqual(reply["run"]["verdict"], "cancelled")
        self.launch.wait()

    def test_unknown_operations_and_versions_are_answered(self):
        self.assertIn(self.refused("frobnicate", None).code, ("unsupported", "bad-request"))
        with self.world.client() as client:
            client.send({"v": 1})
            self.assertEqual(client.receive()["error"]["code"], "bad-request")
        with self.world.client() as client:
            client.send({"v": 0, "op": "status"})
            self.assertIn(client.receive()["error"]["code"], ("too-old", "bad-request"))

    def test_unknown_members_are_ignored(self):
        with self.world.client() as client:
            self.assertTrue(client.call("status", colour="blue", deep=[[[{}]]])["ok"])

    def test_a_packet_that_is_no_object_ends_the_connection_and_nothing_else(self):
        for data in (b"{", b"[]", b"7", b"\xff\xfe", b"null", b"\0" * 100, b"[" * 60000, b'{"v":1,"op":"' + b"x" * 65000 + b'"}'):
            with self.subTest(data=data[:20]), self.world.client() as client:
                client.socket.send(data)
                self.assertTrue(wait_readable(client.socket.fileno(), 5))
                reply = client.receive()
                self.assertTrue(reply is None or not reply["ok"], reply)
        self.assertEqual(self.world.show(self.run_id)["state"], "running")

    def test_a_client_that_does_not_read_does_not_stop_the_others(self):
        slow = Client(self.world.socket)
        slow.socket.setblocking(False)  # it is not read from either, so its own side fills
        for _ in range(200):
            try:
                slow.socket.send(json.dumps({"v": 1, "op": "status"}).encode())
            except BlockingIOError:
                break
        self.assertEqual(self.world.status()["runs"], 1)
        slow.socket.close()
        self.assertEqual(self.world.status()["runs"], 1)

    def test_many_connections_at_once(self):
        clients = [Client(self.world.socket) for _ in range(50)]
        for client in clients:
            client.send({"v": 1, "op": "status"})
        for client in clients:
            self.assertTrue(client.receive()["ok"])
            client.socket.close()

    def test_a_launch_request_that_is_wrong_is_refused_and_makes_no_group(self):
        before = self.world.groups()
        for member, value in (
            ("cmdline", 7), ("cmdline", ["true"]), ("memory_bytes", -1), ("memory_bytes", "1G"), ("memory_bytes", 0), ("pids", 0),
            ("analysis_id", "x" * 300), ("analysis_id", 7), ("term_signal", 99), ("term_signal", "TERM"), ("labels", {"a": 1}),
            ("labels", ["a"]), ("timeout_usec", 1.5), ("timeout_usec", 0), ("cpu_centi", 0), ("grace_usec", None), ("require_kernel", 1),
        ):  # fmt: skip
            with self.subTest(member=member, value=value):
                self.refused("launch", "bad-request", request={"cmdline": "true", "cmdline_length": 4, member: value})
        with self.subTest("no request at all"):
            self.refused("launch", "bad-request")
        self.assertEqual(self.world.groups(), before)

    def test_a_launcher_that_hangs_up_before_it_started_anything_leaves_no_group(self):
        before = self.world.groups()
        with self.world.client() as client:
            reply = client.call("launch", request={"cmdline": "true", "cmdline_length": 4})
            self.assertTrue(reply["run_id"])
            self.assertIn(reply["start"], ("clone", "move", "plain"))
        eventually(lambda: self.world.groups() == before, 10, "the group is removed")

    def test_the_socket_is_for_its_owner_alone(self):
        self.assertEqual(os.stat(self.world.runtime).st_mode & 0o077, 0)


class ExampleClient(ScidexTest):
    """examples/client.py, which docs/protocol.md quotes, as somebody would use it."""

    def client(self, *words, path=None):
        return subprocess.run(
            [sys.executable, os.path.join(REPO, "examples", "client.py"), *words],
            env={"SCIDEX_SOCKET": path or self.world.socket}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline(20),
        )  # fmt: skip

    def test_the_documents_quote_it_as_it_is(self):
        if not os.path.isdir(os.path.join(REPO, "docs")):
            skip("the guest has no documents")
        source = read_text(os.path.join(REPO, "examples", "client.py"))
        indented = "".join("    " + line if line.strip() else line for line in source.splitlines(True))
        self.assertIn(indented, read_text(os.path.join(REPO, "docs", "protocol.md")))
        self.assertIn(f"```\n{source}```\n", read_text(os.path.join(REPO, "docs", "man", "scidex-protocol.7.scd")))

    def test_it_lists_and_kills(self):
        launch = self.start_scidex("--analysis-id", "SDA-7", "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        run_id = launch.run_id()
        listed = self.client("list")
        self.assertEqual((listed.returncode, listed.stdout), (0, f"{run_id} running SDA-7\n"), listed.stderr)
        killed = self.client("kill", "SDA-7")
        self.assertEqual((killed.returncode, killed.stdout), (0, f"{run_id}\n"), killed.stderr)
        self.assert_status(launch.wait(), 143)
        self.assert_recorded(run_id, "cancelled")

    def test_a_refusal_is_told_in_the_supervisors_words(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        refused = self.client("kill", "no-such-run")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("no live run of that name", refused.stderr)
        self.assertEqual(self.client("kill", launch.run_id()).returncode, 0)
        launch.wait()

    def test_without_a_supervisor_it_says_so(self):
        answer = self.client("list", path="/nonexistent/control")
        self.assertEqual((answer.returncode, answer.stdout), (1, ""))
        self.assertIn("No such file", answer.stderr)


class List(ScidexTest):
    def test_it_goes_on_although_whom_it_stands_at_has_ended(self):
        if IN_VM:
            self.skipTest("not here: emulated, a hundred launches take minutes, and none of it is about the kernel")
        if int(read_text("/proc/sys/net/core/wmem_default")) > 300_000:
            self.skipTest("not here: a socket takes the whole list")
        self.here().start_daemon()
        filler = "x" * 6000  # what is kept of it makes some fifty rows fill a socket
        launches = [self.start_scidex("--", "sh", "-c", "exec sleep 1000", filler, stdout=subprocess.DEVNULL) for _ in range(100)]
        eventually(lambda: len(self.world.list()) == 100, 30)
        newest_first = [row["run_id"] for row in self.world.list()]
        self.assertEqual(newest_first, sorted(newest_first, reverse=True))
        supervisor = self.world.supervisor_pid()
        with self.world.client() as reader, self.world.client() as other:
            reader.send({"v": 1, "op": "list"})
            rows = [reader.receive()["row"]["run_id"]]
            with self.world.client() as hasty:  # whose session ends while its list stands at one of them
                hasty.send({"v": 1, "op": "list"})
                hasty.receive()
            for run_id in newest_first[:90]:
                other.call("kill", run=run_id)
            eventually(lambda: len(self.world.list()) == 10, 30, "the others have ended")
            while "end" not in (packet := reader.receive()):
                rows.append(packet["row"]["run_id"])
        self.assertEqual(packet["count"], len(rows))
        self.assertLess(len(rows), 90, "all was sent before anybody ended: nothing was tried")
        self.assertEqual(rows, newest_first[: len(rows) - 10] + newest_first[90:])
        self.assertEqual(self.world.supervisor_pid(), supervisor)
        for launch in launches:
            launch.signal(signal.SIGTERM)
            self.assert_status(launch.wait(), 143)


class RecordSocket(ScidexTest):
    def test_it_only_reads(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        for op in ("kill", "launch", "event", "run", "process", "alive"):
            with self.subTest(op=op), self.world.record_client() as client:
                with self.assertRaises(ProtocolError) as caught:
                    client.call(op, run="x", request={"cmdline": "true"}, n=1, event={}, run_ids=[])
                self.assertIn(caught.exception.code, ("unsupported", "denied", "bad-request"))

    def test_storage_and_kills_count(self):
        self.assert_status(self.run_scidex("--timeout", "300ms", "--", "sleep", "1000"), 124)
        storage = self.world.storage()
        self.assertEqual(storage["state"], "ok")
        self.assertEqual(storage["journal_mode"], "wal")
        self.assertEqual(storage["events"], 1)
        self.assertTrue(os.path.exists(storage["path"]))
        with self.world.record_client() as client:
            kills = client.call("kills", since_at="2000-01-01T00:00:00Z")
        self.assertEqual((kills["count"], kills["by_reason"].get("timeout")), (1, 1))

    def test_its_name_is_beside_the_control_socket(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        self.assertEqual(self.world.status()["record_socket"], os.path.join(self.world.runtime, "record"))
