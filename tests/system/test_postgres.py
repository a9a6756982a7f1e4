"""The installed service and a PostgreSQL server: what the unit's sandbox must let through, and the password that systemd hands over.

There is no server in the guest. Someone who speaks the first words of one is enough: what is behind the password is the
matter of tests/postgres.
"""

import os
import pwd
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from systemtest import SUPERVISOR, SystemTest, deadline, eventually, systemctl, write_text  # noqa: E402

CONFIGURATION = "/etc/scidex/supervisor.conf.d/test-postgres.conf"
DROP_IN = f"/run/systemd/system/{SUPERVISOR}.d/test-postgres.conf"
SECRET = "/run/scidex-test-password"
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104


class HalfServer(threading.Thread):
    """Asks for a password in clear text, notes it, and refuses it: on the loopback interface."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.startups, self.passwords = [], []

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(deadline(10))
                try:
                    self.serve(connection)
                except (OSError, struct.error):
                    continue

    def read(self, connection, size):
        data = b""
        while len(data) < size:
            part = connection.recv(size - len(data))
            if not part:
                raise OSError("the client is gone")
            data += part
        return data

    def serve(self, connection):
        while True:
            length, code = struct.unpack("!II", self.read(connection, 8))
            rest = self.read(connection, length - 8)
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            connection.sendall(b"N")
        self.startups.append(rest)
        connection.sendall(b"R" + struct.pack("!II", 8, 3))
        kind, length = struct.unpack("!cI", self.read(connection, 5))
        if kind == b"p":
            self.passwords.append(self.read(connection, length - 4).rstrip(b"\0").decode())
        fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"scidex\"\0\0"
        connection.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Postgres(SystemTest):
    def use(self, conninfo, drop_in=""):
        """Configures the service so; undone at the end of the test."""
        self.addCleanup(self.undo)
        for path, text in ((CONFIGURATION, f"[storage]\npostgres = {conninfo}\n"), (DROP_IN, "[Service]\n" + drop_in)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_text(path, text)
        systemctl("daemon-reload")
        self.world.restart_service()

    def undo(self):
        for path in (CONFIGURATION, DROP_IN, SECRET):
            if os.path.exists(path):
                os.unlink(path)
        systemctl("daemon-reload")
        self.world.restart_service()

    def postgres(self):
        return self.world.storage().get("postgres") or {}

    def test_the_recorder_reaches_a_server_and_has_the_password_of_the_credential(self):
        server = HalfServer()
        server.start()
        self.addCleanup(server.end)
        write_text(SECRET, "of the credential\n")
        os.chmod(SECRET, 0o600)
        self.use(f"host=127.0.0.1 port={server.port} user=scidex dbname=scidex", f"LoadCredential=postgres.password:{SECRET}\n")
        eventually(lambda: self.postgres().get("state") == "denied", 60, "the server has refused the password")
        self.assertEqual(set(server.passwords), {"of the credential"})
        self.assertIn(b"scidex", server.startups[0])
        # It is the unprivileged recorder that speaks to it.
        recorder = self.world.recorder_pid()
        self.assertEqual(os.stat(f"/proc/{recorder}").st_uid, pwd.getpwnam("scidex").pw_uid)
        self.assertTrue(os.readlink(f"/proc/{recorder}/exe").endswith("/scidex-recorder-full"))
        self.assertNotIn("of the credential", "\n".join(self.world.unit_log()) + str(self.world.status()) + self.world.ctl("doctor", check=False).stdout)

    def test_a_server_that_is_away_changes_nothing_for_the_runs(self):
        self.use("host=/run/no-such-server dbname=scidex user=scidex")
        eventually(lambda: self.postgres().get("state") == "away", 60, "the server is away")
        result = self.world.run("--timeout", "500ms", "--", "sleep", "1000")
        self.assert_status(result, 124)
        self.assert_recorded(result.run["run_id"], "timeout")
        self.assertGreaterEqual(self.postgres()["waiting"], 1)
