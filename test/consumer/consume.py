#!/usr/bin/env python3
"""Reads topics with stock clients (confluent-kafka, fastavro) as JSON lines.

From the beginning up to the end offsets of the moment it starts, with
isolation level read_committed.  Each line holds topic, partition, offset,
timestamp, key, headers (list of [name, value]), schema (id of the Confluent
frame or null) and value: decoded if it is framed, JSON if it is JSON, else {"base64": ...}.

  consume.py --bootstrap HOST:PORT --registry URL TOPIC...
  consume.py --bootstrap HOST:PORT --schemas schemas.json TOPIC...

With --registry values are decoded by confluent-kafka's own AvroDeserializer.
schemas.json maps schema ids to definitions, as exported from the database:
  SELECT json_object_agg(id, definition) FROM outbox.schema

A topic that does not exist is empty.  Exit status 1: the end was not reached
in time (an open Kafka transaction hides what lies behind it), 2: a value that
cannot be decoded.
"""
import argparse
import base64
import datetime
import decimal
import io
import json
import sys
import time
import uuid
import warnings

import fastavro
from confluent_kafka import (Consumer, KafkaError, KafkaException, TopicPartition, OFFSET_BEGINNING)

CONFIG = {"enable.auto.commit": False, "enable.partition.eof": True,
          "auto.offset.reset": "earliest", "fetch.wait.max.ms": 50,
          "log_level": 3}


def plain(value):
    """What json can write of what fastavro decodes."""
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    raise TypeError(f"cannot print {type(value)}")


class Decoder:
    def __init__(self, schemas):
        self.definitions = {int(k): v for k, v in schemas.items()}
        self.parsed = {}

    def schema(self, number):
        if number not in self.parsed:
            text = self.definitions[number]
            text = json.loads(text) if isinstance(text, str) else text
            self.parsed[number] = fastavro.parse_schema(text)
        return self.parsed[number]

    def value(self, raw):
        """(schema id or None, value)"""
        if raw is None:
            return None, None
        if len(raw) >= 5 and raw[0] == 0:
            number = int.from_bytes(raw[1:5], "big")
            if number in self.definitions:
                body = io.BytesIO(raw[5:])
                value = fastavro.schemaless_reader(body, self.schema(number))
                if body.read(1):
                    raise ValueError(f"bytes left behind a value of schema {number}")
                return number, value
            if self.definitions:
                raise ValueError(f"schema {number} is not among the exported ones")
        try:
            return None, json.loads(raw)
        except ValueError:
            return None, {"base64": base64.b64encode(raw).decode()}

    def key(self, raw):
        """Text, or what a framed key decodes to."""
        if raw is not None and len(raw) >= 5 and raw[0] == 0 and int.from_bytes(raw[1:5], "big") in self.definitions:
            return self.value(raw)[1]
        return text(raw)


class RegistryDecoder(Decoder):
    """As above, with the stock deserializer and a schema registry."""

    def __init__(self, url):
        # authlib warns of its own future whatever the filters say
        warnings.showwarning, shown = lambda *args, **kwargs: None, warnings.showwarning
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroDeserializer
        warnings.showwarning = shown
        super().__init__({})
        self.deserializer = AvroDeserializer(SchemaRegistryClient({"url": url}))

    def value(self, raw):
        if raw is not None and len(raw) >= 5 and raw[0] == 0:
            return int.from_bytes(raw[1:5], "big"), self.deserializer(raw, None)
        return super().value(raw)


def text(raw):
    if raw is None:
        return None
    return raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw


def partitions(consumer, topics):
    found = []
    for topic in topics:
        meta = consumer.list_topics(topic, timeout=15).topics[topic]
        if meta.error is not None:
            if meta.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC,
                                     KafkaError.LEADER_NOT_AVAILABLE):
                continue
            raise KafkaException(meta.error)
        found += [TopicPartition(topic, p, OFFSET_BEGINNING) for p in sorted(meta.partitions)]
    return found


def record(message, decoder):
    number, value = decoder.value(message.value())
    return {"topic": message.topic(), "partition": message.partition(), "offset": message.offset(),
            "timestamp": message.timestamp()[1], "key": decoder.key(message.key()),
            "headers": [[k, text(v)] for k, v in message.headers() or []],
            "schema": number, "value": value}


def read(bootstrap, topics, decoder, extra=None, isolation="read_committed", timeout=60, follow=False,
         latest=False):
    """Yields one dict a message; raises TimeoutError short of the end."""
    base = dict(CONFIG, **(extra or {}), **{
        "bootstrap.servers": bootstrap, "group.id": f"outbox-test-{uuid.uuid4()}"})
    consumer = Consumer(dict(base, **{"isolation.level": isolation}))
    # A read_committed handle reports the last stable offset as the end: the
    # high watermark comes from one that reads everything.
    marks = Consumer(dict(base, **{"isolation.level": "read_uncommitted"}))
    try:
        parts = partitions(marks, topics)
        ends = {}
        for part in parts:
            low, high = marks.get_watermark_offsets(TopicPartition(part.topic, part.partition), timeout=15)
            if high > low or follow:
                ends[(part.topic, part.partition)] = high
        if latest:
            for p in parts:
                p.offset = ends[(p.topic, p.partition)]
            print("consume.py: reading from the end", file=sys.stderr, flush=True)
        consumer.assign([p for p in parts if (p.topic, p.partition) in ends])
        deadline = time.monotonic() + timeout
        while ends or follow:
            message = consumer.poll(0.2)
            if message is not None:
                place = (message.topic(), message.partition())
                if message.error():
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        if not message.error().retriable():
                            raise KafkaException(message.error())
                    # the end of what is stable; ours when nothing below the mark is open
                    elif place in ends and message.offset() >= ends[place] and not follow:
                        del ends[place]
                    continue
                yield record(message, decoder)
                deadline = time.monotonic() + timeout
            elif time.monotonic() > deadline and not follow:
                raise TimeoutError(f"end not reached within {timeout} s in "
                                   + ", ".join(f"{t}[{p}]" for t, p in sorted(ends)))
    finally:
        marks.close()
        consumer.close()


def load_schemas(path):
    if not path:
        return {}
    with open(path, encoding="utf-8") as f:
        return json.loads(f.read().strip() or "{}") or {}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("topics", nargs="+", metavar="TOPIC")
    args.add_argument("--bootstrap", required=True)
    args.add_argument("--registry", metavar="URL", help="schema registry, such as outbox-http")
    args.add_argument("--schemas", help="file that maps schema ids to definitions")
    args.add_argument("--uncommitted", action="store_true", help="read_uncommitted instead")
    args.add_argument("--timeout", type=float, default=60, help="seconds without progress")
    args.add_argument("--follow", action="store_true", help="go on until stopped")
    args.add_argument("--latest", action="store_true", help="with --follow: what comes from now on")
    args.add_argument("-X", action="append", default=[], metavar="KEY=VALUE", help="client setting")
    args = args.parse_args()
    try:
        decoder = RegistryDecoder(args.registry) if args.registry else Decoder(load_schemas(args.schemas))
        for one in read(args.bootstrap, args.topics, decoder,
                        dict(x.split("=", 1) for x in args.X),
                        "read_uncommitted" if args.uncommitted else "read_committed",
                        args.timeout, args.follow, args.latest and args.follow):
            print(json.dumps(one, default=plain), flush=args.follow)
    except TimeoutError as e:
        print(f"consume.py: {e}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, EOFError) as e:
        print(f"consume.py: cannot decode: {e!r}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
