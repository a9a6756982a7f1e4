"""The file through which a test tells failing.so what is to fail, and by how much the clock is wrong (struct Window of fault.c)."""

import mmap
import os
import struct

FAMILIES = {"memory": 1, "fd": 2, "io": 3, "group": 4, "process": 5, "event": 6, "disk": 7}
PROGRAMS = {"launcher": 1, "supervisor": 2, "recorder": 3}
MEMBERS = ("seen", "failed", "clock_offset_usec", "program", "family", "error", "one_in", "placed", "left")
CLOSED = 0


class Window:
    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(8 * len(MEMBERS)))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8 * len(MEMBERS))

    def environment(self, library, place):
        return {"LD_PRELOAD": library, "SCIDEX_FAULT_WINDOW": self.path, "SCIDEX_FAULT_PLACE": place}

    def set(self, member, value):
        struct.pack_into("=q", self.map, 8 * MEMBERS.index(member), value)

    def get(self, member):
        return struct.unpack_from("=q", self.map, 8 * MEMBERS.index(member))[0]

    def open(self, program, family, error, placed, one_in, left):
        """From now on one of ONE_IN calls fails in PROGRAM, until LEFT have: the program is written last."""
        self.set("program", CLOSED)
        for member, value in {"family": FAMILIES[family], "error": error, "placed": placed, "one_in": one_in, "left": left, "failed": 0}.items():
            self.set(member, int(value))
        self.set("program", PROGRAMS[program])

    def close(self):
        """Returns how many calls have failed."""
        self.set("program", CLOSED)
        return self.get("failed")

    def jump(self, usec):
        self.set("clock_offset_usec", self.get("clock_offset_usec") + usec)

    def free(self):
        self.map.close()
        os.unlink(self.path)
