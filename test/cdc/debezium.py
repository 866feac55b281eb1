"""The real Debezium connector beside outbox, on the same database.

It has a publication of the same tables and a slot of its own.  Both read the
same commits, so in every topic the same events must stand in the same order;
what differs by design is taken out here, one function a difference, and
explained in docs/debezium.md.
"""
import json
import os
import random
import socket
import subprocess
import time

import check
import events
import tables

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
UNAVAILABLE = "__debezium_unavailable_value"
PREFIX = "dbz"


def config(port, **more):
    return {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1",
            "database.hostname": "127.0.0.1", "database.port": str(port), "database.user": "postgres",
            "database.password": "none", "database.dbname": "postgres", "topic.prefix": PREFIX,
            "plugin.name": "pgoutput", "slot.name": "dbz", "publication.name": "dbz",
            "publication.autocreate.mode": "disabled", "snapshot.mode": "no_data",
            "exactly.once.support": "required", "transaction.boundary": "poll", "poll.interval.ms": "20",
            "decimal.handling.mode": "string", "skipped.operations": "none",
            "retriable.restart.connector.wait.ms": "1000", **more}


def free_port():
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Worker:
    """test/support/debezium in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def call(self, verb, *args):
        done = subprocess.run([f"{ROOT}/test/support/debezium", verb, self.folder, *args],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"debezium {verb}: {done.stderr}{done.stdout}")
        return done.stdout.strip()

    def connect(self, name, settings):
        path = os.path.join(self.folder, f"{name}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(settings, f)
        self.call("connector", name, path)


class Debezium:
    def __init__(self, run):
        self.run = run
        self.port = free_port()
        self.worker = Worker(os.path.join(run.args.folder, "connect"))

    def begin(self):
        began = time.monotonic()
        names = ", ".join(t.qualified for t in tables.TABLES)
        with self.connect() as conn:
            conn.execute("CREATE TABLE public.finish (id integer PRIMARY KEY)")
            conn.execute(f"CREATE PUBLICATION dbz FOR TABLE {names}, public.finish"
                         " WITH (publish_via_partition_root = true)")
        self.worker.call("start", self.run.bootstrap)
        self.worker.connect("dbz", config(self.port))
        self.wait("SELECT active FROM pg_replication_slots WHERE slot_name = 'dbz'")
        self.run.say(f"Debezium reads after {time.monotonic() - began:.1f} s")

    def connect(self):
        import psycopg
        return psycopg.connect(self.run.server.dsn, autocommit=True)

    def wait(self, query, seconds=60):
        deadline = time.monotonic() + seconds
        while self.run.server.query(query) != (True,):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds} s: {query}")
            time.sleep(0.05)

    def read(self):
        """All of its events, up to a row written now."""
        with self.connect() as conn:
            conn.execute("INSERT INTO public.finish VALUES (1)")
        deadline = time.monotonic() + 120
        while not list(events.consume.read(self.run.bootstrap, [f"{PREFIX}.public.finish"], events.Decoder({}))):
            if time.monotonic() > deadline:
                raise RuntimeError("Debezium does not come to the end: " + self.worker.call("offsets", "dbz"))
            time.sleep(0.2)
        return list(events.read(self.run.bootstrap, [f"{PREFIX}.app.{t.name}" for t in tables.TABLES], {}))

    def compare(self, ours):
        theirs = self.read()
        self.run.say(f"{len(theirs)} messages of Debezium")
        for t in tables.TABLES:
            c = self.run.captured[t.name]
            a = [e for e in ours if e.table == t.name]
            b = [e for e in theirs if e.table == t.name]
            self.run.check(f"{t.name}: the events of Debezium ({len(b)})", differences(c, a, b))

    def end(self):
        self.worker.call("stop")


# ---- what differs by design

def without_generated(row):
    """pgoutput leaves generated columns out (before PostgreSQL 18)."""
    return None if row is None else {c: v for c, v in row.items() if c != "t_twice"}


def known_before(c, event):
    """A trigger sees the whole row before; WAL only what the replica identity says."""
    if c.replica_identity == "full" or event.before is None:
        return event.before
    return check.only_key(event.table, event.before) if event.op == "d" else None


def with_toast(event, rows):
    """A placeholder for what was not changed; outbox lists the column or has the value."""
    after = event.after
    if after is not None:
        there = rows.get(event.key, {})
        after = {n: there.get(n) if v == UNAVAILABLE else v for n, v in after.items()}
        for n in event.unchanged:
            after[n] = there.get(n)
    return after


def plain(c, found):
    """Comparable tuples, in order."""
    rows, result = {}, []
    for e in found:
        if e.op is None and e.key is None:
            continue            # a tombstone of a table without a key: Debezium only
        after = without_generated(with_toast(e, rows))
        before = without_generated(known_before(c, e))
        if e.op == "t":
            rows.clear()
        elif e.op == "d":
            rows.pop(e.key, None)
        elif e.op is not None:
            rows[e.key] = after
        if e.op == "u" and c.envelope == "flat":
            before = None
        result.append((e.op, e.key, before, after, e.txn if c.envelope == "debezium" else None))
    return result


def differences(c, ours, theirs):
    a, b = plain(c, ours), plain(c, theirs)
    if a == b:
        return []
    n = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    found = [f"{len(a)} events here, {len(b)} of Debezium; the first that differs is number {n + 1}"]
    for who, some in (("outbox", a), ("Debezium", b)):
        for one in some[n:n + 2]:
            found.append(f"{who}: {one}"[:400])
    return found
