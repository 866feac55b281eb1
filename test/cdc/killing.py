"""Kills by a seeded plan, at steps of the workload.

child          kill -9 of outbox-kafka
relay          kill -9 of the relay: PostgreSQL restarts all sessions
immediate      immediate stop and start
broker_crash   kill -9, started again some steps later
"""
import collections
import random
import time

import world

DECK = ["child"] * 4 + ["relay"] * 2 + ["immediate", "broker_crash"]


class Killer:
    def __init__(self, seed, server, broker, workload, every):
        self.rng = random.Random(f"kills-{seed}")
        self.server, self.broker, self.workload, self.every = server, broker, workload, every
        self.deck = []
        self.done = collections.Counter()
        self.broker_back = None
        self.next = self.gap() if every else 0

    def gap(self):
        return self.rng.randint(self.every // 2, self.every * 3 // 2)

    def before_step(self, n):
        if self.broker_back is not None and n >= self.broker_back:
            self.broker.start()
            self.broker_back = None
        if not self.every or n < self.next:
            return
        self.next = n + self.gap()
        if not self.deck:
            self.deck = DECK[:]
            self.rng.shuffle(self.deck)
        victim = self.deck.pop()
        pause = self.rng.uniform(0, 0.3)
        time.sleep(pause)
        if getattr(self, victim)(n):
            self.done[victim] += 1

    def find(self, which):
        """Pid of relay (1) or child (2), which may be between two lives."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            pid = self.server.pids()[which]
            if pid is not None:
                return pid
            time.sleep(0.005)
        return None

    def child(self, n):
        pid = self.find(2)
        return pid is not None and world.kill9(pid)

    def relay(self, n):
        """The restart is under way when an old session notices."""
        pid = self.find(1)
        canary = world.psycopg.connect(self.server.dsn, autocommit=True)
        if pid is None or not world.kill9(pid):
            canary.close()
            return False
        try:
            for _ in range(3000):
                canary.execute("SELECT 1")
                time.sleep(0.01)
            raise RuntimeError("the server did not restart after kill -9 of the relay")
        except world.psycopg.OperationalError:
            pass
        self.workload.lost()
        self.server.query("SELECT 1")
        return True

    def immediate(self, n):
        self.server.stop()
        self.workload.lost()
        self.server.start()
        return True

    def broker_crash(self, n):
        if self.broker_back is not None:
            return False
        self.broker.call("kill9")
        self.broker_back = n + self.rng.randint(10, 200)
        return True

    def finish(self):
        if self.broker_back is not None:
            self.broker.start()
            self.broker_back = None
