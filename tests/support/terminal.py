"""A terminal that a test types into and reads from: tmux with a server of its own, one window.

    with Terminal(world, ["scidexctl", "top"], columns=100, lines=30) as terminal:
        terminal.wait_for("SDA-42")
        terminal.type("q")

Nothing is waited for by time: `wait_for` looks at the screen until it shows what it should.
"""

import contextlib
import os
import shlex
import shutil
import subprocess

from scidextest import children_of, deadline, eventually, pidfd, process_comm, reap, skip_missing, wait_readable


class Terminal:
    def __init__(self, world, command, columns=100, lines=30, environment=None):
        if shutil.which("tmux") is None:
            skip_missing("tmux is not installed")
        self.world, self.command, self.columns, self.lines = world, command, columns, lines
        self.environment = {**world.environment(), "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", **(environment or {})}
        self.environment.pop("TMUX", None)
        self.environment.pop("COLUMNS", None)
        self.socket = os.path.join(world.directory, f"tmux-{id(self):x}")
        self.ended = os.path.join(world.directory, f"status-{id(self):x}")

    def tmux(self, *arguments, check=True):
        done = subprocess.run(
            ["tmux", "-u", "-S", self.socket, "-f", "/dev/null", *arguments], env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=deadline(20), check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"tmux {arguments}: {done.stderr}")
        return done.stdout

    def __enter__(self):
        # What is left on the screen, and the terminal's settings, are looked at after the program has ended.
        script = f"trap : INT; {shlex.join(self.command)}; echo \"ended with $?\"; stty -a >{shlex.quote(self.ended)}.new; mv {shlex.quote(self.ended)}.new {shlex.quote(self.ended)}; exec cat"
        self.tmux("new-session", "-d", "-x", str(self.columns), "-y", str(self.lines), "sh", "-c", script)
        # Both become children of the test: it is child subreaper, and tmux a daemon.
        self.pids = [int(pid) for pid in self.tmux("display-message", "-p", "#{pid} #{pane_pid}").split()]
        return self

    def __exit__(self, *_):
        with contextlib.ExitStack() as stack:
            self.pids += self.descendants(self.pids[1])
            fds = []
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    fds.append(stack.enter_context(pidfd(pid)))
            self.tmux("kill-server", check=False)
            for fd in fds:
                if not wait_readable(fd, 10):
                    raise AssertionError("the tmux server, or what runs in it, does not end")
        for pid in self.pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        # The process between tmux's client and its server ends at once, but the client may be gone before it collects it.
        for pid in children_of(os.getpid()):
            if process_comm(pid) == "tmux: client":
                eventually(lambda pid=pid: reap(pid), 10, "what started the tmux server ends")

    def descendants(self, pid):
        return [one for child in children_of(pid) for one in (child, *self.descendants(child))]

    def screen(self):
        """The lines shown, as text."""
        return self.tmux("capture-pane", "-p")

    def screen_coloured(self):
        """The same with escape sequences of colours."""
        return self.tmux("capture-pane", "-p", "-e")

    def type(self, *keys):
        """Keys by tmux's names: "q", "F9", "Enter", "Down"."""
        self.tmux("send-keys", *keys)

    def type_text(self, text):
        self.tmux("send-keys", "-l", text)

    def resize(self, columns, lines):
        self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def wait_for(self, what, timeout=20):
        """Until the screen has a text, or what a function of the screen says is true; the screen."""
        condition = what if callable(what) else lambda text: what in text
        last = ""

        def shown():
            nonlocal last
            last = self.screen()
            return condition(last)

        try:
            eventually(shown, timeout, every=0.05)
        except AssertionError:
            raise AssertionError(f"not on the screen: {what!r}\n{last}") from None
        return last

    def wait_for_absence(self, text):
        return self.wait_for(lambda screen: text not in screen)

    def wait_for_end(self, status=0):
        """Until the program has ended; the terminal's settings then (stty -a)."""
        self.wait_for(f"ended with {status}")
        eventually(lambda: os.path.exists(self.ended), 20)
        with open(self.ended, encoding="utf-8") as file:
            return file.read()
