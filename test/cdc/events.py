"""Change events of any envelope and format, as one kind of thing.

read() yields Event objects in the order of the partition.  They come from
outbox (envelopes debezium and flat, Avro or JSON) or from Debezium itself
(JSON).  Images are canonical (values.py) and hold only the columns that the
event speaks of.
"""
import decimal
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "consumer"))

import consume
import values
from tables import BY_NAME

FLAT = ("__deleted", "__op", "__table", "__unchanged", "__lsn", "__ts_ms")


class Decoder(consume.Decoder):
    """Numbers keep their digits; keys are decoded too."""

    def value(self, raw):
        if raw is not None and raw[:1] != b"\0":
            try:
                return None, json.loads(raw, parse_float=decimal.Decimal)
            except ValueError as e:
                raise ValueError(f"{e}: {len(raw)} bytes, {raw[:100]} ... {raw[-200:]}") from e
        return super().value(raw)

    def key(self, raw):
        return self.value(raw)[1] if raw is not None and raw[:1] == b"\0" else consume.text(raw)


class Event:
    """op is c, u, d, t or r; None for a tombstone."""

    def __init__(self, message):
        self.topic, self.partition, self.offset = message["topic"], message["partition"], message["offset"]
        self.table = self.topic.rsplit(".", 1)[1]
        self.headers = dict(message["headers"])
        self.key = key_of(self.table, message["key"])
        self.before = self.after = self.txn = self.lsn = self.op = None
        self.unchanged = []
        self.flat = False
        value = message["value"]
        self.value = value
        if value is None:
            return
        self.flat = "__op" in value
        if self.flat:
            self.op, self.lsn = value["__op"], value["__lsn"]
            self.unchanged = value.get("__unchanged") or []
            row = values.image({c: v for c, v in value.items() if c not in FLAT})
            if self.op == "d":
                self.before = row
            elif self.op != "t":
                self.after = row
        else:
            self.op = value["op"]
            self.before, self.after = values.image(value["before"]), values.image(value["after"])
            self.unchanged = value.get("unchanged") or []
            self.txn, self.lsn = value["source"]["txId"], value["source"]["lsn"]
        for column in self.unchanged:
            self.after.pop(column, None)

    def __str__(self):
        return (f"{self.topic}[{self.partition}]@{self.offset} {self.op or 'tombstone'} key {self.key}"
                f" {values.show(self.before)} -> {values.show(self.after)}")


def key_of(table, key):
    """A key of any form as a tuple of canonical values, in the order of the key's columns."""
    columns = BY_NAME[table].key
    if key is None:
        return None
    if isinstance(key, str):
        if len(columns) == 1:
            try:
                found = json.loads(key)
            except ValueError:
                found = key
            key = found if isinstance(found, dict) else {columns[0]: key}
        else:
            key = json.loads(key)
    return tuple(values.canon(c, key[c]) for c in columns)


def row_key(table, row):
    return tuple(row[c] for c in BY_NAME[table].key)


def read(bootstrap, topics, schemas, timeout=60):
    """Events of all topics, in order within each."""
    for message in consume.read(bootstrap, topics, Decoder(schemas), timeout=timeout):
        yield Event(message)
