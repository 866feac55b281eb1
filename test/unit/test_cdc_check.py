#!/usr/bin/env python3
"""The checker of test/cdc bites: a faithful stream of events passes, and each
kind of fault in it is found.  Needs neither server nor broker."""
import copy
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "cdc"), os.path.join(HERE, "..", "consumer")]
sys.dont_write_bytecode = True

import check
import events

TABLE = "touchy"
COUNT = [0, 0]


def ok(good, name, detail=""):
    COUNT[0] += 1
    COUNT[1] += not good
    print(f"{'ok' if good else 'not ok'} {COUNT[0]} - {name}")
    if not good and detail:
        print(f"#   {detail}")


def history(seed):
    """Changes of a table of few keys: (table, op, old, new)."""
    rng, rows, found = random.Random(seed), {}, []
    for _ in range(400):
        key, new_key = rng.randint(1, 6), rng.randint(1, 6)
        row = {"i_id": key, "i_n": rng.randint(0, 99), "i_touched": None, "i_late": rng.choice([None, 1])}
        if rng.random() < 0.02:
            rows.clear()
            found.append((TABLE, "t", None, None))
        elif key not in rows:
            found.append((TABLE, "c", None, row))
            rows[key] = row
        elif rng.random() < 0.2:
            found.append((TABLE, "d", rows.pop(key), None))
        else:
            if rng.random() < 0.3 and new_key not in rows:
                row["i_id"] = new_key
            found.append((TABLE, "u", rows.pop(key), row))
            rows[row["i_id"]] = row
    return found, rows


def envelope(flat, op, before, after):
    if not flat:
        return {"before": before, "after": after, "op": op, "source": {"txId": 1, "lsn": 1}}
    return {**(after or before or {}), "__op": op, "__deleted": op == "d", "__table": TABLE, "__lsn": 1, "__ts_ms": 1}


def messages(changes, flat):
    """What a right relay would send of them."""
    found = []

    def add(key, value):
        found.append({"topic": f"cdc.app.{TABLE}", "partition": 0, "offset": len(found), "headers": [],
                      "key": None if key is None else str(key), "value": value})

    for _, op, old, new in changes:
        if op == "u" and old["i_id"] != new["i_id"]:
            add(old["i_id"], envelope(flat, "d", old, None))
            add(old["i_id"], None)
            add(new["i_id"], envelope(flat, "c", None, new))
        elif op == "t":
            add(None, envelope(flat, "t", None, None))
        else:
            add((new or old)["i_id"], envelope(flat, op, old, new))
            if op == "d":
                add(old["i_id"], None)
    return found


def verdict(changes, rows, sent, flat):
    """Every violation found."""
    identity = {TABLE: "full"}
    model = check.Model(identity)
    for m in sent:
        model.apply(events.Event(m), True)
    return (model.trouble + list(map(str, model.expect_tombstone.values()))
            + check.compare_sequences(check.from_history(changes, identity, {TABLE} if flat else ()), model.sequences)
            + check.compare_state(TABLE, list(rows.values()), model.rows[TABLE]))


def pick(sent, what):
    places = [n for n, m in enumerate(sent) if (m["value"] is None) == (what is None) and (
        what is None or what in (m["value"].get("op"), m["value"].get("__op")))]
    return places[len(places) // 2]


def faults(flat):
    def lost(what):
        def spoil(sent):
            del sent[pick(sent, what)]
        return spoil

    def doubled(what):
        def spoil(sent):
            n = pick(sent, what)
            sent.insert(n, sent[n])
        return spoil

    def swapped(sent):
        for n in range(100, len(sent) - 1):
            a, b = sent[n], sent[n + 1]
            if a["key"] == b["key"] and a["value"] and b["value"] and a["value"] != b["value"]:
                sent[n], sent[n + 1] = b, a
                return

    def value(sent):
        n = sent[pick(sent, "u")]["value"]
        (n if flat else n["after"])["i_n"] += 1

    def column(sent):
        n = sent[pick(sent, "c")]["value"]
        del (n if flat else n["after"])["i_late"]

    def key(sent):
        n = sent[pick(sent, "u")]
        n["key"] = str(int(n["key"]) + 1)

    for what, name in (("c", "create"), ("u", "update"), ("d", "delete"), (None, "tombstone"), ("t", "truncate")):
        yield f"a lost {name}", lost(what)
        yield f"a doubled {name}", doubled(what)
    yield "two changes of a key in the wrong order", swapped
    yield "a wrong value", value
    yield "a missing column", column
    yield "a key that is not the row's", key


for flat in (False, True):
    title = "flat" if flat else "debezium"
    changes, rows = history(7)
    right = messages(changes, flat)
    ok(not verdict(changes, rows, copy.deepcopy(right), flat), f"{title}: a faithful stream passes",
       str(verdict(changes, rows, copy.deepcopy(right), flat)[:3]))
    for name, spoil in faults(flat):
        wrong = copy.deepcopy(right)
        spoil(wrong)
        ok(wrong != right and verdict(changes, rows, wrong, flat), f"{title}: {name} is found")
print(f"1..{COUNT[0]}")
sys.exit(COUNT[1] > 0)
