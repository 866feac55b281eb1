"""What was captured against what happened.

history   rows of public.history in order: (table, op, old, new), canonical
identity  {table: "full" | "key"}: what is known of a row before its change;
          with "key" a change that keeps the key has no image before it

sequences_*() give, for each (table, key), the list of what happened to it:
("c", before, after), "u", "d", and "t" where the whole table was emptied.  A
change of the key is "d" of the old one and "c" of the new one, as in the events.
"""
import collections

import values
from events import row_key
from tables import BY_NAME


def only_key(table, row):
    return {c: row[c] for c in BY_NAME[table].key}


class Sequences:
    def __init__(self):
        self.of = collections.defaultdict(list)
        self.keys = collections.defaultdict(set)

    def add(self, table, key, op, before, after):
        self.keys[table].add(key)
        self.of[(table, key)].append((op, before, after))

    def truncate(self, table):
        for key in self.keys[table]:
            self.of[(table, key)].append(("t", None, None))


def from_history(history, identity, flat=()):
    """Of tables with a key; the others are counted by loose_changes().  The flat
    envelope, of those tables, has no image before an update."""
    found = Sequences()
    for table, op, old, new in history:
        full = identity[table] == "full"
        if op == "t":
            found.truncate(table)
            continue
        old_key = row_key(table, old) if old else None
        new_key = row_key(table, new) if new else None
        if op == "u" and old_key != new_key:
            found.add(table, old_key, "d", old if full else only_key(table, old), None)
            found.add(table, new_key, "c", None, new)
        elif op == "d":
            found.add(table, old_key, "d", old if full else only_key(table, old), None)
        elif op == "u":
            found.add(table, new_key, "u", old if full and table not in flat else None, new)
        else:
            found.add(table, new_key, op, None, new)
    return found


class Model:
    """Applies events to empty tables, and says what cannot be applied."""

    def __init__(self, identity, tombstones=True):
        self.identity, self.tombstones = identity, tombstones
        self.rows = collections.defaultdict(dict)       # table: {key: row}
        self.loose = collections.defaultdict(list)      # table without a key: [row]
        self.changes = collections.Counter()            # of tables without a key
        self.sequences = Sequences()
        self.expect_tombstone = {}                      # topic: Event
        self.trouble = []
        self.count = 0

    def complain(self, event, text):
        self.trouble.append(f"{text}: {event}")

    def apply(self, event, keyed):
        self.count += 1
        waiting = self.expect_tombstone.pop(event.topic, None)
        if waiting is not None and (event.op is not None or event.key != waiting.key):
            self.complain(waiting, "no tombstone follows")
        if event.op is None:
            if waiting is None:
                self.complain(event, "a tombstone without a delete")
        elif event.op == "t":
            self.rows[event.table].clear()
            self.loose[event.table].clear()
            self.sequences.truncate(event.table)
        elif keyed:
            self.keyed(event)
        else:
            self.keyless(event)

    def keyed(self, event):
        rows, table, key = self.rows[event.table], event.table, event.key
        there = rows.get(key)
        if event.op == "d" and event.before is None and self.identity[table] == "key":
            event.before = dict(zip(BY_NAME[table].key, key))   # the schema has no room for a row of nulls
        if event.op in "cur" and event.after is None or event.op == "d" and event.before is None:
            self.complain(event, "an image is missing")
            return
        image = event.after if event.op != "d" else event.before
        if image is not None and row_key(table, image) != key:
            self.complain(event, "the key is not the row's")
        if (there is None) != (event.op in "cr"):
            self.complain(event, "the row is not there" if there is None else "the row is there already")
        before, after = event.before, event.after
        if event.op == "d":
            rows.pop(key, None)
            if self.identity[table] == "key":
                before = only_key(table, before)
            if self.tombstones:
                self.expect_tombstone[event.topic] = event
        else:
            for column in event.unchanged:
                after[column] = (there or {}).get(column)
            rows[key] = after
        self.sequences.add(table, key, event.op, before, after)

    def keyless(self, event):
        rows = self.loose[event.table]
        if event.key is not None:
            self.complain(event, "a key, but the table has none")
        self.changes[change_of(event.table, event.op, event.before, event.after, event.flat)] += 1
        if event.op in "ud" and not event.flat:
            if event.before in rows:
                rows.remove(event.before)
            else:
                self.complain(event, "the row is not there")
        if event.op in "cru":
            rows.append(event.after)


def change_of(table, op, before, after, flat):
    return table, op, None if flat and op == "u" else values.show(before), values.show(after)


def loose_changes(history, flat_tables):
    return collections.Counter(change_of(t, op, old, new, t in flat_tables) for t, op, old, new in history if op != "t")


def compare_sequences(expected, seen, limit=10):
    found = []
    for who in sorted(set(expected.of) | set(seen.of), key=str):
        a, b = expected.of.get(who, []), seen.of.get(who, [])
        if a == b:
            continue
        n = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        found.append(f"{who[0]} {who[1]}: change {n + 1} of {len(a)} (seen {len(b)}): "
                     f"happened {describe(a, n)}; seen {describe(b, n)}")
        if len(found) >= limit:
            break
    return found


def describe(changes, n):
    if n >= len(changes):
        return "nothing"
    op, before, after = changes[n]
    return f"{op} {values.show(before)} -> {values.show(after)}"


def compare_state(table, source, model_rows, current=lambda row: row):
    """Rows of the table now against what the events made of it."""
    found = []
    wanted = {row_key(table, r): r for r in source}
    have = {k: current(r) for k, r in model_rows.items()}
    for key in sorted(set(wanted) | set(have), key=str):
        if wanted.get(key) != have.get(key):
            found.append(f"{table} {key}: in the table {values.show(wanted.get(key))}, "
                         f"by the events {values.show(have.get(key))}")
    return found


def compare_loose_state(table, source, model_rows):
    a = collections.Counter(values.show(r) for r in source)
    b = collections.Counter(values.show(r) for r in model_rows)
    return [f"{table}: {n} times too often in the table: {r}" for r, n in (a - b).items()] + \
        [f"{table}: {n} times too often by the events: {r}" for r, n in (b - a).items()]


def scattered(events):
    """Transactions whose events do not stand together in a partition."""
    found, last, done = [], {}, {}
    for e in events:
        if e.txn is None:
            continue
        where = (e.topic, e.partition)
        if last.get(where) != e.txn:
            if e.txn in done.setdefault(where, set()):
                found.append(f"transaction {e.txn} is scattered: {e}")
            done[where].add(last.get(where))
            last[where] = e.txn
    return found
