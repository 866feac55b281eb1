#!/usr/bin/env python3
"""The server's encoders against avro-c and fastavro, on random cases.

1. avro_encode(schema, jsonb) gives avro-c's bytes for the schemas and values
   that compare.c makes (tagged unions; bytes as base64).
2. fastavro decodes these bytes to the value that avro_decode() gives.
3. Logical types: natural JSON, encoded here, decoded by fastavro to Python's
   own date, datetime, Decimal and UUID; and back by avro_decode().
4. Rows: the same through avro_encode(schema, record), schema by avro_schema().

Needs PGHOST, PGPORT and the extension in database postgres; prints TAP.
	test_encode.py [SEED [COUNT]]
"""
import base64
import datetime
import decimal
import io
import json
import os
import random
import subprocess
import sys
import uuid

import fastavro

ROOT = os.environ.get("OUTBOX_ROOT") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
COMPARE = os.path.join(ROOT, "build", "unit", "avro", "compare")
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 7
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 150
decimal.getcontext().prec = 100
UTC = datetime.timezone.utc
test = 0
bad = 0


def psql(script):
    config = os.environ.get("PG_CONFIG", "pg_config")
    folder = subprocess.run([config, "--bindir"], check=True, text=True,
                            capture_output=True).stdout.strip()
    out = subprocess.run([os.path.join(folder, "psql"), "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", "postgres"],
                         input=script, text=True, capture_output=True)
    if out.returncode != 0:
        sys.exit("Bail out! psql: " + out.stderr[:2000])
    return out.stdout.splitlines()


def copy_text(value):
    return (value.replace("\\", "\\\\").replace("\t", "\\t")
            .replace("\n", "\\n").replace("\r", "\\r"))


def result(name, errors, count):
    global test, bad
    test += 1
    for error in errors[:5]:
        print("# " + error[:3000])
    bad += bool(errors)
    print(f"{'not ok' if errors else 'ok'} {test} - {name} ({count})")


class Names:
    """A schema as fastavro's JSON, with its named types at hand."""

    def __init__(self, schema):
        self.types = {}
        self.walk(schema)

    def walk(self, s):
        if isinstance(s, list):
            for branch in s:
                self.walk(branch)
        elif isinstance(s, dict):
            if "name" in s:
                self.types[s["name"]] = s
            for field in s.get("fields", []):
                self.walk(field["type"])
            for key in ("items", "values"):
                if key in s:
                    self.walk(s[key])

    def convert(self, s, v, natural):
        """Avro JSON to our input (base64), or to plain Python values."""
        if isinstance(s, str) and s in self.types:
            s = self.types[s]
        if isinstance(s, list):
            if v is None:
                return None
            (tag, inner), = v.items()
            branch = next(b for b in s if tag == (
                b if isinstance(b, str) else b.get("name", b["type"])))
            value = self.convert(branch, inner, natural)
            return value if natural else {tag: value}
        kind = s if isinstance(s, str) else s["type"]
        if kind in ("bytes", "fixed"):
            raw = v.encode("latin-1")
            return raw if natural else base64.b64encode(raw).decode()
        if kind == "record":
            return {f["name"]: self.convert(f["type"], v[f["name"]], natural)
                    for f in s["fields"]}
        if kind == "array":
            return [self.convert(s["items"], x, natural) for x in v]
        if kind == "map":
            return {k: self.convert(s["values"], x, natural)
                    for k, x in v.items()}
        return v


def read(schema, raw):
    return fastavro.schemaless_reader(io.BytesIO(raw),
                                      fastavro.parse_schema(schema))


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return abs(a - b) <= 1e-6 * max(abs(a), abs(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def jsonable(v):
    if isinstance(v, bytes):
        return base64.b64encode(v).decode()
    if isinstance(v, dict):
        return {k: jsonable(x) for k, x in v.items()}
    if isinstance(v, list):
        return [jsonable(x) for x in v]
    return v


def random_cases():
    lines = subprocess.run([COMPARE, "emit", str(SEED), str(COUNT)],
                           check=True, text=True, capture_output=True,
                           env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
                           ).stdout.splitlines()
    rows = []
    for line in lines:
        schema, value, raw = line.split("\t")
        parsed = json.loads(schema)
        value = json.loads(value)
        tagged = Names(parsed).convert(parsed, value, False)
        plain = Names(parsed).convert(parsed, value, True)
        rows.append((schema, tagged, plain, raw))
    script = ["CREATE TEMP TABLE c (n int, s text, v jsonb);", "COPY c FROM stdin;"]
    script += [f"{n}\t{copy_text(r[0])}\t{copy_text(json.dumps(r[1]))}"
               for n, r in enumerate(rows)]
    script += ["\\.", "SELECT encode(e, 'hex'), outbox.avro_decode(s, e) FROM "
               "(SELECT n, s, outbox.avro_encode(s, v) e FROM c OFFSET 0) x ORDER BY n;"]
    answers = psql("\n".join(script) + "\n")
    errors, natural = [], []
    if len(answers) != len(rows):
        errors.append(f"{len(answers)} answers to {len(rows)} cases")
    for row, answer in zip(rows, answers):
        ours, decoded = answer.split("\t", 1)
        if ours != row[3]:
            errors.append(f"{row[0]}\n#  {row[1]}\n#  avro-c {row[3]}\n#  ours   {ours}")
        value = read(json.loads(row[0]), bytes.fromhex(ours))
        if not same(value, row[2]):
            natural.append(f"fastavro reads {value} for {row[2]}")
        if not same(jsonable(value), json.loads(decoded)):
            natural.append(f"avro_decode says {decoded} for {value}")
    result("jsonb to the bytes of avro-c", errors, len(rows))
    result("fastavro and avro_decode read them alike", natural, len(rows))


LOGICAL = {"type": "record", "name": "L", "fields": [
    {"name": "dec", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 6}},
    {"name": "fix", "type": {"type": "fixed", "name": "X", "size": 9, "logicalType": "decimal",
                             "precision": 20, "scale": 4}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "tms", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "tus", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "sms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "sus", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "lms", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
    {"name": "lus", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
    {"name": "uid", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "opt", "type": ["null", {"type": "int", "logicalType": "date"}]}]}


def random_logical(rnd):
    def dec(digits, scale):
        return decimal.Decimal(rnd.randrange(-10**rnd.randint(0, digits), 10**rnd.randint(0, digits) + 1)
                               ).scaleb(-scale)

    def moment(micros):
        base = datetime.datetime(1, 1, 2) + datetime.timedelta(days=rnd.randrange(3652050))
        t = rnd.randrange(86400 * 10**6) if micros else rnd.randrange(86400 * 1000) * 1000
        return base + datetime.timedelta(microseconds=t)

    return {"dec": dec(30, 6), "fix": dec(20, 4), "day": moment(True).date(),
            "tms": moment(False).time(), "tus": moment(True).time(),
            "sms": moment(False).replace(tzinfo=UTC), "sus": moment(True).replace(tzinfo=UTC),
            "lms": moment(False), "lus": moment(True),
            "uid": uuid.UUID(int=rnd.getrandbits(128)),
            "opt": rnd.choice([None, moment(True).date()])}


class Encoder(json.JSONEncoder):
    def default(self, o):
        return o.isoformat() if hasattr(o, "isoformat") else str(o)


def as_json(value):
    """Decimals as bare numbers, which json.dumps cannot do."""
    marks = {k: v for k, v in value.items() if isinstance(v, decimal.Decimal)}
    text = json.dumps({k: v for k, v in value.items() if k not in marks}, cls=Encoder)
    return text[:-1] + "".join(f',"{k}":{v:f}' for k, v in marks.items()) + "}"


def logical_types():
    rnd = random.Random(SEED)
    values = [random_logical(rnd) for _ in range(COUNT * 4)]
    schema = json.dumps(LOGICAL)
    script = ["CREATE TEMP TABLE c (n int, v jsonb);", "COPY c FROM stdin;"]
    script += [f"{n}\t{copy_text(as_json(v))}" for n, v in enumerate(values)]
    script += ["\\.", f"\\set s '{schema}'",
               "SELECT encode(e, 'hex'), outbox.avro_encode(:'s', outbox.avro_decode(:'s', e)) = e FROM "
               "(SELECT n, outbox.avro_encode(:'s', v) e FROM c OFFSET 0) x ORDER BY n;"]
    errors = []
    answers = psql("\n".join(script) + "\n")
    if len(answers) != len(values):
        errors.append(f"{len(answers)} answers")
    for value, answer in zip(values, answers):
        raw, back = answer.split("\t")
        got = read(LOGICAL, bytes.fromhex(raw))
        if got != value:
            errors.append(f"fastavro reads {got} for {value}")
        if back != "t":
            errors.append(f"not the same there and back: {value}")
    result("logical types from natural JSON, as fastavro reads them", errors, len(values))


def rows():
    rnd = random.Random(SEED + 1)
    columns = [("i", "integer", lambda: rnd.randrange(-2**31, 2**31)),
               ("l", "bigint", lambda: rnd.randrange(-2**63, 2**63)),
               ("s", "smallint", lambda: rnd.randrange(-2**15, 2**15)),
               ("d", "double precision", lambda: rnd.uniform(-1e20, 1e20)),
               ("b", "boolean", lambda: rnd.random() < 0.5),
               ("t", "text", lambda: "".join(rnd.choice("aé€😀\"\\\n\t ") for _ in range(rnd.randrange(9)))),
               ("y", "bytea", lambda: rnd.randbytes(rnd.randrange(20))),
               ("u", "uuid", lambda: uuid.UUID(int=rnd.getrandbits(128))),
               ("n", "numeric(30,6)", lambda: random_logical(rnd)["dec"].scaleb(-6).quantize(decimal.Decimal("1e-6"))),
               ("da", "date", lambda: random_logical(rnd)["day"]),
               ("ti", "time", lambda: random_logical(rnd)["tus"]),
               ("ts", "timestamp", lambda: random_logical(rnd)["lus"]),
               ("tz", "timestamptz", lambda: random_logical(rnd)["sus"])]
    values = [dict({c: None if rnd.random() < 0.1 else make() for c, _, make in columns}, nr=nr)
              for nr in range(COUNT * 4)]
    columns.append(("nr", "integer", None))

    def field(v):
        if v is None:
            return "\\N"
        if isinstance(v, bool):
            return "tf"[not v]
        if isinstance(v, bytes):
            return "\\\\x" + v.hex()
        if isinstance(v, float):
            return repr(v)
        return copy_text(v.isoformat(" ") if isinstance(v, datetime.datetime) else str(v))

    script = ["SET timezone = 'Asia/Kathmandu'; SET datestyle = 'German, DMY'; SET extra_float_digits = 0;"
              "CREATE TEMP TABLE r (" + ", ".join(f"{c} {t}" for c, t, _ in columns) + ", n_ int[] DEFAULT '{1,NULL,3}');",
              "SET datestyle = ISO; COPY r (" + ", ".join(c for c, _, _ in columns) + ") FROM stdin;"]
    script += ["\t".join(field(v[c]) for c, _, _ in columns) for v in values]
    script += ["\\.", "SET datestyle = 'German, DMY'; SELECT outbox.avro_schema('r'::regtype, 'R', 'x.y');",
               "SELECT encode(outbox.avro_encode(outbox.avro_schema('r'::regtype, 'R', 'x.y'), r), 'hex') FROM r ORDER BY nr;"]
    answers = psql("\n".join(script) + "\n")
    schema = json.loads(answers[0])
    errors = []
    if len(answers) != len(values) + 1:
        errors.append(f"{len(answers)} answers")
    for value, raw in zip(values, answers[1:]):
        got = read(schema, bytes.fromhex(raw))
        if got != dict(value, n_=[1, None, 3]):
            errors.append(f"fastavro reads {got} for {value}")
    result("rows, as fastavro reads them", errors, len(values))


random_cases()
logical_types()
rows()
print(f"1..{test}")
sys.exit(bad != 0)
