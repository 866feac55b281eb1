"""The event log: what it costs the drain, its size, and the speed of a replay."""
import time

import parts
from report import median

ORDERS = """SELECT count(outbox.emit('bench.doc', jsonb_build_object(
        'order_no', i, 'customer', 'customer-' || i %% 9973, 'article', 'a thing with quite a long description of what it is',
        'pieces', i %% 7, 'cents', (random() * 100000)::int, 'placed_at', clock_timestamp(),
        'remark', CASE i %% 3 WHEN 0 THEN 'please ring twice, the bell is hard to hear from the garden' ELSE '' END),
    key => (i %% 1000)::text)) FROM generate_series(1, %s) i"""


def switch(cluster, value):
    cluster.query(f"ALTER SYSTEM SET outbox.event_log = {value}")
    cluster.query("SELECT pg_reload_conf()")
    while cluster.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox log writer'") != (value == "on"):
        time.sleep(0.05)


def backlog(cluster, n):
    cluster.wait_published()
    cluster.pause()
    parts.write_transactions(cluster, n)
    cluster.query("CHECKPOINT")


def wait_logged(cluster):
    end = cluster.query("SELECT pg_current_wal_flush_lsn()::text")
    while not cluster.query("SELECT scanned_lsn >= %s::pg_lsn FROM outbox.stat_log WHERE datname = current_database()", end):
        time.sleep(0.05)
    time.sleep(1.5)             # the last block


def drain_logged(cluster, n):
    """The log begins with the drain, and has the same backlog to read."""
    cluster.query("TRUNCATE outbox.log")
    switch(cluster, "on")
    rate = parts.drain_outbox(cluster, n)
    wait_logged(cluster)
    return rate


def replay_run(cluster, n, since):
    job = cluster.query("SELECT job FROM outbox.replay(%s, types => '{bench.avro}', topic => 'bench.replay')", since)
    began = time.monotonic()
    while cluster.query("SELECT state FROM outbox.stat_replay WHERE job = %s", job) != "done":
        time.sleep(0.02)
    took = time.monotonic() - began
    events = cluster.query("SELECT events FROM outbox.stat_replay WHERE job = %s", job)
    if events != n:
        raise SystemExit(f"bench: {events} of {n} events replayed")
    return n / took


def size_run(cluster, n):
    cluster.query("TRUNCATE outbox.log")
    before = cluster.query("SELECT coalesce(sum(bytes), 0)::bigint FROM outbox.stat_topic")
    cluster.query(ORDERS, n)
    cluster.wait_published()
    wait_logged(cluster)
    published = cluster.query("SELECT sum(bytes)::bigint FROM outbox.stat_topic") - before
    logged = cluster.query("SELECT sum(pg_column_size(body))::bigint FROM outbox.log")
    return logged / published


def event_log(cluster, opt, table):
    cluster.query("SELECT outbox.create_event_type('bench.doc', format => 'json', topic => 'bench.doc', partitions => 1)")
    without, logged, against, replayed, share = [], [], [], [], []
    for _ in range(opt.runs):
        switch(cluster, "off")
        backlog(cluster, opt.events)
        without.append(parts.drain_outbox(cluster, opt.events))
        since = cluster.query("SELECT clock_timestamp()")
        backlog(cluster, opt.events)
        logged.append(drain_logged(cluster, opt.events))
        against.append(logged[-1] / without[-1])
        replayed.append(replay_run(cluster, opt.events, since))
        share.append(replayed[-1] / logged[-1])
        parts.say(f"drain without log {without[-1]:,.0f}/s, with log {logged[-1]:,.0f}/s, replay {replayed[-1]:,.0f}/s")
    sizes = [size_run(cluster, opt.events // 5) for _ in range(opt.runs)]
    table.add("drain, with the event log / without", median(against), "×", against, least=0.65)
    table.add("replay, events of 200 bytes", median(replayed), "events/s", replayed)
    table.add("replay / drain", median(share), "×", share, least=0.5)
    table.add("event log, bytes / bytes of JSON events", median(sizes), "×", sizes, most=0.4)
