"""The status over HTTP of the installed service: where it listens, who gets in, whose figures it shows, and systemd's own sockets."""

import os
import pwd
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from statustest import Web  # noqa: E402
from systemtest import (  # noqa: E402
    RUNTIME,
    SUPERVISOR,
    SystemTest,
    eventually,
    python_as,
    read_text,
    systemctl,
    unit_state,
)

MIB = 1 << 20
PORT = 8787
PATH = f"{RUNTIME}/http"
HTTP_SOCKET = "scidex-http.socket"
HOLDS_64_MIB = "import sys; block = bytearray(64 << 20); print('there', flush=True); sys.stdin.read()"
CONNECTS = f"import socket; socket.socket(socket.AF_UNIX).connect({PATH!r})"


class HttpTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.web, self.socket_web = Web(PORT), Web(PATH)
        for web in (self.web, self.socket_web):
            eventually(web.is_healthy, 60, f"{web.place} answers")


class AsShipped(HttpTest):
    def test_both_places_are_listened_at_by_the_supervisor_and_served_by_the_user_scidex(self):
        status = self.world.status()
        self.assertEqual(status["http"], [{"listen": f"127.0.0.1:{PORT}", "ok": True, "detail": None}, {"listen": PATH, "ok": True, "detail": None}])
        recorder = status["recorder_pid"]
        self.assertEqual(os.path.basename(os.readlink(f"/proc/{recorder}/exe")), "scidex-recorder-full")
        self.assertEqual(os.stat(f"/proc/{recorder}").st_uid, pwd.getpwnam("scidex").pw_uid)
        # The supervisor itself maps no HTTP server.
        self.assertNotIn("microhttpd", read_text(f"/proc/{status['pid']}/maps"))

    def test_the_socket_is_open_to_users_and_admins_only(self):
        for name, may in (("alice", True), ("dave", True), ("mallory", False)):
            done = python_as(name, CONNECTS)
            self.assertEqual(done.returncode == 0, may, f"{name}: {done.stderr}")

    def test_figures_are_those_of_the_group(self):
        launch = self.world.start("--analysis-id", "holder", "--memory", "256M", "--", "python3", "-c", HOLDS_64_MIB, stdin=-1, stdout=-1)
        self.assertEqual(launch.process.stdout.readline(), b"there\n")
        run = launch.run()

        def shown():
            rows = [row for row in self.web.json("/api/runs")["runs"] if row["run_id"] == run["run_id"]]
            # Since its row was sent it has been sampled: only then is there a line.
            return rows[0] if rows and rows[0]["spark"] else None

        row = eventually(shown, 60, "its figures are shown")
        truth = int(read_text(os.path.join(run["group"], "memory.current")))
        stat = dict(line.split() for line in read_text(os.path.join(run["group"], "memory.stat")).splitlines())
        self.assertAlmostEqual(row["memory_bytes"], truth, delta=4 * MIB)
        self.assertAlmostEqual(row["anon_bytes"], int(stat["anon"]), delta=4 * MIB)
        self.assertAlmostEqual(row["file_bytes"], int(stat["file"]), delta=4 * MIB)
        self.assertGreaterEqual(row["anon_bytes"], 64 * MIB)
        self.assertEqual(row["pids"], int(read_text(os.path.join(run["group"], "pids.current"))))
        self.assertEqual(row["enforcement"], "kernel")
        self.assertAlmostEqual(row["spark"][-1], row["memory_bytes"] / (256 * MIB), delta=0.02)
        launch.process.stdin.close()
        launch.wait()

    def test_a_restart_of_the_service_is_counted(self):
        before = self.world.status()["starts"]
        self.world.restart_service()
        self.assertEqual(self.world.status()["starts"], before + 1)
        eventually(self.web.is_healthy, 60, "it answers again")


class Activated(HttpTest):
    def tearDown(self):
        self.world.stop_service()
        systemctl("stop", HTTP_SOCKET, check=False)
        self.world.start_units()
        super().tearDown()
        eventually(self.web.is_healthy, 60, "it answers as before")

    def test_sockets_of_systemd_take_the_place_of_those_named(self):
        self.world.stop_service()
        systemctl("start", HTTP_SOCKET)
        self.world.start_units()
        self.assertEqual(unit_state(HTTP_SOCKET), "active")
        self.assertEqual([(place["listen"], place["ok"]) for place in self.world.status()["http"]], [(f"127.0.0.1:{PORT}", True), (PATH, True)])
        for web in (self.web, self.socket_web):
            eventually(web.is_healthy, 60, f"{web.place} answers")
        self.assertEqual(python_as("dave", CONNECTS).returncode, 0)
        self.assertNotEqual(python_as("mallory", CONNECTS).returncode, 0)
        # Who asks while it is restarted is not refused: systemd holds the sockets.
        self.world.restart_service()
        self.assertEqual(self.web.ask("/healthz").status, 200)

    def test_who_asks_starts_the_service(self):
        self.world.stop_service()
        systemctl("start", HTTP_SOCKET)
        self.assertEqual(unit_state(SUPERVISOR), "inactive")
        self.assertEqual(self.web.ask("/healthz").status, 200)
        self.world.start_units()


if __name__ == "__main__":
    import unittest

    unittest.main()
