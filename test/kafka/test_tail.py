"""outbox-kafka tail: what people see of a topic."""
import base64
import io
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import registry_server                                          # noqa: E402
from child import PROGRAM                                       # noqa: E402
from reader import unique                                       # noqa: E402
from tap import run, test                                       # noqa: E402
import fastavro                                                 # noqa: E402
from confluent_kafka import Producer                            # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic         # noqa: E402

B = os.environ["OUTBOX_TEST_BOOTSTRAP"]
SCHEMA = {"type": "record", "name": "Order", "doc": 'a "quoted" \\ word', "fields": [
    {"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None}]}


def tail(*args, bootstrap=B, timeout=30, status=0):
    r = subprocess.run([PROGRAM, "tail", *(("--bootstrap", bootstrap) if bootstrap else ()), *args],
                       capture_output=True, text=True, timeout=timeout)
    assert r.returncode == status, (args, r.returncode, r.stdout, r.stderr)
    return [json.loads(line) for line in r.stdout.splitlines()] if status == 0 else r.stderr


def topic(partitions=1):
    t = unique("tail")
    admin = AdminClient({"bootstrap.servers": B})
    admin.create_topics([NewTopic(t, partitions, 1)])[t].result()
    return t


def produce(t, records, commit=True):
    """records: dicts of produce()'s arguments, in one transaction"""
    p = Producer({"bootstrap.servers": B, "transactional.id": unique("tail"), "transaction.timeout.ms": 60000})
    p.init_transactions(10)
    p.begin_transaction()
    for r in records:
        p.produce(t, **r)
    p.flush(10)
    if commit:
        p.commit_transaction(10)
    return p


def framed(value, id=7):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMA), value)
    return struct.pack(">bI", 0, id) + out.getvalue()


def schemas(text, suffix=".jsonl"):
    with tempfile.NamedTemporaryFile("w", suffix=suffix, delete=False) as f:
        f.write(text)
    return f.name


@test("every kind of value, key and header")
def test_kinds():
    t = topic()
    produce(t, [
        {"value": framed({"id": 1, "note": "é"}), "key": "k1", "headers": [("id", b"x"), ("n", None)],
         "timestamp": 1700000000123},
        {"value": b'{"a": [1, 2.50, 12345678901234567890123],\n "b": "\\u00e9"}', "key": b"\xff\x00"},
        {"value": b"plain words", "headers": [("h", b"1"), ("o", b"\xff"), ("h", b"2"), ("h", b"3")]},
        {"value": None, "key": "gone"},
        {"value": framed({"id": 1}, id=9)},
        {"value": framed({"id": 1})[:-1]},
        {"value": b""},
    ])
    path = schemas(json.dumps({"id": 7, "schema": json.dumps(SCHEMA)}) + "\n")
    r = tail(t, "--until-end", "--schemas", path)
    assert len(r) == 7, r
    assert list(r[0]) == ["topic", "partition", "offset", "timestamp", "key", "headers", "schema_id", "value"]
    assert r[0] == {"topic": t, "partition": 0, "offset": 0, "timestamp": "2023-11-14T22:13:20.123Z", "key": "k1",
                    "headers": {"id": "x", "n": None}, "schema_id": 7, "value": {"id": 1, "note": "é"}}, r[0]
    assert r[1]["value"] == {"a": [1, 2.5, 12345678901234567890123], "b": "é"} and r[1]["schema_id"] is None
    assert r[1]["key"] == {"base64": base64.b64encode(b"\xff\x00").decode()}
    assert base64.b64decode(r[2]["value_base64"]) == b"plain words" and "value" not in r[2]
    assert r[2]["headers"] == {"h": ["1", "2", "3"], "o": {"base64": "/w=="}}, r[2]
    assert r[3]["value"] is None and r[3]["key"] == "gone"
    assert r[4]["schema_id"] == 9 and "9" in r[4]["problem"] and "value_base64" in r[4]
    assert r[5]["schema_id"] == 7 and "cannot decode" in r[5]["problem"] and "value" not in r[5], r[5]
    assert r[6]["value_base64"] == ""
    assert [x["offset"] for x in r] == list(range(7))


@test("schemas of a registry, by their ids; what it does not have or is")
def test_registry():
    s = registry_server.start(base="/x")
    text = json.dumps(SCHEMA)
    for id in (1, 2):
        s.store.schemas[("", id)] = (text, None)
    s.store.schemas[("", 3)] = ('{"type": "record", "name": "P", "fields": [{"name": "o", "type": "Order"}]}',
                                [{"name": "Order", "subject": "o", "version": 1}])
    t = topic()
    produce(t, [{"value": framed({"id": i}, id=id)} for i, id in enumerate((1, 2, 1, 9, 9, 3, 1))])
    r = tail(t, "--until-end", "--registry", s.url)
    assert [x.get("value", {}).get("id") for x in r] == [0, 1, 2, None, None, None, 6], r
    assert "404" in r[3]["problem"] and "9" in r[4]["problem"] and "refers to others" in r[5]["problem"], r
    assert [c["path"] for c in s.store.calls] == ["/x/schemas/ids/%d" % i for i in (1, 2, 9, 3)], s.store.calls
    path = schemas(json.dumps({"id": 9, "schema": text}) + "\n")
    r = tail(t, "--until-end", "--registry", s.url, "--schemas", path)
    assert [x.get("value", {}).get("id") for x in r] == [0, 1, 2, 3, 4, None, 6], r
    begun = time.time()
    s.fault("status:503")
    n = len(s.store.calls)
    r = tail(t, "--until-end", "--registry", "http://127.0.0.1:1," + s.url)
    assert len(r) == 7 and all("503" in x["problem"] or "127.0.0.1:1" in x["problem"] for x in r), r
    assert len(s.store.calls) - n == 1 and time.time() - begun < 10, "left alone for a while"
    assert "neither http" in tail(t, "--registry", "ftp://x", status=1)
    assert "no URL" in tail(t, "--registry", "", status=2)


@test("schemas: what COPY writes, nested JSON, a folder; bad lines are named")
def test_schemas():
    t = topic()
    produce(t, [{"value": framed({"id": 5, "note": None})}])
    line = json.dumps({"id": 7, "schema": json.dumps(SCHEMA)})
    copied = line.replace("\\", "\\\\")
    nested = json.dumps({"id": 7, "schema": SCHEMA})
    folder = tempfile.mkdtemp()
    with open(os.path.join(folder, "a.jsonl"), "w") as f:
        f.write("\n" + line + "\n")
    with open(os.path.join(folder, "ignored.txt"), "w") as f:
        f.write("nonsense")
    for path in (schemas(line), schemas(copied + "\n"), schemas(nested + "\n"), folder):
        r = tail(t, "--until-end", "--schemas", path)
        assert r[0]["value"] == {"id": 5, "note": None}, (path, r)
    r = tail(t, "--until-end", "--schemas", folder, "--avro-json")
    assert r[0]["value"] == {"id": 5, "note": None}
    r = tail(t, "--until-end")
    assert "--schemas" in r[0]["problem"]
    assert "line 2" in tail(t, "--schemas", schemas(line + "\nnonsense\n"), status=1)
    assert "line 1" in tail(t, "--schemas", schemas('{"id": 1, "schema": "{}"}\n'), status=1)
    assert "could not open" in tail(t, "--schemas", "/nonexistent", status=1)


@test("--from beginning, end, offset, time; --partition; --max")
def test_from():
    t = topic(2)
    produce(t, [{"value": b"%d" % i, "partition": i % 2, "timestamp": 1700000000000 + i * 1000} for i in range(20)])
    now = [x["value"] for x in tail(t, "--until-end")]
    assert sorted(now) == list(range(20))
    assert len(tail(t, "--until-end", "--from", "beginning")) == 20
    odd = [x["value"] for x in tail(t, "--until-end", "--partition", "1")]
    assert odd == list(range(1, 20, 2)), odd
    assert [x["value"] for x in tail(t, "--until-end", "--partition", "0", "--from", "7")] == [14, 16, 18]
    assert tail(t, "--until-end", "--from", "end") == []
    for when in ("2023-11-14T22:13:32Z", "2023-11-14 22:13:32", "2023-11-14T23:13:31.5+01:00"):
        got = sorted(x["value"] for x in tail(t, "--until-end", "--from", when))
        assert got == list(range(12, 20)), (when, got)
    assert len(tail(t, "--from", "2023-11-14", "--max", "3")) == 3
    assert tail(t, "--until-end", "--from", "2093-01-01") == []
    assert "partitions" in tail(t, "--partition", "5", status=1)
    for bad in (["--from", "yesterday"], ["--max", "0"], ["--partition", "-1"], ["--from", "2023-11-14T25:00"],
                ["extra"], ["--nonsense"]):
        assert tail(t, *bad, status=2)
    assert tail(status=2)
    assert "does not exist" in tail(unique("missing"), status=1)


@test("read_committed: nothing aborted or open; --read-uncommitted shows all")
def test_isolation():
    t = topic()
    produce(t, [{"value": b'"kept"'}])
    p = produce(t, [{"value": b'"aborted"'}], commit=False)
    p.abort_transaction(10)
    p = produce(t, [{"value": b'"open"'}], commit=False)
    assert [x["value"] for x in tail(t, "--until-end")] == ["kept"]
    assert [x["value"] for x in tail(t, "--until-end", "--read-uncommitted")] == ["kept", "aborted", "open"]
    p.abort_transaction(10)


@test("it follows: an event appears within two seconds; Ctrl-C ends it well")
def test_follow():
    t = topic()
    p = subprocess.Popen([PROGRAM, "tail", t, "--bootstrap", B, "--from", "end"], stdout=subprocess.PIPE, text=True)
    time.sleep(1.5)
    t0 = time.time()
    produce(t, [{"value": b"1"}])
    assert json.loads(p.stdout.readline())["value"] == 1
    assert time.time() - t0 < 2
    p.send_signal(signal.SIGINT)
    assert p.wait(3) == 0
    p = subprocess.Popen([PROGRAM, "tail", t, "--bootstrap", B], stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.stdout.close()
    produce(t, [{"value": b"2"}])
    p.wait(5)


@test("--config: bootstrap from the file, its rules hold here too; no broker is said on stderr")
def test_config():
    t = topic()
    produce(t, [{"value": b"1"}])
    f = schemas("bootstrap.servers=%s\n" % B, ".properties")
    os.chmod(f, 0o600)
    assert len(tail(t, "--config", f, "--until-end", bootstrap=None)) == 1
    os.chmod(f, 0o644)
    assert "0600" in tail(t, "--config", f, bootstrap=None, status=2)
    p = subprocess.Popen([PROGRAM, "tail", t, "--bootstrap", "127.0.0.1:1"], stderr=subprocess.PIPE, text=True)
    t0 = time.time()
    line = p.stderr.readline()
    assert time.time() - t0 < 5
    assert "127.0.0.1:1" in line, line
    p.send_signal(signal.SIGKILL)
    p.wait()


run()
