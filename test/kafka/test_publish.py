"""outbox-kafka publish, driven frame by frame against a running broker."""
import os
import random
import struct
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from child import *                                             # noqa: E402,F403
from reader import read_all, topic_setting, unique              # noqa: E402
from tap import run, test                                       # noqa: E402
from confluent_kafka import Producer                            # noqa: E402

B = os.environ["OUTBOX_TEST_BOOTSTRAP"]


def names():
    return {"prefix": unique("outbox"), "topic": unique("position")}


def started(topics=1, partitions=1, **kw):
    """A child after its takeover: (child, names, topic names)."""
    n = dict(names(), **kw)
    t = [unique("ev") for _ in range(topics)]
    c = Child()
    c.takeover(B, topics=t, partitions=partitions, **n)
    return c, n, t


def values(topic):
    return [m.value() for m in read_all(B, topic)]


def newest_position(topic):
    all = [m for m in read_all(B, topic) if m.key() == b"position"]
    return position_scanned(all[-1].value()) if all else None


@test("--version and --help; nonsense is refused")
def test_command_line():
    import subprocess
    def call(*args):
        return subprocess.run([PROGRAM, *args], capture_output=True, text=True)
    assert "protocol version 1" in call("--version").stdout
    assert "publish" in call("--help").stdout
    for args in ([], ["nonsense"], ["publish", "--fd"], ["publish", "--fd", "x"], ["publish", "--fd", "99"]):
        r = call(*args)
        assert r.stdout == "" and (r.returncode == 2 or args[-1:] == ["99"]), (args, r)


@test("takeover: position, claim, init; the first position is null")
def test_takeover():
    n = names()
    c = Child()
    first, second = c.takeover(B, **n)
    assert first["position"] is None and first["claim"] is None and first["watermark"] == 0, first
    assert second["position"] is None and second["claim"] == read_all(B, n["topic"])[0].value(), second
    assert c.close() == 0


@test("a message carries id first, split part, the block's headers, key, partition, time, null value")
def test_contents():
    c, n, (t,) = started(partitions=4)
    ids = [uuid.uuid4() for _ in range(3)]
    c.data(1, [event(b"a", key=b"k", id=ids[0], ts=1700000000123, partition=3,
                     block=headers([("x", b"1"), ("nil", None), ("x", b"2")])),
               event(None, key=b"k", id=ids[1], split=7, partition=2),
               event(b"", key=b"", id=ids[2], partition=1)])
    c.commit(1, 3, position(1))
    assert c.expect(COMMITTED)["events"] == 3
    m = {x.partition(): x for x in read_all(B, t)}
    assert m[3].headers() == [("id", str(ids[0]).encode()), ("x", b"1"), ("nil", None), ("x", b"2")]
    assert (m[3].key(), m[3].value(), m[3].timestamp()[1]) == (b"k", b"a", 1700000000123)
    assert m[2].headers() == [("id", str(ids[1]).encode()), ("outbox.split", b"7")]
    assert m[2].value() is None
    assert m[1].value() == b"" and m[1].key() == b"", (m[1].value(), m[1].key())
    c.close()


@test("a key goes to the partition that the Java client would choose")
def test_partitioner():
    c, n, (t,) = started(partitions=7)
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536,
             b"a-little-bit-longer-string": -1486304829}    # Kafka's UtilsTest.testMurmur2
    c.data(1, [event(b"v", key=k) for k in known])
    c.commit(1, len(known), position(1))
    c.expect(COMMITTED)
    for m in read_all(B, t):
        assert m.partition() == (known[m.key()] & 0x7FFFFFFF) % 7, m.key()
    c.close()


@test("batches become visible in order, each with its position")
def test_batches():
    c, n, (t,) = started()
    total = 0
    for b in range(1, 41):
        k = b % 5
        if k:
            c.data(b, [event(b"%d.%d" % (b, i)) for i in range(k)])
        c.commit(b, k, position(b))
        total += k
    done = [c.expect(COMMITTED) for _ in range(40)]
    assert [(d["batch"], d["events"]) for d in done] == [(b, b % 5) for b in range(1, 41)]
    assert values(t) == [b"%d.%d" % (b, i) for b in range(1, 41) for i in range(b % 5)]
    got = [position_scanned(m.value()) for m in read_all(B, n["topic"]) if m.key() == b"position"]
    assert got == list(range(1, 41)), got
    c.send(READ_POSITION)
    assert position_scanned(c.expect(POSITION)["position"]) == 40
    c.close()


@test("one batch of many DATA frames and 150,000 events; memory stays bounded")
def test_large_batch():
    c, n, (t,) = started()
    value = b"v" * 200
    for f in range(150):
        c.data(1, [event(value, key=b"%d" % f) for _ in range(1000)])
    c.commit(1, 150000, position(1))
    assert c.expect(COMMITTED, 60)["events"] == 150000
    with open("/proc/%d/status" % c.proc.pid) as f:
        peak = int([x for x in f if x.startswith("VmHWM")][0].split()[1])
    assert peak < 100 * 1024, peak
    assert len(read_all(B, t, settle=60)) == 150000
    c.close()


@test("a wrong count of events fails and nothing is visible")
def test_count():
    c, n, (t,) = started()
    c.data(1, [event(b"a"), event(b"b")])
    c.commit(1, 3, position(1))
    f = c.expect(FAILED)
    assert f["class"] == UNKNOWN and f["batch"] == 1 and f["to"] == COMMIT, f
    c.send(PING, struct.pack("<Q", 7))
    assert c.expect(PONG)["token"] == 7
    c.data(2, [event(b"c")])
    c.commit(2, 1, position(2))
    c.send(STOP)
    assert c.exited() == 0
    d = Child()
    d.takeover(B, **n)
    assert values(t) == [] and newest_position(n["topic"]) is None
    d.close()


@test("kill -9 anywhere around a commit: the batch is there with its position, or neither is")
def test_kill():
    n = names()
    t = unique("ev")
    random.seed(4)
    done = 0
    outcomes = set()
    for round in range(24):
        c = Child()
        c.takeover(B, topics=[t], **n)
        b = done + 1
        for _ in range(2):          # one safe batch, then the one that is hit
            c.data(b, [event(b"%d.%d.%d" % (round, b, i)) for i in range(5)])
            if b == done + 1:
                c.commit(b, 5, position(b))
                c.expect(COMMITTED)
                b += 1
        if round % 4:
            c.commit(b, 5, position(b))
        if round % 4 == 3:
            c.expect(COMMITTED)
        else:
            time.sleep(random.random() * 0.006)
        c.kill()
        d = Child()
        _, p = d.takeover(B, topics=[], **n)
        found = position_scanned(p["position"])
        seen = {int(v.split(b".")[1]) for v in values(t) if v.startswith(b"%d." % round)}
        count = sum(v.startswith(b"%d." % round) for v in values(t))
        assert seen == ({b - 1, b} if found == b else {b - 1}), (round, b, found, seen)
        assert count == 5 * len(seen), (round, count)
        assert found == newest_position(n["topic"])
        if round % 4 == 0:
            assert found == b - 1
        if round % 4 == 3:
            assert found == b
        outcomes.add((round % 4, found == b))
        done = found
        d.close()
    print("# outcomes: %s" % sorted(outcomes))


@test("a second child fences the first, whose batch is never visible")
def test_fencing():
    c, n, (t,) = started()
    c.data(1, [event(b"kept")])
    c.commit(1, 1, position(1))
    c.expect(COMMITTED)
    c.data(2, [event(b"lost")])
    time.sleep(0.3)
    d = Child()
    _, p = d.takeover(B, topics=[t], **n)
    assert position_scanned(p["position"]) == 1
    c.commit(2, 1, position(2))
    f = c.expect(FAILED)
    assert f["class"] == FENCED, f
    d.data(7, [event(b"new")])
    d.commit(7, 1, position(7))
    d.expect(COMMITTED)
    assert values(t) == [b"kept", b"new"]
    assert newest_position(n["topic"]) == 7
    c.close()
    d.close()


@test("INIT fences ids beyond the own ring")
def test_fence_larger_ring():
    n = names()
    t = unique("ev")
    old = Child()
    old.takeover(B, topics=[t], ring=4, **n)
    old.data(3, [event(b"open")])
    time.sleep(0.3)
    c = Child()
    c.hello(B, ring=2, **n)
    c.expect(HELLO_OK)
    c.init(4)
    c.expect(INIT_OK)
    old.commit(3, 1, position(3))
    assert old.expect(FAILED)["class"] == FENCED
    assert values(t) == []
    c.close()
    old.close()


@test("an open transaction of somebody else in the position topic: no older position is given")
def test_open_transaction():
    c, n, (t,) = started()
    c.commit(1, 0, position(1))
    c.expect(COMMITTED)
    other = Producer({"bootstrap.servers": B, "transactional.id": unique("other"),
                      "transaction.timeout.ms": 60000})
    other.init_transactions(10)
    other.begin_transaction()
    other.produce(n["topic"], key=b"standby-x", value=b"x")
    other.flush(10)
    c.commit(2, 0, position(2))
    c.expect(COMMITTED)
    c.send(READ_POSITION)
    try:
        a = c.answer(1.5)
        raise AssertionError("answered with %r" % a)
    except TimeoutError:
        pass
    c.send(PING, struct.pack("<Q", 9))
    assert c.expect(PONG)["token"] == 9         # also while a request runs
    other.abort_transaction(10)
    assert position_scanned(c.expect(POSITION)["position"]) == 2

    other.begin_transaction()
    other.produce(n["topic"], key=b"standby-x", value=b"x")
    other.flush(10)
    c.send(READ_POSITION)
    f = c.expect(FAILED, 20)
    assert f["class"] == RETRY and "open transaction" in f["message"] and f["to"] == READ_POSITION, f
    # a claim is seen all the same, and before INIT nothing is waited for
    d = Child()
    d.hello(B, **n)
    d.expect(HELLO_OK)
    d.put("claim", position(incarnation=9))
    d.expect(PUT_OK)
    d.send(READ_POSITION)
    p = d.expect(POSITION, 3)
    assert struct.unpack_from("<Q", p["claim"], 6 + 16 + 8 + 16 + 4)[0] == 9
    assert position_scanned(p["position"]) == 2
    other.abort_transaction(10)
    c.close()
    d.close()


@test("the highest claim wins, not the newest; a position far back is found")
def test_claims():
    c, n, (t,) = started()
    c.commit(1, 0, position(77, incarnation=3))
    c.expect(COMMITTED)
    for tl, inc in ((1, 5), (2, 1), (1, 9), (2, 2), (2, 1), (1, 4)):
        c.put("claim", position(timeline=tl, incarnation=inc))
        c.expect(PUT_OK)
    p = Producer({"bootstrap.servers": B, "linger.ms": 5})
    for i in range(3000):
        p.produce(n["topic"], key=b"standby-%d" % (i % 3), value=b"s" * 100)
    p.flush(10)
    c.send(READ_POSITION)
    a = c.expect(POSITION)
    assert struct.unpack_from("<IQ", a["claim"], 6 + 16 + 8 + 16) == (2, 2)
    assert position_scanned(a["position"]) == 77
    assert a["watermark"] > 3000
    c.put("claim", b"garbage")
    c.expect(PUT_OK)
    c.send(READ_POSITION)
    assert c.expect(POSITION)["claim"] == b"garbage"
    c.close()


@test("a message beyond the topic's limit is refused by name, others of the batch are not visible")
def test_oversize():
    c, n, t = started(topics=2)
    c.data(1, [event(b"small", topic=0), event(os.urandom(3000000), topic=1)])
    c.commit(1, 2, position(1))
    f = c.expect(FAILED)
    assert f["class"] == REFUSED and f["topic"] == 1 and f["batch"] == 1 and t[1] in f["message"], f
    c.close()
    d = Child()
    d.takeover(B, **n)
    assert values(t[0]) == [] and newest_position(n["topic"]) is None
    d.close()


@test("a partition that does not exist, a compacted topic without key: refused")
def test_refused():
    c, n, (t,) = started()
    c.data(1, [event(b"x", partition=5)])
    c.commit(1, 1, position(1))
    f = c.expect(FAILED)
    assert f["class"] == REFUSED and f["topic"] == 0, f
    c.close()
    c, n, _ = started(topics=0)
    t = unique("compacted")
    c.topic(0, t, compacted=True)
    c.expect(TOPIC_OK)
    c.data(1, [event(b"no key")])
    c.commit(1, 1, position(1))
    f = c.expect(FAILED)
    assert f["class"] == REFUSED and f["topic"] == 0 and t in f["message"], f
    c.close()


@test("topics: created with partitions and policy, found, missing, invalid")
def test_topics():
    c, n, _ = started(topics=0)
    a, b, k = unique("a"), unique("b"), unique("k")
    c.topic(0, a, partitions=3)
    assert c.expect(TOPIC_OK)["partitions"] == 3
    c.topic(1, b, partitions=-1, replication=-1)
    assert c.expect(TOPIC_OK) ["partitions"] >= 1
    c.topic(2, k, compacted=True)
    c.expect(TOPIC_OK)
    assert topic_setting(B, k, "cleanup.policy") == "compact"
    assert topic_setting(B, a, "cleanup.policy") == "delete"
    c.topic(3, a, partitions=9)
    r = c.expect(TOPIC_OK)
    assert (r["index"], r["partitions"]) == (3, 3)
    missing = unique("missing")
    c.topic(4, missing, create=False)
    f = c.expect(FAILED)
    assert f["class"] == RETRY and f["topic"] == 4 and missing in f["message"] and f["to"] == TOPIC, f
    c.close()
    c, n, _ = started(topics=0)
    c.topic(0, "no/slash")
    f = c.expect(FAILED)
    assert f["class"] == CONFIG and "no/slash" in f["message"], f
    c.close()
    c, n, _ = started(topics=0)
    c.topic(0, unique("r"), replication=5)
    assert c.expect(FAILED)["class"] == CONFIG
    c.close()


@test("PUT_RECORD does not create its topic")
def test_put_missing():
    n = names()
    c = Child()
    c.hello(B, **n)
    c.expect(HELLO_OK)
    c.put("claim", position())
    f = c.expect(FAILED)
    assert f["class"] == RETRY and n["topic"] in f["message"] and f["to"] == PUT_RECORD, f
    c.close()


@test("at_least_once: COMMITTED in order, events and position arrive, STOP writes the last one")
def test_at_least_once():
    c, n, (t,) = started(delivery=AT_LEAST_ONCE)
    for b in range(1, 201):
        c.data(b, [event(b"%d" % b)])
        c.commit(b, 1, position(b))
    assert [c.expect(COMMITTED)["batch"] for _ in range(200)] == list(range(1, 201))
    assert values(t) == [b"%d" % b for b in range(1, 201)]
    time.sleep(0.6)
    got = [position_scanned(m.value()) for m in read_all(B, n["topic"]) if m.key() == b"position"]
    assert got[-1] == 200 and len(got) < 20 and got == sorted(got), got
    c.commit(201, 0, position(201))
    c.expect(COMMITTED)
    c.send(STOP)
    assert c.exited() == 0
    assert newest_position(n["topic"]) == 201


@test("at_least_once: kill -9 leaves no position beyond what is published")
def test_at_least_once_kill():
    random.seed(5)
    for _ in range(6):
        c, n, (t,) = started(delivery=AT_LEAST_ONCE)
        for b in range(1, 1500):
            c.data(b, [event(b"%d" % b)])
            c.commit(b, 1, position(b))
            if b % 50 == 0:
                time.sleep(0.01)
            if b == 1400:
                time.sleep(random.random() * 0.05)
        c.kill()
        got = newest_position(n["topic"]) or 0
        seen = [int(v) for v in values(t)]
        assert seen[:got] == list(range(1, got + 1)), (got, len(seen))


@test("damaged frames and frames out of order end the process, exit status 0")
def test_damage():
    hello_then = [
        struct.pack("<IB", 0, 1),                               # empty
        struct.pack("<IB", 65 * 1024 * 1024, DATA),             # too long
        struct.pack("<IB", 1, 0x42),                            # unknown
        struct.pack("<IB", 1, HELLO),                           # again
        struct.pack("<IB", 2, READ_POSITION) + b"x",            # too much
        struct.pack("<IB", 2, INIT) + b"x",                     # too little
        struct.pack("<IBH", 3, INIT, 1),                        # less than the ring
        struct.pack("<IB", 3, PING) + b"xx",
        struct.pack("<IBII", 9, DATA, 1, 0),                    # before INIT
        struct.pack("<IBIII", 13, COMMIT, 1, 0, 0),             # before INIT
        struct.pack("<IB", 9, PUT_RECORD) + struct.pack("<II", 100, 100),
    ]
    for raw in hello_then:
        c = Child()
        c.hello(B, **names())
        c.expect(HELLO_OK)
        c.raw(raw)
        assert c.exited() == 0, raw
    e = event(b"x")
    for body in (struct.pack("<II", 1, 2) + e,                  # fewer events than said
                 struct.pack("<II", 1, 1) + e + b"x",           # bytes behind the last
                 struct.pack("<II", 1, 1) + event(b"x", topic=3),
                 struct.pack("<II", 1, 1) + event(b"x", partition=-2),
                 struct.pack("<II", 1, 1) + event(b"x", block=b"\xff\xff\x00"),
                 struct.pack("<II", 1, 1) + struct.pack("<I", 10) + e[4:14],
                 struct.pack("<I", 1)):
        c, n, (t,) = started()
        c.send(DATA, body)
        assert c.exited() == 0, body
    c, n, (t,) = started()
    c.data(1, [e])
    c.data(2, [e])                                              # 1 is still open
    assert c.exited() == 0
    for raw in (b"", b"\x05", struct.pack("<IBH", 100, HELLO, 1)):
        c = Child()
        c.raw(raw)
        c.close()
    c = Child()
    c.send(READ_POSITION)                                       # before HELLO
    assert c.exited() == 0
    c = Child()
    c.hello(B, version=99)
    f = c.expect(FAILED)
    assert f["class"] == CONFIG and "version" in f["message"]
    c.close()


@test("end of file at every point: exit status 0 at once, nothing committed")
def test_eof():
    steps = ["hello", "read", "topic", "put", "init", "read", "data", "commit"]
    for last in range(len(steps) + 1):
        for wait in (False, True):
            n = names()
            t = unique("ev")
            c = Child()
            for step in steps[:last]:
                if step == "hello":
                    c.hello(B, **n)
                elif step == "read":
                    c.send(READ_POSITION)
                elif step == "topic":
                    c.topic(1000, n["topic"], compacted=True)
                    c.topic(0, t)
                elif step == "put":
                    c.put("claim", position())
                elif step == "init":
                    c.init(2)
                elif step == "data":
                    c.data(1, [event(b"x")])
                elif step == "commit":
                    if not wait:
                        c.commit(1, 1, position(1))
                if wait:
                    time.sleep(0.15)
            t0 = time.time()
            assert c.close() == 0
            assert time.time() - t0 < 1, "slow to leave"
            if last >= 7 and wait:
                d = Child()
                d.takeover(B, **n)
                assert values(t) == []
                d.close()


@test("a PING is answered ahead of frames that wait, and again while input is full")
def test_ping():
    c, n, (t,) = started()
    c.send(READ_POSITION)
    c.send(PING, struct.pack("<Q", 1))
    a, b = c.answer(), c.answer()
    assert {a["type"], b["type"]} == {PONG, POSITION}
    c.close()


@test("SIGTERM ends it with status 0, SIGINT and SIGHUP do not; it dies with its parent")
def test_signals():
    import signal
    import subprocess
    c, n, (t,) = started()
    c.proc.send_signal(signal.SIGINT)
    c.proc.send_signal(signal.SIGHUP)
    c.send(PING, struct.pack("<Q", 1))
    c.expect(PONG)
    c.proc.terminate()
    assert c.exited() == 0
    # a parent that is killed; this end of the socket stays open
    ours, theirs = __import__("socket").socketpair()
    os.set_inheritable(theirs.fileno(), True)
    code = "import subprocess,sys,time; p=subprocess.Popen([%r,'publish','--fd','%d'],close_fds=False);" \
           "print(p.pid,flush=True); time.sleep(60)" % (PROGRAM, theirs.fileno())
    p = subprocess.Popen([sys.executable, "-c", code], close_fds=False, stdout=subprocess.PIPE)
    pid = int(p.stdout.readline())
    time.sleep(0.3)
    p.kill()
    p.wait()
    time.sleep(0.3)
    try:
        with open("/proc/%d/stat" % pid) as f:
            assert f.read().split()[2] == "Z", "still alive"
    except FileNotFoundError:
        pass
    ours.close()


def config_failure(text, mode=0o600, path=None, props=()):
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write(text)
    os.chmod(f.name, mode)
    c = Child()
    c.hello(B, file=path or f.name, props=props, **names())
    a = c.answer()
    c.close()
    os.unlink(f.name)
    return a["message"] if a["type"] == FAILED and a["class"] == CONFIG and a["to"] == HELLO else a["name"]


@test("properties file: rules of mode and kind, allow-list, no value in a message")
def test_config():
    good = "# comment\n\n compression.type = lz4 \nlinger.ms=1\nclient.rack=a=b\n"
    assert config_failure(good) == "HELLO_OK"
    assert config_failure(good, 0o400) == "HELLO_OK"
    for mode in (0o640, 0o604, 0o660, 0o620, 0o602, 0o666):
        assert "0600" in config_failure(good, mode), oct(mode)
    assert "regular" in config_failure(good, path=tempfile.gettempdir())
    assert "could not open" in config_failure(good, path="/nonexistent/file")
    assert "line 2" in config_failure("linger.ms=1\nnonsense\n")
    for name in ("plugin.library.paths", "ssl.engine.location", "ssl.providers", "sasl.kerberos.kinit.cmd",
                 "sasl.oauthbearer.token.endpoint.url", "debug", "enable.idempotence", "acks",
                 "transactional.id", "isolation.level", "transaction.timeout.ms", "partitioner",
                 "enable.ssl.certificate.verification", "log_level", "queue.buffering.max.messages"):
        m = config_failure("%s=s3cret\n" % name)
        assert name in m and "cannot be set" in m and "s3cret" not in m, m
    m = config_failure("compression.type=s3cret\n")
    assert "compression.type" in m and "s3cret" not in m, m
    m = config_failure("security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username=u\n"
                       "sasl.password=s3cret\n")
    assert "unencrypted" in m and "s3cret" not in m, m
    assert "does not use SASL" in config_failure("sasl.username=u\nsasl.password=s3cret\n")
    m = config_failure("", props=[("debug", "all")])
    assert "debug" in m, m
    c = Child()
    c.hello("", **names())
    f = c.expect(FAILED)
    assert f["class"] == CONFIG and "bootstrap" in f["message"], f
    c.close()


run()
