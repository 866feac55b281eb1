"""The part of test/bench/debezium that measures."""
import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "cdc")]

from confluent_kafka import TopicPartition

import cluster
import debezium
import report
import system

SETUP = """
CREATE EXTENSION outbox;
CREATE TABLE public.item (
	id bigint PRIMARY KEY, customer text NOT NULL, amount numeric(12,2), at timestamptz, note text);
CREATE PUBLICATION dbz FOR TABLE public.item;
CREATE PROCEDURE public.write(rows bigint, each bigint) LANGUAGE plpgsql AS $$
DECLARE
	first bigint := (SELECT coalesce(max(id), 0) FROM public.item);
BEGIN
	FOR n IN 0 .. rows / each - 1 LOOP
		INSERT INTO public.item
		SELECT first + n * each + g, 'customer-' || g % 5000, g * 1.25, clock_timestamp(),
			'a thing with quite a long description of what it is'
		FROM generate_series(1, each) g;
		COMMIT;
	END LOOP;
END $$;
"""

# What is known to make it faster: large batches, few and large produce requests.
TUNED = {"max.batch.size": "20480", "max.queue.size": "81920", "poll.interval.ms": "10",
         "transaction.boundary": "interval", "transaction.boundary.interval.ms": "1000",
         "producer.override.batch.size": "1048576", "producer.override.linger.ms": "5",
         "producer.override.buffer.memory": "67108864", "producer.override.compression.type": "none",
         "database.dbname": "bench", "heartbeat.interval.ms": "0"}
TOPIC = {"avro": "bench.avro.item", "json": "bench.json.item", "debezium": "dbz.public.item"}


class Bench:
    def __init__(self, opt):
        self.opt = opt
        self.cluster = cluster.Cluster()
        self.worker = debezium.Worker(os.environ["OUTBOX_BENCH_CONNECT"])
        with open(f"{self.worker.folder}/pid") as f:
            self.worker_pid = int(f.read())
        self.rates = {"avro": [], "json": [], "debezium": [], "pg_recvlogical": []}
        self.cpu = {"avro": [], "json": [], "debezium": []}
        self.memory = {"avro": [], "json": [], "debezium": []}

    def say(self, text):
        print("  " + text, flush=True)

    def committed(self, topic):
        consumer = self.cluster.consumer()
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
        except Exception:
            return 0            # no such topic yet
        finally:
            consumer.close()

    def capture(self, form):
        """The one capture there is, in this format, standing still."""
        if self.cluster.query("SELECT count(*) FROM outbox.captures"):
            self.cluster.query("SELECT outbox.uncapture('public.item')")
        self.cluster.query(f"SELECT outbox.capture('public.item', mode => 'log', format => '{form}',"
                           f" topic => '{TOPIC[form]}', toast => 'omit')")
        while self.cluster.query("SELECT count(*) FROM outbox.capture_def WHERE active_from IS NULL"):
            time.sleep(0.1)
        self.write(1, 1)        # makes the topic
        self.cluster.wait_published()
        self.cluster.pause()

    def write(self, rows, each):
        self.cluster.query("SET synchronous_commit = off")
        self.cluster.query(f"CALL public.write({rows}, {each})")
        self.cluster.query("SET synchronous_commit = on")

    def last_key(self, topic):
        """Key of the last committed message; control records take offsets too."""
        consumer, key = self.cluster.consumer(), ""
        end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
        consumer.assign([TopicPartition(topic, 0, max(0, end - 5))])
        while True:
            message = consumer.poll(5)
            if message is None or message.error() is not None:
                consumer.close()
                return key
            key = message.key().decode()

    def follow(self, topic, start, rows):
        """(rows/s from the first message to the last, seconds until the first)"""
        last = str(self.cluster.query("SELECT max(id) FROM public.item"))
        began = time.monotonic()
        first = first_at = None
        consumer = self.cluster.consumer()
        while True:
            end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1] - start
            now = time.monotonic()
            if first is None and end > 0:
                first, first_at = end, now
            if end >= rows and last in self.last_key(topic):
                break
            if now - began > 900:
                raise SystemExit(f"bench: {topic} has {end} of {rows} messages after 15 minutes")
            time.sleep(0.02)
        consumer.close()
        now = time.monotonic()
        if first > rows / 2:
            return rows / (now - began), first_at - began
        return (rows - first) / (now - first_at), first_at - began

    def measured(self, who, pids, topic, start, go):
        rows = self.opt.rows
        before = sum(system.cpu_seconds(p) for p in pids)
        with system.MemoryWatch(pids, 0.2) as watch:
            go()
            rate, waited = self.follow(topic, start, rows)
        cpu = (sum(system.cpu_seconds(p) for p in pids) - before) / rows * 1e6
        seen = self.cluster.count(topic, start)
        if seen != rows:
            raise SystemExit(f"bench: {rows} rows written, {seen} messages in {topic}")
        self.rates[who].append(rate)
        self.cpu[who].append(cpu)
        self.memory[who].append(watch.peak)
        self.say(f"{who}: {rate:,.0f} rows/s, {cpu:.1f} µs CPU a row, {watch.peak:,.0f} MB,"
                 f" first after {waited:.1f} s")

    def state(self, verb):
        """stop or resume the connector; a stopped one releases its slot."""
        url = open(f"{self.worker.folder}/url").read().strip()
        self.cluster.program("curl", "-sS", "--noproxy", "*", "-f", "-X", "PUT", f"{url}/connectors/dbz/{verb}")

    def slot_active(self, wanted):
        while self.cluster.query("SELECT active FROM pg_replication_slots WHERE slot_name = 'dbz'") is not wanted:
            time.sleep(0.1)

    def begin(self):
        self.cluster.conn.execute(SETUP)
        self.cluster.processes()
        self.worker.connect("dbz", debezium.config(os.environ["PGPORT"], **TUNED))
        self.slot_active(True)
        for form in ("avro", "json"):           # warm up: topics, caches, the JIT
            self.capture(form)
            self.cluster.resume()
            self.write(20 * self.opt.transaction, self.opt.transaction)
            self.cluster.wait_published()
        while self.committed(TOPIC["debezium"]) < 40 * self.opt.transaction:
            time.sleep(0.5)

    def one(self, form):
        rows = self.opt.rows
        self.capture(form)
        self.state("stop")
        self.slot_active(False)
        self.cluster.query("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
        starts = {t: self.committed(TOPIC[t]) for t in (form, "debezium")}
        self.write(rows, self.opt.transaction)
        self.cluster.query("CHECKPOINT")
        self.measured(form, self.cluster.processes(), TOPIC[form], starts[form], self.cluster.resume)

        def resume():
            self.state("resume")
        self.measured("debezium", [self.worker_pid], TOPIC["debezium"], starts["debezium"], resume)
        end = self.cluster.query("SELECT pg_current_wal_flush_lsn()")
        began = time.monotonic()
        self.cluster.program(f"{self.cluster.server}/pg_recvlogical", "-d", "bench", "-S", "bench", "--start",
                             "-f", os.devnull, "-F", "0", "--endpos", end, "-o", "proto_version=1",
                             "-o", "publication_names=dbz")
        self.rates["pg_recvlogical"].append(rows / (time.monotonic() - began))
        self.cluster.query("SELECT pg_drop_replication_slot('bench')")
        self.say(f"pg_recvlogical: {self.rates['pg_recvlogical'][-1]:,.0f} rows/s")

    def run(self):
        self.begin()
        for n in range(self.opt.runs):
            for form in ("avro", "json"):
                self.one(form)
        self.table().show()

    def table(self):
        table = report.Table()
        for who, values in self.rates.items():
            table.add(f"rows/s, {who}", report.median(values), "rows/s", values)
        for who, values in self.cpu.items():
            table.add(f"CPU a row, {who}", report.median(values), "µs", values)
        for who, values in self.memory.items():
            table.add(f"memory, {who}", max(values), "MB", values)
        # each run of ours is followed by one of each of the others
        for k, form in enumerate(("avro", "json")):
            for other, least in (("debezium", 5), ("pg_recvlogical", 2)):
                against = [a / b for a, b in zip(self.rates[form], self.rates[other][k::2])]
                table.add(f"log mode, {form} / {other}", report.median(against), "×", against, least=least)
        return table


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--rows", type=int, default=1_000_000)
    args.add_argument("--transaction", type=int, default=1000)
    args.add_argument("--runs", type=int, default=3)
    Bench(args.parse_args()).run()


main()
