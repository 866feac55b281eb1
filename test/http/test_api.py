#!/usr/bin/env python3
"""The registry API, answer by answer."""
import json

from httptest import MEDIA, Server, raw, run, test

record = lambda name, *fields: json.dumps({"type": "record", "name": name, "fields": list(fields)})
A = {"name": "a", "type": "int"}
B = {"name": "b", "type": "int"}
B_DEFAULT = {"name": "b", "type": "int", "default": 1}
V1, V2, BAD = record("R", A), record("R", A, B_DEFAULT), record("R", A, B)

server = Server(writes=True)


def expect(method, path, status, value, body=None, headers=None):
    answer = server.ask(method, path, body, headers)
    assert answer.status == status, (method, path, answer)
    assert answer.headers["Content-Type"] == MEDIA, answer.headers
    if value is not None:
        assert answer.json == value, (method, path, answer)
    return answer


def refused(method, path, code, body=None, headers=None, media=MEDIA):
    answer = server.ask(method, path, body, headers)
    status = 503 if code == 50001 else int(str(code)[:3])
    assert answer.status == status, (method, path, answer)
    assert answer.json["error_code"] == code and answer.json["message"], answer
    assert set(answer.json) == {"error_code", "message"}
    assert answer.headers["Content-Type"] == media, answer.headers
    return answer


def register(subject, schema, **more):
    return expect("POST", "/subjects/%s/versions" % subject, 200, None, {"schema": schema, **more}).json["id"]


@test("root, contexts and types")
def constants():
    expect("GET", "/", 200, {})
    expect("GET", "/contexts", 200, ["."])
    expect("GET", "/schemas/types", 200, ["AVRO"])
    expect("GET", "/schemas/types/", 200, ["AVRO"])
    answer = server.ask("HEAD", "/schemas/types")
    assert answer.status == 200 and answer.body == b"" and answer.headers["Content-Length"] == "8", answer


@test("nothing is there yet: empty lists and the three codes of what is missing")
def empty():
    expect("GET", "/subjects", 200, [])
    expect("GET", "/schemas", 200, [])
    refused("GET", "/subjects/none/versions", 40401)
    refused("GET", "/subjects/none/versions/1", 40401)
    refused("GET", "/subjects/none/versions/latest/schema", 40401)
    refused("GET", "/subjects/none/versions/1/referencedby", 40401)
    refused("DELETE", "/subjects/none", 40401)
    refused("DELETE", "/subjects/none/versions/1", 40401)
    refused("POST", "/subjects/none", 40401, {"schema": V1})
    for what in "", "/schema", "/subjects", "/versions":
        refused("GET", "/schemas/ids/12345" + what, 40403)
        refused("GET", "/schemas/ids/0" + what, 40403)
        refused("GET", "/schemas/ids/-5" + what, 40403)
        refused("GET", "/schemas/ids/x" + what, 404)
        refused("GET", "/schemas/ids/99999999999" + what, 404)


@test("register, the same again, a version that fits, one that does not")
def registering():
    first = register("s", V1)
    assert register("s", V1) == first
    assert register("s", json.dumps(json.loads(V1), indent=3)) == first, "blanks make no schema"
    second = register("s", V2)
    assert second != first
    answer = refused("POST", "/subjects/s/versions", 409, {"schema": BAD.replace('"b", "type": "int"', '"c", "type": "int"')})
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in answer.json["message"] and "$.c" in answer.json["message"], answer
    expect("GET", "/subjects", 200, ["s"])
    expect("GET", "/subjects/s/versions", 200, [1, 2])
    assert register("other", V1) == first, "one schema, one id"


@test("a version by number, latest and -1, its text, and what is no version")
def versions():
    whole = expect("GET", "/subjects/s/versions/2", 200, None).json
    assert set(whole) == {"subject", "version", "id", "schema"} and whole["subject"] == "s" and whole["version"] == 2
    assert json.loads(whole["schema"]) == json.loads(V2)
    expect("GET", "/subjects/s/versions/latest", 200, whole)
    expect("GET", "/subjects/s/versions/-1", 200, whole)
    text = expect("GET", "/subjects/s/versions/2/schema", 200, json.loads(V2))
    assert text.body.decode() == whole["schema"]
    refused("GET", "/subjects/s/versions/3", 40402)
    for bad in "0", "-2", "x", "1.0", "2147483648", "99999999999999999999", "1%20", "%2B1", "LATEST":
        refused("GET", "/subjects/s/versions/" + bad, 42202)
        refused("DELETE", "/subjects/s/versions/" + bad, 42202)


@test("a schema by its id, from the database and from memory")
def by_id():
    id = expect("GET", "/subjects/s/versions/1", 200, None).json["id"]
    for _ in 1, 2:
        answer = expect("GET", "/schemas/ids/%d" % id, 200, None)
        assert set(answer.json) == {"schema"} and json.loads(answer.json["schema"]) == json.loads(V1), answer
        text = expect("GET", "/schemas/ids/%d/schema" % id, 200, json.loads(V1))
        assert text.body.decode() == answer.json["schema"]
    expect("GET", "/schemas/ids/%d?subject=s&format=&fetchMaxId=false" % id, 200, None)
    most = expect("GET", "/schemas/ids/%d?fetchMaxId=true" % id, 200, None).json["maxId"]
    assert most >= id
    expect("GET", "/schemas/ids/%d/subjects" % id, 200, ["other", "s"])
    expect("GET", "/schemas/ids/%d/subjects?subject=s" % id, 200, ["s"])
    expect("GET", "/schemas/ids/%d/versions" % id, 200,
           [{"subject": "other", "version": 1}, {"subject": "s", "version": 1}])


@test("look up: what a subject has, what it has not, and no subject")
def lookup():
    whole = expect("GET", "/subjects/s/versions/1", 200, None).json
    expect("POST", "/subjects/s", 200, whole, {"schema": V1})
    expect("POST", "/subjects/s?normalize=true", 200, whole, {"schema": V1, "schemaType": "AVRO", "references": []})
    refused("POST", "/subjects/s", 40403, {"schema": BAD})
    refused("POST", "/subjects/none", 40401, {"schema": V1})


@test("compatibility with a version, with all, and told why not")
def compatibility():
    path = "/compatibility/subjects/s/versions"
    third = record("R", A, B_DEFAULT, {"name": "c", "type": "int"})
    expect("POST", path + "/latest", 200, {"is_compatible": True}, {"schema": V2})
    expect("POST", path + "/1", 200, {"is_compatible": False}, {"schema": BAD})
    expect("POST", path, 200, {"is_compatible": False}, {"schema": third})
    answer = expect("POST", path + "/2?verbose=true", 200, None, {"schema": third}).json
    assert answer["is_compatible"] is False and "$.c" in "".join(answer["messages"]), answer
    expect("POST", path + "?verbose=true", 200, {"is_compatible": True, "messages": []}, {"schema": V2})
    refused("POST", path + "/9", 40402, {"schema": V2})
    refused("POST", path + "/x", 42202, {"schema": V2})
    refused("POST", "/compatibility/subjects/none/versions/latest", 40401, {"schema": V2})
    refused("POST", path + "/latest", 42201, {"schema": "no schema"})


@test("levels: the default, a subject's own, and back")
def levels():
    expect("GET", "/config", 200, {"compatibilityLevel": "BACKWARD"})
    refused("GET", "/config/s", 40408)
    expect("GET", "/config/s?defaultToGlobal=true", 200, {"compatibilityLevel": "BACKWARD"})
    expect("PUT", "/config/s", 200, {"compatibility": "NONE"}, {"compatibility": "NONE"})
    expect("GET", "/config/s", 200, {"compatibilityLevel": "NONE"})
    register("s", record("R", A, {"name": "c", "type": "int"}))
    expect("DELETE", "/config/s", 200, {"compatibilityLevel": "NONE"})
    refused("GET", "/config/s", 40408)
    refused("DELETE", "/config/s", 40401)
    expect("PUT", "/config", 200, {"compatibility": "FULL"}, {"compatibility": "FULL"})
    expect("GET", "/config", 200, {"compatibilityLevel": "FULL"})
    expect("GET", "/config/none?defaultToGlobal=true", 200, {"compatibilityLevel": "FULL"})
    expect("DELETE", "/config", 200, {"compatibilityLevel": "FULL"})
    expect("GET", "/config", 200, {"compatibilityLevel": "BACKWARD"})
    for bad in {"compatibility": "SOME"}, {"compatibility": None}, {"compatibility": 1}, {}:
        refused("PUT", "/config", 42203, bad)
        refused("PUT", "/config/s", 42203, bad)


@test("modes: read-only refuses, and back")
def modes():
    expect("GET", "/mode", 200, {"mode": "READWRITE"})
    refused("GET", "/mode/s", 40409)
    expect("GET", "/mode/s?defaultToGlobal=true", 200, {"mode": "READWRITE"})
    expect("PUT", "/mode/s", 200, {"mode": "READONLY"}, {"mode": "READONLY"})
    expect("GET", "/mode/s", 200, {"mode": "READONLY"})
    refused("POST", "/subjects/s/versions", 42205, {"schema": record("R", A, {"name": "z", "type": "int", "default": 0})})
    refused("DELETE", "/subjects/s", 42205)
    expect("DELETE", "/mode/s", 200, {"mode": "READONLY"})
    refused("PUT", "/mode", 42204, {"mode": "SOMETIMES"})
    refused("PUT", "/mode", 42205, {"mode": "IMPORT"})


@test("ids and versions of one's own in mode IMPORT")
def importing():
    expect("PUT", "/mode/imported", 200, {"mode": "IMPORT"}, {"mode": "IMPORT"})
    expect("POST", "/subjects/imported/versions", 200, {"id": 4711}, {"schema": '"bytes"', "id": 4711, "version": 3})
    expect("GET", "/schemas/ids/4711", 200, {"schema": '"bytes"'})
    expect("GET", "/subjects/imported/versions", 200, [3])
    expect("PUT", "/mode/imported", 200, {"mode": "READWRITE"}, {"mode": "READWRITE"})


@test("references: kept, resolved, told, and they hold what they refer to")
def references():
    register("inner", json.dumps({"type": "record", "name": "x.Inner", "fields": [A]}))
    refs = [{"name": "x.Inner", "subject": "inner", "version": 1}]
    outer = record("Outer", {"name": "i", "type": "x.Inner"})
    id = register("outer", outer, references=refs)
    assert expect("GET", "/schemas/ids/%d" % id, 200, None).json["references"] == refs
    assert expect("GET", "/subjects/outer/versions/1", 200, None).json["references"] == refs
    expect("GET", "/subjects/inner/versions/1/referencedby", 200, [id])
    expect("GET", "/subjects/outer/versions/1/referencedby", 200, [])
    refused("DELETE", "/subjects/inner/versions/1", 42206)
    refused("DELETE", "/subjects/inner", 42206)
    refused("POST", "/subjects/outer/versions", 42201, {"schema": outer})
    refused("POST", "/subjects/outer/versions", 42201, {"schema": outer, "references": [dict(refs[0], version=9)]})
    for bad in 5, {"a": 1}, [5], [{}], [{"name": "x.Inner", "subject": "inner"}], [[]], ["x"]:
        refused("POST", "/subjects/outer/versions", 42201, {"schema": outer, "references": bad})


@test("soft and hard deletes, in that order alone")
def deletes():
    register("d", '"int"')
    register("d", '"long"')
    refused("DELETE", "/subjects/d/versions/1?permanent=true", 40407)
    expect("DELETE", "/subjects/d/versions/1", 200, 1)
    refused("DELETE", "/subjects/d/versions/1", 40406)
    expect("GET", "/subjects/d/versions", 200, [2])
    expect("GET", "/subjects/d/versions?deleted=true", 200, [1, 2])
    expect("GET", "/subjects/d/versions?deletedOnly=true", 200, [1])
    refused("GET", "/subjects/d/versions/1", 40402)
    expect("GET", "/subjects/d/versions/1?deleted=true", 200, None)
    expect("DELETE", "/subjects/d/versions/1?permanent=true", 200, 1)
    refused("GET", "/subjects/d/versions/1?deleted=true", 40402)
    refused("DELETE", "/subjects/d?permanent=true", 40405)
    expect("DELETE", "/subjects/d/versions/latest", 200, 2)
    refused("GET", "/subjects/d/versions", 40401)
    refused("DELETE", "/subjects/d", 40404)
    assert "d" not in expect("GET", "/subjects", 200, None).json
    assert "d" in expect("GET", "/subjects?deleted=true", 200, None).json
    expect("GET", "/subjects?deletedOnly=true", 200, ["d"])
    expect("DELETE", "/subjects/d?permanent=true", 200, [2])
    expect("GET", "/subjects?deletedOnly=true", 200, [])


@test("lists: prefix, offset, limit, latest only")
def lists():
    for n in 1, 2, 3:
        register("list-%d" % n, '"int"')
    expect("GET", "/subjects?subjectPrefix=list-", 200, ["list-1", "list-2", "list-3"])
    expect("GET", "/subjects?subjectPrefix=:*:list-", 200, ["list-1", "list-2", "list-3"])
    expect("GET", "/subjects?subjectPrefix=list-&offset=1&limit=1", 200, ["list-2"])
    expect("GET", "/subjects?subjectPrefix=list%25", 200, [])
    found = expect("GET", "/schemas?subjectPrefix=s&latestOnly=true", 200, None).json
    assert [(f["subject"], f["version"]) for f in found] == [("s", 3)], found
    found = expect("GET", "/schemas?subjectPrefix=s&latestOnly=false", 200, None).json
    assert [(f["subject"], f["version"]) for f in found] == [("s", 1), ("s", 2), ("s", 3)], found
    assert set(found[0]) == {"subject", "version", "id", "schema"}


@test("names of subjects: slashes, blanks, quotes, other scripts, the default context")
def names():
    for coded, name in (("a%2Fb%2Fc", "a/b/c"), ("x%20y", "x y"), ("x+y", "x+y"), ("it%27s%22%3B--", "it's\";--"),
                        ("%E6%B3%A8%E6%96%87", "\u6ce8\u6587"), ("a%25b", "a%b"), ("%F0%9F%92%A9", "\U0001f4a9")):
        register(coded, '"int"')
        assert expect("GET", "/subjects/%s/versions/1" % coded, 200, None).json["subject"] == name
        assert name in expect("GET", "/subjects", 200, None).json
    expect("GET", "/subjects/:.:s/versions/1", 200, None)
    assert register(":.:s", V1) == expect("GET", "/subjects/s/versions/1", 200, None).json["id"]


@test("an API below a path, and the served database by its name")
def paths():
    subjects = expect("GET", "/subjects", 200, None).json
    expect("GET", "/apis/ccompat/v7/subjects", 200, subjects)
    expect("GET", "/databases/postgres/subjects", 200, subjects)
    refused("GET", "/databases/template1/subjects", 404)
    refused("GET", "/apis/ccompat/v6/subjects", 404)


@test("content types: negotiated, refused")
def media():
    json_ = "application/json"
    both = "application/vnd.schemaregistry+json"
    for accept, expected in ((None, MEDIA), ("*/*", MEDIA), ("application/*", MEDIA), (json_, json_), (both, both),
                             ("application/json, application/vnd.schemaregistry.v1+json", MEDIA),
                             ("application/json;q=1, application/vnd.schemaregistry.v1+json;q=0.2", json_),
                             ("text/html, application/json;q=0.9", json_), ("text/html, */*;q=0.1", MEDIA),
                             ("application/vnd.schemaregistry.v1+json;q=0, */*", both), ("Application/JSON", json_)):
        answer = server.ask("GET", "/subjects", headers={"Accept": accept} if accept else {})
        assert answer.status == 200 and answer.headers["Content-Type"] == expected, (accept, answer.headers)
    for accept in "text/html", "application/vnd.schemaregistry.v2+json", "application/json;q=0", ";;,":
        refused("GET", "/subjects", 406, headers={"Accept": accept}, media=json_)
    for kind in MEDIA, both, json_, "application/octet-stream", "application/json; charset=utf-8":
        answer = server.ask("POST", "/subjects/s", json.dumps({"schema": V1}).encode(), {"Content-Type": kind})
        assert answer.status == 200, (kind, answer)
    for kind in "text/plain", "application/x-www-form-urlencoded", "application/xml":
        refused("POST", "/subjects/s", 415, json.dumps({"schema": V1}).encode(), {"Content-Type": kind})


@test("methods and paths that are not there")
def unknown():
    refused("GET", "/nothing", 404)
    refused("GET", "/subjects/s/versions/1/nothing", 404)
    refused("GET", "/a/b/c/d/e/f/g", 404)
    for method, path, allowed in (("GET", "/subjects/s", "POST, DELETE"), ("PUT", "/subjects", "GET, HEAD"),
                                  ("POST", "/config", "GET, HEAD, PUT, DELETE"), ("OPTIONS", "/subjects", "GET, HEAD"),
                                  ("PATCH", "/schemas/ids/1", "GET, HEAD"), ("DELETE", "/mode", "GET, HEAD, PUT")):
        answer = refused(method, path, 405, media=MEDIA if method != "x" else None)
        assert answer.headers["Allow"] == allowed, (method, path, answer.headers["Allow"])


@test("bodies that are none")
def bodies():
    for bad in b"", b"{", b"[]", b"null", b"1", b'"x"', b'{"schema":"1"} x', b"\xff\xfe", b'{"schema":"\xff"}', \
            b'{"schema":"a\\u0000b"}', b'{"schema":"\\ud800"}', b'{"schema":"1","schema":"2"}', b"\0":
        refused("POST", "/subjects/s/versions", 400, bad, {"Content-Type": MEDIA})
    for bad in {}, {"schema": None}, {"schema": 1}, {"schema": {}}, {"schema": ""}, {"schema": "{"}, \
            {"schema": "nonsense"}, {"schema": '{"type":"record","name":"1x","fields":[]}'}, \
            {"schema": "[]", "schemaType": "JSON"}, {"schema": '"int"', "schemaType": "PROTOBUF"}, \
            {"schema": '"int"', "schemaType": 5}:
        refused("POST", "/subjects/s/versions", 42201, bad)
        refused("POST", "/subjects/s", 42201, bad)
    refused("POST", "/subjects/s/versions", 422, {"schema": '"int"', "id": "x"})
    refused("POST", "/subjects/s/versions", 422, {"schema": '"int"', "version": 99999999999})
    refused("POST", "/subjects/s/versions", 42210, {"schema": '"int"', "ruleSet": {"domainRules": [{}]}})
    refused("POST", "/subjects/s/versions", 42210, {"schema": '"int"', "metadata": {"properties": {"a": "b"}}})


@test("one connection takes many requests, also several at once")
def keep_alive():
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for _ in range(20):
        assert server.ask("GET", "/subjects", connection=c).status == 200
        assert server.ask("GET", "/subjects/none/versions", connection=c).status == 404
        assert server.ask("POST", "/subjects/s", {"schema": V1}, connection=c).status == 200
    c.close()
    one = b"GET /schemas/types HTTP/1.1\r\nHost: localhost\r\n\r\n"
    two = b"GET /subjects HTTP/1.1\r\nHost: localhost\r\n\r\n"
    out = raw(server.port, one + two + one + two)
    assert out.count(b"HTTP/1.1 200 OK") == 4 and out.count(b'["AVRO"]') == 2, out


run()
