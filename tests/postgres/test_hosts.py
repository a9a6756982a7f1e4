"""Several hosts in one database: what is read of them, which are silent, how one is forgotten, and views that stay live.

Most of the hosts are rows that the test writes, as their recorders would; two are real supervisors that take themselves
for two hosts (a UTS namespace each).
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from postgresserver import WAIT, PsqlError  # noqa: E402
from postgrestest import PostgresTest  # noqa: E402
from scidextest import ScidexTest, deadline, eventually, process_comm, skip, wait_readable  # noqa: E402
from terminal import Terminal  # noqa: E402

HOST_AWAY = "12 min"


class Reader(PostgresTest):
    """With `alpha`, which reports, and `beta`, which has not for 12 minutes."""

    def setUp(self):
        super().setUp()
        self.ends = contextlib.ExitStack()
        self.world = self.new_world()
        self.host("alpha")
        self.host("alpha", supervisor="user:1000")
        self.host("beta", ago=HOST_AWAY)

    def tearDown(self):
        """Before the check that nothing is left."""
        self.ends.close()
        super().tearDown()

    def host(self, name, supervisor="system", ago="0 s"):
        self.server.psql(f"INSERT INTO watchdog_hosts (host, supervisor, boot_id, heartbeat_at) VALUES ('{name}', '{supervisor}', 'b', now() - interval '{ago}')")

    def process(self, host, analysis, ago="1 min", supervisor="system"):
        run_id = str(uuid.uuid4())
        self.server.psql(
            "INSERT INTO watchdog_processes (run_id, analysis_ref, host, supervisor, boot_id, uid, pid, state, launched_at, timeout_sec, anon_bytes, memory_limit_bytes) "
            f"VALUES ('{run_id}', '{analysis}', '{host}', '{supervisor}', 'b', 1000, 7, 'running', now() - interval '{ago}', 1800, 1e6::bigint, 2e9::bigint)"
        )
        return run_id

    def ended(self, host, analysis, verdict="completed", ago="1 min", run_id=None, extra="NULL"):
        run_id = run_id or str(uuid.uuid4())
        self.server.psql(
            "INSERT INTO watchdog_runs (run_id, analysis_ref, host, boot_id, state, verdict, launched_at, ended_at, duration_sec, timeline, extra) "
            f"VALUES ('{run_id}', '{analysis}', '{host}', 'b', 'ended', '{verdict}', now() - interval '{ago}' - interval '1 min', now() - interval '{ago}', 60.5, '{{\"interval_sec\": 1}}', {extra})"
        )
        return run_id

    def event_sql(self, analysis, host="alpha", reason="memory", ago="0 s", arrived="now()", run_id=None):
        event_id = str(uuid.uuid4())
        return event_id, (
            "INSERT INTO watchdog_events (event_id, run_id, seq, analysis_ref, host, reason, decided_at, duration_sec, signals, evidence, processes, timeline, received_at) "
            f"VALUES ('{event_id}', '{run_id or uuid.uuid4()}', 1, '{analysis}', '{host}', '{reason}', now() - interval '{ago}', 12.5, '[]', '{{}}', '[{{\"pid\": 3}}]', '{{}}', {arrived}); "
        )

    def event(self, analysis, told=True, **options):
        event_id, sql = self.event_sql(analysis, **options)
        self.server.psql("BEGIN; " + sql + ("SELECT pg_notify('scidex_events', '{}'); " if told else "") + "COMMIT")
        return event_id

    def ask(self, verb, *options):
        answer = self.world.ctl_json(verb, "--all-hosts", *options)
        self.assertTrue(answer["ok"], answer)
        return answer

    def analyses(self, rows):
        return [row["analysis_id"] for row in rows]


class Used(Reader):
    """What is made of the runs of all hosts together."""

    def test_suggest_and_report_take_the_runs_of_all_hosts(self):
        for n in range(1, 21):
            self.ended("alpha" if n % 2 else "beta", "SDA-1", ago=f"{n} min", verdict="memory" if n == 20 else "completed")
        self.ended("alpha", "SDA-2")
        self.server.psql(
            "UPDATE watchdog_runs SET uid = 0, enforcement = 'kernel', memory_limit_bytes = 1000 * 1048576::bigint, timeout_sec = 605, "
            "private_peak_bytes = 1048576::bigint * 10 * round(extract(epoch FROM now() - ended_at) / 60)"
        )
        suggestion = self.ask("suggest", "SDA-1")["suggestion"]
        # Peaks of 10, 20, ... 190 MiB and one killed at its limit of 1000: rank 19 of 20 is 190, and 20 % more 228.
        self.assertEqual((suggestion["runs"], suggestion["censored"]["memory"]), (20, 1))
        self.assertEqual(suggestion["memory"]["suggested_bytes"], 228 << 20)
        self.assertIsNone(suggestion["memory"]["bias"])
        self.assertEqual(suggestion["options"], "--memory 228M --timeout 73s")
        self.assertEqual(self.ask("suggest", "SDA-1", "--host", "beta")["suggestion"]["runs"], 10)
        report = {entry["analysis_id"]: entry for entry in self.ask("report")["report"]}
        self.assertEqual((report["SDA-1"]["runs"], report["SDA-1"]["killed_memory"], report["SDA-2"]["runs"]), (20, 1, 1))
        self.assertAlmostEqual(report["SDA-1"]["private_peak_mean_bytes"] / (105 << 20), 1, places=6)
        self.assertEqual([entry["runs"] for entry in self.ask("report", "--by", "user")["report"]], [21])


class AllHosts(Reader):
    def test_what_runs_is_listed_of_all_hosts_and_a_silent_one_is_marked(self):
        self.process("alpha", "A", ago="2 min")
        self.process("beta", "B", ago="1 min")
        answer = self.ask("list")
        self.assertEqual([(row["host"], row["analysis_id"], row["host_silent"]) for row in answer["runs"]], [("beta", "B", True), ("alpha", "A", False)])
        self.assertEqual({(row["host"], row["supervisor"]): (row["silent"], row["runs"]) for row in answer["hosts"]},
                         {("alpha", "system"): (False, 1), ("alpha", "user:1000"): (False, 0), ("beta", "system"): (True, 1)})  # fmt: skip
        self.assertEqual(self.analyses(self.ask("list", "--host", "alpha")["runs"]), ["A"])
        text = self.world.ctl("list", "--all-hosts").stdout
        self.assertRegex(text, r"beta +\S+ +B +running, silent")
        self.assertIn("beta has been silent since", text)
        self.assertIn("scidexctl db forget beta", text)
        self.assertNotIn("alpha has been", text)

    def test_a_heartbeat_ends_the_silence(self):
        self.process("beta", "B")
        self.server.psql("UPDATE watchdog_hosts SET heartbeat_at = now() WHERE host = 'beta'")
        answer = self.ask("list")
        self.assertFalse(answer["runs"][0]["host_silent"])
        self.assertNotIn("silent since", self.world.ctl("list", "--all-hosts").stdout)

    def test_the_runs_of_a_silent_host_stay_until_it_is_forgotten(self):
        run_id = self.process("beta", "B")
        self.process("alpha", "A")
        self.ask("list")
        self.assertEqual(self.count("watchdog_processes"), 2)
        done = self.world.ctl("db", "forget", "beta")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.analyses(self.ask("list")["runs"]), ["A"])
        (row,) = self.ask("history", "--verdict", "lost")["runs"]
        self.assertEqual((row["run_id"], row["analysis_id"], row["host"]), (run_id, "B", "beta"))
        self.assertNotIn("beta", {row["host"] for row in self.ask("list")["hosts"]})

    def test_a_host_that_reports_is_not_forgotten(self):
        self.process("alpha", "A")
        done = self.world.ctl("db", "forget", "alpha")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.count("watchdog_processes"), 1)

    def test_history_is_filtered_by_host_analysis_verdict_and_time(self):
        self.ended("alpha", "A", ago="3 h")
        self.ended("alpha", "B", "timeout", ago="2 min")
        self.ended("beta", "B", ago="1 min", extra="'{\"registered\": true}'")
        self.assertEqual(self.analyses(self.ask("history")["runs"]), ["B", "B", "A"])
        self.assertEqual(self.analyses(self.ask("history", "--host", "alpha")["runs"]), ["B", "A"])
        self.assertEqual([row["host"] for row in self.ask("history", "--analysis", "B")["runs"]], ["beta", "alpha"])
        self.assertEqual(self.analyses(self.ask("history", "--verdict", "timeout")["runs"]), ["B"])
        self.assertEqual(self.analyses(self.ask("history", "--since", "1h")["runs"]), ["B", "B"])
        self.assertEqual(len(self.ask("history", "--limit", "1")["runs"]), 1)
        newest = self.ask("history", "--limit", "1")["runs"][0]
        self.assertTrue(newest["registered"])
        self.assertNotIn("timeline", newest)
        self.assertRegex(newest["ended_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertIsInstance(newest["duration_sec"], float)

    def test_events_are_filtered_and_a_run_is_named_as_everywhere(self):
        run_id = self.ended("alpha", "A", "memory", run_id="0b000000-0000-7000-8000-0000deadbeef")
        self.event("A", run_id=run_id, ago="2 h")
        self.event("B", host="beta", reason="timeout", ago="1 min")
        self.assertEqual(self.analyses(self.ask("events")["events"]), ["B", "A"])
        self.assertEqual(self.analyses(self.ask("events", "--host", "alpha")["events"]), ["A"])
        self.assertEqual(self.analyses(self.ask("events", "--reason", "timeout")["events"]), ["B"])
        self.assertEqual(self.analyses(self.ask("events", "--since", "1h")["events"]), ["B"])
        for selector in (run_id, "deadbeef", "0b00", "A"):
            self.assertEqual(self.analyses(self.ask("events", "--run", selector)["events"]), ["A"], selector)
        self.assertEqual(self.ask("events", "--run", run_id)["events"][0]["processes"], [{"pid": 3}])
        self.assertEqual(self.world.ctl("events", "--all-hosts", "--run", "ffffff").returncode, 1)
        self.ended("alpha", "C", run_id="0b000000-0000-7000-8000-0000feedbeef")
        answer = self.world.ctl_json("events", "--all-hosts", "--run", "beef")
        self.assertEqual(answer["error"]["code"], "ambiguous")
        self.assertEqual(len(answer["error"]["candidates"]), 2)

    def test_a_selector_is_never_read_as_sql_or_as_a_pattern(self):
        self.ended("alpha", "A", run_id="0b000000-0000-7000-8000-0000deadbeef")
        for selector in ("' OR true --", "%%%%", "____", "\\\\\\\\"):
            self.assertEqual(self.world.ctl("events", "--all-hosts", "--run", selector).returncode, 1, selector)
        self.assertEqual(self.ask("history", "--analysis", "' OR ''='")["runs"], [])

    def test_a_reader_of_the_database_may_read_all_of_it_and_change_nothing(self):
        self.process("beta", "B")
        self.event("A")
        with contextlib.suppress(PsqlError):  # roles are the whole server's, which other tests use too
            self.server.psql("CREATE ROLE onlooker LOGIN IN ROLE scidex_reader")
        reader = ("--postgres", self.server.conninfo(user="onlooker"))
        for verb in ("list", "history", "events", "top"):
            self.ask(verb, *reader)
        self.assertNotEqual(self.world.ctl("db", "forget", "beta", *reader).returncode, 0)
        self.assertEqual(self.count("watchdog_processes"), 1)

    def test_who_may_not_read_is_told_which_role_it_takes(self):
        with contextlib.suppress(PsqlError):
            self.server.psql("CREATE ROLE stranger LOGIN")
        for verb in ("list", "history", "events", "top"):
            done = self.world.ctl(verb, "--all-hosts", "--postgres", self.server.conninfo(user="stranger"))
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn("permission denied", done.stderr)
            self.assertIn("scidex_reader", done.stderr)

    def test_a_database_without_tables_is_said_to_be_one(self):
        self.server.drop_database("bare")
        self.server.create_database("bare")
        done = self.world.ctl("list", "--all-hosts", "--postgres", self.server.conninfo("bare"))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("scidexctl db migrate", done.stderr)

    def test_what_is_wrong_is_said_and_json_stays_json(self):
        self.world.conninfo = ""
        done = self.world.ctl("list", "--all-hosts")
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn("no database is configured", done.stderr)
        self.assertIn("[storage] postgres", done.stderr)
        answer = self.world.ctl_json("list", "--all-hosts", "--postgres", f"host={self.server.directory}/nowhere connect_timeout=2")
        self.assertFalse(answer["ok"])
        self.assertIn("nowhere", answer["error"]["message"] + (answer["error"].get("detail") or ""))
        self.assertTrue(answer["error"]["hint"])

    def test_a_password_in_the_connection_string_is_in_no_ones_arguments(self):
        """scidex-db has it in its environment; anybody may read the arguments of a process."""
        follower = self.world.environment(SCIDEX_STORAGE_POSTGRES=self.server.conninfo() + " password=sesame")
        process = subprocess.Popen([self.world.program("scidexctl"), "events", "--all-hosts", "--follow", "--json"], env=follower,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # fmt: skip
        try:
            self.event("A")
            wait_readable(process.stdout.fileno(), WAIT)
            found = []
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        found += [pid] if b"sesame" in file.read() else []
            self.assertEqual(found, [])
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=deadline(WAIT))

    def test_top_that_is_read_by_a_program_says_it_once(self):
        self.process("alpha", "EARLY", ago="1 min")
        self.process("beta", "LATE", ago="20 min")
        self.event("K")
        answer = self.ask("top")
        self.assertEqual(self.analyses(answer["runs"]), ["LATE", "EARLY"])
        self.assertEqual(self.analyses(answer["events"]), ["K"])
        text = self.world.ctl("top", "--all-hosts").stdout
        self.assertIn("2 runs on 2 hosts, 1 silent", text)
        self.assertLess(text.index("LATE"), text.index("EARLY"))
        self.assertNotIn("\x1b", text)


class TwoSupervisors(PostgresTest):
    """The real thing: each in a UTS namespace, with a record of its own."""

    def setUp(self):
        super().setUp()
        self.launches = []

    def tearDown(self):
        for launch in self.launches:
            launch.signal(signal.SIGTERM)
            launch.signal(signal.SIGTERM)
            launch.wait()
        for world in ScidexTest.worlds:  # all of them: the end of the first looks at everything that was left to us
            world.stop_supervisor()
        super().tearDown()

    def begin(self, name, own_host=True):
        world = self.new_world()
        prefix = ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh") if own_host else ()
        if own_host and subprocess.run([*prefix, "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            skip("no UTS namespace can be made")
        launch = world.start("--analysis-id", f"live-{name}", "--", "sleep", "1000", prefix=prefix)
        self.launches.append(launch)
        result = world.run("--analysis-id", f"done-{name}", "--timeout", "200ms", "--grace", "1s", "--", "sleep", "1000", prefix=prefix)
        self.assert_status(result, 124)
        # Rows of runs are written behind by up to a second.
        eventually(lambda: any(row["run_id"] == result.run["run_id"] for row in world.history()), WAIT, "the run is recorded")
        return world, result.run["run_id"]

    def test_both_are_seen_with_their_runs_and_rows_are_as_each_ones_own_record_has_them(self):
        worlds = {name: self.begin(name) for name in ("gamma", "delta")}
        for world, _ in worlds.values():
            world.wait_shipped()
        reader = worlds["gamma"][0]
        answer = eventually(lambda: (lambda a: a if len(a["runs"]) == 2 else None)(reader.ctl_json("list", "--all-hosts")), WAIT)
        self.assertEqual({(row["host"], row["analysis_id"], row["host_silent"]) for row in answer["runs"]}, {("gamma", "live-gamma", False), ("delta", "live-delta", False)})
        self.assertEqual({row["host"] for row in answer["hosts"]}, {"gamma", "delta"})
        for name, (world, run_id) in worlds.items():
            for verb, rows in (("history", "runs"), ("events", "events")):
                own = next(row for row in world.ctl_json(verb)[rows] if row["run_id"] == run_id)
                theirs = next(row for row in reader.ctl_json(verb, "--all-hosts", "--host", name)[rows] if row["run_id"] == run_id)
                theirs.pop("received_at")
                self.assertEqual(theirs, own, verb)

    def test_a_server_that_has_forgotten_what_runs_is_told_again(self):
        """As one that was restored from a dump: the row of a live run was sent long ago, and will not change."""
        world, _ = self.begin("one", own_host=False)
        live = lambda: [row["analysis_id"] for row in world.ctl_json("list", "--all-hosts")["runs"]]  # noqa: E731
        eventually(lambda: live() == ["live-one"], WAIT, "it is in the database")
        world.wait_shipped()
        self.server.psql("DELETE FROM watchdog_processes")
        self.assertEqual(live(), [])
        self.server.end_sessions()
        eventually(lambda: live() == ["live-one"], WAIT, "it is in the database again")

    def test_two_of_one_user_on_one_host_leave_each_other_alone(self):
        worlds = [self.begin(name, own_host=False)[0] for name in ("one", "two")]
        reader = worlds[0]
        live = lambda: {row["analysis_id"] for row in reader.ctl_json("list", "--all-hosts")["runs"]}  # noqa: E731
        eventually(lambda: live() == {"live-one", "live-two"}, WAIT, "both are in the database")
        before = [world.postgres()["connected_at"] for world in worlds]
        self.server.end_sessions()  # each looks for rows of its own that it does not know, when it is back
        for world, connected_at in zip(worlds, before):
            eventually(lambda: world.postgres().get("connected_at") not in (None, connected_at), WAIT, "it is connected again")  # noqa: B023
            world.wait_shipped()
        self.assertEqual(live(), {"live-one", "live-two"})
        self.assertEqual(len({row["supervisor"] for row in reader.ctl_json("list", "--all-hosts")["hosts"]}), 2)
        self.assertEqual(self.server.number("SELECT count(*) FROM watchdog_runs WHERE verdict = 'lost'"), 0)


class Follow(Reader):
    def follow(self, *options):
        process = subprocess.Popen(
            [self.world.program("scidexctl"), "events", "--all-hosts", "--follow", "--json", *options],
            env=self.world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        self.ends.callback(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=deadline(WAIT))

    def next(self, process, timeout=WAIT):
        wait_readable(process.stdout.fileno(), timeout)
        return json.loads(process.stdout.readline())

    def test_what_comes_is_shown_once_and_at_once(self):
        old = self.event("OLD")
        process = self.follow()
        self.assertEqual(self.next(process)["event_id"], old)
        waits = []
        for n in range(3):
            begin = time.monotonic()
            event_id = self.event(f"NEW-{n}")
            self.assertEqual(self.next(process)["event_id"], event_id)
            waits.append(time.monotonic() - begin)
        # A busy machine may keep one waiting; where nobody is told each waits for the next look, 5 s after the last.
        self.assertLess(min(waits), 3, "they were told of, and not only found at the next look")

    def test_one_that_nobody_told_of_is_found_all_the_same(self):
        first = self.event("FIRST")
        process = self.follow()
        self.assertEqual(self.next(process)["event_id"], first)
        event_id = self.event("UNTOLD", told=False)
        self.assertEqual(self.next(process)["event_id"], event_id)

    def test_a_transaction_that_began_early_and_ends_late_is_not_missed(self):
        process = self.follow()
        first = self.event("FIRST")
        self.assertEqual(self.next(process)["event_id"], first)
        time_before = self.server.psql("SELECT now()")
        second = self.event("SECOND")
        self.assertEqual(self.next(process)["event_id"], second)
        late = self.event("LATE", arrived=f"'{time_before}'")
        self.assertEqual(self.next(process)["event_id"], late)
        third = self.event("THIRD")
        self.assertEqual(self.next(process)["event_id"], third, "and none is shown twice")

    def test_a_kill_of_last_week_that_is_sent_only_now_is_new(self):
        process = self.follow()
        first = self.event("FIRST")
        self.assertEqual(self.next(process)["event_id"], first)
        old = self.event("OLD", ago="7 days")
        self.assertEqual(self.next(process)["event_id"], old)

    def test_it_goes_on_when_the_server_is_back(self):
        process = self.follow("--host", "alpha")
        first = self.event("FIRST")
        self.assertEqual(self.next(process)["event_id"], first)
        self.server.restart("immediate")
        self.event("ELSEWHERE", host="beta")
        second = self.event("SECOND")
        self.assertEqual(self.next(process)["event_id"], second)

    def test_an_unknown_database_is_an_error_and_not_waited_for(self):
        process = self.follow("--postgres", self.server.conninfo(database="nothing_of_the_kind"))
        self.assertEqual(process.wait(deadline(WAIT)), 3)


class Top(Reader):
    """On a terminal of 30 lines."""

    def top(self, *options):
        terminal = Terminal(self.world, [self.world.program("scidexctl"), "top", "--all-hosts", *options], columns=120, lines=30)
        return self.ends.enter_context(terminal)

    def test_it_wakes_for_a_kill_and_ends_on_q_with_the_terminal_as_it_was(self):
        self.process("alpha", "SDA-1")
        self.process("beta", "SDA-2", ago="29 min")
        top = self.top()
        screen = top.wait_for("SDA-1")
        self.assertIn("2 runs on 2 hosts, 1 silent", screen)
        self.assertLess(screen.index("SDA-2"), screen.index("SDA-1"))
        self.assertRegex(screen, "SDA-2 +silent")
        waits = []
        for n in range(3):
            begin = time.monotonic()
            self.event(f"KILLED-{n}")
            top.wait_for(f"KILLED-{n}")
            waits.append(time.monotonic() - begin)
        self.assertLess(min(waits), 3)
        top.type("x", "q")
        settings = top.wait_for_end(0)
        self.assertNotIn("-icanon", settings)
        self.assertNotIn("-echo ", settings)

    def test_ctrl_c_and_term_leave_the_terminal_as_it_was(self):
        for how in ("key", "signal"):
            top = self.top()
            top.wait_for("Last kills")
            if how == "key":
                top.type("C-c")
            else:
                os.kill(next(pid for pid in top.descendants(top.pids[1]) if process_comm(pid) == "scidexctl"), signal.SIGTERM)
            settings = top.wait_for_end(0)
            self.assertNotIn("-icanon", settings)
            self.assertNotIn("-echo ", settings)

    def test_it_looks_again_by_itself(self):
        top = self.top()
        top.wait_for("Last kills")
        self.process("alpha", "SDA-LATER")
        top.wait_for("SDA-LATER")

    def test_of_many_runs_those_that_fit_are_shown(self):
        for n in range(40):
            self.process("alpha", f"SDA-{n}", ago=f"{n * 20} s")
        top = self.top()
        screen = top.wait_for("SDA-39 ")
        self.assertRegex(screen, r"\(1 to \d+ of 40\)")
        self.assertNotIn("SDA-0 ", screen)
        self.assertIn("Last kills", screen)
        top.type("End")
        screen = top.wait_for("SDA-0 ")
        self.assertRegex(screen, r"\(\d+ to 40 of 40\)")
        self.assertNotIn("SDA-39 ", screen)

    def test_a_server_that_goes_away_is_said_and_what_was_known_stays(self):
        self.process("alpha", "SDA-1")
        top = self.top()
        top.wait_for("SDA-1")
        self.server.stop("immediate")
        screen = top.wait_for("these are the last figures", WAIT)
        self.assertIn("SDA-1", screen)
        self.server.start()
        self.process("alpha", "SDA-AGAIN")
        top.wait_for("SDA-AGAIN", WAIT)
        top.type("q")
        top.wait_for_end(0)

    def test_what_an_analysis_is_called_can_not_drive_the_terminal(self):
        self.server.psql("UPDATE watchdog_hosts SET host = E'evil\\x1b[2J' WHERE host = 'beta'")
        self.process("alpha", "A")
        self.server.psql("UPDATE watchdog_processes SET analysis_ref = E'\\x1b]0;x\\x07'")
        top = self.top()
        screen = top.wait_for("\\x1b]0;x\\x07")
        self.assertIn("evil\\x1b[2J", screen)

    def test_a_run_of_another_host_is_not_killed_from_here(self):
        self.process("alpha", "SDA-1")
        top = self.top()
        top.wait_for("SDA-1")
        top.type("F9", "y")
        top.wait_for("Not killed: ", WAIT)


