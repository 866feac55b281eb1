#!/usr/bin/env python3
"""Compares what was committed with what a consumer saw.

  verify.py --truth FILE --seen FILE [--tap]

truth: JSON lines, one a committed event: id, key, and, where known,
  seq	its number among the events of its key, in commit order
  pos	its number among all events, in commit order
  txn	name of its transaction, ord its number in it
  value	the payload, compared if given
seen: JSON lines of consume.py; the event id is the header "id".

  I1 no loss		each committed event is there
  I2 no duplicate	and only once
  I3 no phantom		and nothing else
  I4 order		per key by seq, per partition by pos, per transaction by ord
  I5 no torn transaction	all events of a transaction or none

Exit status 0 if all hold.
"""
import argparse
import collections
import json
import sys

SHOW = 5


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def event_id(message):
    for name, value in message["headers"]:
        if name == "id":
            return value
    return None


def out_of_order(messages, truth, group, field):
    """Messages whose field is not above that of the one before in its group."""
    last, found = {}, []
    for m in messages:
        t = truth.get(event_id(m))
        if t is None or t.get(field) is None or group(m, t) is None:
            continue
        g = group(m, t)
        if g in last and t[field] <= last[g]:
            found.append(f"{event_id(m)} ({g}): {field} {t[field]} after {last[g]}, "
                         f"{m['topic']}[{m['partition']}]@{m['offset']}")
        last[g] = max(t[field], last.get(g, t[field]))
    return found


def check(truth_lines, seen_lines):
    """{invariant: [violation, ...]} in order of the invariants."""
    truth = {t["id"]: t for t in truth_lines}
    seen = sorted(seen_lines, key=lambda m: (m["topic"], m["partition"], m["offset"]))
    count = collections.Counter(event_id(m) for m in seen)
    result = {}
    result["I1 no loss"] = [f"{i} key {t.get('key')} seq {t.get('seq')} is missing"
                            for i, t in truth.items() if not count[i]]
    result["I2 no duplicate"] = [f"{i} was seen {n} times" for i, n in count.items() if n > 1 and i is not None]
    result["I3 no phantom"] = [f"{event_id(m)} at {m['topic']}[{m['partition']}]@{m['offset']} was never committed"
                               for m in seen if event_id(m) not in truth]
    order = out_of_order(seen, truth, lambda m, t: (m["topic"], t.get("key")), "seq")
    order += out_of_order(seen, truth, lambda m, t: (m["topic"], m["partition"]), "pos")
    order += out_of_order(seen, truth, lambda m, t: t.get("txn") and (m["topic"], m["partition"], t["txn"]), "ord")
    result["I4 order"] = order
    whole = collections.defaultdict(lambda: [0, 0])
    for i, t in truth.items():
        if t.get("txn") is not None:
            whole[t["txn"]][0] += 1
            whole[t["txn"]][1] += bool(count[i])
    result["I5 no torn transaction"] = [f"transaction {x}: {got} of {want} events"
                                        for x, (want, got) in whole.items() if 0 < got < want]
    keys = [f"{event_id(m)} has key {m['key']}, not {truth[event_id(m)]['key']}"
            for m in seen if event_id(m) in truth and truth[event_id(m)].get("key") not in (None, m["key"])]
    values = [f"{event_id(m)}: {json.dumps(m['value'])} is not {json.dumps(truth[event_id(m)]['value'])}"
              for m in seen if event_id(m) in truth and "value" in truth[event_id(m)]
              and m["value"] != truth[event_id(m)]["value"]]
    result["keys and values as committed"] = keys + values
    return result


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--truth", required=True)
    args.add_argument("--seen", required=True)
    args.add_argument("--tap", action="store_true", help="ok and not ok lines")
    args = args.parse_args()
    truth, seen = lines(args.truth), lines(args.seen)
    bad = 0
    for n, (name, found) in enumerate(check(truth, seen).items(), 1):
        bad += bool(found)
        if args.tap:
            print(f"{'not ok' if found else 'ok'} {n} - {name}")
        else:
            print(f"{name:<30} {'holds' if not found else f'BROKEN {len(found)} times'}")
        for line in found[:SHOW]:
            print(f"#   {line}")
        if len(found) > SHOW:
            print(f"#   and {len(found) - SHOW} more")
    print(f"# {len(truth)} committed, {len(seen)} seen")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
