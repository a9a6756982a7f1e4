#!/usr/bin/python3
"""Makes the C table of what is embedded, called by meson: embed.py OUTPUT NAME=FILE...

@ in a NAME becomes the hash of the content, so that browsers may keep the file for ever. An empty FILE is left out.
Each is there twice, as it is and packed, so that nothing is packed at run time.
"""

import gzip
import hashlib
import sys

TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/schema+json",
}


def array(name, data):
    lines = [",".join(str(byte) for byte in data[at : at + 32]) for at in range(0, len(data), 32)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(lines) + "\n};\n"


def main(output, *pairs):
    arrays, entries = [], []
    for index, pair in enumerate(pairs):
        name, _, path = pair.partition("=")
        with open(path, "rb") as file:
            data = file.read()
        if not data:
            continue
        path = "/" + name.replace("@", hashlib.sha256(data).hexdigest()[:12])
        packed = gzip.compress(data, 9, mtime=0)
        arrays += [array(f"bytes_{index}", data), array(f"gzip_{index}", packed)]
        entries.append(
            f'        {{ "{path}", "{TYPES[path.rpartition(".")[2]]}", bytes_{index}, gzip_{index}, {len(data)}, {len(packed)} }},\n'
        )
    with open(output, "w", encoding="ascii") as file:
        file.write('#include "status/asset-table.h"\n\n' + "".join(arrays))
        file.write("const Asset asset_table[] = {\n" + "".join(entries) + "        { 0 },\n};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
