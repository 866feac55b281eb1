"""Random schemas and their random next versions, for test_compat.py.

A schema is a model {"root": TYPE, "types": {full name: definition}} in which a
named type is referred to by {"ref": full name}; render() gives Avro's JSON with
each definition where it first occurs.  There are few names, so that aliases
and names meet by accident.
"""
import copy
import json

PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
NUMBERS = ["int", "long", "float", "double"]
LOGICAL = [("int", "date"), ("int", "time-millis"), ("long", "timestamp-millis"), ("long", "timestamp-micros"),
           ("string", "uuid"), ("long", "of-nobody"), ("bytes", "decimal"), ("int", "uuid")]
FIELDS = list("abcdefgh")
SHORT = ["A", "B", "C", "D", "E"]
SYMBOLS = ["S", "T", "U", "V", "W"]


def is_ref(t):
    return isinstance(t, dict) and "ref" in t


class Maker:
    """Draws everything from one random source."""

    def __init__(self, rnd, spaces):
        self.rnd = rnd
        self.spaces = spaces

    def chance(self, p):
        return self.rnd.random() < p

    def fresh_name(self, types):
        for _ in range(20):
            name = self.rnd.choice(self.spaces) + self.rnd.choice(SHORT)
            if name not in types:
                return name
        return self.rnd.choice(self.spaces) + "N%d" % len(types)

    # ---- types ----

    def scalar(self):
        if self.chance(0.15):
            kind, logical = self.rnd.choice(LOGICAL)
            t = {"type": kind, "logicalType": logical}
            if logical == "decimal":
                t.update(precision=self.rnd.randint(4, 6), scale=self.rnd.randint(0, 2))
            return t
        return self.rnd.choice(PRIMITIVES[1:])

    def named(self, model, depth):
        types = model["types"]
        if types and self.chance(0.35):
            return {"ref": self.rnd.choice(sorted(types))}
        name = self.fresh_name(types)
        kind = self.rnd.choice(["record", "record", "enum", "fixed"] if depth > 0 else ["enum", "fixed"])
        definition = types[name] = {"type": kind}
        if kind == "enum":
            definition["symbols"] = self.rnd.sample(SYMBOLS, self.rnd.randint(1, 4))
            if self.chance(0.3):
                definition["default"] = definition["symbols"][0]
        elif kind == "fixed":
            definition["size"] = self.rnd.randint(1, 4)
        else:
            definition["fields"] = []
            for field in self.rnd.sample(FIELDS, self.rnd.randint(0, 4)):
                definition["fields"].append(self.field(model, field, depth - 1))
        return {"ref": name}

    def type(self, model, depth):
        r = self.rnd.random()
        if r < 0.5 or depth <= 0:
            return self.scalar()
        if r < 0.72:
            return self.named(model, depth)
        if r < 0.79:
            return {"type": "array", "items": self.type(model, depth - 1)}
        if r < 0.84:
            return {"type": "map", "values": self.type(model, depth - 1)}
        if r < 0.93:
            return ["null", self.type(model, depth - 1)]
        return [self.type(model, depth - 1) for _ in range(self.rnd.randint(1, 3))]

    def field(self, model, name, depth):
        field = {"name": name, "type": self.type(model, depth)}
        if self.chance(0.4):
            field["default"] = True		# the value is made by repair()
        if self.chance(0.03):
            field["aliases"] = [self.rnd.choice(FIELDS)]
        return field

    def schema(self):
        model = {"root": None, "types": {}}
        if self.chance(0.12):
            model["root"] = self.type(model, 3)
        else:
            name = self.fresh_name({})
            definition = model["types"][name] = {"type": "record", "fields": []}
            model["root"] = {"ref": name}
            for field in self.rnd.sample(FIELDS, self.rnd.randint(1, 5)):
                definition["fields"].append(self.field(model, field, 3))
        return repair(model)

    # ---- the next version ----

    def mutate(self, model):
        model = copy.deepcopy(model)
        for _ in range(self.rnd.choice([1, 1, 1, 2, 2, 3])):
            self.rnd.choice([self.change_record, self.change_record, self.change_type, self.change_type,
                             self.change_named, self.change_alias])(model)
            repair(model)
        return model

    def records(self, model):
        return [d for d in model["types"].values() if d["type"] == "record"]

    def change_record(self, model):
        records = self.records(model)
        if not records:
            return
        record = self.rnd.choice(records)
        fields = record["fields"]
        what = self.rnd.randrange(5)
        free = [f for f in FIELDS if f not in [x["name"] for x in fields]]
        if what == 0 and free:
            field = self.field(model, self.rnd.choice(free), 2)
            if self.chance(0.5):
                field["default"] = True
            fields.insert(self.rnd.randint(0, len(fields)), field)
        elif not fields:
            return
        elif what == 1:
            fields.remove(self.rnd.choice(fields))
        elif what == 2 and free:
            field = self.rnd.choice(fields)
            if self.chance(0.7):
                field["aliases"] = [a for a in field.get("aliases", []) if self.chance(0.7)] + [field["name"]]
            field["name"] = self.rnd.choice(free)
        elif what == 3:
            self.rnd.shuffle(fields)
        else:
            field = self.rnd.choice(fields)
            if "default" in field:
                del field["default"]
            else:
                field["default"] = True

    def change_type(self, model):
        slots = list(places(model))
        holder, key = self.rnd.choice(slots)
        old = holder[key]
        what = self.rnd.randrange(9)
        if what <= 2 and old in PRIMITIVES:
            if old in NUMBERS:
                new = self.rnd.choice(NUMBERS)
            elif old in ("bytes", "string"):
                new = "string" if old == "bytes" else "bytes"
            else:
                new = self.scalar()
        elif what == 3 or isinstance(old, dict) and "logicalType" in old:
            new = self.change_logical(old)
        elif isinstance(old, list) and what <= 7:
            new = self.change_union(model, list(old))
        elif what == 4:
            new = ["null", old] if self.chance(0.5) else [old, self.type(model, 1)]
        elif what == 5 and model["types"]:
            new = {"ref": self.rnd.choice(sorted(model["types"]))}
            if self.chance(0.7):
                new = ["null", new]
        elif what == 6 and isinstance(old, dict) and "items" in old:
            new = {"type": "map", "values": old["items"]}
        else:
            new = self.type(model, 2)
        holder[key] = new

    def change_logical(self, old):
        if isinstance(old, dict) and old.get("logicalType") == "decimal":
            new = dict(old)
            new[self.rnd.choice(["precision", "scale"])] = self.rnd.randint(0, 6)
            return new
        if isinstance(old, dict) and "logicalType" in old:
            return self.rnd.choice([old["type"], dict(old, logicalType=self.rnd.choice(LOGICAL)[1])])
        fitting = [x for x in LOGICAL if x[0] == old]
        if fitting:
            kind, logical = self.rnd.choice(fitting)
            return {"type": kind, "logicalType": logical, "precision": 5, "scale": 1}
        return self.scalar()

    def change_union(self, model, old):
        what = self.rnd.randrange(4)
        if what == 0:
            old.insert(self.rnd.randint(0, len(old)), self.type(model, 1))
        elif what == 1 and len(old) > 1:
            old.remove(self.rnd.choice(old))
        elif what == 2:
            self.rnd.shuffle(old)
        else:
            return self.rnd.choice(old)
        return old

    def change_named(self, model):
        if not model["types"]:
            return
        name = self.rnd.choice(sorted(model["types"]))
        d = model["types"][name]
        what = self.rnd.randrange(5)
        if what <= 1:
            new = self.fresh_name(model["types"])
            if self.chance(0.3):			# only the namespace
                new = self.rnd.choice(self.spaces) + name.split(".")[-1]
            if new in model["types"]:
                return
            if self.chance(0.6):
                d["aliases"] = d.get("aliases", []) + [name]
            rename(model, name, new)
        elif d["type"] == "fixed":
            d["size"] = self.rnd.randint(1, 4)
        elif d["type"] == "enum":
            if what == 2:
                if "default" in d:
                    del d["default"]
                else:
                    d["default"] = d["symbols"][0]
            else:
                d["symbols"] = self.rnd.sample(SYMBOLS, self.rnd.randint(1, 5))
                if "default" in d:
                    d["default"] = d["symbols"][-1]
        elif what == 2 and d["fields"]:		# a list of itself
            field = self.rnd.choice(d["fields"])
            field["type"] = self.rnd.choice([["null", {"ref": name}], {"type": "array", "items": {"ref": name}}])

    def change_alias(self, model):
        if self.chance(0.5) and model["types"]:
            d = model["types"][self.rnd.choice(sorted(model["types"]))]
            pool = [s + n for s in self.spaces for n in SHORT]
        else:
            fields = [f for r in self.records(model) for f in r["fields"]]
            if not fields:
                return
            d = self.rnd.choice(fields)
            pool = FIELDS
        if d.get("aliases") and self.chance(0.5):
            d["aliases"].remove(self.rnd.choice(d["aliases"]))
        elif self.chance(0.2):
            d["aliases"] = d.get("aliases", []) + [self.rnd.choice(pool)]


# ---- models ----

def inside(holder, key):
    """(holder, key) of a type and of each one in it, references not followed."""
    yield holder, key
    t = holder[key]
    if isinstance(t, list):
        for i in range(len(t)):
            yield from inside(t, i)
    elif isinstance(t, dict):
        for inner in ("items", "values"):
            if inner in t:
                yield from inside(t, inner)


def places(model):
    yield from inside(model, "root")
    for name in sorted(model["types"]):
        for field in model["types"][name].get("fields", []):
            yield from inside(field, "type")


def rename(model, old, new):
    for holder, key in list(places(model)):
        if is_ref(holder[key]) and holder[key]["ref"] == old:
            holder[key] = {"ref": new}
    model["types"][new] = model["types"].pop(old)


def reachable(model):
    seen, todo = [], [model["root"]]
    while todo:
        t = todo.pop()
        if isinstance(t, list):
            todo += t
        elif is_ref(t):
            if t["ref"] not in seen:
                seen.append(t["ref"])
                todo += [f["type"] for f in model["types"][t["ref"]].get("fields", [])]
        elif isinstance(t, dict):
            todo += [t[k] for k in ("items", "values") if k in t]
    return seen


def branch_key(t):
    if is_ref(t):
        return t["ref"]
    return t if isinstance(t, str) else t["type"]


def flat_union(t):
    out, keys = [], set()
    for branch in t:
        for b in (flat_union(branch) if isinstance(branch, list) else [branch]):
            if branch_key(b) not in keys:
                keys.add(branch_key(b))
                out.append(b)
    return out


class NoDefault(Exception):
    pass


def default_of(model, t):
    """A value of the type in the JSON of defaults.  None of a recursive type:
    Java cannot check a default of a record that it is still reading."""
    if isinstance(t, list):
        if isinstance(t[0], dict) and ("items" in t[0] or "values" in t[0]):
            raise NoDefault			# Java's fast reader fails on an empty array there
        return default_of(model, t[0])
    if is_ref(t):
        d = model["types"][t["ref"]]
        if d["type"] == "enum":
            return d["symbols"][0]
        if d["type"] == "fixed":
            return "x" * d["size"]
        if t["ref"] in reachable({"root": [f["type"] for f in d["fields"]], "types": model["types"]}):
            raise NoDefault
        return {f["name"]: default_of(model, f["type"]) for f in d["fields"]}
    kind = t if isinstance(t, str) else t["type"]
    return {"null": None, "boolean": True, "int": 7, "long": 7, "float": 0.5, "double": 0.5, "bytes": "x",
            "string": "x", "array": [], "map": {}}[kind]


def repair(model):
    """Make it a valid schema again: unions, defaults, types nobody uses."""
    used = reachable(model)
    model["types"] = {name: model["types"][name] for name in sorted(used)}
    for holder, key in sorted(places(model), key=lambda p: 0):
        if isinstance(holder, list) and key >= len(holder):
            continue
        if isinstance(holder[key], list):
            holder[key] = flat_union(holder[key])
    for definition in model["types"].values():
        for field in definition.get("fields", []):
            if "default" in field:
                try:
                    field["default"] = default_of(model, field["type"])
                except NoDefault:
                    del field["default"]
    return model


def render(model):
    done = set()

    def walk(t):
        if isinstance(t, list):
            return [walk(b) for b in t]
        if is_ref(t):
            name = t["ref"]
            if name in done:
                return name
            done.add(name)
            d = dict(model["types"][name], name=name)
            if "fields" in d:
                d["fields"] = [dict(f, type=walk(f["type"])) for f in d["fields"]]
            return d
        if isinstance(t, dict):
            return {k: walk(v) if k in ("items", "values") else v for k, v in t.items()}
        return t

    return walk(model["root"])


def smaller(model):
    """Models with one thing less, for shrinking."""
    def variant(change):
        copied = copy.deepcopy(model)
        change(copied)
        return repair(copied)

    size = len(json.dumps(model))
    found = []
    for name in sorted(model["types"]):
        for i, field in enumerate(model["types"][name].get("fields", [])):
            found.append(variant(lambda m: m["types"][name]["fields"].pop(i)))
            for key in ("default", "aliases"):
                if key in field:
                    found.append(variant(lambda m: m["types"][name]["fields"][i].pop(key)))
        for key in ("default", "aliases"):
            if key in model["types"][name]:
                found.append(variant(lambda m: m["types"][name].pop(key)))
        for i in range(len(model["types"][name].get("symbols", []))):
            if len(model["types"][name]["symbols"]) > 1 and "default" not in model["types"][name]:
                found.append(variant(lambda m: m["types"][name]["symbols"].pop(i)))
    for n, (holder, key) in enumerate(places(model)):
        t = holder[key]
        options = list(t) if isinstance(t, list) else []
        if isinstance(t, dict):
            options += [t[k] for k in ("items", "values") if k in t]
            if "logicalType" in t:
                options.append(t["type"])
        if t != "int" and not isinstance(holder, list):
            options.append("int")
        for option in options:
            def put(m):
                h, k = list(places(m))[n]
                h[k] = copy.deepcopy(option)
            found.append(variant(put))
        if isinstance(t, list):
            for i in range(len(t)):
                if len(t) > 1:
                    def cut(m):
                        h, k = list(places(m))[n]
                        del h[k][i]
                    found.append(variant(cut))
    return [m for m in found if len(json.dumps(m)) < size]
