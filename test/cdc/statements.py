"""The changes of the workload, one function a kind of statement.

Each takes (workload, session, table) and returns whether it did something.
"""
import io
import json

import psycopg

import values
from tables import REGIONS

CHOICES = [("insert", 16), ("insert_many", 6), ("copy", 4), ("update", 22), ("update_many", 6), ("update_nothing", 2),
           ("update_key", 14), ("delete", 9), ("delete_many", 2), ("upsert", 8), ("merge", 5), ("move", 2),
           ("truncate", 1), ("fail", 3), ("as_replica", 2)]


def columns_of(w, table):
    if table.name == "evolving" and w.evolution:
        return w.evolution.columns
    return table.columns


def ids(table, group):
    """The values of the id column that belong to a group."""
    return [group * 100 + n for n in range(table.each)]


def id_column(table):
    return "i_b" if table.name == "pair" else "i_id"


def a_key(w, table, group):
    number = w.rng.choice(ids(table, group))
    if table.name == "part":
        return {"i_id": number, "t_region": w.rng.choice(w.evolution.regions if w.evolution else REGIONS[:2])}
    if table.name == "pair":
        return {"t_a": w.rng.choice(["a", "b\"c", ""]), "i_b": number}
    return {"i_id": number}


def a_value(w, s, table, column, group):
    if column == "i_parent":
        return reference(w, s, group)
    if column in ("i_touched", "i_late"):
        return None
    if column == "t_big":
        return values.large(w.rng, w.rng.choice([10, 3000, 9000, 30000]))
    value = values.make(w.rng, column, w.moods)
    if value is None and column in (w.evolution.not_null if w.evolution else ()):
        value = 0 if values.kind_of(column) == "i" else ""
    return value


def reference(w, s, group):
    rows = w.execute(s, "SELECT i_id FROM app.parent WHERE i_id / 100 = %s ORDER BY 1", [group]).fetchall()
    return w.rng.choice([None] + [r[0] for r in rows]) if w.rng.random() < 0.9 else None


def existing(w, s, table, groups):
    """Keys of the rows there are, as dicts."""
    wanted = [i for g in groups for i in ids(table, g)]
    key = table.key or ["i_id"]
    rows = w.execute(s, f"SELECT DISTINCT {', '.join(key)} FROM {table.qualified} WHERE {id_column(table)} = ANY(%s)"
                        f" ORDER BY {', '.join(key)}", [wanted]).fetchall()
    return [dict(zip(key, r)) for r in rows]


def where(key):
    return " AND ".join(f"{c} = %s" for c in key), list(key.values())


def new_rows(w, s, table, most):
    """(group, row) of rows that do not exist yet, no key twice."""
    groups = w.reserve_groups(s, table, most)
    if not groups:
        return []
    there = existing(w, s, table, groups) if table.key else []
    found = []
    for g in groups:
        key = a_key(w, table, g)
        if key not in there:
            there.append(key)
            found.append((g, full_row(w, s, table, key, g)))
    return found


def full_row(w, s, table, key, group):
    return {**key, **{c: a_value(w, s, table, c, group) for c in columns_of(w, table) if c not in key}}


def insert_rows(w, s, table, rows, more=""):
    names = list(rows[0])
    one = "(" + ", ".join(["%s"] * len(names)) + ")"
    w.execute(s, f"INSERT INTO {table.qualified} ({', '.join(names)}) VALUES {', '.join([one] * len(rows))} {more}",
              [r[c] for r in rows for c in names])
    return True


def insert(w, s, table):
    rows = new_rows(w, s, table, 1)
    return bool(rows) and insert_rows(w, s, table, [r for _, r in rows])


def insert_many(w, s, table):
    rows = new_rows(w, s, table, 12)
    return bool(rows) and insert_rows(w, s, table, [r for _, r in rows])


def copy(w, s, table):
    """Rows of a COPY share the position of one WAL record."""
    rows = [r for _, r in new_rows(w, s, table, 40)]
    if not rows:
        return False
    w.statement = f"COPY {table.qualified}, {len(rows)} rows"
    with s.conn.cursor().copy(f"COPY {table.qualified} ({', '.join(rows[0])}) FROM STDIN") as c:
        for r in rows:
            c.write_row(list(r.values()))
    return True


def some_columns(w, table, least=1):
    free = [c for c in columns_of(w, table) if c not in table.key and c not in ("i_touched", "i_late")]
    return w.rng.sample(free, w.rng.randint(least, min(3, len(free))))


def pick(w, s, table, most=1):
    """(groups, one key that exists) or None"""
    groups = w.reserve_groups(s, table, most)
    keys = existing(w, s, table, groups) if groups else []
    return (groups, w.rng.choice(keys)) if keys else None


def update(w, s, table):
    found = pick(w, s, table)
    if not found:
        return False
    groups, key = found
    columns = some_columns(w, table)
    text, args = where(key)
    w.execute(s, f"UPDATE {table.qualified} SET {', '.join(f'{c} = %s' for c in columns)} WHERE {text}",
              [a_value(w, s, table, c, groups[0]) for c in columns] + args)
    return True


def update_many(w, s, table):
    groups = w.reserve_groups(s, table, 15)
    if not groups:
        return False
    columns = some_columns(w, table)
    w.execute(s, f"UPDATE {table.qualified} SET {', '.join(f'{c} = %s' for c in columns)}"
                 f" WHERE {id_column(table)} / 100 = ANY(%s)",
              [None if c == "i_parent" else a_value(w, s, table, c, groups[0]) for c in columns] + [groups])
    return True


def update_nothing(w, s, table):
    found = pick(w, s, table)
    if not found:
        return False
    column = some_columns(w, table)[0]
    text, args = where(found[1])
    w.execute(s, f"UPDATE {table.qualified} SET {column} = {column} WHERE {text}", args)
    return True


def update_key(w, s, table):
    """A partition's row moves to another one by this, too."""
    found = pick(w, s, table, 3)
    if not found:
        return False
    groups, key = found
    new = a_key(w, table, key[id_column(table)] // 100 if table.family == "kin" else w.rng.choice(groups))
    if new in existing(w, s, table, groups):
        return False
    text, args = where(key)
    w.execute(s, f"UPDATE {table.qualified} SET {', '.join(f'{c} = %s' for c in new)} WHERE {text}",
              list(new.values()) + args)
    return True


def delete(w, s, table):
    found = pick(w, s, table)
    if not found:
        return False
    text, args = where(found[1])
    w.execute(s, f"DELETE FROM {table.qualified} WHERE {text}", args)
    return True


def delete_many(w, s, table):
    groups = w.reserve_groups(s, table, 8)
    if not groups:
        return False
    w.execute(s, f"DELETE FROM {table.qualified} WHERE {id_column(table)} / 100 = ANY(%s)", [groups])
    return True


def upsert(w, s, table):
    if not table.key:
        return False
    groups = w.reserve_groups(s, table, 6)
    if not groups:
        return False
    columns = some_columns(w, table)
    action = "DO NOTHING" if w.rng.random() < 0.2 else \
        "DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in columns)
    return insert_rows(w, s, table, [full_row(w, s, table, a_key(w, table, g), g) for g in groups],
                       f"ON CONFLICT ({', '.join(table.key)}) {action}")


def merge(w, s, table):
    """Inserts, updates and deletes in one statement."""
    if table.name not in ("plain", "part", "pair"):
        return False
    groups = w.reserve_groups(s, table, 10)
    if not groups:
        return False
    rows = [full_row(w, s, table, a_key(w, table, g), g) for g in groups]
    columns = some_columns(w, table)
    names = list(rows[0])
    w.execute(s, f"MERGE INTO {table.qualified} t USING jsonb_populate_recordset(NULL::{table.qualified}, %s) n"
                 f" ON {' AND '.join(f't.{c} = n.{c}' for c in table.key)}"
                 f" WHEN MATCHED AND n.{id_column(table)} / 100 %% 3 = 0 THEN DELETE"
                 f" WHEN MATCHED THEN UPDATE SET {', '.join(f'{c} = n.{c}' for c in columns)}"
                 f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join('n.' + c for c in names)})",
              [json.dumps([document(r) for r in rows], default=json_value)])
    return True


def document(row):
    return {c: json.loads(v) if values.kind_of(c) == "j" and v is not None else v for c, v in row.items()}


def json_value(value):
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return str(value)


def move(w, s, table):
    """Rows leave one table and enter another in one statement."""
    if table.name != "plain":
        return False
    groups = w.reserve_groups(s, table, 4)
    if not groups or not w.may_touch(s, "keyless"):
        return False
    s.txn.families.add("keyless")
    w.execute(s, "WITH d AS (DELETE FROM app.plain WHERE i_id / 100 = ANY(%s) RETURNING i_id, t_name)"
                 " INSERT INTO app.keyless (i_id, t_note) SELECT i_id, t_name FROM d ORDER BY i_id", [groups])
    return True


def truncate(w, s, table):
    if not w.reserve_table(s, table.family):
        return False
    options = w.rng.choice(["", "RESTART IDENTITY "])
    w.execute(s, f"TRUNCATE {table.qualified} {options}{'CASCADE' if table.name == 'parent' else ''}")
    return True


def fail(w, s, table):
    """A statement that changes rows and then fails, inside a savepoint."""
    if not table.key:
        return False
    found = pick(w, s, table, 5)
    if not found:
        return False
    groups, key = found
    rows = [r for _, r in new_rows(w, s, table, 3)]
    w.execute(s, "SAVEPOINT failing")
    try:
        insert_rows(w, s, table, rows + [full_row(w, s, table, key, groups[0])])
    except psycopg.errors.UniqueViolation:
        w.execute(s, "ROLLBACK TO SAVEPOINT failing")
    w.execute(s, "RELEASE SAVEPOINT failing")
    return True


def as_replica(w, s, table):
    """Ordinary triggers do not fire here."""
    if table.family == "kin" or table.name == "touchy":
        return False
    w.execute(s, "SET LOCAL session_replication_role = replica")
    done = update(w, s, table)
    w.execute(s, "SET LOCAL session_replication_role = origin")
    return done
