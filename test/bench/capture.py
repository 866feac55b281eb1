"""What capturing a table costs those who write to it: one-row updates of tables
that differ in their triggers alone."""
import os
import re

from parts import say
from report import median

ROWS = 10_000

TABLES = {
    "none": None,
    "captured": "SELECT outbox.capture('{table}', topic => 'bench.captured', partitions => 1)",
    "plpgsql": "CREATE TRIGGER history AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION bench_history()",
}


def prepare(cluster):
    cluster.query("CREATE TABLE bench_row_history (id bigserial, op text, row jsonb)")
    cluster.query("CREATE FUNCTION bench_history() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                  " INSERT INTO bench_row_history (op, row) VALUES (TG_OP, to_jsonb(NEW)); RETURN NULL; END $$")
    for name, trigger in TABLES.items():
        table = f"bench_{name}"
        cluster.query(f"CREATE TABLE {table} (id int PRIMARY KEY, n int, name text, amount numeric(10,2),"
                      " at timestamptz DEFAULT now()) WITH (fillfactor = 50)")
        cluster.query(f"INSERT INTO {table} SELECT i, 0, 'customer number ' || i, i / 7.0"
                      f" FROM generate_series(1, {ROWS}) i")
        cluster.query(f"VACUUM ANALYZE {table}")
        if trigger:
            cluster.query(trigger.format(table=table))


def clean_up(cluster):
    cluster.query("SELECT outbox.uncapture('bench_captured')")
    for name in TABLES:
        cluster.query(f"DROP TABLE bench_{name}")
    cluster.query("DROP TABLE bench_row_history")
    cluster.query("DROP FUNCTION bench_history()")


def update(cluster, name, sync, seconds):
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"outbox-bench-{os.getpid()}.sql")
    with open(path, "w") as f:
        f.write(f"\\set id random(1, {ROWS})\nUPDATE bench_{name} SET n = n + 1 WHERE id = :id;\n")
    try:
        out = cluster.program(f"{cluster.server}/pgbench", "-n", "-M", "prepared", "-c", 4, "-j", 2,
                              "-T", seconds, "-f", path, "bench",
                              env={"PGOPTIONS": f"-c synchronous_commit={sync}"})
    finally:
        os.unlink(path)
    return float(re.search(r"tps = ([\d.]+)", out).group(1))


def capture(cluster, opt, table):
    prepare(cluster)
    cluster.wait_published()
    cluster.pause()
    seconds = max(opt.seconds // 4, 2)
    names = list(TABLES)
    for sync in ("on", "off"):
        rates = {name: [] for name in names}
        for _ in range(max(opt.runs, 3)):
            # to and fro: a drift of the machine falls on all
            found = dict.fromkeys(names, 0.0)
            for name in names + names[::-1]:
                found[name] += update(cluster, name, sync, seconds) / 2
            for name, tps in found.items():
                rates[name].append(tps)
        say(f"synchronous_commit={sync}: " + ", ".join(f"{k} {median(v):,.0f} tps" for k, v in rates.items()))
        for name, least in (("captured", 0.75), ("plpgsql", None)):
            ratios = [a / b for a, b in zip(rates[name], rates["none"])]
            what = "captured by triggers" if name == "captured" else "plpgsql trigger with to_jsonb(NEW)"
            table.add(f"TPS of one-row updates, {what} / no trigger, synchronous_commit={sync}",
                      median(ratios), "×", ratios, least=least)
        ratios = [a / b for a, b in zip(rates["captured"], rates["plpgsql"])]
        table.add(f"TPS of one-row updates, captured / plpgsql trigger, synchronous_commit={sync}",
                  median(ratios), "×", ratios, least=1)
    cluster.resume()
    cluster.wait_published()
    clean_up(cluster)
