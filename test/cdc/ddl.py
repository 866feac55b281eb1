"""Changes of the schema while the workload runs: columns of app.evolving, values
of the enum, partitions of app.part.

What is done stays known: how an image of long ago looks under the names and
with the columns of the end (see current()).
"""
import statements
from tables import BY_NAME, REGIONS

DEFAULTS = {"i": ["0", "42"], "t": ["'x'", "''"]}


class Evolution:
    def __init__(self):
        self.columns = list(BY_NAME["evolving"].columns)
        self.not_null = set()
        self.narrow = {"i_n"}       # integer columns that can become bigint
        self.renamed = {}           # old name: new name
        self.dropped = set()
        self.defaults = {}          # column added: value in rows that were there
        self.regions = list(REGIONS[:2])
        self.full_identity = False  # of new partitions
        self.numbers = 0

    def name(self, kind):
        self.numbers += 1
        return f"{kind}_c{self.numbers}"

    # ---- one transaction that changes something

    def transaction(self, w, s):
        kind = w.rng.choices(["add", "drop", "rename", "widen", "mood", "partition"], [4, 2, 2, 2, 2, 2])[0]
        if kind == "mood":
            return self.mood(w, s)
        if kind == "partition":
            return self.partition(w, s)
        table = BY_NAME["evolving"]
        if not w.reserve_table(s, table.family):
            return None
        change = getattr(self, kind)(w)
        if change is None:
            return None
        sql, remember = change
        for _ in range(w.rng.randint(0, 3)):
            self.row(w, s, table)
        undone = w.rng.random() < 0.25
        if undone:
            w.execute(s, "SAVEPOINT before_ddl")
        w.execute(s, sql)
        if undone:
            if w.rng.random() < 0.5:
                # a row under the new schema, which nobody will ever see
                w.execute(s, "UPDATE app.evolving SET t_a = t_a WHERE i_id < 500")
            w.execute(s, "ROLLBACK TO SAVEPOINT before_ddl")
            for _ in range(w.rng.randint(0, 3)):
                self.row(w, s, table)
            w.execute(s, "COMMIT")
            s.txn = None
            return f"{kind} column, undone"
        kept = self.__dict__.copy()
        kept = {k: v.copy() if isinstance(v, (list, set, dict)) else v for k, v in kept.items()}
        remember()
        for _ in range(w.rng.randint(0, 3)):
            self.row(w, s, table)
        if w.rng.random() < 0.2:
            w.execute(s, "ROLLBACK")
            numbers = self.numbers
            self.__dict__.update(kept)
            self.numbers = numbers
            kind += " column, rolled back"
        else:
            w.execute(s, "COMMIT")
            kind += " column"
        s.txn = None
        return kind

    def row(self, w, s, table):
        what = w.rng.choice([statements.insert, statements.update, statements.upsert, statements.delete,
                             statements.copy])
        what(w, s, table)

    def add(self, w):
        if len(self.columns) > 7:
            return None
        column = self.name(w.rng.choice("it"))
        default = w.rng.choice([None] + DEFAULTS[column[0]])
        not_null = default is not None and w.rng.random() < 0.5

        def remember():
            self.columns.append(column)
            if not_null:
                self.not_null.add(column)
            if column[0] == "i":
                self.narrow.add(column)
            self.defaults[column] = None if default is None else \
                int(default) if column[0] == "i" else default.strip("'")

        kind = "integer" if column[0] == "i" else "text"
        return (f"ALTER TABLE app.evolving ADD COLUMN {column} {kind}"
                + (f" DEFAULT {default}" if default is not None else "") + (" NOT NULL" if not_null else ""), remember)

    def added(self, w):
        found = [c for c in self.columns if "_c" in c]
        return w.rng.choice(found) if found else None

    def drop(self, w):
        column = self.added(w)
        if column is None or len(self.columns) < 4:
            return None

        def remember():
            self.columns.remove(column)
            self.dropped.add(column)
        return f"ALTER TABLE app.evolving DROP COLUMN {column}", remember

    def rename(self, w):
        column = self.added(w)
        if column is None:
            return None
        new = self.name(column[0])

        def remember():
            self.columns[self.columns.index(column)] = new
            self.renamed[column] = new
            for names in (self.not_null, self.narrow):
                if column in names:
                    names.add(new)
            if column in self.defaults:
                self.defaults[new] = self.defaults[column]
        return f"ALTER TABLE app.evolving RENAME COLUMN {column} TO {new}", remember

    def widen(self, w):
        found = sorted(c for c in self.narrow if c in self.columns)
        if not found:
            return None
        column = w.rng.choice(found)
        return (f"ALTER TABLE app.evolving ALTER COLUMN {column} TYPE bigint",
                lambda: self.narrow.remove(column))

    def mood(self, w, s):
        """Others have transactions open meanwhile that wrote the enum's old values."""
        self.numbers += 1
        new = f"mood{self.numbers}"    # a name that Avro knows, too
        place = w.rng.choice(["", " BEFORE 'glad'"])
        w.execute(s, f"ALTER TYPE app.mood ADD VALUE '{new}'{place}")
        w.execute(s, "COMMIT")
        s.txn = None
        w.moods.append(new)
        return "new enum value"

    def partition(self, w, s):
        free = [r for r in REGIONS if r not in self.regions]
        if not free or not w.reserve_table(s, "part"):
            return None
        region = free[0]
        # toast => 'full' takes no partition that has not said so before
        if w.rng.random() < 0.5 and not self.full_identity:
            w.execute(s, f"CREATE TABLE app.part_{region} PARTITION OF app.part FOR VALUES IN ('{region}')")
        else:
            # columns in another order, and one that is dropped
            w.execute(s, f"CREATE TABLE app.part_{region} (t_note text, gone integer, t_region text NOT NULL,"
                         " i_n integer, i_id integer NOT NULL)")
            w.execute(s, f"ALTER TABLE app.part_{region} DROP COLUMN gone")
            if self.full_identity:
                w.execute(s, f"ALTER TABLE app.part_{region} REPLICA IDENTITY FULL")
            w.execute(s, f"ALTER TABLE app.part ATTACH PARTITION app.part_{region} FOR VALUES IN ('{region}')")
        self.regions.append(region)
        for _ in range(2):
            statements.insert(w, s, BY_NAME["part"])
        w.execute(s, "COMMIT")
        s.txn = None
        return "new partition"

    # ---- looking back

    def current(self, row):
        """An image of any time with the columns of now."""
        found = {}
        for column, value in row.items():
            while column in self.renamed:
                column = self.renamed[column]
            if column not in self.dropped:
                found[column] = value
        for column in self.columns:
            if column not in found:
                found[column] = self.defaults.get(column)
        return found
