"""The parts of the benchmark.  Each adds its rows to the table; every ratio is
taken within one run, between measurements that follow each other."""
import json
import os
import time

import system
from report import Spread, median

SIZE = 200                      # bytes of Avro payload in a drained event
BATCH = 100_000                 # events per Kafka transaction, outbox.batch_events
KEEP_IDLE = 30                  # seconds of idling that are measured


def say(text):
    print("  " + text, flush=True)


def warm_up(cluster):
    """The broker's JVM compiles what it runs often; topics get made."""
    for kind in ("bench.order", "bench.json"):
        cluster.query("SELECT outbox.emit(%s, %s::jsonb, key => '-1')", kind, order_payload())
    write_transactions(cluster, 200_000)
    cluster.wait_published()
    plain_producer(cluster, 200_000)
    latency_run(cluster, 3)


ORDER = {
    "order_no": 4711, "customer": "customer-0815",
    "article": "a thing with quite a long description of what it is",
    "pieces": 3, "cents": 129900,
    "remark": "please ring twice, the bell is hard to hear from the garden"}


def order_payload():
    return json.dumps(ORDER)


def write_transactions(cluster, n):
    cluster.query("SET synchronous_commit = off")
    cluster.query(f"CALL write_transactions('bench.avro', {n}, {SIZE})")
    cluster.query("SET synchronous_commit = on")


# ---------------------------------------------------------------------- drain

def plain_producer(cluster, n):
    out = cluster.program(f"{cluster.programs}/plain_producer", cluster.bootstrap,
                          "bench.plain", n, SIZE + 5, BATCH)
    return float(out.split()[0])


def drain_outbox(cluster, n):
    """n transactions wait in WAL: events per second from resume() on."""
    start = cluster.end_offset("bench.avro")
    before = cluster.query("SELECT events FROM outbox.status()")
    began = time.monotonic()
    cluster.resume()
    cluster.wait_published()
    took = time.monotonic() - began
    events = cluster.query("SELECT events FROM outbox.status()") - before
    seen = cluster.count("bench.avro", start)
    if not events == seen == n:
        raise SystemExit(f"bench: {n} events written, {events} published, {seen} seen")
    return n / took


def recvlogical(cluster, slot, n, options):
    """pg_recvlogical throws away what lies between the slot and here."""
    end = cluster.query("SELECT pg_current_wal_flush_lsn()")
    began = time.monotonic()
    cluster.program(f"{cluster.server}/pg_recvlogical", "-d", "bench", "-S", slot,
                    "--start", "-f", os.devnull, "-F", "0", "--endpos", end, *options)
    return n / (time.monotonic() - began)


DECODERS = {
    "test_decoding": [],
    "pgoutput": ["-o", "proto_version=1", "-o", "publication_names=bench", "-o", "messages=true"],
}


def drain(cluster, opt, table):
    rates = {"outbox": [], "plain": [], **{d: [] for d in DECODERS}}
    others = []
    cluster.query("CREATE PUBLICATION bench")
    for _ in range(opt.runs):
        cluster.wait_published()
        cluster.pause()
        for d in DECODERS:
            cluster.query(f"SELECT pg_create_logical_replication_slot('bench_{d}', '{d}')")
        write_transactions(cluster, opt.events)
        cluster.query("CHECKPOINT")
        with system.OthersWatch([*cluster.processes(), cluster.broker_pid]) as watch:
            rates["outbox"].append(drain_outbox(cluster, opt.events))
        others.append(watch.cpus)
        rates["plain"].append(plain_producer(cluster, opt.events))
        for d, options in DECODERS.items():
            rates[d].append(recvlogical(cluster, f"bench_{d}", opt.events, options))
            cluster.query(f"SELECT pg_drop_replication_slot('bench_{d}')")
        say("  ".join(f"{k} {v[-1]:,.0f}/s" for k, v in rates.items()))
    cluster.query("DROP PUBLICATION bench")

    fastest = [max(rates[d][i] for d in DECODERS) for i in range(opt.runs)]
    for name, values in (("outbox", rates["outbox"]), ("plain producer", rates["plain"]),
                         ("pg_recvlogical, the faster plugin", fastest)):
        table.add(f"drain, {name}", median(values), "events/s", values)
    against = [a / b for a, b in zip(rates["outbox"], rates["plain"])]
    table.add("drain, outbox / plain producer", median(against), "×", against, least=0.75)
    against = [a / b for a, b in zip(rates["outbox"], fastest)]
    table.add("drain, outbox / pg_recvlogical", median(against), "×", against, least=4)
    table.add("CPUs busy with other things meanwhile", median(others), "", others)


# -------------------------------------------------------------------- latency

def latency_run(cluster, seconds, rate=1000):
    """{"committed": {"p50": ms, ...}, "sent": {...}, "transaction": {...}}"""
    out = cluster.program(f"{cluster.programs}/latency", cluster.conninfo, cluster.bootstrap,
                          "bench.order", "bench.order", rate, seconds)
    found = {}
    for line in out.splitlines():
        words = line.split()
        found[words[0]] = {k: float(v) for k, v in zip(words[1::2], words[2::2])} \
            if len(words) > 2 else float(words[1])
    return found


def latency(cluster, opt, table):
    targets = {"exactly_once": {"p50": 7, "p99": 22}, "at_least_once": {"p50": 2.5, "p99": None}}
    runs = {mode: [] for mode in targets}
    for _ in range(opt.runs):
        for mode in targets:
            cluster.delivery(mode)
            latency_run(cluster, 1)
            runs[mode].append(latency_run(cluster, opt.seconds))
            r = runs[mode][-1]
            say(f"{mode}: " + ", ".join(f"{k} {v:g} ms" for k, v in r["committed"].items())
                + f" (transaction p50 {r['transaction']['p50']:g} ms, {r['rate']:.0f} tx/s)")
    cluster.delivery("exactly_once")
    for mode, target in targets.items():
        for p, most in target.items():
            values = [r["committed"][p] for r in runs[mode]]
            table.add(f"latency {mode}, {p}", median(values), "ms", values, most=most)


# ----------------------------------------------------------------------- cost

CLIENTS = 4
SLICE = 250                     # ms in which the connections run one statement

# What is emitted: event type, statement, parameters.  $1 of "json text" has no
# type of its own and becomes text, as from most drivers.
FORMS = {
    "avro bytes": ("bench.order", "SELECT outbox.emit_avro('bench.order', $1, key => $2)"),
    "row": ("bench.row", "SELECT outbox.emit('bench.row', ROW($1, $2, $3, $4, $5, $6)::bench_order, key => $7)"),
    "avro from json text": ("bench.order", "SELECT outbox.emit('bench.order', $1, key => $2)"),
    "avro from jsonb": ("bench.order", "SELECT outbox.emit('bench.order', $1::jsonb, key => $2)"),
    "json from json text": ("bench.json", "SELECT outbox.emit('bench.json', $1, key => $2)"),
    "json from jsonb": ("bench.json", "SELECT outbox.emit('bench.json', $1::jsonb, key => $2)"),
}
BARE = "SELECT pg_logical_emit_message(true, 'bench', $1)"


def wal_bytes(cluster, statement, *args):
    """WAL that a statement writes, the least of some tries."""
    least = None
    for _ in range(5):
        with cluster.conn.transaction():
            cluster.query("SELECT pg_current_xact_id()")
            before = cluster.query("SELECT pg_current_wal_insert_lsn()")
            cluster.query(statement, *args)
            wrote = cluster.query("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", before)
        least = int(wrote) if least is None else min(least, int(wrote))
    return least


def filler(cluster, kind):
    """Contents with which the bare message fills as much WAL as the event."""
    if kind == "bench.row":
        event = wal_bytes(cluster, "SELECT outbox.emit(%s, jsonb_populate_record(NULL::bench_order, %s::jsonb), "
                          "key => '4711')", kind, order_payload())
    else:
        event = wal_bytes(cluster, "SELECT outbox.emit(%s, %s::jsonb, key => '4711')", kind, order_payload())
    bare = wal_bytes(cluster, "SELECT pg_logical_emit_message(true, 'bench', %s::text)", "x" * 100)
    return "x" * (100 + event - bare)


def alternate(cluster, sync, pairs, *statements):
    """Two statements in turn, each (text, parameters).  A list of pairs' numbers:
    TPS of both, CPU of both (microseconds of the backend for a transaction)."""
    lines = []
    for i, (text, parameters) in enumerate(statements):
        lines += [f"s{i}", text, len(parameters), *parameters]
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"outbox-bench-{os.getpid()}.in")
    with open(path, "w") as f:
        f.write("".join(f"{line}\n" for line in lines))
    try:
        out = cluster.program(f"{cluster.programs}/alternate", cluster.conninfo, CLIENTS, SLICE, pairs, path,
                              env={"PGOPTIONS": f"-c synchronous_commit={sync}"})
    finally:
        os.unlink(path)
    return [[float(word) for word in line.split()] for line in out.splitlines()]


def cost(cluster, opt, table):
    cluster.wait_published()
    cluster.pause()
    pairs = max(int(opt.seconds * 1000 / (2 * SLICE)), 5)
    for name, (kind, statement) in FORMS.items():
        contents = filler(cluster, kind)
        if name == "avro bytes":
            payload = [cluster.query("SELECT outbox.avro_encode(schema, %s::jsonb)::text FROM outbox.event_types "
                                     "WHERE name = %s", order_payload(), kind)]
        else:
            payload = ORDER.values() if kind == "bench.row" else [order_payload()]
        for sync in ("on", "off"):
            found = alternate(cluster, sync, pairs, (statement, [*payload, "4711"]), (BARE, [contents]))
            tps = [f[0] / f[1] for f in found]
            a, b, cpu_a, cpu_b = (median(column) for column in zip(*found))
            say(f"{name}, synchronous_commit={sync}, {len(contents)} bytes: emit {a:,.0f} tps, {cpu_a:.1f} µs CPU, "
                f"bare message {b:,.0f} tps, {cpu_b:.1f} µs CPU")
            table.add(f"TPS with emit ({name}) / bare message, synchronous_commit={sync}",
                      median(tps), "×", Spread(tps), least=0.95)
    cluster.resume()
    cluster.wait_published()


# ------------------------------------------------------- idle CPU and memory

def idle(cluster, opt, table):
    cluster.wait_published()
    pids = cluster.processes()
    time.sleep(10)
    shares = []
    for _ in range(opt.runs):
        began, before = time.monotonic(), [system.cpu_seconds(p) for p in pids]
        time.sleep(KEEP_IDLE if opt.seconds >= 10 else 5)
        took = time.monotonic() - began
        each = [(system.cpu_seconds(p) - b) / took * 100 for p, b in zip(pids, before)]
        shares.append(sum(each))
        say(f"relay {each[0]:.3f} %, outbox-kafka {each[1]:.3f} %")
    table.add("CPU, idle, relay and outbox-kafka", median(shares), "%", shares, most=0.3)
    each = [system.private_mb(p) for p in pids]
    say(f"relay {each[0]:.1f} MB, outbox-kafka {each[1]:.1f} MB")
    table.add("private memory, idle after work", sum(each), "MB", each, most=40)


def memory(cluster, opt, table):
    cluster.wait_published()
    cluster.pause()
    write_transactions(cluster, opt.events)
    pids = cluster.processes()
    with system.MemoryWatch(pids) as watch:
        drain_outbox(cluster, opt.events)
    table.add("private memory, draining small transactions", watch.peak, "MB", watch.peaks, most=160)

    start = cluster.end_offset("bench.avro")
    with system.MemoryWatch(cluster.processes()) as watch:
        cluster.query("SELECT count(outbox.emit_avro('bench.avro', %s, key => (i %% 1000)::text)) "
                      "FROM generate_series(1, %s) i", b"\x8c\x03" + b"v" * (SIZE - 2), opt.big)
        began = time.monotonic()
        cluster.wait_published()
        took = time.monotonic() - began
    seen = cluster.count("bench.avro", start)
    if seen != opt.big:
        raise SystemExit(f"bench: {seen} of {opt.big} events seen")
    say(f"one transaction of {opt.big:,} events: published {took:.1f} s after its commit")
    table.add(f"private memory, one transaction of {opt.big:,} events", watch.peak, "MB", watch.peaks, most=160)
    time.sleep(10)
    each = [system.private_mb(p) for p in cluster.processes()]
    table.add("private memory, 10 s after it", sum(each), "MB", each, most=40)


# ------------------------------------------------------------------- snapshot

def snapshot_run(cluster, n):
    """Rows per second of a snapshot, from its start to its last commit."""
    topic = "bench.snapshot"
    start = cluster.end_offset(topic)
    job = cluster.query("SELECT outbox.snapshot('rows')")
    began = time.monotonic()
    while cluster.query("SELECT state FROM outbox.stat_snapshot WHERE job = %s", job) != "done":
        time.sleep(0.02)
    took = time.monotonic() - began
    seen = cluster.count(topic, start)
    if seen != n:
        raise SystemExit(f"bench: {seen} of {n} rows seen")
    return n / took


def snapshot(cluster, opt, table):
    """A table of rows of 100 bytes, against a producer of the same bytes."""
    n = opt.events
    cluster.query("DROP TABLE IF EXISTS rows")
    cluster.query("CREATE TABLE rows (id bigint PRIMARY KEY, customer text NOT NULL, cents int NOT NULL, note text NOT NULL)")
    cluster.query("INSERT INTO rows SELECT i, 'customer-' || i %% 1000, i %% 5000, repeat(md5(i::text), 2) "
                  "FROM generate_series(1, %s) i", n)
    cluster.query("VACUUM ANALYZE rows")
    cluster.query("SELECT outbox.capture('rows', topic => 'bench.snapshot', envelope => 'flat', partitions => 1)")
    cluster.query("UPDATE rows SET cents = 0 WHERE id = 1")     # now the topic is there
    cluster.wait_published()
    snapshot_run(cluster, n)
    size = cluster.query("SELECT (bytes / events)::int FROM outbox.stat_topic WHERE topic = 'bench.snapshot'")
    ours, plain, ratios = [], [], []
    watch = system.MemoryWatch(cluster.processes())
    with watch:
        for _ in range(opt.runs):
            ours.append(snapshot_run(cluster, n))
            out = cluster.program(f"{cluster.programs}/plain_producer", cluster.bootstrap,
                                  "bench.plain", n, size, BATCH)
            plain.append(float(out.split()[0]))
            ratios.append(ours[-1] / plain[-1])
            say(f"snapshot {ours[-1]:,.0f} rows/s of {size} bytes, plain producer {plain[-1]:,.0f}")
    table.add(f"snapshot, rows of {size} bytes", median(ours), "rows/s", ours)
    table.add("snapshot against a plain producer", median(ratios), "x", ratios, least=0.5)
    table.add("private memory, relay and outbox-kafka, during it", watch.peak, "MB", watch.peaks, most=160)
