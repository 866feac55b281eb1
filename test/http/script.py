"""The calls that are made on both registries, and answers made comparable.

A step is (name, method, path, body).  Ids differ between registries: where a
path needs one, "{x}" stands for the id that step x gave; in answers each id is
replaced by the name of the step that gave it first.  Of an error the code
counts, not the words.
"""
import json

from httptest import MEDIA, ask


def record(*fields, name="R"):
    return json.dumps({"type": "record", "name": name, "namespace": "t", "fields": list(fields)})


def reg(schema, **more):
    return {"schema": schema, **more}


A = {"name": "a", "type": "int"}
B = {"name": "b", "type": "int", "default": 1}
C = {"name": "c", "type": "string"}
OPT = {"name": "c", "type": ["null", "string"], "default": None}
V1, V2, V3, BAD = record(A), record(A, B), record(A, B, OPT), record(A, B, C)
INNER = record(A, name="Inner")
OUTER = record({"name": "i", "type": "t.Inner"}, name="Outer")
REFS = [{"name": "t.Inner", "subject": "inner", "version": 1}]
S, D = "/subjects/s", "/subjects/d"

STEPS = [
    ("root", "GET", "/", None),
    ("contexts", "GET", "/contexts", None),
    ("types", "GET", "/schemas/types", None),
    ("no subjects", "GET", "/subjects", None),
    ("level at first", "GET", "/config", None),
    ("mode at first", "GET", "/mode", None),
    # both alike from here on
    ("set default level at first", "PUT", "/config", {"compatibility": "BACKWARD"}),
    # nothing there
    ("versions of no subject", "GET", "/subjects/none/versions", None),
    ("version of no subject", "GET", "/subjects/none/versions/1", None),
    ("latest of no subject", "GET", "/subjects/none/versions/latest", None),
    ("text of no subject", "GET", "/subjects/none/versions/1/schema", None),
    ("unknown id", "GET", "/schemas/ids/2000000000", None),
    ("text of unknown id", "GET", "/schemas/ids/2000000000/schema", None),
    ("subjects of unknown id", "GET", "/schemas/ids/2000000000/subjects", None),
    ("versions of unknown id", "GET", "/schemas/ids/2000000000/versions", None),
    ("id that is no number", "GET", "/schemas/ids/x", None),
    ("delete no subject", "DELETE", "/subjects/none", None),
    ("delete no subject for good", "DELETE", "/subjects/none?permanent=true", None),
    ("delete version of no subject", "DELETE", "/subjects/none/versions/1", None),
    ("look up in no subject", "POST", "/subjects/none", reg(V1)),
    ("level of no subject", "GET", "/config/none", None),
    ("mode of no subject", "GET", "/mode/none", None),
    ("level of no subject or default", "GET", "/config/none?defaultToGlobal=true", None),
    ("check against latest of no subject", "POST", "/compatibility/subjects/none/versions/latest", reg(V1)),
    ("check against all of no subject", "POST", "/compatibility/subjects/none/versions", reg(V1)),
    ("no such path", "GET", "/nothing", None),
    ("no such method", "PUT", "/subjects", {}),
    # registering
    ("v1", "POST", S + "/versions", reg(V1)),
    ("v1 again", "POST", S + "/versions", reg(V1)),
    ("v1 with blanks", "POST", S + "/versions", reg(json.dumps(json.loads(V1), indent=2))),
    ("v1 with type", "POST", S + "/versions", reg(V1, schemaType="AVRO")),
    ("v1 with empty references", "POST", S + "/versions", reg(V1, references=[])),
    ("v1 with null type", "POST", S + "/versions", reg(V1, schemaType=None)),
    ("v2", "POST", S + "/versions", reg(V2)),
    ("bad", "POST", S + "/versions", reg(BAD)),
    ("v3 normalized", "POST", S + "/versions?normalize=true", reg(V3)),
    ("v1 elsewhere", "POST", "/subjects/other/versions", reg(V1)),
    ("encoded name", "POST", "/subjects/a%2Fb%20c/versions", reg('"int"')),
    ("no schema", "POST", S + "/versions", reg("nonsense")),
    ("empty schema", "POST", "/subjects/empty/versions", reg("")),
    ("body without schema", "POST", S + "/versions", {}),
    ("record without fields", "POST", S + "/versions", reg('{"type":"record","name":"X"}')),
    ("bad name", "POST", S + "/versions", reg(record({"name": "a-b", "type": "int"}))),
    ("bad default", "POST", "/subjects/bd/versions", reg(record({"name": "a", "type": "int", "default": "x"}))),
    ("unknown type of schema", "POST", S + "/versions", reg("x", schemaType="NOTHING")),
    ("body that is no JSON", "POST", S + "/versions", b"{"),
    # reading
    ("subjects", "GET", "/subjects", None),
    ("subjects by prefix", "GET", "/subjects?subjectPrefix=o", None),
    ("versions", "GET", S + "/versions", None),
    ("version 1", "GET", S + "/versions/1", None),
    ("version latest", "GET", S + "/versions/latest", None),
    ("version -1", "GET", S + "/versions/-1", None),
    ("text of version 1", "GET", S + "/versions/1/schema", None),
    ("version 9", "GET", S + "/versions/9", None),
    ("version 0", "GET", S + "/versions/0", None),
    ("version x", "GET", S + "/versions/x", None),
    ("version of encoded name", "GET", "/subjects/a%2Fb%20c/versions/1", None),
    ("by id", "GET", "/schemas/ids/{v1}", None),
    ("text by id", "GET", "/schemas/ids/{v1}/schema", None),
    ("subjects by id", "GET", "/schemas/ids/{v1}/subjects", None),
    ("versions by id", "GET", "/schemas/ids/{v1}/versions", None),
    ("look up v1", "POST", S, reg(V1)),
    ("look up v2", "POST", S, reg(V2)),
    ("look up bad", "POST", S, reg(BAD)),
    ("look up nonsense", "POST", S, reg("nonsense")),
    # compatibility
    ("check v3 against latest", "POST", "/compatibility/subjects/s/versions/latest", reg(V3)),
    ("check bad against latest", "POST", "/compatibility/subjects/s/versions/latest", reg(BAD)),
    ("check bad against 1", "POST", "/compatibility/subjects/s/versions/1", reg(BAD)),
    ("check bad against all", "POST", "/compatibility/subjects/s/versions", reg(BAD)),
    ("check v3 verbose", "POST", "/compatibility/subjects/s/versions/latest?verbose=true", reg(V3)),
    ("check bad verbose", "POST", "/compatibility/subjects/s/versions/latest?verbose=true", reg(BAD)),
    ("check against version 9", "POST", "/compatibility/subjects/s/versions/9", reg(V3)),
    ("check against version x", "POST", "/compatibility/subjects/s/versions/x", reg(V3)),
    ("check nonsense", "POST", "/compatibility/subjects/s/versions/latest", reg("nonsense")),
    # levels
    ("level of subject without", "GET", "/config/s", None),
    ("level of subject or default", "GET", "/config/s?defaultToGlobal=true", None),
    ("set level of subject", "PUT", "/config/s", {"compatibility": "NONE"}),
    ("level of subject", "GET", "/config/s", None),
    ("bad under NONE", "POST", S + "/versions", reg(BAD)),
    ("set no level", "PUT", "/config/s", {"compatibility": "SOME"}),
    ("delete level of subject", "DELETE", "/config/s", None),
    ("level of subject after", "GET", "/config/s", None),
    ("delete level again", "DELETE", "/config/s", None),
    ("set default level", "PUT", "/config", {"compatibility": "FULL_TRANSITIVE"}),
    ("default level", "GET", "/config", None),
    ("delete default level", "DELETE", "/config", None),
    ("default level after", "GET", "/config", None),
    ("set default level back", "PUT", "/config", {"compatibility": "BACKWARD"}),
    ("set level before subject", "PUT", "/config/later", {"compatibility": "FORWARD"}),
    ("level before subject", "GET", "/config/later", None),
    # modes
    ("mode of subject without", "GET", "/mode/s", None),
    ("mode of subject or default", "GET", "/mode/s?defaultToGlobal=true", None),
    ("set mode of subject", "PUT", "/mode/s", {"mode": "READONLY"}),
    ("mode of subject", "GET", "/mode/s", None),
    ("register read-only", "POST", S + "/versions", reg(record(A, B, dict(OPT, name="d")))),
    ("delete version read-only", "DELETE", S + "/versions/1", None),
    ("set mode back", "PUT", "/mode/s", {"mode": "READWRITE"}),
    ("set no mode", "PUT", "/mode/s", {"mode": "SOMETIMES"}),
    ("delete mode of subject", "DELETE", "/mode/s", None),
    ("mode of subject after", "GET", "/mode/s", None),
    # references
    ("inner", "POST", "/subjects/inner/versions", reg(INNER)),
    ("outer without references", "POST", "/subjects/outer/versions", reg(OUTER)),
    ("outer to nowhere", "POST", "/subjects/outer/versions", reg(OUTER, references=[dict(REFS[0], version=7)])),
    ("outer", "POST", "/subjects/outer/versions", reg(OUTER, references=REFS)),
    ("outer again", "POST", "/subjects/outer/versions", reg(OUTER, references=REFS)),
    ("outer by id", "GET", "/schemas/ids/{outer}", None),
    ("outer by version", "GET", "/subjects/outer/versions/1", None),
    ("look up outer", "POST", "/subjects/outer", reg(OUTER, references=REFS)),
    ("referenced by", "GET", "/subjects/inner/versions/1/referencedby", None),
    ("referenced by nothing", "GET", "/subjects/outer/versions/1/referencedby", None),
    ("referenced by of no version", "GET", "/subjects/inner/versions/8/referencedby", None),
    ("delete referenced version", "DELETE", "/subjects/inner/versions/1", None),
    ("delete referenced subject", "DELETE", "/subjects/inner", None),
    # deletes
    ("d1", "POST", D + "/versions", reg('"int"')),
    ("d2", "POST", D + "/versions", reg('"long"')),
    ("delete version for good at once", "DELETE", D + "/versions/1?permanent=true", None),
    ("delete version", "DELETE", D + "/versions/1", None),
    ("delete version again", "DELETE", D + "/versions/1", None),
    ("versions after", "GET", D + "/versions", None),
    ("versions after, deleted too", "GET", D + "/versions?deleted=true", None),
    ("deleted version", "GET", D + "/versions/1", None),
    ("deleted version, deleted too", "GET", D + "/versions/1?deleted=true", None),
    ("look up deleted", "POST", D, reg('"int"')),
    ("look up deleted, deleted too", "POST", D + "?deleted=true", reg('"int"')),
    ("delete version x", "DELETE", D + "/versions/x", None),
    ("delete version 9", "DELETE", D + "/versions/9", None),
    ("delete version for good", "DELETE", D + "/versions/1?permanent=true", None),
    ("deleted for good, deleted too", "GET", D + "/versions/1?deleted=true", None),
    ("delete subject for good at once", "DELETE", D + "?permanent=true", None),
    ("delete subject", "DELETE", D, None),
    ("delete subject again", "DELETE", D, None),
    ("subjects without deleted", "GET", "/subjects", None),
    ("subjects with deleted", "GET", "/subjects?deleted=true", None),
    ("versions of deleted subject", "GET", D + "/versions", None),
    ("by id after deletion", "GET", "/schemas/ids/{d2}", None),
    ("delete subject for good", "DELETE", D + "?permanent=true", None),
    ("subjects with deleted, after", "GET", "/subjects?deleted=true", None),
    ("by id after deletion for good", "GET", "/schemas/ids/{d2}", None),
    ("register after deletion", "POST", D + "/versions", reg('"int"')),
    ("versions after registering again", "GET", D + "/versions", None),
]


class Registry:
    """One of the two, as base URL parts."""

    def __init__(self, port, base=""):
        self.port = port
        self.base = base
        self.ids = {}				# name of a step -> id
        self.names = {}				# id -> name of the step that gave it first

    def comparable(self, value, key=None):
        if isinstance(value, dict):
            value = {k: self.comparable(v, k) for k, v in value.items()}
            if "error_code" in value:
                return {"error_code": value["error_code"]}
            return value
        if isinstance(value, list):
            return [self.comparable(v, key) for v in value]
        if key == "id" or key == "ids":
            return self.names.get(value, "unknown id")
        if key == "schema":
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    def run(self, step):
        """Status, media type and comparable body."""
        name, method, path, body = step
        for known, id in self.ids.items():
            path = path.replace("{%s}" % known, str(id))
        headers = {"Accept": MEDIA}
        if isinstance(body, bytes):
            headers["Content-Type"] = MEDIA
        answer = ask(self.port, method, self.base + path, body, headers)
        try:
            value = answer.json
        except ValueError:
            value = answer.body.decode(errors="replace")
        if isinstance(value, dict) and set(value) == {"id"} and answer.status == 200:
            self.ids[name] = value["id"]
            self.names.setdefault(value["id"], name)
        if path.endswith("/referencedby") and isinstance(value, list):
            value = {"ids": value}
        if name.startswith("subjects") and isinstance(value, list):
            value = sorted(value)
        kind = (answer.headers["Content-Type"] or "none").split(";")[0]
        return answer.status, kind, self.comparable(value)
