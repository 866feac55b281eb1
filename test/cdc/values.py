"""Kinds of values: how one is made, and how one looks whatever it came from.

Three sources meet here: to_jsonb() of the audit, events of outbox (Avro by
fastavro, or JSON) and Debezium's JSON.  canon() brings a value of any of them
into one form.
"""
import base64
import datetime
import decimal
import json
import uuid

EPOCH = datetime.date(1970, 1, 1)


def kind_of(column):
    return column.split("_", 1)[0]


def make(rng, column, moods):
    """A random value as psycopg takes it."""
    if rng.random() < 0.12:
        return None
    kind = kind_of(column)
    if kind == "i":
        return rng.randint(-2**31, 2**31 - 1) if rng.random() < 0.1 else rng.randint(-999, 999)
    if kind == "t":
        return text(rng, rng.randint(0, 30))
    if kind == "n":
        return decimal.Decimal(rng.randint(-10**11, 10**11)) / 100
    if kind == "b":
        return rng.random() < 0.5
    if kind == "z":
        return datetime.datetime(rng.randint(1900, 2200), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23),
                                 rng.randint(0, 59), rng.randint(0, 59), rng.randint(0, 999999),
                                 datetime.timezone.utc)
    if kind == "d":
        return EPOCH + datetime.timedelta(days=rng.randint(-30000, 60000))
    if kind == "j":
        return json.dumps({text(rng, 4): rng.choice([1, 2.5, None, True, "x", [1, {"a": []}], {}])})
    if kind == "e":
        return rng.choice(moods)
    if kind == "x":
        return bytes(rng.randrange(256) for _ in range(rng.randint(0, 12)))
    if kind == "ai":
        return [rng.choice([None, rng.randint(-9, 9)]) for _ in range(rng.randint(0, 4))]
    if kind == "at":
        return [rng.choice([None, text(rng, 3)]) for _ in range(rng.randint(0, 3))]
    raise ValueError(column)


LETTERS = "abcdefghij \"\\'{},:\n\täöü€😀"


def text(rng, length):
    return "".join(rng.choice(LETTERS) for _ in range(length))


def large(rng, length):
    """Does not compress well, and does not take long to make."""
    return base64.b64encode(rng.getrandbits(length * 6).to_bytes(length * 6 // 8 + 1, "big")).decode()[:length]


def canon(column, value):
    if value is None:
        return None
    kind = kind_of(column)
    if kind == "i":
        return int(value)
    if kind == "n":
        return decimal.Decimal(str(value)).normalize()
    if kind == "z":
        return moment(value)
    if kind == "d":
        return day(value)
    if kind == "j":
        return json.loads(value) if isinstance(value, str) else value
    if kind == "x":
        return raw(value)
    if kind in ("ai", "at"):
        return list(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    return value


def moment(value):
    """Microseconds since 1970."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return (value - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def day(value):
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        value = datetime.date.fromisoformat(value)
    return (value - EPOCH).days


def raw(value):
    if isinstance(value, str):
        return bytes.fromhex(value[2:]) if value.startswith("\\x") else base64.b64decode(value)
    return bytes(value)


def image(row):
    """A row of any source in the one form; None stays None."""
    return None if row is None else {c: canon(c, v) for c, v in row.items()}


def show(value):
    """One line for people, cut."""
    line = json.dumps(value, default=str, ensure_ascii=False, sort_keys=True)
    return line if len(line) < 300 else line[:200] + " ... " + line[-80:]
