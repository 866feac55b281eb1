"""The server and the broker under test."""
import os
import subprocess
import time

import psycopg
from confluent_kafka import Consumer, TopicPartition


class Cluster:
    def __init__(self):
        self.programs = os.environ["OUTBOX_BENCH_PROGRAMS"]
        self.server = os.environ["OUTBOX_BENCH_SERVER"]
        broker = os.environ["OUTBOX_BENCH_BROKER"]
        with open(f"{broker}/bootstrap") as f:
            self.bootstrap = f.read().strip()
        with open(f"{broker}/pid") as f:
            self.broker_pid = int(f.read())
        self.conninfo = f"host={os.environ['PGHOST']} user=postgres dbname=bench"
        self.conn = psycopg.connect(self.conninfo, autocommit=True)

    def query(self, text, *args):
        """The first column of the first row, or None."""
        cursor = self.conn.execute(text, args or None)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def version(self):
        return self.query("SHOW server_version").split()[0]

    def processes(self):
        """Relay and outbox-kafka, once they are there."""
        for _ in range(200):
            row = self.conn.execute("SELECT state, pid, child_pid FROM outbox.status()").fetchone()
            if row[0] in ("streaming", "paused") and row[1] and row[2]:
                return list(row[1:])
            time.sleep(0.1)
        raise SystemExit(f"bench: the relay is in state {row[0]}: "
                         + str(self.query("SELECT reason FROM outbox.status()")))

    def wait_published(self):
        """Until all is published that any session has committed so far."""
        self.query("SELECT pg_current_xact_id()")
        if not self.query("SELECT outbox.wait_published('600 s')"):
            raise SystemExit("bench: not published within ten minutes")

    def pause(self):
        self.query("SELECT outbox.pause()")
        while self.query("SELECT state FROM outbox.status()") != "paused":
            time.sleep(0.02)

    def resume(self):
        self.query("SELECT outbox.resume()")

    def delivery(self, value):
        self.query(f"ALTER SYSTEM SET outbox.delivery = '{value}'")
        old = self.query("SELECT pid FROM outbox.status()")
        self.query("SELECT pg_reload_conf()")
        while old and self.query("SELECT pid FROM outbox.status()") == old and \
                self.query("SHOW outbox.delivery") != value:
            time.sleep(0.05)
        time.sleep(1)
        self.processes()

    def program(self, name, *args, env=None):
        out = subprocess.run([name, *map(str, args)], capture_output=True, text=True,
                             env={**os.environ, **(env or {})})
        if out.returncode != 0:
            raise SystemExit(f"bench: {os.path.basename(name)} failed: {out.stderr or out.stdout}")
        return out.stdout

    def end_offset(self, topic):
        """Where the topic's only partition ends, 0 if there is none."""
        consumer = self.consumer()
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
        finally:
            consumer.close()

    def count(self, topic, start):
        """Committed messages from an offset to the end."""
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, 0, start)])
        seen, over = 0, False
        while not over:
            batch = consumer.consume(10000, timeout=10)
            if not batch:
                break
            for message in batch:
                if message.error() is None:
                    seen += 1
                else:
                    over = True     # the end of the partition
        consumer.close()
        return seen

    def consumer(self):
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": "bench",
                         "isolation.level": "read_committed", "enable.auto.commit": False,
                         "enable.partition.eof": True, "log_level": 3})
