#!/usr/bin/env python3
"""The demo's shop: clients that order and pay, and a look at the outcome.

  shop.py run SECONDS CLIENTS	writes events until the time is over; prints
				counts as JSON.  Connections lost to a crash of the
				server are opened again.
  shop.py truth			the ledger, as JSON lines for verify.py
  shop.py show SEEN [COLOUR]	committed beside received (consume.py's lines)

The server is named by PGHOST and so on.  Of every ten transactions about one
and a half are rolled back on purpose and two roll back to a savepoint: their
events must never be seen.
"""
import json
import random
import sys
import threading
import time

import psycopg

ARTICLES = ["apple", "bread", "cheese", "coffee", "honey", "tea"]


class Client(threading.Thread):
    """One connection; counts what it did."""

    def __init__(self, number, deadline):
        super().__init__()
        self.random = random.Random(number)
        self.deadline = deadline
        self.count = dict.fromkeys(
            ["committed", "rolled_back", "to_savepoint", "lost_connections", "unknown_outcomes",
             "unknown_committed"], 0)
        self.error = None

    def run(self):
        conn = None
        while time.monotonic() < self.deadline:
            try:
                if conn is None:
                    conn = psycopg.connect(connect_timeout=5, application_name="shop")
                self.transaction(conn)
                time.sleep(self.random.uniform(0, 0.006))
            except psycopg.errors.CrashShutdown:
                conn = self.lost(conn)
            except psycopg.OperationalError:
                conn = self.lost(conn)
            except Exception as e:	# anything else is a fault of the demo: say it
                self.error = e
                return
        if conn is not None:
            conn.close()

    def lost(self, conn):
        """The server restarts all sessions when the relay is killed."""
        if conn is not None:
            self.count["lost_connections"] += 1
            conn.close()
        time.sleep(0.05)

    def write(self, conn, customer, ordinal):
        """One event and its row in the ledger."""
        seq = conn.execute("UPDATE shop.customer SET seq = seq + 1 WHERE name = %s RETURNING seq",
                           (customer,)).fetchone()[0]
        if self.random.random() < 0.6:
            kind = "order.placed"
            payload = {"customer": customer, "order_no": seq, "items": [
                {"article": self.random.choice(ARTICLES), "pieces": self.random.randint(1, 9),
                 "cents": self.random.randint(50, 5000)} for _ in range(self.random.randint(1, 3))],
                "coupon": self.random.choice([None, "SPRING", "Grüße"])}
            event = conn.execute("SELECT outbox.emit(%s, %s::jsonb)",
                                 (kind, json.dumps(payload))).fetchone()[0]
        else:
            kind = "order.paid"
            payload = {"customer": customer, "order_no": seq, "cents": self.random.randint(50, 9000),
                       "method": self.random.choice(["card", "cash"])}
            event = conn.execute(
                "INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)"
                " VALUES ('order', %s, %s, %s::jsonb) RETURNING id",
                (customer, kind, json.dumps(payload))).fetchone()[0]
        conn.execute("INSERT INTO shop.ledger (event_id, customer, seq, type, payload, ord)"
                     " VALUES (%s, %s, %s, %s, %s::jsonb, %s)",
                     (event, customer, seq, kind, json.dumps(payload), ordinal))
        return event

    def transaction(self, conn):
        fate = self.random.random()
        customers = sorted(f"customer-{self.random.randint(1, 8)}" for _ in range(self.random.randint(1, 3)))
        events = [self.write(conn, customer, n) for n, customer in enumerate(customers)]
        if fate < 0.15:
            conn.rollback()
            self.count["rolled_back"] += 1
            return
        if fate < 0.35:
            conn.execute("SAVEPOINT gift")
            # the highest name of all: locks are always taken in one order
            self.write(conn, "customer-8", len(customers))
            conn.execute("ROLLBACK TO SAVEPOINT gift")
            self.count["to_savepoint"] += 1
        try:
            conn.commit()
        except psycopg.OperationalError:
            self.settle(events)
            raise
        self.count["committed"] += 1

    def settle(self, events):
        """The connection broke in COMMIT: the ledger knows the outcome."""
        self.count["unknown_outcomes"] += 1
        while True:
            try:
                with psycopg.connect(connect_timeout=5) as conn:
                    there = conn.execute("SELECT count(*) FROM shop.ledger WHERE event_id = ANY(%s)",
                                         (events,)).fetchone()[0]
                break
            except psycopg.OperationalError:
                time.sleep(0.1)
        if there not in (0, len(events)):
            raise RuntimeError("a transaction was torn by PostgreSQL itself")
        if there:
            self.count["committed"] += 1
            self.count["unknown_committed"] += 1


def run(seconds, clients):
    threads = [Client(n, time.monotonic() + seconds) for n in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    total = {k: sum(t.count[k] for t in threads) for k in threads[0].count}
    print(json.dumps(total))
    errors = [t.error for t in threads if t.error]
    for e in errors:
        print(f"shop.py: {type(e).__name__}: {e}", file=sys.stderr)
    return bool(errors)


def ledger():
    with psycopg.connect() as conn:
        rows = conn.execute("SELECT event_id, customer, seq, type, payload, txn::text, ord"
                            " FROM shop.ledger ORDER BY at, ord").fetchall()
    return [dict(id=str(i), key=c, seq=s, type=k, value=p, txn=t, ord=o) for i, c, s, k, p, t, o in rows]


def brief(event):
    v = event["value"]
    if event["type"] == "order.paid":
        return f"paid   {v['cents'] / 100:8.2f} by {v['method']}"
    return f"placed {sum(i['pieces'] * i['cents'] for i in v['items']) / 100:8.2f} " \
           f"{'+'.join(i['article'] for i in v['items'])[:20]}"


def received(message):
    """The same words, from what the consumer decoded."""
    v = message["value"]
    return brief({"type": "order.paid" if "method" in v else "order.placed", "value": v})


def show(path, colour):
    bold, dim, off = ("\033[1m", "\033[2m", "\033[0m") if colour else ("", "", "")
    with open(path, encoding="utf-8") as f:
        seen = [json.loads(line) for line in f]
    place = {}
    for m in seen:
        place.setdefault(dict(m["headers"]).get("id"), []).append(m)
    truth = ledger()
    if not truth:
        return
    busiest = max({t["key"] for t in truth}, key=lambda k: sum(t["key"] == k for t in truth))
    mine = sorted((t for t in truth if t["key"] == busiest), key=lambda t: t["seq"])
    left, right = f"committed: {busiest}", "received by the consumer"
    print(f"  {bold}{left:<46} {right}{off}")
    for n, t in enumerate(mine):
        if len(mine) > 10 and 5 <= n < len(mine) - 5:
            if n == 5:
                print(f"  {dim}... {len(mine) - 10} more ...{off}")
            continue
        got = " and ".join(f"{received(m):<36} {dim}partition {m['partition']} offset {m['offset']}{off}"
                           for m in place.get(t["id"], [])) or "NOTHING"
        print(f"  {t['seq']:>5}  {brief(t):<38} {got}")


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "run":
        return run(float(sys.argv[2]), int(sys.argv[3]))
    if sys.argv[1:] == ["truth"]:
        for row in ledger():
            print(json.dumps(row))
        return 0
    if len(sys.argv) >= 3 and sys.argv[1] == "show":
        show(sys.argv[2], sys.argv[3:] == ["colour"])
        return 0
    print(__doc__)
    return 1


sys.exit(main())
