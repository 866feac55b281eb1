"""outbox-kafka publish when broker and network misbehave; TLS, SASL, ACLs.

Starts brokers of its own."""
import os
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from broker import Broker, batch, proxied, started, values      # noqa: E402
from child import *                                             # noqa: E402,F403
from proxy import END_TXN, Proxy                                # noqa: E402
from reader import unique                                       # noqa: E402
from tap import run, test                                       # noqa: E402

def once(action):
    """A hook that does this to the first EndTxn."""
    left = [1]

    def hook(api, frame):
        if api == END_TXN and left[0]:
            left[0] = 0
            return action
        return "pass"
    return hook


def logged(c, text):
    """Collect frames that are there now; whether a LOG had this text."""
    try:
        while True:
            type, body = c.frame(0.3)
            c.seen.append(c.parse(type, body))
    except TimeoutError:
        pass
    return any(text in f.get("message", "") for f in c.seen if f["type"] == LOG)


@test("an EndTxn whose answer is lost: committed once, and the producer is initialised again")
def test_lost_answer():
    broker, proxy = proxied()
    c, n, (t,) = started(proxy.address)
    batch(c, 1)
    assert not logged(c, "more than one EndTxn")
    proxy.hook = once("lose")
    batch(c, 2, 3)
    for b in range(3, 9):
        batch(c, b)
    assert logged(c, "more than one EndTxn"), c.seen
    assert proxy.seen[END_TXN] >= 9
    assert values(proxy.address, t) == [b"1.0", b"2.0", b"2.1", b"2.2"] + [b"%d.0" % b for b in range(3, 9)]
    c.close()


@test("an EndTxn that arrives late does not commit the next transaction of its id")
def test_late_end_txn():
    broker, proxy = proxied()
    c, n, (t,) = started(proxy.address)
    proxy.hook = once("hold")
    batch(c, 1)
    assert len(proxy.held) == 1
    batch(c, 2)
    c.data(3, [event(b"half")])                 # the id of batch 1 again
    time.sleep(1.0)
    proxy.release()
    time.sleep(0.5)
    try:
        seen = values(proxy.address, t, settle=1)
    except TimeoutError:
        seen = None                             # batch 3 is open, as it should be
    assert seen is None or b"half" not in seen, seen
    c.data(3, [event(b"rest")])
    c.commit(3, 2, position(3))
    c.expect(COMMITTED)
    assert values(proxy.address, t) == [b"1.0", b"2.0", b"half", b"rest"]
    c.close()


@test("broker down at the start: HELLO_OK, STATUS with the reason, all well once it is there")
def test_down_at_start():
    broker, proxy = proxied()
    broker.call("stop")
    c = Child()
    n = {"prefix": unique("outbox"), "topic": unique("position")}
    c.hello(broker.bootstrap, **n)
    c.expect(HELLO_OK)
    s = c.status()
    assert s["class"] == RETRY and "refused" in s["message"] and broker.bootstrap in s["message"], s
    t0 = time.time()
    c.send(READ_POSITION)
    f = c.expect(FAILED, 20)
    assert f["class"] == RETRY and "refused" in f["message"] and time.time() - t0 < 13, f
    c.close()
    c = Child()
    c.hello(broker.bootstrap, **n)
    c.expect(HELLO_OK)
    assert c.status()["class"] == RETRY
    broker.call("start")
    t0 = time.time()
    assert c.status()["class"] == OK
    assert time.time() - t0 < 5
    c.send(READ_POSITION)
    assert c.expect(POSITION)["position"] is None
    c.close()


@test("name that does not resolve: STATUS and FAILED say so")
def test_resolve():
    c = Child()
    c.hello("no-such-host.invalid:9092", prefix="p", topic="t")
    c.expect(HELLO_OK)
    s = c.status()
    assert s["class"] == RETRY and "no-such-host.invalid" in s["message"], s
    c.close()


@test("kill -9 of the broker with batches under way: FAILED or committed, never torn")
def test_broker_killed():
    broker, proxy = proxied()
    c, n, (t,) = started(proxy.address)
    last = 0
    for b in range(1, 4):
        batch(c, b)
    broker.call("kill9")
    for b in range(4, 6):
        c.data(b, [event(b"%d.0" % b)])
        c.commit(b, 1, position(b))
    time.sleep(1)
    broker.call("start")
    try:
        while True:
            a = c.answer(30)
            if a["type"] == FAILED:
                assert a["class"] in (RETRY, UNKNOWN), a
                break
            last = a["batch"]
            if last == 5:
                break
    finally:
        c.close()
    d = Child()
    _, p = d.takeover(proxy.address, **n)
    done = position_scanned(p["position"])
    assert done >= max(last, 3)
    assert values(proxy.address, t) == [b"%d.0" % b for b in range(1, done + 1)]
    d.close()


@test("a broker that stalls: input is bounded, PONGs go on, it continues")
def test_stall():
    broker, proxy = proxied()
    c, n, (t,) = started(proxy.address)
    c.send(PING, struct.pack("<Q", 5))
    c.expect(PONG)
    broker.call("pause")
    try:
        c.sock.setblocking(False)
        frame_body = struct.pack("<II", 1, 1000) + b"".join(event(b"v" * 1000) for _ in range(1000))
        data = struct.pack("<IB", len(frame_body) + 1, DATA) + frame_body
        sent, frames, rest, end = 0, 0, b"", time.time() + 3
        while time.time() < end:
            if not rest:
                rest, frames = data, frames + 1
            try:
                k = c.sock.send(rest)
                rest, sent = rest[k:], sent + k
            except BlockingIOError:
                time.sleep(0.01)
        assert 5e6 < sent < 40e6, sent
        pongs = 0
        end = time.time() + 4
        while time.time() < end:
            try:
                type, body = c.frame(0.5)
                pongs += type == PONG
            except TimeoutError:
                pass
        assert pongs >= 3, pongs
    finally:
        broker.call("cont")
    c.sock.settimeout(30)
    c.raw(rest)
    c.commit(1, frames * 1000, position(1))
    while True:
        a = c.answer(30)
        if a["type"] != PONG:
            break
    assert a["type"] == COMMITTED and a["events"] == frames * 1000, a
    c.close()


@test("at_least_once: nothing is COMMITTED, and no position written, before it is acknowledged")
def test_at_least_once_waits():
    broker, proxy = proxied()
    c, n, (t,) = started(proxy.address, delivery=AT_LEAST_ONCE)
    batch(c, 1)
    time.sleep(0.5)
    broker.call("pause")
    try:
        c.data(2, [event(b"2.0")])
        c.commit(2, 1, position(2))
        c.commit(3, 0, position(3))             # nothing of its own, but 2 is before it
        try:
            raise AssertionError(c.answer(2))
        except TimeoutError:
            pass
    finally:
        broker.call("cont")
    assert [c.expect(COMMITTED)["batch"] for _ in range(2)] == [2, 3]
    assert values(proxy.address, t) == [b"1.0", b"2.0"]
    c.close()


@test("a broker that stays away fails the batch within the transaction timeout")
def test_gone():
    broker, proxy = proxied()
    c, n, (t,) = started(proxy.address, props=[("transaction.timeout.ms", "5000")])
    batch(c, 1)
    broker.call("pause")
    try:
        t0 = time.time()
        f = batch(c, 2, expect=FAILED)
        assert f["class"] in (RETRY, UNKNOWN) and time.time() - t0 < 12, f
    finally:
        broker.call("cont")
    c.close()


_shared = {}


def secure():
    if "secure" not in _shared:
        _shared["secure"] = Broker("--tls", "--sasl", "--acl", "--old")
    return _shared["secure"]


def with_file(bootstrap, text, steps=True, wait=15, **kw):
    """HELLO with this properties file; the first answer that is no HELLO_OK, or None."""
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write(text)
    c = Child()
    n = dict({"prefix": unique("outbox"), "topic": unique("position")}, **kw)
    try:
        c.hello(bootstrap, file=f.name, **n)
        a = c.answer()
        if a["type"] != HELLO_OK or not steps:
            return c, a, n
        c.send(READ_POSITION)
        return c, c.answer(wait), n
    finally:
        os.unlink(f.name)


def forward(host, target):
    """Plain bytes from a port of another address to target; HOST:PORT."""
    import socket
    import threading
    listener = socket.create_server((host, 0))

    def pump(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                b.sendall(data)
        except OSError:
            pass
        Proxy.close(a, b)

    def accept():
        while True:
            a, _ = listener.accept()
            b = socket.create_connection((target.split(":")[0], int(target.split(":")[1])))
            threading.Thread(target=pump, args=(a, b), daemon=True).start()
            threading.Thread(target=pump, args=(b, a), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return "%s:%d" % (host, listener.getsockname()[1])


def sasl(broker, mechanism, user="admin", password=None):
    secrets = dict(line.split() for line in broker.read("users").splitlines())
    return ("security.protocol=sasl_ssl\nssl.ca.location=%s/tls/ca.pem\nsasl.mechanism=%s\nsasl.username=%s\n"
            "sasl.password=%s\n" % (broker.dir, mechanism, user, password or secrets[user]))


@test("TLS: right CA; wrong CA and wrong host name are CONFIG at once")
def test_tls():
    b = secure()
    at = b.read("bootstrap.tls")
    ca = "security.protocol=ssl\nssl.ca.location=%s/tls/ca.pem\n" % b.dir
    for text in (ca, ca + "ssl.certificate.location=%s/tls/client.pem\nssl.key.location=%s/tls/client.key\n"
                 % (b.dir, b.dir),
                 "security.protocol=ssl\nssl.ca.pem=%s\n" % b.read("tls/ca.pem").replace("\n", "\\n")):
        c, a, n = with_file(at, text)
        # without a user, the ACLs refuse: the connection itself is well
        assert a["type"] == POSITION or "uthoriz" in a["message"], a
        c.close()
    c, a, n = with_file(at, "security.protocol=ssl\nssl.ca.location=%s/tls/other-ca.pem\n" % b.dir)
    assert a["type"] == FAILED and a["class"] == CONFIG and "certificate verify failed" in a["message"], a
    c.close()
    other = forward("127.0.0.2", at)            # not an address of the certificate
    c, a, n = with_file(other, ca)
    assert a["type"] == FAILED and a["class"] == CONFIG and "certificate verify failed" in a["message"], a
    c.close()
    c, a, n = with_file(other, ca + "ssl.endpoint.identification.algorithm=none\n")
    assert a["type"] == POSITION or "uthoriz" in a["message"], a
    c.close()
    c, a, n = with_file(at, "security.protocol=ssl\nssl.ca.location=/nonexistent.pem\n")
    assert a["type"] == FAILED and a["class"] == CONFIG, a
    c.close()


@test("SASL PLAIN and SCRAM work; a wrong password is CONFIG, and no password is ever said")
def test_sasl():
    b = secure()
    at = b.read("bootstrap.sasl")
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        c, a, n = with_file(at, sasl(b, mechanism))
        assert a["type"] == POSITION, (mechanism, a)
        if mechanism == "SCRAM-SHA-512":
            c.topic(1000, n["topic"], compacted=True)
            c.expect(TOPIC_OK)
            c.init(2)
            c.expect(INIT_OK)
            c.topic(0, unique("ev"))
            c.expect(TOPIC_OK)
            for k in range(1, 4):
                batch(c, k)
        c.close()
        t0 = time.time()
        c, a, n = with_file(at, sasl(b, mechanism, password="s3cret-wrong"))
        assert a["type"] == FAILED and a["class"] == CONFIG and "uthentication" in a["message"], a
        assert time.time() - t0 < 8
        said = [a] + c.seen
        assert any(s["type"] == STATUS and s["class"] == CONFIG for s in said), said
        assert not any("s3cret" in s.get("message", "") for s in said)
        c.close()


@test("no right: CONFIG, and the topic or the transactional id is the matter")
def test_acl():
    b = secure()
    at = b.read("bootstrap.sasl")
    c, a, n = with_file(at, sasl(b, "PLAIN", "limited"))
    assert a["type"] == FAILED and a["class"] == CONFIG and n["topic"] in a["message"], a
    c.close()
    # a topic that may be described and not be written
    from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic,
                                       ResourcePatternType, ResourceType)
    admin = AdminClient({"bootstrap.servers": b.bootstrap})
    p, t, prefix = unique("position"), unique("ev"), unique("outbox")
    for f in admin.create_topics([NewTopic(p, 1, 1), NewTopic(t, 1, 1)]).values():
        f.result()

    def allow(kind, name, operation, pattern=ResourcePatternType.LITERAL):
        a = AclBinding(kind, name, pattern, "User:limited", "*", operation, AclPermissionType.ALLOW)
        for f in admin.create_acls([a]).values():
            f.result()
    allow(ResourceType.TOPIC, p, AclOperation.ALL)
    allow(ResourceType.TOPIC, t, AclOperation.DESCRIBE)
    time.sleep(0.5)
    c, a, n = with_file(at, sasl(b, "PLAIN", "limited"), topic=p, prefix=prefix)
    assert a["type"] == POSITION, a
    c.init(2)
    f = c.expect(FAILED)
    assert f["class"] == CONFIG and "ransactional" in f["message"], f
    c.close()
    allow(ResourceType.TRANSACTIONAL_ID, prefix, AclOperation.ALL, ResourcePatternType.PREFIXED)
    time.sleep(0.5)
    c, a, n = with_file(at, sasl(b, "PLAIN", "limited"), topic=p, prefix=prefix)
    c.init(2)
    c.expect(INIT_OK)
    c.topic(0, t)
    c.expect(TOPIC_OK)
    f = batch(c, 1, expect=FAILED)
    assert f["class"] == CONFIG and "uthoriz" in f["message"].lower(), f
    print("# %s" % f["message"])
    c.close()
    c, a, n = with_file(at, sasl(b, "PLAIN", "limited"), topic=p, prefix=prefix)
    new = unique("forbidden")
    c.topic(0, new)
    f = c.expect(FAILED)
    assert f["class"] == CONFIG and new in f["message"], f
    c.close()


run()
