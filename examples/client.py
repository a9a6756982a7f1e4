#!/usr/bin/python3
"""A client of scidex-supervisor with nothing but the standard library: the protocol of docs/protocol.md.

    client.py list
    client.py kill RUN
    client.py register PID ANALYSIS MEMORY_BYTES TIMEOUT_SECONDS
"""

import json
import os
import socket
import sys


class Supervisor:
    def __init__(self, path=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(path or os.environ.get("SCIDEX_SOCKET", "/run/scidex/control"))

    def ask(self, op, **members):
        """Sends a request and yields its replies: one, or one per row and the last, which has "end"."""
        self.socket.send(json.dumps({"v": 1, "op": op, **members}).encode())
        while packet := self.socket.recv(65536):
            reply = json.loads(packet)
            if "row" not in reply and not reply["ok"]:
                error = reply["error"]
                raise RuntimeError(". ".join(filter(None, (error["message"], error.get("detail"), error.get("hint")))))
            yield reply
            if "row" not in reply:
                return
        raise ConnectionError("the supervisor has ended the connection")

    def list(self):
        return [reply["row"] for reply in self.ask("list") if "row" in reply]

    def kill(self, run):
        """The ids of the runs whose end has begun; `wait` would tell when they are over."""
        return next(self.ask("kill", run=run))["runs"]

    def register(self, pid, analysis_id, memory_bytes, timeout_sec):
        """Takes a process that runs already, and all that descends from it, under supervision."""
        limits = {"analysis_id": analysis_id, "memory_bytes": memory_bytes, "timeout_usec": timeout_sec * 1000000}
        return next(self.ask("register", pid=pid, request=limits))["run_id"]


def main(verb, *arguments):
    supervisor = Supervisor()
    if verb == "list":
        for run in supervisor.list():
            print(run["run_id"], run["state"], run["analysis_id"])
    elif verb == "kill":
        print(*supervisor.kill(arguments[0]))
    elif verb == "register":
        pid, analysis_id, memory, timeout = arguments
        print(supervisor.register(int(pid), analysis_id, int(memory), int(timeout)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:] or ["help"])
    except (RuntimeError, OSError) as error:
        sys.exit(f"client.py: {error}")
