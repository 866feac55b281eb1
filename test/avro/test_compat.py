#!/usr/bin/env python3
"""Our compatibility check against Java's Avro and fastavro, on random versions.

1. Each case is a schema and one to four older versions of it.  Between any two,
   our verdict is Java's (SchemaCompatibility, both ways), except for the rules
   in STRICTER; and Java's reader (Resolver, after applyAliases) can read
   whatever we accept.
2. At every level, the verdict is what its definition makes of those between two.
3. Values of accepted writers are read with the reader's schema by Java's
   GenericDatumReader and by fastavro.

A difference is shrunk before it is shown.  Needs build/unit/avro/compat_lines
and test/support/avro-java; prints TAP.
	test_compat.py [SEED [PAIRS]]
"""
import collections
import io
import json
import os
import random
import re
import subprocess
import sys
import threading

import fastavro

import versions

ROOT = os.environ.get("OUTBOX_ROOT") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
PAIRS = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
READ = max(1, PAIRS // 10)		# accepted pairs whose data is read

LEVELS = ["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]
# Where we are stricter than Java's check, as docs/schemas.md lists it.
LOGICAL = {"DECIMAL_MISMATCH", "LOGICAL_TYPE_MISMATCH"}
STRICTER = LOGICAL | {"NAMESPACE_MISMATCH", "AMBIGUOUS_ALIAS", "AMBIGUOUS_UNION_BRANCH"}
test = 0
bad = 0


def result(name, errors, count=None):
    global test, bad
    test += 1
    for error in errors[:5]:
        print("# " + error[:4000].replace("\n", "\n# "))
    bad += bool(errors)
    print(f"{'not ok' if errors else 'ok'} {test} - {name}" + (f" ({count})" if count is not None else ""), flush=True)


class Peer:
    """A program that answers a line with a line."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, lines):
        def write():
            self.process.stdin.write("\n".join(lines) + "\n")
            self.process.stdin.flush()

        writer = threading.Thread(target=write)
        writer.start()
        answers = [self.process.stdout.readline().rstrip("\n") for _ in lines]
        writer.join()
        if "" in answers:
            print("Bail out! a program ended: " + " ".join(self.process.args))
            sys.exit(1)
        return answers


def check_line(models):
    return json.dumps(["check", versions.render(models[-1]), [versions.render(m) for m in models[:-1]]])


def wrong_reading(rules, java, reads):
    """What is wrong about one reading, or None.  java and reads: 1, 0, x or d."""
    names = {r.split()[0] for r in rules}
    if not rules:
        if reads not in "1d":
            return "accepted, but Java's reader refuses"
        if java == "0":
            return "accepted, but Java's check refuses"
        return None
    if java != "1":
        # our reason must be more than a logical type; but its check also throws
        # over aliases in branches of a union that it tries in vain
        return None if names - LOGICAL or java + reads == "x1" else "Java refuses for another reason"
    if reads == "1" and not names <= STRICTER:
        return "refused, but Java accepts and reads"
    return None


def expected_levels(pairs):
    """pairs: (new reads old, old reads new) by version, True for accepted."""
    new_reads = [p[0] for p in pairs]
    old_reads = [p[1] for p in pairs]
    return [True, new_reads[-1], all(new_reads), old_reads[-1], all(old_reads),
            new_reads[-1] and old_reads[-1], all(new_reads) and all(old_reads)]


def wrong_case(ours, java):
    """The first thing wrong about a case, or None."""
    if "error" in ours:
        return "we refuse a schema: " + ours
    if java.startswith("error"):
        return "Java refuses a schema: " + java
    ours = json.loads(ours)
    for i, (rules, said) in enumerate(zip(ours["pairs"], java.split())):
        for direction in (0, 1):
            why = wrong_reading(rules[direction], said[direction * 2], said[direction * 2 + 1])
            if why:
                return f"old version {i}, {'old reads new' if direction else 'new reads old'}: {why}\n" \
                       f"ours {rules[direction]}, Java {said}"
    wanted = "".join("01"[x] for x in expected_levels([[not r[0], not r[1]] for r in ours["pairs"]]))
    if wanted != ours["levels"]:
        return f"levels {ours['levels']}, should be {wanted}"
    return None


class Test:
    def __init__(self):
        self.rnd = random.Random(SEED)
        self.ours = Peer([os.path.join(ROOT, "build", "unit", "avro", "compat_lines")])
        self.java = Peer([os.path.join(ROOT, "test", "support", "avro-java"), "run"])
        self.accepted = []
        self.seen = collections.Counter()

    def case(self):
        spaces = self.rnd.choice([[""], ["n."], ["x.", "y."]])
        maker = versions.Maker(self.rnd, spaces)
        models = [maker.schema()]
        for _ in range(self.rnd.randint(1, 4)):
            models.append(maker.mutate(models[-1]))
        if self.rnd.random() < 0.05:		# and some that are no kin
            models[-1] = maker.schema()
        return models

    def shrink(self, models):
        """The smallest case found that is wrong too."""
        progress = True
        while progress:
            progress = False
            tries = [models[:i] + models[i + 1:] for i in range(len(models)) if len(models) > 2]
            tries += [models[:i] + [m] + models[i + 1:] for i in range(len(models))
                      for m in versions.smaller(models[i])]
            if not tries:
                break
            lines = [check_line(t) for t in tries]
            for t, a, b in zip(tries, self.ours.ask(lines), self.java.ask(lines)):
                if wrong_case(a, b) and not ("error" in a or b.startswith("error")):
                    models, progress = t, True
                    break
        line = check_line(models)
        return wrong_case(self.ours.ask([line])[0], self.java.ask([line])[0]), line

    def verdicts(self):
        errors, done = [], 0
        while done < PAIRS and len(errors) < 3:
            cases = [self.case() for _ in range(500)]
            lines = [check_line(c) for c in cases]
            for models, ours, java in zip(cases, self.ours.ask(lines), self.java.ask(lines)):
                done += len(models) - 1
                if wrong_case(ours, java):
                    errors.append("{}\n{}".format(*self.shrink(models)))
                    if len(errors) >= 3:
                        break
                    continue
                self.count(models, json.loads(ours), java)
        total = self.seen["accepted"] + self.seen["refused"]
        result("verdicts and levels as Java's, but for the stricter rules", errors, f"{done} pairs, both ways")
        share = {k: round(100 * v / max(1, total), 1) for k, v in sorted(self.seen.items())}
        print(f"# per cent of {total} readings: {share}")
        result("both verdicts are common", [str(share)] if not 20 <= share.get("accepted", 0) <= 80 else [])

    def count(self, models, ours, java):
        for i, (rules, said) in enumerate(zip(ours["pairs"], java.split())):
            for direction in (0, 1):
                found = rules[direction]
                names = {r.split()[0] for r in found}
                self.seen["refused" if found else "accepted"] += 1
                for name in names:
                    self.seen[name] += 1
                if said[direction * 2 + 1] == "d" and not found:
                    self.seen["Java refuses a writer's default"] += 1
                    continue
                if "x" in said[direction * 2]:
                    self.seen["Java's check throws"] += 1
                if said[direction * 2] == "1" and found:
                    self.seen["stricter"] += 1
                    if not names <= STRICTER:
                        self.seen["as Java's reader"] += 1
                if not found:
                    pair = (models[i], models[-1]) if direction else (models[-1], models[i])
                    self.accepted.append(pair)

    def reading(self):
        """(reader, writer) that are accepted: is data really read?"""
        pairs = [p for p in self.accepted if versions.render(p[0]) != versions.render(p[1])]
        self.rnd.shuffle(pairs)
        pairs = [[versions.render(m) for m in p] for p in pairs[:READ]]
        lines = [json.dumps(["data", r, w, n, 3]) for n, (r, w) in enumerate(pairs)]
        answers = self.java.ask(lines)
        errors = [f"{a}\n{line}" for a, line in zip(answers, lines) if not a.startswith("ok")]
        values = sum(len(a.split()) - 1 for a in answers)
        result("what is accepted is read by Java", errors, f"{len(pairs)} pairs, {values} values")
        errors, values, known, lost, clash = [], 0, 0, 0, 0
        for (reader, writer), line in zip(pairs, answers):
            if names_clash(reader, writer):
                clash += 1
                continue
            for text in line.split()[1:] if line.startswith("ok") else []:
                raw = b"" if text == "-" else bytes.fromhex(text)
                values += 1
                why = fastavro_fails(plain(reader), plain(writer), raw)
                if why and not fastavro_fails(written_out(plain(reader)), written_out(plain(writer)), raw):
                    known += 1
                elif why and re.search(r"'name': '([\w.]+)'.* is not \1$", why):
                    lost += 1		# a recursive type cannot be written out
                elif why:
                    errors.append(f"{why}\nreader {json.dumps(reader)}\nwriter {json.dumps(writer)}\n{text}")
                    break
        result("... and by fastavro", errors, f"{values} values, {known} of them only with references written out, "
               f"{lost} not at all; {clash} pairs left out for names that differ in the namespace alone")


def names_clash(*schemas):
    """fastavro looks at the last part of a name alone."""
    full = set(re.findall(r'"name": "((?:[nxy]\.)?[A-Z][0-9]*)"', json.dumps(schemas)))
    return len({name.split(".")[-1] for name in full}) < len(full)


def written_out(schema):
    """Each reference replaced by a definition in another namespace, which
    fastavro ignores: it does not match references with definitions."""
    definitions, copies = {}, [0]

    def walk(s, now):
        if isinstance(s, list):
            return [walk(b, now) for b in s]
        if isinstance(s, str):
            if s in now or s not in definitions:
                return now.get(s, s)
            copies[0] += 1
            d = definitions[s]
            name = f"c{copies[0]}.{s}"
            return named(dict(d, name=name), dict(now, **{s: name}))
        if "name" in s:
            if s["name"] in definitions:		# inside a copy
                return walk(s["name"], now)
            definitions[s["name"]] = s
            return named(s, dict(now, **{s["name"]: s["name"]}))
        return {k: walk(v, now) if k in ("items", "values") else v for k, v in s.items()}

    def named(d, now):
        if "fields" not in d:
            return d
        return dict(d, fields=[dict(f, type=walk(f["type"], now)) for f in d["fields"]])

    return walk(schema, {})


def plain(schema):
    """Without logical types: the values are of no logical type's range."""
    if isinstance(schema, list):
        return [plain(b) for b in schema]
    if isinstance(schema, dict):
        return {k: plain(v) if k in ("type", "items", "values", "fields") else v
                for k, v in schema.items() if k not in ("logicalType", "precision", "scale")}
    return schema


def fastavro_fails(reader, writer, raw):
    try:
        stream = io.BytesIO(raw)
        fastavro.schemaless_reader(stream, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
        return None if stream.tell() == len(raw) else "bytes are left over"
    except Exception as e:		# whatever it throws is the finding
        return f"{type(e).__name__}: {e}"


t = Test()
t.verdicts()
t.reading()
print(f"1..{test}")
sys.exit(bad != 0)
