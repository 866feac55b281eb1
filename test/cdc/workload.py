"""A random workload that depends on its seed alone.

Several sessions have transactions open at a time, but one thread takes their
steps in turn, and no step ever waits for another session: what a transaction
touches (groups of keys; whole tables for TRUNCATE and DDL) is reserved until
its end, and a step that cannot have what it needs does something else.  So the
history of N steps begins with the history of fewer: a failure is made smaller
by --steps.

Sessions may be cut off (a crash restart): their transactions are gone, as the
server says too; prepared ones stay.
"""
import collections
import random

import psycopg

import ddl
import statements
from tables import MOODS, TABLES


class Transaction:
    def __init__(self):
        self.groups = set()         # (family, group)
        self.families = set()
        self.exclusive = set()      # families that nobody else may touch
        self.savepoints = []
        self.steps = 0


class Session:
    def __init__(self, number):
        self.number = number
        self.conn = None
        self.txn = None


class Workload:
    def __init__(self, dsn, seed, sessions=4, with_ddl=True):
        self.dsn = dsn
        self.rng = random.Random(f"workload-{seed}")
        self.sessions = [Session(n) for n in range(sessions)]
        self.prepared = {}          # gid: Transaction
        self.gids = 0
        self.moods = list(MOODS)
        self.evolution = ddl.Evolution() if with_ddl else None
        self.count = collections.Counter()
        self.statement = None       # the last one, for whoever reports a failure

    # ---- what is reserved

    def open_transactions(self, but=None):
        for s in self.sessions:
            if s.txn is not None and s.txn is not but:
                yield s.txn
        yield from self.prepared.values()

    def may_touch(self, s, family):
        return not any(family in t.exclusive for t in self.open_transactions(s.txn))

    def reserve_groups(self, s, table, most):
        """Some groups of the table that this transaction has or may have."""
        if not self.may_touch(s, table.family):
            return []
        taken = set().union(*(t.groups for t in self.open_transactions(s.txn)))
        first = self.rng.randrange(table.groups)
        found = []
        for n in range(self.rng.randint(1, most)):
            group = (first + n) % table.groups
            if (table.family, group) not in taken:
                found.append(group)
        s.txn.groups.update((table.family, g) for g in found)
        if found:
            s.txn.families.add(table.family)
        return found

    def reserve_table(self, s, family):
        if any(family in t.families for t in self.open_transactions(s.txn)):
            return False
        s.txn.families.add(family)
        s.txn.exclusive.add(family)
        return True

    # ---- talking to the server

    def execute(self, s, sql, args=None):
        self.statement = f"session {s.number}: {sql} {args if args is not None else ''}"[:2000]
        return s.conn.execute(sql, args)

    def begin(self, s):
        if s.conn is None or s.conn.closed:
            s.conn = psycopg.connect(self.dsn, autocommit=True, application_name="cdc")
            s.conn.execute("SET TimeZone = 'UTC'; SET lock_timeout = '20s'")
        self.execute(s, "BEGIN")
        s.txn = Transaction()

    def end(self, s):
        fate = self.rng.random()
        txn = s.txn
        if fate < 0.13:
            self.execute(s, "ROLLBACK")
            self.count["rolled back"] += 1
        elif fate < 0.25 and len(self.prepared) < 3:
            self.gids += 1
            gid = f"cdc-{self.gids}"
            self.execute(s, f"PREPARE TRANSACTION '{gid}'")
            self.prepared[gid] = txn
            self.count["prepared"] += 1
        elif fate < 0.28:
            s.conn.close()          # with a transaction open
            s.conn = None
            self.wait_gone(s)
            self.count["cut off"] += 1
        else:
            self.execute(s, "COMMIT")
            self.count["committed"] += 1
        s.txn = None

    def wait_gone(self, s):
        """The backend of a closed connection may hold its locks a little longer."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            mine = [o.conn.info.backend_pid for o in self.sessions if o.conn is not None and not o.conn.closed]
            for _ in range(2000):
                if not conn.execute("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND"
                                    " application_name = 'cdc' AND pid <> ALL(%s) AND pid <> pg_backend_pid()",
                                    [mine or [0]]).fetchone():
                    return
        raise RuntimeError("a backend does not end")

    def finish_prepared(self, s):
        gid = self.rng.choice(sorted(self.prepared))
        verb = "ROLLBACK" if self.rng.random() < 0.25 else "COMMIT"
        self.execute(s, f"{verb} PREPARED '{gid}'")
        del self.prepared[gid]
        self.count[f"{verb.lower()} prepared"] += 1

    def lost(self):
        """All sessions were cut off by the server."""
        for s in self.sessions:
            if s.conn is not None:
                s.conn.close()
            s.conn = s.txn = None
        self.count["all sessions cut off"] += 1

    # ---- steps

    def step(self):
        s = self.rng.choice(self.sessions)
        if s.txn is None:
            if self.prepared and s.conn is not None and self.rng.random() < 0.3:
                self.finish_prepared(s)
                return
            self.begin(s)
            if self.evolution and self.rng.random() < 0.08:
                self.evolve(s)
                return
        s.txn.steps += 1
        if s.txn.steps > 1 and self.rng.random() < 0.3:
            self.end(s)
        elif self.rng.random() < 0.15:
            self.savepoint(s)
        else:
            self.change(s)

    def change(self, s):
        table = self.rng.choices(TABLES, [t.weight for t in TABLES])[0]
        names, weights = zip(*statements.CHOICES)
        what = self.rng.choices(names, weights)[0]
        done = getattr(statements, what)(self, s, table)
        self.count[what if done else "nothing"] += 1

    def savepoint(self, s):
        txn = s.txn
        if txn.savepoints and self.rng.random() < 0.6:
            n = self.rng.randrange(len(txn.savepoints))
            verb = self.rng.choice(["ROLLBACK TO", "RELEASE"])
            self.execute(s, f"{verb} SAVEPOINT {txn.savepoints[n]}")
            del txn.savepoints[n + (verb == "ROLLBACK TO"):]
            self.count[verb.lower()] += 1
        else:
            name = f"s{len(txn.savepoints)}"
            self.execute(s, f"SAVEPOINT {name}")
            txn.savepoints.append(name)
            self.count["savepoint"] += 1

    def evolve(self, s):
        """A transaction of its own that changes the schema between rows."""
        done = self.evolution.transaction(self, s)
        if s.txn is not None:
            self.execute(s, "ROLLBACK")
            s.txn = None
        self.count[done or "nothing"] += 1

    def run(self, steps, before_step=lambda n: None):
        for n in range(steps):
            before_step(n)
            self.step()
        self.finish()

    def finish(self):
        for s in self.sessions:
            if s.txn is not None:
                self.execute(s, "COMMIT")
                s.txn = None
        s = self.sessions[0]
        if s.conn is None:
            self.begin(s)
            self.execute(s, "COMMIT")
            s.txn = None
        while self.prepared:
            self.finish_prepared(s)

    def close(self):
        for s in self.sessions:
            if s.conn is not None:
                s.conn.close()
