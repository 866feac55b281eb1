#!/usr/bin/env python3
"""Stock clients, unchanged: confluent-kafka's SchemaRegistryClient,
AvroSerializer and AvroDeserializer; and what the database itself wrote."""
import warnings

warnings.simplefilter("ignore")

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient  # noqa: E402
from confluent_kafka.schema_registry import topic_record_subject_name_strategy  # noqa: E402
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer  # noqa: E402
from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402

from httptest import Server, run, test, wait_for  # noqa: E402

server = Server(writes=True)
VALUE = SerializationContext("orders", MessageField.VALUE)
V1 = '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"}]}'
V2 = ('{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"},'
      '{"name":"note","type":["null","string"],"default":null}]}')
BAD = V1.replace('"id"', '"number"')


def client(**more):
    return SchemaRegistryClient({"url": "http://127.0.0.1:%d" % server.port, "max.retries": 0, **more})


def fails(code, f, *args, **more):
    try:
        f(*args, **more)
    except SchemaRegistryError as e:
        assert e.error_code == code and e.http_status_code == int(str(code)[:3]), (e.http_status_code, e.error_code, e)
        return e
    raise AssertionError("no error %d" % code)


@test("SchemaRegistryClient: register, look up, versions, levels, deletes, errors")
def registry_client():
    c = client()
    assert c.get_subjects() == []
    first = c.register_schema("a", Schema(V1, "AVRO"))
    second = c.register_schema("a", Schema(V2, "AVRO"))
    assert c.register_schema("a", Schema(V1, "AVRO")) == first != second
    assert c.get_subjects() == ["a"] and c.get_versions("a") == [1, 2]
    found = client().lookup_schema("a", Schema(V2, "AVRO"))
    assert (found.subject, found.version, found.schema_id) == ("a", 2, second), found
    fresh = client()
    assert fresh.get_schema(first).schema_str == V1
    assert fresh.get_latest_version("a").schema_id == second
    assert fresh.get_version("a", 1).schema_id == first
    assert c.test_compatibility("a", Schema(V2, "AVRO")) and not c.test_compatibility("a", Schema(BAD, "AVRO"))
    fails(409, client().register_schema, "a", Schema(BAD, "AVRO"))
    assert c.get_compatibility() == "BACKWARD"
    c.set_compatibility("a", "NONE")
    assert c.get_compatibility("a") == "NONE"
    third = c.register_schema("a", Schema(BAD, "AVRO"))
    assert client().get_schema(third).schema_str == BAD
    fails(40401, client().get_latest_version, "none")
    fails(40402, client().get_version, "a", 9)
    fails(40403, client().get_schema, 2000000000)
    fails(42201, client().register_schema, "b", Schema("nonsense", "AVRO"))
    assert c.delete_version("a", 3) == 3
    fails(40405, c.delete_subject, "a", permanent=True)
    assert c.delete_subject("a") == [1, 2]
    assert sorted(c.delete_subject("a", permanent=True)) == [1, 2, 3]
    assert client().get_subjects() == []


@test("SchemaRegistryClient: references, names with slashes")
def client_references():
    c = client()
    c.register_schema("inner/1", Schema('{"type":"enum","name":"shop.Size","symbols":["S","L"]}', "AVRO"))
    outer = Schema('{"type":"record","name":"shop.Shirt","fields":[{"name":"size","type":"shop.Size"}]}', "AVRO",
                   [SchemaReference("shop.Size", "inner/1", 1)])
    id = c.register_schema("outer/1", outer)
    found = client().get_schema(id)
    assert [(r.name, r.subject, r.version) for r in found.references] == [("shop.Size", "inner/1", 1)]
    assert sorted(c.get_subjects()) == ["inner/1", "outer/1"]
    read = AvroDeserializer(client())
    write = AvroSerializer(client(), outer)
    shirts = SerializationContext("shirts", MessageField.VALUE)
    assert read(write({"size": "L"}, shirts), shirts) == {"size": "L"}


@test("AvroSerializer registers, AvroDeserializer reads, with strategies of names")
def serdes():
    write = AvroSerializer(client(), V1)
    data = write({"id": 7}, VALUE)
    assert client().get_latest_version("orders-value").schema_id == int.from_bytes(data[1:5], "big")
    assert AvroDeserializer(client())(data, VALUE) == {"id": 7}
    named = AvroSerializer(client(), V2, conf={"subject.name.strategy": topic_record_subject_name_strategy})
    both = named({"id": 8, "note": "x"}, VALUE)
    assert AvroDeserializer(client())(both, VALUE) == {"id": 8, "note": "x"}
    assert "orders-shop.Order" in client().get_subjects()
    reader = AvroDeserializer(client(), V2)
    assert reader(data, VALUE) == {"id": 7, "note": None}, "an older value with a newer schema"


@test("AvroSerializer: a schema that does not fit is refused, known ones alone without auto.register")
def serializer_refused():
    fails(409, AvroSerializer(client(), BAD), {"number": 1}, VALUE)
    known = AvroSerializer(client(), V1, conf={"auto.register.schemas": False})
    assert known({"id": 1}, VALUE)[0] == 0
    fails(40403, AvroSerializer(client(), V2, conf={"auto.register.schemas": False}), {"id": 1, "note": None}, VALUE)
    latest = AvroSerializer(client(), V1, conf={"auto.register.schemas": False, "use.latest.version": True})
    assert AvroDeserializer(client())(latest({"id": 5}, VALUE), VALUE) == {"id": 5}


@test("what the database encoded is decoded, a field added while the consumer runs")
def from_database():
    server.sql("""SELECT outbox.create_event_type('placed', topic => 'shop', schema => '%s')""" % V1)
    read = AvroDeserializer(client())
    schema = server.sql("SELECT schema_id FROM outbox.schema_versions WHERE subject = 'shop-shop.Order' AND version = 1")[0]
    body = server.sql("SELECT outbox.avro_encode('%s', '{\"id\": 9}'::jsonb)" % V1)[0]
    assert read(b"\0" + schema.to_bytes(4, "big") + body, VALUE) == {"id": 9}
    later = client().register_schema("shop-shop.Order", Schema(V2, "AVRO"))
    body = server.sql("SELECT outbox.avro_encode('%s', '{\"id\": 10, \"note\": \"new\"}'::jsonb)" % V2)[0]
    assert read(b"\0" + later.to_bytes(4, "big") + body, VALUE) == {"id": 10, "note": "new"}
    assert read(b"\0" + schema.to_bytes(4, "big") + server.sql(
        "SELECT outbox.avro_encode('%s', '{\"id\": 11}'::jsonb)" % V1)[0], VALUE) == {"id": 11}


@test("what an event type writes cannot be deleted")
def in_use():
    fails(42205, client().delete_version, "shop-shop.Order", 1)
    fails(42205, client().delete_subject, "shop-shop.Order")


@test("read-only: readers read, the serializer is told")
def read_only():
    write = AvroSerializer(client(), V1)
    data = write({"id": 3}, VALUE)
    server.set(http_writes="off")
    wait_for(lambda: server.ask("PUT", "/config/x", {"compatibility": "NONE"}).status == 422, 20, "writes off")
    assert AvroDeserializer(client())(data, VALUE) == {"id": 3}
    fails(42205, AvroSerializer(client(), '"string"'), "x", SerializationContext("new", MessageField.VALUE))
    known = AvroSerializer(client(), V1, conf={"auto.register.schemas": False})
    assert known({"id": 3}, VALUE) == data
    server.set(http_writes=None)
    wait_for(lambda: server.ask("PUT", "/config/x", {"compatibility": "NONE"}).status == 200, 20, "writes on")


run()
