"""Writers of the crash test: events of every kind, and the truth beside them.

Each committed event has a row in app.truth, written in the same transaction;
the key's row in app.key is locked first, so that seq is the order of commits
per key.  A connection that breaks is opened again; what became of its last
transaction is not asked for, because app.truth knows it.
"""
import json
import random
import threading
import time

import psycopg

KEYS = 12

SETUP = """
CREATE EXTENSION outbox;
CREATE SCHEMA app;
CREATE TABLE app.key (key text PRIMARY KEY, seq bigint NOT NULL DEFAULT 0);
INSERT INTO app.key SELECT 'key-' || lpad(n::text, 2, '0') FROM generate_series(1, %d) n;
CREATE TABLE app.truth (
	id uuid PRIMARY KEY,
	key text NOT NULL,
	seq bigint NOT NULL,
	kind text NOT NULL,
	value jsonb NOT NULL,
	txn xid8 NOT NULL DEFAULT pg_current_xact_id(),
	ord integer NOT NULL,
	UNIQUE (key, seq));
CREATE TYPE app.paid AS (key text, seq bigint, fill text);
SELECT outbox.create_event_type('plain', format => 'json', topic => 'crash.plain', partitions => 3);
SELECT outbox.create_event_type('typed', topic => 'crash.avro', partitions => 2, key => 'key',
	schema => '{"type": "record", "name": "Typed", "fields": [
		{"name": "key", "type": "string"}, {"name": "seq", "type": "long"},
		{"name": "fill", "type": "string"}]}');
SELECT outbox.create_event_type('paid', topic => 'crash.avro', partitions => 2, row_type => 'app.paid');
SELECT outbox.create_event_type('routed', format => 'json', partitions => 2);
SELECT outbox.create_outbox_table('app.outbox');
""" % KEYS

TOPICS = ["crash.plain", "crash.avro", "outbox.event.Crash"]


class Writer(threading.Thread):
    """One connection."""

    def __init__(self, dsn, seed, number, pause):
        super().__init__(daemon=True)
        self.dsn, self.number, self.pause = dsn, number, pause
        self.random = random.Random(f"{seed}-{number}")
        self.stopping = threading.Event()
        self.count = dict.fromkeys(["committed", "rolled_back", "to_savepoint", "prepared", "prepared_rolled_back",
                                    "bulk", "lost_connections"], 0)
        self.error = None
        self.gid = 0

    def run(self):
        conn = None
        while not self.stopping.is_set():
            try:
                if conn is None:
                    conn = self.connect()
                self.transaction(conn)
                time.sleep(self.random.uniform(0, self.pause))
            except psycopg.OperationalError:
                if conn is not None:
                    self.count["lost_connections"] += 1
                    conn.close()
                    conn = None
                time.sleep(0.02)
            except Exception as e:      # nothing else may ever reach a client
                self.error = e
                return
        if conn is not None:
            conn.close()

    def connect(self):
        conn = psycopg.connect(self.dsn)
        conn.autocommit = True
        if self.number % 3 == 2:
            conn.execute("SET synchronous_commit = off")
        # what a crash left between PREPARE and its decision
        rows = conn.execute("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE %s",
                            (f"crash-{self.number}-%",)).fetchall()
        for (gid,) in rows:
            conn.execute(f"COMMIT PREPARED '{gid}'" if self.random.random() < 0.5 else f"ROLLBACK PREPARED '{gid}'")
        conn.autocommit = False
        return conn

    def event(self, conn, key, ordinal):
        seq = conn.execute("UPDATE app.key SET seq = seq + 1 WHERE key = %s RETURNING seq", (key,)).fetchone()[0]
        kind = self.random.choice(["plain", "typed", "paid", "routed", "table"])
        value = {"key": key, "seq": seq, "fill": "x" * self.random.randint(0, 300)}
        text = json.dumps(value)
        if kind == "plain":
            row = conn.execute("SELECT outbox.emit('plain', %s::jsonb, key => %s)", (text, key))
        elif kind == "typed":
            row = conn.execute("SELECT outbox.emit('typed', %s::jsonb)", (text,))
        elif kind == "paid":
            row = conn.execute("SELECT outbox.emit('paid', ROW(%s, %s, %s)::app.paid, key => %s)",
                               (key, seq, value["fill"], key))
        elif kind == "routed":
            row = conn.execute("INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)"
                               " VALUES ('Crash', %s, 'routed', %s::jsonb) RETURNING id", (key, text))
        else:
            row = conn.execute("INSERT INTO app.outbox (aggregatetype, aggregateid, type, payload)"
                               " VALUES ('Crash', %s, 'routed', %s::jsonb) RETURNING id", (key, text))
        event = row.fetchone()[0]
        if kind == "table":
            conn.execute("DELETE FROM app.outbox WHERE id = %s", (event,))
        conn.execute("INSERT INTO app.truth (id, key, seq, kind, value, ord) VALUES (%s, %s, %s, %s, %s::jsonb, %s)",
                     (event, key, seq, kind, text, ordinal))

    def bulk(self, conn, key, ordinal):
        """Many events at once; their ids come back in the order of emission."""
        n = self.random.randint(200, 1500)
        self.count["bulk"] += 1
        conn.execute(
            "WITH k AS (UPDATE app.key SET seq = seq + %(n)s WHERE key = %(key)s RETURNING seq - %(n)s AS base),"
            " e AS (INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)"
            "  SELECT 'Crash', %(key)s, 'routed', jsonb_build_object('key', %(key)s::text, 'seq', base + i,"
            "   'fill', repeat('b', 100)) FROM k, generate_series(1, %(n)s) i RETURNING id, payload)"
            " INSERT INTO app.truth (id, key, seq, kind, value, ord)"
            " SELECT id, %(key)s, (payload->>'seq')::bigint, 'bulk', payload, %(ord)s + row_number() OVER ()"
            " FROM e", {"n": n, "key": key, "ord": ordinal})

    def transaction(self, conn):
        fate = self.random.random()
        # locks are always taken in one order
        keys = sorted(f"key-{self.random.randint(1, KEYS):02d}" for _ in range(self.random.randint(1, 4)))
        n = 0
        for key in keys:
            self.event(conn, key, n)
            n += 1
        if self.random.random() < 0.004:
            self.bulk(conn, keys[-1], n)
            n += 2000
        if self.random.random() < 0.25:
            conn.execute("SAVEPOINT s")
            self.event(conn, keys[-1], n)
            if self.random.random() < 0.6:
                conn.execute("ROLLBACK TO SAVEPOINT s")
                self.count["to_savepoint"] += 1
            else:
                conn.execute("RELEASE SAVEPOINT s")
            self.event(conn, keys[-1], n + 1)
        if fate < 0.12:
            conn.rollback()
            self.count["rolled_back"] += 1
        elif fate < 0.22:
            self.two_phases(conn)
        else:
            conn.commit()
            self.count["committed"] += 1

    def two_phases(self, conn):
        self.gid += 1
        gid = f"crash-{self.number}-{self.gid}-{self.random.getrandbits(32)}"
        conn.execute(f"PREPARE TRANSACTION '{gid}'")
        conn.commit()
        self.count["prepared"] += 1
        if self.random.random() < 0.2:
            time.sleep(self.random.uniform(0, 0.5))
        conn.autocommit = True
        try:
            if self.random.random() < 0.25:
                conn.execute(f"ROLLBACK PREPARED '{gid}'")
                self.count["prepared_rolled_back"] += 1
            else:
                conn.execute(f"COMMIT PREPARED '{gid}'")
                self.count["committed"] += 1
        finally:
            if not conn.closed:
                conn.autocommit = False


def finish_prepared(server):
    """Decide what is left, once all writers have ended."""
    while True:
        row = server.query("SELECT gid FROM pg_prepared_xacts LIMIT 1")
        if row is None:
            return
        server.query(f"COMMIT PREPARED '{row[0]}'")


def truth(server):
    with psycopg.connect(server.dsn) as conn:
        rows = conn.execute("SELECT id, key, seq, value, txn::text, ord FROM app.truth").fetchall()
    return [dict(id=str(i), key=k, seq=s, value=v, txn=t, ord=o) for i, k, s, v, t, o in rows]
