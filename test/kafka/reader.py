"""What a stock consumer sees, and a few other things of the broker."""
import time
import uuid

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource


def unique(name):
    return "%s-%s" % (name, uuid.uuid4().hex[:12])


def watermarks(consumer, topic):
    """End of each partition; waits for one that has no leader just now."""
    limit = time.time() + 15
    while True:
        try:
            meta = consumer.list_topics(topic, 10).topics[topic]
            return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in meta.partitions}
        except KafkaException:
            if time.time() > limit:
                raise
            time.sleep(0.2)


def read_all(bootstrap, topic, isolation="read_committed", settle=10):
    """Every record of a topic up to the high watermark, in partition order.

    read_committed waits until no transaction is open below the watermark."""
    plain = Consumer({"bootstrap.servers": bootstrap, "group.id": unique("g"),
                      "isolation.level": "read_uncommitted"})
    ends = watermarks(plain, topic)
    plain.close()
    c = Consumer({"bootstrap.servers": bootstrap, "group.id": unique("g"), "isolation.level": isolation,
                  "enable.partition.eof": True, "enable.auto.commit": False, "fetch.wait.max.ms": 20,
                  "auto.offset.reset": "earliest"})
    left = {p for p, end in ends.items() if end > 0}
    c.assign([TopicPartition(topic, p, 0) for p in left])
    out = []
    limit = time.time() + settle
    while left:
        m = c.poll(0.2)
        if m is None:
            pass
        elif m.error():
            if m.error().name() == "_PARTITION_EOF" and m.offset() >= ends[m.partition()]:
                left.discard(m.partition())
        else:
            out.append(m)
        if time.time() > limit:
            raise TimeoutError("topic %s is not readable to its end" % topic)
    c.close()
    return out


def topic_setting(bootstrap, topic, name):
    a = AdminClient({"bootstrap.servers": bootstrap})
    r = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return a.describe_configs([r])[r].result()[name].value
