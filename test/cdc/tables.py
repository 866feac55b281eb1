"""The tables of the workload, and the audit beside them.

A column's name begins with its kind (see values.py), so that an image can be
compared without knowing the schema of its time.  Tables of one family are
locked together, because their foreign keys are.
"""


class Table:
    def __init__(self, name, key, columns, family=None, weight=4, groups=24, each=1):
        self.name, self.key, self.columns = name, key, columns
        self.family = family or name
        self.weight = weight            # how often it is chosen
        self.groups, self.each = groups, each

    @property
    def qualified(self):
        return f"app.{self.name}"


TABLES = [
    Table("plain", ["i_id"], ["t_name", "n_amount", "b_flag", "z_at", "j_doc", "e_mood", "ai_list", "at_tags"],
          weight=8, groups=60),
    Table("wide", ["i_id"], ["t_big", "t_small", "i_n"], groups=20),
    Table("parent", ["i_id"], ["t_code"], family="kin", groups=6, each=5),
    Table("child", ["i_id"], ["i_parent", "t_note"], family="kin", groups=6, each=20),
    Table("loose", ["i_id"], ["i_parent", "t_note"], family="kin", weight=2, groups=6, each=10),
    Table("part", ["i_id", "t_region"], ["i_n", "t_note"], weight=6),
    Table("touchy", ["i_id"], ["i_n", "i_touched", "i_late"], weight=3),
    Table("pair", ["t_a", "i_b"], ["t_note", "d_day", "x_raw"], weight=3),
    Table("evolving", ["i_id"], ["i_n", "t_a"], weight=2),
    Table("keyless", [], ["i_id", "t_note"], weight=1),
]
BY_NAME = {t.name: t for t in TABLES}
REGIONS = ["north", "south", "east", "west"]
MOODS = ["calm", "glad", "sad"]

SETUP = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('calm', 'glad', 'sad');
CREATE TABLE app.plain (
	i_id integer PRIMARY KEY, t_name text, n_amount numeric(12,2), b_flag boolean, z_at timestamptz,
	j_doc jsonb, e_mood app.mood, ai_list integer[], at_tags text[]);
CREATE TABLE app.wide (i_id bigint PRIMARY KEY, t_big text, t_small text, i_n integer);
ALTER TABLE app.wide ALTER t_big SET STORAGE EXTERNAL;
CREATE TABLE app.parent (i_id integer PRIMARY KEY, t_code text);
CREATE TABLE app.child (
	i_id integer PRIMARY KEY, i_parent integer REFERENCES app.parent ON UPDATE CASCADE ON DELETE CASCADE,
	t_note text);
CREATE TABLE app.loose (
	i_id integer PRIMARY KEY, i_parent integer REFERENCES app.parent ON UPDATE CASCADE ON DELETE SET NULL,
	t_note text);
CREATE TABLE app.part (i_id integer, t_region text, i_n integer, t_note text, PRIMARY KEY (i_id, t_region))
	PARTITION BY LIST (t_region);
CREATE TABLE app.part_north PARTITION OF app.part FOR VALUES IN ('north');
CREATE TABLE app.part_south PARTITION OF app.part FOR VALUES IN ('south');
CREATE TABLE app.touchy (i_id integer PRIMARY KEY, i_n integer, i_touched integer, i_late integer);
CREATE TABLE app.pair (t_a text, i_b integer, t_note text, d_day date, x_raw bytea,
	t_twice text GENERATED ALWAYS AS (t_note || t_note) STORED, PRIMARY KEY (t_a, i_b));
CREATE TABLE app.evolving (i_id integer PRIMARY KEY, i_n integer, t_a text);
CREATE TABLE app.keyless (i_id integer, t_note text);

CREATE TABLE public.history (
	seq bigserial PRIMARY KEY, tbl text, op text, old jsonb, new jsonb, txn xid8 DEFAULT pg_current_xact_id());
CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		INSERT INTO public.history (tbl, op) VALUES (TG_ARGV[0], 't');
	ELSE
		INSERT INTO public.history (tbl, op, old, new)
		VALUES (TG_ARGV[0], CASE TG_OP WHEN 'INSERT' THEN 'c' WHEN 'UPDATE' THEN 'u' ELSE 'd' END,
			CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
			CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
	END IF;
	RETURN NULL;
END $$;

-- a trigger that updates the row it was fired for, and one that does so at the commit
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE app.touchy SET i_touched = i_n WHERE i_id = NEW.i_id AND i_touched IS DISTINCT FROM i_n;
	RETURN NULL;
END $$;
CREATE FUNCTION public.touch_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE app.touchy SET i_late = i_n WHERE i_id = NEW.i_id AND i_late IS DISTINCT FROM i_n;
	RETURN NULL;
END $$;
CREATE TRIGGER zz_touch AFTER INSERT OR UPDATE ON app.touchy FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE CONSTRAINT TRIGGER zz_late AFTER INSERT OR UPDATE ON app.touchy DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION public.touch_late();
"""


def audit_statements():
    for t in TABLES:
        yield (f"CREATE TRIGGER a_audit AFTER INSERT OR UPDATE OR DELETE ON {t.qualified} FOR EACH ROW"
               f" EXECUTE FUNCTION public.audit('{t.name}')")
        yield f"ALTER TABLE {t.qualified} ENABLE ALWAYS TRIGGER a_audit"
        yield (f"CREATE TRIGGER a_audit_truncate AFTER TRUNCATE ON {t.qualified} FOR EACH STATEMENT"
               f" EXECUTE FUNCTION public.audit('{t.name}')")


def set_up(execute):
    """execute(sql) runs one statement or several."""
    execute(SETUP)
    for statement in audit_statements():
        execute(statement)
