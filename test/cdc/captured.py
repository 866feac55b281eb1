"""How each table is captured in a run: mode, envelope, format, key, replica
identity.  "mixed" draws by the seed, so that a few runs see every combination."""
import random

from tables import TABLES

MODES, ENVELOPES, FORMATS, KEYS = ("trigger", "log"), ("debezium", "flat"), ("avro", "json"), ("plain", "record")


class Captured:
    def __init__(self, table, mode, envelope, form, key, identity):
        self.table, self.mode, self.envelope, self.format, self.key = table, mode, envelope, form, key
        self.replica_identity = identity
        self.topic = f"cdc.app.{table.name}"

    @property
    def identity(self):
        """What is known of a row before its change."""
        return "full" if self.mode == "trigger" or self.replica_identity == "full" else "key"

    def statements(self):
        partitions = ["part", "part_north", "part_south"] if self.table.name == "part" else [self.table.name]
        if self.replica_identity == "full":
            for name in partitions:
                yield f"ALTER TABLE app.{name} REPLICA IDENTITY FULL"
        options = {"mode": self.mode, "envelope": self.envelope, "format": self.format, "topic": self.topic}
        if self.table.key:
            options["key_format"] = self.key
        if self.mode == "log":
            options["toast"] = "full" if self.replica_identity == "full" else "omit"
        yield (f"SELECT outbox.capture('{self.table.qualified}', "
               + ", ".join(f"{n} => '{v}'" for n, v in options.items()) + ")")

    def __str__(self):
        return f"{self.table.name}: {self.mode}/{self.envelope}/{self.format}/{self.key}/{self.replica_identity}"


def plan(seed, mode, envelope, form, key, identity):
    rng = random.Random(f"captured-{seed}")

    def one(wanted, choices):
        drawn = rng.choice(choices)
        return drawn if wanted == "mixed" else wanted

    found = {}
    for t in TABLES:
        c = Captured(t, one(mode, MODES), one(envelope, ENVELOPES), one(form, FORMATS), one(key, KEYS),
                     one(identity, ("full", "default")))
        if not t.key:
            c.replica_identity = "full"
        found[t.name] = c
    return found
