#!/usr/bin/env python3
"""Captured rows: what fastavro decodes equals what SELECT shows.

Random tables of random types, with nulls and odd values; each row by way of
outbox.capture_preview(), which encodes as a trigger does, under session settings
that change all the time.  Values are compared as integers (dates and times: days
and microseconds since 1970, also BC and beyond year 9999), numbers, or the text
that SELECT shows under ISO settings.  Values that their Avro type cannot hold:
with special => 'text' the text, with 'null' null and the text in the header.

Needs PGHOST, PGPORT and the extension in database postgres; prints TAP.
	test_capture.py [SEED [TABLES]]
"""
import decimal
import io
import json
import os
import random
import subprocess
import sys

import fastavro

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 11
TABLES = int(sys.argv[2]) if len(sys.argv) > 2 else 24
ROWS = 8
decimal.getcontext().prec = 1200
R = random.Random(SEED)
test = bad = 0


def psql(script, database="postgres"):
    folder = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"],
                            check=True, text=True, capture_output=True).stdout.strip()
    out = subprocess.run([os.path.join(folder, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", database],
                         input=script, text=True, capture_output=True)
    if out.returncode != 0:
        sys.exit("Bail out! psql: " + out.stderr[:3000])
    return out.stdout.splitlines()


def result(name, errors):
    global test, bad
    test += 1
    for error in errors[:5]:
        print("# " + error[:2000])
    bad += bool(errors)
    print(f"{'not ok' if errors else 'ok'} {test} - {name}")


def quote(s):
    return "E'" + s.replace("\\", "\\\\").replace("'", "''") + "'"


def word():
    return "".join(R.choice("aZ09 \"'\\,{}()\tß€𝄞\n%_") for _ in range(R.randint(0, 12)))


def integer(bits):
    return R.choice([0, 1, -1, 2 ** (bits - 1) - 1, -2 ** (bits - 1), R.randint(-2 ** (bits - 1), 2 ** (bits - 1) - 1)])


def number(precision, scale):
    n = R.randint(-10 ** precision + 1, 10 ** precision - 1)
    return str(decimal.Decimal(n).scaleb(-scale))


def date():
    return R.choice(["4713-01-01 BC", "5874897-12-31", "1970-01-01", "0001-12-31 BC", "2024-02-29",
                     f"{R.randint(1, 9999):04}-{R.randint(1, 12):02}-{R.randint(1, 28):02}"])


def clock():
    return R.choice(["00:00", "23:59:59.999999", f"{R.randint(0, 23):02}:{R.randint(0, 59):02}:{R.randint(0, 59):02}.{R.randint(0, 999999):06}"])


def moment():
    return R.choice(["4713-01-01 00:00 BC", "294246-01-01 00:00", "1969-12-31 23:59:59.999999",
                     f"{R.randint(1, 9999):04}-01-0{R.randint(1, 9)} {clock()}"])


def flat_json():
    return json.dumps(R.choice([None, 1, 1.5, "x", [1, {"a": None}], {"k": word(), "n": [True]}]))


# (type, how to make a literal, what SELECT shows, how to compare)
TEXT = "%s::text"
EPOCH = "trunc(extract(epoch from %s) * 1000000)::text"
PLAIN = [
    ("boolean", lambda: R.choice(["true", "false"]), TEXT, lambda a, s: a is (s == "true")),
    ("smallint", lambda: str(integer(16)), TEXT, lambda a, s: a == int(s)),
    ("integer", lambda: str(integer(32)), TEXT, lambda a, s: a == int(s)),
    ("bigint", lambda: str(integer(64)), TEXT, lambda a, s: a == int(s)),
    ("oid", lambda: str(R.randint(0, 2 ** 32 - 1)), TEXT, lambda a, s: a == int(s)),
    ("real", lambda: R.choice(["1.1", "-0", "1e38", "NaN", "-Infinity", "1e-40"]), "%s::float8::text",
     lambda a, s: a == float(s) or a != a and s == "NaN"),
    ("double precision", lambda: R.choice([repr(R.gauss(0, 1e9)), "NaN", "Infinity", "5e-324", "1e308"]), TEXT,
     lambda a, s: a == float(s) or a != a and s == "NaN"),
    ("numeric", lambda: R.choice(["NaN", "Infinity", "-Infinity", "1e1000", number(40, 20), "0.00"]), TEXT, lambda a, s: a == s),
    ("numeric(12,4)", lambda: number(12, 4), TEXT, lambda a, s: a == decimal.Decimal(s)),
    ("numeric(5,-2)", lambda: str(R.randint(-9999999, 9999999)), TEXT, lambda a, s: a == decimal.Decimal(s)),
    ("numeric(3,6)", lambda: number(3, 6), TEXT, lambda a, s: a == decimal.Decimal(s)),
    ("numeric(500,100)", lambda: number(R.choice([1, 30, 500]), 100), TEXT, lambda a, s: a == decimal.Decimal(s)),
    ("money", lambda: number(12, 2), "%s::numeric::text", lambda a, s: a == decimal.Decimal(s)),
    ("text", word, TEXT, lambda a, s: a == s),
    ("varchar(20)", word, TEXT, lambda a, s: a == s),
    ("character(14)", word, "textin(bpcharout(%s))::text", lambda a, s: a == s),
    ("name", word, TEXT, lambda a, s: a == s),
    ("bytea", lambda: "\\x" + R.randbytes(R.randint(0, 40)).hex(), "encode(%s, 'hex')", lambda a, s: a.hex() == s),
    ("uuid", lambda: R.randbytes(16).hex(), TEXT, lambda a, s: a == s),
    ("date", date, "(%s - date '1970-01-01')::text", lambda a, s: a == int(s)),
    ("time", clock, EPOCH, lambda a, s: a == int(s)),
    ("timestamp", moment, EPOCH, lambda a, s: a == int(s)),
    ("timestamptz", lambda: R.choice(["4713-01-01 00:00 UTC BC", "2024-01-01 " + clock() + "+05:30", "1969-12-31 23:59:59.999999Z"]), EPOCH,
     lambda a, s: a == int(s)),
    ("timetz", lambda: clock() + R.choice(["+00", "-08:30"]), TEXT, lambda a, s: a == s),
    ("interval", lambda: f"{R.randint(-30, 30)} months {R.randint(-40, 40)} days {R.randint(-10**9, 10**9)} microseconds",
     "iso(%s)", lambda a, s: a == s),
    ("json", flat_json, TEXT, lambda a, s: a == s),
    ("jsonb", flat_json, TEXT, lambda a, s: a == s),
    ("xml", lambda: "<a>ß&lt;</a>", TEXT, lambda a, s: a == s),
    ("inet", lambda: R.choice(["10.0.0.1", "10.0.0.1/8", "::1/64"]), "inet_out(%s)::text", lambda a, s: a == s),
    ("macaddr", lambda: R.randbytes(6).hex(), TEXT, lambda a, s: a == s),
    ("bit(5)", lambda: "10110", TEXT, lambda a, s: a == s),
    ("varbit", lambda: "1" * R.randint(0, 9), TEXT, lambda a, s: a == s),
    ("point", lambda: f"({R.gauss(0, 9)},1e-5)", TEXT, lambda a, s: a == s),
    ("polygon", lambda: "((0,0),(1.25,1),(2,0))", TEXT, lambda a, s: a == s),
    ("int4range", lambda: R.choice(["[1,5)", "empty", "(,)"]), TEXT, lambda a, s: a == s),
    ("daterange", lambda: "[2024-01-31,infinity)", TEXT, lambda a, s: a == s),
    ("tstzmultirange", lambda: "{[2024-01-31 12:00+02,2024-02-01 12:00+02)}", TEXT, lambda a, s: a == s),
    ("tsvector", lambda: "a:1A b:2", TEXT, lambda a, s: a == s),
    ("pg_lsn", lambda: "16/B374D848", TEXT, lambda a, s: a == s),
    ("regtype", lambda: "int4", TEXT, lambda a, s: a == s),
    ("citext", word, TEXT, lambda a, s: a == s),
    ("hstore", lambda: '"a b"=>"1", c=>NULL', TEXT, lambda a, s: a == s),
    ("ltree", lambda: "Top.Science", TEXT, lambda a, s: a == s),
    ("cap_mood", lambda: R.choice(["ok", "so so"]), "replace(%s::text, ' ', '_')", lambda a, s: a == s),
    ("cap_price", lambda: number(8, 2).lstrip("-"), TEXT, lambda a, s: a == decimal.Decimal(s)),
    ("cap_part", lambda: '(1,"a\\"b",)', "to_json(%s)::text",
     lambda a, s: a == json.loads(s)),
]


def dimension(depth, width):
    if depth == 0:
        return R.choice(["NULL", "1", "-7", "2147483647"])
    return "{" + ",".join(dimension(depth - 1, width) for _ in range(width)) + "}"


def array(depth):
    return ("integer" + "[]" * depth, lambda: R.choice(["{}", dimension(depth, R.randint(1, 3))]), "array_to_json(%s)::text",
            lambda a, s: a == json.loads(s))


PLAIN += [array(1), array(2), array(4)]
PLAIN += [("text[]", lambda: '{"a\\"b",NULL,""}', "array_to_json(%s)::text", lambda a, s: a == json.loads(s)),
          ("cap_part[]", lambda: '{"(1,x,\\"{2,NULL}\\")",NULL}', "array_to_json(%s)::text", lambda a, s: a == json.loads(s))]

# What the type holds and Avro's does not.
SPECIAL = {
    "date": [("infinity", "infinity"), ("-infinity", "-infinity")],
    "time": [("24:00", "24:00:00")],
    "timestamp": [("infinity", "infinity"), ("294276-12-31 23:59:59.999999", "+294276-12-31T23:59:59.999999")],
    "timestamptz": [("-infinity", "-infinity")],
    "numeric(12,4)": [("NaN", "NaN")],
    "cap_price": [("NaN", "NaN")],
    "integer[]": [("{{1,2},{3,4}}", "{{1,2},{3,4}}"), ("[0:0]={1}", "[0:0]={1}")],
    "integer[][]": [("{1}", "{1}")],
}
SETTINGS = [("datestyle", ["ISO", "German", "SQL, MDY", "Postgres"]), ("timezone", ["UTC", "America/New_York", "Asia/Kathmandu"]),
            ("intervalstyle", ["postgres", "iso_8601", "sql_standard"]), ("extra_float_digits", ["-15", "0", "3"]),
            ("bytea_output", ["hex", "escape"])]
PINNED = "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex';\n"
SETUP = """
SET client_min_messages = error;
DROP SCHEMA IF EXISTS cap_test CASCADE;
CREATE SCHEMA cap_test; SET search_path = cap_test, public;
CREATE TYPE cap_mood AS ENUM ('ok', 'so so'); CREATE DOMAIN cap_price AS numeric(8,2);
CREATE TYPE cap_part AS (x int, s text, "many" int[]);
CREATE FUNCTION iso(interval) RETURNS text LANGUAGE sql SET intervalstyle = 'iso_8601' AS 'SELECT $1::text';
CREATE FUNCTION inet_out(inet) RETURNS text LANGUAGE sql AS $$ SELECT textin(pg_catalog.inet_out($1)) $$;
"""


class Column:
    def __init__(self, n, special):
        self.name = R.choice(["c%d", "C %d", "ü%d", "select%d"]) % n
        self.type, self.make, self.shown, self.same = R.choice(PLAIN)
        self.special = SPECIAL.get(self.type, []) if special != "error" else []
        self.required = R.random() < 0.3
        self.values = []
        for _ in range(ROWS):
            if not self.required and R.random() < 0.2:
                self.values.append(("NULL", None))
            elif self.special and R.random() < 0.3:
                literal, text = R.choice(self.special)
                self.values.append((quote(literal), text))
            else:
                self.values.append((quote(self.make()), None))

    @property
    def sql(self):
        return '"%s"' % self.name

    @property
    def field(self):
        return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in self.name)


def bare(schema):
    """Numbers of days and microseconds instead of Python's dates."""
    if isinstance(schema, dict):
        if schema.get("logicalType") in ("decimal",):
            return schema
        return {k: bare(v) for k, v in schema.items() if k != "logicalType"}
    return [bare(s) for s in schema] if isinstance(schema, list) else schema


def table_script(n, columns, special, envelope):
    names = ", ".join(c.sql for c in columns)
    script = f"CREATE TABLE t{n} (id int PRIMARY KEY, " + ", ".join(
        f"{c.sql} {c.type}{' NOT NULL' if c.required else ''}" for c in columns) + ");\n"
    for row in range(ROWS):
        script += f"INSERT INTO t{n} (id, {names}) VALUES ({row}, " + ", ".join(c.values[row][0] for c in columns) + ");\n"
    script += f"SELECT outbox.capture('t{n}', topic => 'cap-test.{os.getpid()}.t{n}', envelope => '{envelope}', special => '{special}') IS NULL;\n"
    script += f"SELECT s.definition FROM outbox.capture_def d JOIN outbox.schema s ON s.id = d.schema_id WHERE d.relation = 't{n}'::regclass;\n"
    for row in range(ROWS):
        script += "".join(f"SET {name} = '{R.choice(values)}';\n" for name, values in SETTINGS)
        script += f"SELECT encode(raw_value, 'hex') || ' ' || coalesce(headers->>'outbox.special', '') FROM t{n}, outbox.capture_preview('t{n}', t{n}) WHERE id = {row};\n"
        script += PINNED
        script += f"SELECT json_build_array({', '.join('NULL' if c.values[row][1] else c.shown % c.sql for c in columns)})::text FROM t{n} WHERE id = {row};\n"
    return script


def decoded(schema, line):
    value, _, notes = line.partition(" ")
    data = bytes.fromhex(value)
    stream = io.BytesIO(data[5:])
    record = fastavro.schemaless_reader(stream, schema)
    left = stream.read()
    return record, json.loads(notes) if notes else {}, left


def check_row(column, row, got, shown, notes, special):
    text = column.values[row][1]
    if text is not None:
        if special == "text":
            return got == text
        return got is None and notes.get("$." + column.field) == text
    if shown is None:
        return got is None
    return got is not None and column.same(got, shown)


def run(n):
    special = R.choice(["null", "text", "error"])
    envelope = R.choice(["debezium", "flat"])
    columns, seen = [], set()
    for i in range(R.randint(1, 24)):
        column = Column(i, special)
        if column.field not in seen:
            seen.add(column.field)
            columns.append(column)
    lines = psql("SET search_path = cap_test, public;\n" + PINNED + table_script(n, columns, special, envelope))
    schema = fastavro.parse_schema(bare(json.loads(lines[1])))
    errors = []
    for row in range(ROWS):
        record, notes, left = decoded(schema, lines[2 + 2 * row])
        image = record["after"] if envelope == "debezium" else record
        if left or image["id"] != row:
            errors.append(f"row {row}: {len(left)} bytes are left")
        for column, shown in zip(columns, json.loads(lines[3 + 2 * row])):
            got = image[column.field]
            if not check_row(column, row, got, shown, notes, special):
                errors.append(f"{column.type} {column.values[row][0]}: decoded {got!r}, SELECT shows {shown!r}, notes {notes}")
    types = ", ".join(sorted({c.type for c in columns}))
    result(f"{envelope}, special => {special}: {types}", errors)
    return {c.type for c in columns}


CONTRIB = ("citext", "hstore", "ltree")


def main():
    print(f"# seed {SEED}")
    there = psql("SELECT name FROM pg_available_extensions ORDER BY name")
    for name in CONTRIB:
        if name not in there:
            PLAIN[:] = [p for p in PLAIN if p[0] != name]
            print(f"# {name} is not installed")
    psql(SETUP + "".join(f"CREATE EXTENSION IF NOT EXISTS {name};\n" for name in CONTRIB if name in there))
    covered = set()
    for n in range(TABLES):
        covered |= run(n)
    psql("SET client_min_messages = error; DROP SCHEMA cap_test CASCADE;")
    missing = sorted({p[0] for p in PLAIN} - covered)
    print(f"# types of this run: {len(covered)}; not met: {', '.join(missing) or 'none'}")
    print(f"1..{test}")
    return bad > 0


sys.exit(main())
