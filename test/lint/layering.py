#!/usr/bin/env python3
"""Which room may include which, and where third-party libraries may be seen.

Dependencies point down the layers only; rooms of one layer may use each other.
Prints TAP, one line a rule.
"""
import os
import re
import sys

ROOT = os.environ.get("OUTBOX_ROOT") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))

# From the top down, as the design lists them.
LAYERS = [
    {"admin", "jobs", "relay"},
    {"source", "eventlog", "emit", "capture"},
    {"rowcodec", "schema"},
    {"catalog"},
    {"avro", "state"},
    {"record"},
    {"base"},
]
RANK = {room: i for i, layer in enumerate(LAYERS) for room in layer}

# The programs stand aside: they see only what is built for both worlds.
PROGRAMS = {"outbox-kafka", "outbox-http"}
PROGRAMS_SEE = {"base", "record", "avro"}

# They meet in record/ alone.
NEVER = {"emit": {"source", "relay", "eventlog"},
         "capture": {"source", "relay", "eventlog"}}

LIBRARIES = {
    "librdkafka": (re.compile(r"\brdkafka\w*\.h\b"), {"outbox-kafka"}),
    "libcurl": (re.compile(r"^<?curl/"), {"outbox-kafka"}),
    "avro-c": (re.compile(r"^avro(/\w+)?\.h$|^avro/"), {"outbox-kafka"}),
    "libmicrohttpd": (re.compile(r"^microhttpd\.h$"), {"outbox-http"}),
    "libpq": (re.compile(r"^libpq-fe\.h$"), {"outbox-http"}),
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def files():
    for folder, _, names in os.walk(os.path.join(ROOT, "src")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.join(folder, name)


def room_of(path):
    parts = os.path.relpath(path, os.path.join(ROOT, "src")).split(os.sep)
    return parts[0] if len(parts) > 1 else ""


def own_header(target):
    return os.path.exists(os.path.join(ROOT, "src", target))


def main():
    up, sideways, program, unknown = [], [], [], []
    library = {name: [] for name in LIBRARIES}
    server = []
    known = set(RANK) | PROGRAMS | {""}
    for path in files():
        room = room_of(path)
        shown = os.path.relpath(path, ROOT)
        text = open(path, encoding="utf-8").read()
        if room not in known:
            unknown.append(f"{shown}: room {room} is in no layer")
            continue
        for quote, target in INCLUDE.findall(text):
            first = target.split("/")[0]
            sibling = os.path.join(os.path.dirname(path), target)
            if quote == '"' and own_header(target):
                other = room_of(os.path.join(ROOT, "src", target))
            elif quote == '"' and os.path.exists(sibling):
                other = room
            else:
                other = None
            if other is not None:
                if room in PROGRAMS:
                    if other not in PROGRAMS_SEE | {room, ""} or \
                            os.path.basename(target).startswith("pg_"):
                        program.append(f"{shown} includes {target}")
                elif room:
                    if other in PROGRAMS:
                        program.append(f"{shown} includes {target}")
                    elif other and RANK[other] < RANK[room]:
                        up.append(f"{shown} includes {target}")
                    if other in NEVER.get(room, ()):
                        sideways.append(f"{shown} includes {target}")
                continue
            for name, (pattern, rooms) in LIBRARIES.items():
                if name == "avro-c" and quote == '"' and own_header(target):
                    continue
                if pattern.search(target) and room not in rooms:
                    library[name].append(f"{shown} includes {target}")
        if room in PROGRAMS and re.search(r"^\s*#\s*include\s+\"postgres\.h\"", text, re.M):
            server.append(f"{shown} includes postgres.h")

    rules = [
        ("every folder of src/ is a room of a layer", unknown),
        ("rooms include only from their own layer and below", up),
        ("emit and capture never see source or relay", sideways),
        ("programs and server meet in base, record and avro only", program),
        ("programs do not include postgres.h", server),
    ]
    for name, (_, rooms) in LIBRARIES.items():
        rules.append((f"{name} is included under {', '.join(sorted(rooms))} only", library[name]))
    bad = 0
    print(f"1..{len(rules)}")
    for n, (title, found) in enumerate(rules, 1):
        print(f"{'not ok' if found else 'ok'} {n} - {title}")
        for line in found:
            print(f"#   {line}")
        bad += bool(found)
    return bad > 0


sys.exit(main())
