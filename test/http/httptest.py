"""A server with outbox-http, and plain HTTP requests to it.

The servers of a test file lie in folders of their own below TMPDIR and are
stopped at exit.  What tests say over HTTP goes through http.client or a bare
socket: no client library may hide what is wrong.
"""
import atexit
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

import psycopg

ROOT = os.environ.get("OUTBOX_ROOT") or os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "test", "kafka"))

from tap import run, test  # noqa: E402,F401

MEDIA = "application/vnd.schemaregistry.v1+json"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    """A free port below the ephemeral range."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def wait_for(check, seconds=30, what="it"):
    """Calls check until it returns something true, which is returned."""
    until = time.monotonic() + seconds
    while True:
        last = None
        try:
            value = check()
            if value:
                return value
        except Exception as e:
            last = e
        if time.monotonic() > until:
            raise AssertionError("%s did not come within %d s: %r" % (what, seconds, last))
        time.sleep(0.05)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "%d %r" % (self.status, self.body[:500])


def ask(port, method, path, body=None, headers=None, host="127.0.0.1", timeout=30, connection=None):
    """One request; body: a value to be sent as JSON, bytes, or None."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", MEDIA)
    c = connection or http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        c.request(method, path, body, headers)
        r = c.getresponse()
        return Answer(r.status, r.headers, r.read())
    finally:
        if connection is None:
            c.close()


def raw(port, data, timeout=10, host="127.0.0.1"):
    """Sends bytes as they are; everything that comes back until the end."""
    out = b""
    with socket.create_connection((host, port), timeout=timeout) as s:
        try:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass			# it was cut off: there may be an answer all the same
            while chunk := s.recv(65536):
                out += chunk
        except OSError:
            pass
    return out


class Server:
    """A PostgreSQL server of its own."""

    def __init__(self, conf="", writes=False, start=True):
        base = os.environ.get("TMPDIR") or os.path.join(ROOT, ".work", "run", "tmp")
        self.dir = tempfile.mkdtemp(prefix="http-", dir=base)
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.settings = {"outbox.http_listen": str(self.port), "outbox.http_writes": "on" if writes else "off"}
        with open(self.dir + "/conf", "w") as f:
            for name, value in self.settings.items():
                f.write("%s = '%s'\n" % (name, value))
            f.write(conf)
        atexit.register(self.stop, "immediate")
        if start:
            self.start()
            self.sql("CREATE EXTENSION outbox", "CREATE ROLE outbox_http LOGIN",
                     "SELECT outbox.grant_registry('outbox_http', %s)" % ("true" if writes else "false"))
            self.wait_up()

    def _instance(self, *args):
        done = subprocess.run([ROOT + "/test/support/instance", *args], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError("instance %s: %s" % (args, done.stderr))
        return done.stdout

    def start(self):
        out = self._instance("start", self.dir, ROOT + "/test/regress.conf", self.dir + "/conf")
        self.socket = dict(p.split("=") for p in out.split())["PGHOST"]

    def stop(self, mode="fast"):
        self._instance("stop", self.dir, mode)

    def connect(self, db="postgres", user="postgres"):
        return psycopg.connect(host=self.socket, port=5432, user=user, dbname=db, autocommit=True)

    def sql(self, *statements, db="postgres", user="postgres"):
        """Runs them; the first column of the last one's rows."""
        with self.connect(db, user) as c:
            for s in statements:
                cursor = c.execute(s)
            return [r[0] for r in cursor.fetchall()] if cursor.description else []

    def set(self, **settings):
        """Settings for good: names without "outbox.", None = back to the file's."""
        self.sql(*["ALTER SYSTEM " + ("RESET outbox.%s" % n if v is None else
                                      "SET outbox.%s = '%s'" % (n, v.replace("'", "''")))
                   for n, v in settings.items()], "SELECT pg_reload_conf()")

    def log(self):
        with open(self.dir + "/log", errors="replace") as f:
            return f.read()

    def ask(self, method, path, body=None, headers=None, **more):
        return ask(self.port, method, path, body, headers, **more)

    def wait_up(self, seconds=30):
        wait_for(lambda: self.ask("GET", "/health", timeout=5).status == 200, seconds, "outbox-http")

    def wait_log(self, text, since=0, seconds=20):
        wait_for(lambda: text in self.log()[since:], seconds, "line %r of the log" % text)

    def postmaster(self):
        with open(self.dir + "/data/postmaster.pid") as f:
            return int(f.readline())

    def pid(self):
        """Of outbox-http, or None."""
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    argv = f.read().split(b"\0")
                if os.path.basename(argv[0]) == b"outbox-http" and \
                        parent(parent(int(name))) == self.postmaster():
                    return int(name)
            except (OSError, ValueError):
                continue
        return None


def parent(pid):
    with open("/proc/%d/stat" % pid) as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])
