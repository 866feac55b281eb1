"""Part log: rows of a table captured with mode log, decoded, encoded and
published, against pg_recvlogical with pgoutput, which throws them away."""
import time

import parts
import system
from report import median

ROWS = 1000                     # rows of a transaction


def allow_plugin(cluster):
    """Servers with that setting want our output plugin listed."""
    listed = cluster.query("SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'")
    if listed is not None and "outbox" not in listed:
        cluster.query(f"ALTER SYSTEM SET output_plugin_libraries = {listed}, outbox")
        cluster.query("SELECT pg_reload_conf()")
        while "outbox" not in cluster.query("SHOW output_plugin_libraries"):
            time.sleep(0.1)


def log(cluster, opt, table):
    allow_plugin(cluster)
    cluster.query("CREATE TABLE bench_rows (id bigint PRIMARY KEY, customer int NOT NULL, "
                  "pieces int NOT NULL, cents bigint NOT NULL, remark text NOT NULL)")
    cluster.query("ALTER TABLE bench_rows REPLICA IDENTITY FULL")
    cluster.query("SELECT outbox.capture('bench_rows', mode => 'log', toast => 'full', "
                  "topic => 'bench.rows', partitions => 1)")
    while not cluster.query("SELECT active_from IS NOT NULL FROM outbox.capture_def"):
        time.sleep(0.1)
    cluster.query("CREATE PUBLICATION bench FOR TABLE bench_rows")
    rates = {"outbox": [], "pgoutput": []}
    for _ in range(opt.runs):
        cluster.wait_published()
        cluster.pause()
        cluster.query("TRUNCATE bench_rows")
        cluster.query("SELECT pg_create_logical_replication_slot('bench_log', 'pgoutput')")
        cluster.query(f"CALL write_rows({opt.events}, {ROWS})")
        cluster.query("CHECKPOINT")
        before = cluster.query("SELECT events FROM outbox.status()")
        pids = cluster.processes()
        with system.MemoryWatch(pids) as watch:
            began = time.monotonic()
            cluster.resume()
            cluster.wait_published()
            rates["outbox"].append(opt.events / (time.monotonic() - began))
        events = cluster.query("SELECT events FROM outbox.status()") - before
        if events != opt.events + 1:
            raise SystemExit(f"bench: {opt.events} rows written, {events} messages published")
        rates["pgoutput"].append(parts.recvlogical(cluster, "bench_log", opt.events,
                                                   parts.DECODERS["pgoutput"]))
        cluster.query("SELECT pg_drop_replication_slot('bench_log')")
        parts.say("  ".join(f"{k} {v[-1]:,.0f}/s" for k, v in rates.items()) + f"  {watch.peak:.0f} MB")
    cluster.query("DROP PUBLICATION bench")
    cluster.query("SELECT outbox.uncapture('bench_rows')")
    cluster.query("DROP TABLE bench_rows")
    table.add("log capture, rows published", median(rates["outbox"]), "rows/s", rates["outbox"])
    table.add("pg_recvlogical with pgoutput", median(rates["pgoutput"]), "rows/s", rates["pgoutput"])
    against = [a / b for a, b in zip(rates["outbox"], rates["pgoutput"])]
    table.add("log capture / pg_recvlogical", median(against), "×", against, least=2)
    table.add("private memory, log capture", watch.peak, "MB", watch.peaks)
