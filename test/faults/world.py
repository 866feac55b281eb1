"""A PostgreSQL cluster and a Kafka broker that can be killed: used by crash.

Both live in folders of their own below the caller's.  The server is started
as our own child, so that the end of a killed postmaster is seen (and reaped)
here; whatever else it leaves is found through /proc.
"""
import os
import signal
import subprocess
import tempfile
import time

import psycopg

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def stat(pid):
    """(name, state, parent) of a process, None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            text = f.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, rest = text[text.index("(") + 1:].rsplit(")", 1)
    fields = rest.split()
    return name, fields[0], int(fields[1])


def alive(pid):
    s = stat(pid)
    return s is not None and s[1] not in "ZX"


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            s = stat(entry)
            if s and s[2] == pid and s[1] not in "ZX":
                found.append(int(entry))
    return found


def title(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill9(pid):
    """True if there was somebody to kill."""
    try:
        if not alive(pid):
            return False
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def wait_gone(pids, seconds, what):
    deadline = time.monotonic() + seconds
    left = list(pids)
    while left:
        left = [p for p in left if alive(p)]
        if left and time.monotonic() > deadline:
            raise RuntimeError(f"{what}: still there after {seconds} s: "
                               + ", ".join(f"{p} ({title(p)})" for p in left))
        if left:
            time.sleep(0.01)


class Server:
    """One cluster.  pids() names what the crash test kills.  With tcp it listens
    on that port of 127.0.0.1 too, else on a socket alone."""

    def __init__(self, folder, conf, tcp=None):
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "server.log")
        self.bin = subprocess.check_output([os.environ["PG_CONFIG"], "--bindir"], text=True).strip()
        self.socket = tempfile.mkdtemp(prefix="outbox.", dir="/tmp")
        self.process = None
        self.port = tcp or 5432
        self.listen = "127.0.0.1" if tcp else ""
        subprocess.run([f"{self.bin}/initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                        "--no-locale", "-N"], check=True, stdout=subprocess.DEVNULL)
        with open(f"{self.data}/postgresql.conf", "a", encoding="utf-8") as f:
            f.write(conf)
        self.dsn = f"host={self.socket} port={self.port} user=postgres dbname=postgres connect_timeout=5"

    def start(self):
        log = open(self.log, "ab")
        # a fast restart may still find the dying children of the last one
        for attempt in range(50):
            self.process = subprocess.Popen(
                [f"{self.bin}/postgres", "-D", self.data, "-c", f"listen_addresses={self.listen}", "-c",
                 f"unix_socket_directories={self.socket}", "-p", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            if self.answers():
                return
            if self.process.poll() is None:
                raise RuntimeError("the server does not come up")
            time.sleep(0.1)
        raise RuntimeError("the server does not start, see " + self.log)

    def answers(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with psycopg.connect(self.dsn):
                    return True
            except psycopg.OperationalError:
                time.sleep(0.05)
        return False

    def pids(self):
        """(postmaster, relay or None, outbox-kafka or None)"""
        relay = child = None
        if self.process.poll() is None:
            for pid in children(self.process.pid):
                if "outbox relay" in title(pid):
                    relay = pid
                    below = children(pid)
                    child = below[0] if below else None
        return self.process.pid, relay, child

    def everything(self):
        pids = children(self.process.pid)
        return pids + [c for p in pids for c in children(p)]

    def crash(self, all_at_once):
        """kill -9 of the postmaster, with or without its children."""
        below = self.everything()
        os.kill(self.process.pid, signal.SIGKILL)
        if all_at_once:
            for pid in below:
                kill9(pid)
        self.process.wait()
        wait_gone(below, 30, "after kill -9 of the postmaster")

    def stop(self, sig=signal.SIGQUIT):
        """SIGQUIT is an immediate stop, SIGINT a fast one."""
        if self.process is None or self.process.poll() is not None:
            return
        below = self.everything()
        self.process.send_signal(sig)
        self.process.wait(60)
        wait_gone(below, 30, "after the server's stop")

    def query(self, sql, args=None, seconds=30):
        """First row; asks again while the server restarts."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with psycopg.connect(self.dsn, autocommit=True) as conn:
                    return conn.execute(sql, args).fetchone()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def clean(self):
        self.stop()
        subprocess.run(["rm", "-rf", self.socket], check=False)


class Broker:
    """test/support/kafka in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def call(self, verb, *options):
        done = subprocess.run([f"{ROOT}/test/support/kafka", verb, self.folder, *options],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"kafka {verb}: {done.stderr}")
        return done.stdout.strip()

    def start(self):
        return self.call("start")
