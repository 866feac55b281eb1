#!/usr/bin/env python3
"""Raw records of a topic's only partition, for tests that damage them.

  records.py HOST:PORT last TOPIC KEY       newest record of the key, in hex
  records.py HOST:PORT put TOPIC KEY HEX    one more, outside any transaction
  records.py HOST:PORT high TOPIC           offset after the newest record
  records.py HOST:PORT delete TOPIC         the topic itself
"""
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

where, verb, topic = sys.argv[1:4]
consumer = Consumer({"bootstrap.servers": where, "group.id": "records", "enable.partition.eof": True,
                     "enable.auto.commit": False, "fetch.wait.max.ms": 20})


def watermarks():
    return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)


def last(key):
    low, high = watermarks()
    consumer.assign([TopicPartition(topic, 0, max(low, high - 200))])
    found = None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            break
        if message.key() == key:
            found = message.value()
    return found


if verb == "last":
    print(last(sys.argv[4].encode()).hex())
elif verb == "put":
    producer = Producer({"bootstrap.servers": where, "acks": "all", "linger.ms": 0})
    producer.produce(topic, key=sys.argv[4], value=bytes.fromhex(sys.argv[5]), partition=0)
    if producer.flush(10):
        sys.exit("not delivered")
elif verb == "high":
    print(watermarks()[1])
elif verb == "delete":
    admin = AdminClient({"bootstrap.servers": where})
    for future in admin.delete_topics([topic]).values():
        future.result(10)
else:
    sys.exit(__doc__)
consumer.close()
