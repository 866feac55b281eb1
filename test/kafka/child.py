"""Drive one outbox-kafka child over a socket pair, as the relay does."""
import os
import socket
import struct
import subprocess
import time
import uuid
import zlib

HELLO, READ_POSITION, PUT_RECORD, INIT, TOPIC, DATA, COMMIT, PING, STOP, REGISTER = range(1, 11)
(HELLO_OK, POSITION, PUT_OK, INIT_OK, TOPIC_OK, COMMITTED, FAILED, PONG, LOG,
 STATUS, RECORDED, READY, REGISTERED) = range(0x81, 0x8E)
NAMES = {v: k for k, v in list(globals().items()) if k.isupper() and isinstance(v, int)}
OK, RETRY, UNKNOWN, FENCED, CONFIG, REFUSED = range(6)
NO_TOPIC = 0xFFFFFFFF
EXACTLY_ONCE, AT_LEAST_ONCE = 0, 1

PROGRAM = os.environ.get("OUTBOX_KAFKA", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "outbox-kafka"))


def by(b):
    """bytes or None, length-prefixed"""
    if b is None:
        return struct.pack("<I", 0xFFFFFFFF)
    if isinstance(b, str):
        b = b.encode()
    return struct.pack("<I", len(b)) + b


def headers(pairs):
    out = struct.pack("<H", len(pairs))
    for name, value in pairs:
        name = name.encode()
        out += struct.pack("<H", len(name)) + name + by(value)
    return out


def event(value, key=None, topic=0, partition=-1, ts=None, id=None, split=0, block=None):
    body = struct.pack("<Iiq", topic, partition, int(time.time() * 1000) if ts is None else ts)
    body += (id or uuid.uuid4()).bytes + struct.pack("<I", split)
    body += by(key) + by(block) + by(value)
    return struct.pack("<I", len(body)) + body


def _crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = _TABLE[(c ^ b) & 0xFF] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


def position(scanned=1, timeline=1, incarnation=1, ring=2, instance=b"i" * 16, host=b"h" * 16):
    """A real position record, see src/record/position.h."""
    r = struct.pack("<IH", 0x5058424F, 1) + instance + struct.pack("<Q", 42) + host
    r += struct.pack("<IQHq", timeline, incarnation, ring, int(time.time() * 1000))
    r += struct.pack("<QIQIQIQQI", scanned, 0, 0, 0, 0, 0, scanned, 0, 0)
    return r + struct.pack("<I", crc32c(r))


def position_scanned(record):
    return struct.unpack_from("<Q", record, 6 + 16 + 8 + 16 + 22)[0]


class Gone(Exception):
    """The child has closed its end."""


class Child:
    def __init__(self, args=("publish", "--fd", "3"), rcvbuf=None, wrap=()):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock = ours
        self.seen = []              # (type, body) of LOG and STATUS frames
        self.buf = b""
        fd = theirs.fileno()

        def child_fd():
            os.dup2(fd, 3)
            os.set_inheritable(3, True)
        self.proc = subprocess.Popen(list(wrap) + [PROGRAM, *args], pass_fds=(3,) if fd == 3 else (),
                                     close_fds=False, preexec_fn=child_fd)
        theirs.close()

    # sending
    def raw(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Gone()

    def send(self, type, body=b""):
        self.raw(struct.pack("<IB", len(body) + 1, type) + body)

    def hello(self, bootstrap, prefix="outbox-test", topic="outbox.position.test", ring=2,
              delivery=EXACTLY_ONCE, file=None, props=(), version=1):
        props = [("bootstrap.servers", bootstrap)] + list(props)
        body = struct.pack("<HBH", version, delivery, ring) + by(prefix) + by(topic) + by(file)
        body += struct.pack("<I", len(props))
        for k, v in props:
            body += by(k) + by(v)
        self.send(HELLO, body)

    def topic(self, index, name, partitions=1, replication=1, create=True, compacted=False):
        self.send(TOPIC, struct.pack("<I", index) + by(name) + struct.pack("<ihBB", partitions, replication,
                                                                        create, compacted))

    def data(self, batch, events):
        self.send(DATA, struct.pack("<II", batch, len(events)) + b"".join(events))

    def commit(self, batch, count, pos):
        self.send(COMMIT, struct.pack("<II", batch, count) + by(pos))

    def init(self, count=2):
        self.send(INIT, struct.pack("<H", count))

    def put(self, key, value):
        self.send(PUT_RECORD, by(key) + by(value))

    def register(self, subject, schema, schema_id=1000001, flags=1, external=0, references=None, resolved=None):
        """flags: 1 create, 2 normalize, 4 latest, 8 keep id"""
        self.send(REGISTER, struct.pack("<IIB", schema_id, external, flags) + by(subject) + by(schema)
                  + by(references) + by(resolved))

    # receiving
    def frame(self, timeout=15):
        end = time.time() + timeout
        while True:
            if len(self.buf) >= 5:
                n = struct.unpack_from("<I", self.buf)[0]
                if len(self.buf) >= 4 + n:
                    type, body = self.buf[4], self.buf[5:4 + n]
                    self.buf = self.buf[4 + n:]
                    return type, body
            left = end - time.time()
            if left <= 0:
                raise TimeoutError("no frame within %s s" % timeout)
            self.sock.settimeout(left)
            try:
                more = self.sock.recv(65536)
            except socket.timeout:
                raise TimeoutError("no frame within %s s" % timeout)
            except ConnectionResetError:
                raise Gone()
            if not more:
                raise Gone()
            self.buf += more

    def answer(self, timeout=15):
        """Next frame that is neither LOG, STATUS nor RECORDED, parsed."""
        end = time.time() + timeout
        while True:
            type, body = self.frame(max(end - time.time(), 0.01))
            if type in (LOG, STATUS, RECORDED, READY):
                self.seen.append(self.parse(type, body))
                continue
            return self.parse(type, body)

    def expect(self, type, timeout=15):
        a = self.answer(timeout)
        assert a["type"] == type, "expected %s, got %r" % (NAMES[type], a)
        return a

    def status(self, timeout=15):
        end = time.time() + timeout
        while True:
            type, body = self.frame(max(end - time.time(), 0.01))
            if type == STATUS:
                return self.parse(type, body)

    @staticmethod
    def parse(type, b):
        def take(off):
            n = struct.unpack_from("<I", b, off)[0]
            if n == 0xFFFFFFFF:
                return None, off + 4
            return b[off + 4:off + 4 + n], off + 4 + n
        r = {"type": type, "name": NAMES.get(type, hex(type))}
        if type == HELLO_OK:
            r["version"] = struct.unpack_from("<H", b)[0]
            r["library"] = take(2)[0]
        elif type == POSITION:
            r["position"], o = take(0)
            r["claim"], o = take(o)
            r["watermark"] = struct.unpack_from("<q", b, o)[0]
        elif type == TOPIC_OK:
            r["index"], r["partitions"] = struct.unpack("<Ii", b)
        elif type == COMMITTED:
            r["batch"], r["events"] = struct.unpack("<II", b)
        elif type == READY:
            r["batch"] = struct.unpack("<I", b)[0]
        elif type == FAILED:
            r["to"], r["class"], r["code"], r["batch"], r["topic"] = struct.unpack_from("<BBiII", b)
            message, o = take(14)
            r["message"] = message.decode()
            r["event"] = struct.unpack_from("<I", b, o)[0]
        elif type == REGISTERED:
            r["schema_id"], r["class"], r["code"], r["id"] = struct.unpack_from("<IBiI", b)
            r["message"] = take(13)[0].decode()
        elif type == PONG:
            r["token"] = struct.unpack("<Q", b)[0]
        elif type == LOG:
            r["level"] = b[0]
            r["message"] = take(1)[0].decode()
        elif type == STATUS:
            r["class"], r["code"] = struct.unpack_from("<Bi", b)
            r["message"] = take(5)[0].decode()
        return r

    # whole steps
    def takeover(self, bootstrap, topics=(), partitions=1, pos=None, **kw):
        ring = kw.get("ring", 2)
        self.hello(bootstrap, **kw)
        self.expect(HELLO_OK)
        name = kw.get("topic", "outbox.position.test")
        self.send(READ_POSITION)
        first = self.expect(POSITION)
        # the position topic has no index of its own in DATA; announce it last
        self.topic(1000, name, partitions=1, compacted=True)
        self.expect(TOPIC_OK)
        self.put("claim", position())
        self.expect(PUT_OK)
        self.init(ring)
        self.expect(INIT_OK)
        self.send(READ_POSITION)
        second = self.expect(POSITION)
        for i, t in enumerate(topics):
            self.topic(i, t, partitions=partitions)
            self.expect(TOPIC_OK)
        return first, second

    def close(self):
        self.sock.close()
        return self.proc.wait(10)

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.sock.close()

    def exited(self, timeout=3):
        return self.proc.wait(timeout)
