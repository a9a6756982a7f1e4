"""A journald that hangs: its queue is full, nobody reads, and no kill waits for it. The real one is met by tests/system."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import SLOW, ScidexTest, deadline, needs  # noqa: E402

# In a mount namespace of its own, where the journal's socket is ours. The supervisor's stderr is a file that
# $JOURNAL_STREAM names, as systemd names its stream.
SOURCE = """
import json, os, socket, subprocess, sys, time

supervisor, run, directory, limit = sys.argv[1:]
os.makedirs("/run/systemd/journal")
journald = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journald.bind("/run/systemd/journal/socket")
journald.setblocking(False)

def read_all():
    entries = []
    try:
        while True:
            entries.append(journald.recv(1 << 16).decode())
    except BlockingIOError:
        return entries

stderr = open(os.path.join(directory, "stderr"), "w+")
stat = os.fstat(stderr.fileno())
stream = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
ready, write = os.pipe()
daemon = subprocess.Popen([supervisor, "--private", "--ready-fd", str(write)], env=os.environ | stream, stderr=stderr, pass_fds=[write])
os.close(write)
os.read(ready, 100)

filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
filler.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
filler.setblocking(False)
try:
    while True:
        filler.sendto(b"MESSAGE=filler\\n", "/run/systemd/journal/socket")
except BlockingIOError:
    pass
started = time.monotonic()
stubborn = "trap '' TERM; while :; do sleep 1; done"
status = subprocess.call([run, "--quiet", "--timeout", limit, "--grace", "1s", "--", "sh", "-c", stubborn])
took = time.monotonic() - started
before = read_all()
subprocess.check_call([run, "--quiet", "--", "true"])
after = read_all()
daemon.terminate()
daemon.wait()
stderr.seek(0)
print(json.dumps({"status": status, "took": took, "before": before, "after": after, "stderr": stderr.read()}))
"""


class Hanging(ScidexTest):
    @needs("root")
    def test_delays_no_kill_and_hears_how_much_it_missed(self):
        world = self.new_world()
        words = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh", sys.executable, "-c", SOURCE]
        limit = f"{max(2, SLOW // 2)}s"  # by when the trap is set: without it there would be no KILL to tell of
        done = subprocess.run(
            [*words, world.program("scidex-supervisor"), world.program("scidex-run"), world.directory, limit],
            env=world.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline(60),
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(result["status"], 124)
        self.assertLess(result["took"], deadline(6))  # 3 s; the launcher's own backstop would come at 8
        self.assertEqual(set(result["before"]), {"MESSAGE=filler\n"})
        dropped = [entry for entry in result["after"] if "SCIDEX_DROPPED=" in entry]
        self.assertEqual(len(dropped), 1)
        self.assertRegex(dropped[0], r"SCIDEX_DROPPED=[456]\n")  # launch, TERM, KILL, verdict, and what the start said
        verdict = result["after"][-1]
        self.assertIn("MESSAGE_ID=b884ef6fea0f4d41b6c36fcb31126454\n", verdict)
        self.assertIn("SCIDEX_VERDICT=completed\n", verdict)
        self.assertNotIn("TERM", result["stderr"])
