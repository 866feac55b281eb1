"""Brokers of a test's own, alone or behind a proxy, and whole batches."""
import atexit
import os
import shutil
import subprocess
import tempfile

from child import COMMITTED, Child, event, position
from proxy import Proxy
from reader import read_all, unique

KAFKA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "kafka")


class Broker:
    def __init__(self, *options):
        self.dir = tempfile.mkdtemp(prefix="outbox-faults-")
        self.call("start", *options)
        atexit.register(self.end)
        self.bootstrap = self.read("bootstrap")

    def call(self, verb, *options):
        subprocess.run([KAFKA, verb, self.dir, *options], check=True, stdout=subprocess.DEVNULL)

    def read(self, name):
        with open(os.path.join(self.dir, name)) as f:
            return f.read().strip()

    def end(self):
        try:
            self.call("stop")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)


_shared = {}


def proxied():
    """One broker behind a proxy for all tests: (broker, proxy)."""
    if not _shared:
        proxy = Proxy()
        broker = Broker("--set", "advertised.listeners=PLAINTEXT://%s" % proxy.address)
        host, port = broker.bootstrap.split(":")
        proxy.target = (host, int(port))
        _shared["x"] = (broker, proxy)
    broker, proxy = _shared["x"]
    proxy.hook = lambda api, frame: "pass"
    proxy.seen.clear()
    return broker, proxy


def started(bootstrap, topics=1, **kw):
    n = dict({"prefix": unique("outbox"), "topic": unique("position")}, **kw)
    t = [unique("ev") for _ in range(topics)]
    c = Child()
    c.takeover(bootstrap, topics=t, **n)
    return c, n, t


def values(bootstrap, topic, **kw):
    return [m.value() for m in read_all(bootstrap, topic, **kw)]


def send_batch(c, b, n=1):
    c.data(b, [event(b"%d.%d" % (b, i)) for i in range(n)])
    c.commit(b, n, position(b))


def batch(c, b, n=1, expect=COMMITTED, timeout=20):
    send_batch(c, b, n)
    return c.expect(expect, timeout)
