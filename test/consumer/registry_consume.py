#!/usr/bin/env python3
"""Reads topics with the stock AvroDeserializer and a schema registry.

As any consumer would: the id in front of each value is looked up in the
registry, nothing else is known of the schema.  Prints JSON lines with topic,
key, id (header), schema (id of the frame) and value.

  registry_consume.py --bootstrap HOST:PORT --registry URL TOPIC...
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import consume                                                  # noqa: E402
from confluent_kafka import Consumer, TopicPartition            # noqa: E402
from confluent_kafka.schema_registry import SchemaRegistryClient    # noqa: E402
from confluent_kafka.schema_registry.avro import AvroDeserializer   # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext    # noqa: E402


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bootstrap", required=True)
    p.add_argument("--registry", required=True)
    p.add_argument("topics", nargs="+")
    a = p.parse_args()
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": a.registry}))
    consumer = Consumer(dict(consume.CONFIG, **{"bootstrap.servers": a.bootstrap, "group.id": "none",
                                                "isolation.level": "read_committed"}))
    parts = [TopicPartition(x.topic, x.partition, 0) for x in consume.partitions(consumer, a.topics)]
    consumer.assign(parts)
    left = len(parts)
    while left:
        message = consumer.poll(60)
        if message is None:
            sys.exit("no end within 60 s")
        if message.error() is not None:
            if message.error().code() != consume.KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            left -= 1
            continue
        raw = message.value()
        value = deserialize(raw, SerializationContext(message.topic(), MessageField.VALUE))
        print(json.dumps({"topic": message.topic(), "key": consume.text(message.key()),
                          "id": next(consume.text(v) for k, v in message.headers() if k == "id"),
                          "schema": int.from_bytes(raw[1:5], "big"), "value": value}, default=consume.plain))


if __name__ == "__main__":
    main()
