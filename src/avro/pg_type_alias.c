/*-------------------------------------------------------------------------
 *
 * pg_type_alias.c
 *		Aliases in schemas of PostgreSQL types.
 *
 * PostgreSQL does not remember what a column or a type was called.  The schema
 * that was stored before does: what has the same name there keeps its aliases,
 * and what has just been renamed gets its old name as one more.  An alias goes
 * when something else in the record has taken that name.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/pg_type_alias.h"

typedef struct Search
{
	const char *fullname;		/* NULL: by the last part of the name */
	const char *name;
	bool	   *seen;			/* by node id */
	const AvroNode *found;
} Search;

static void
search(Search *s, const AvroNode *node)
{
	if (s->found != NULL || s->seen[node->id])
		return;
	s->seen[node->id] = true;
	if (node->fullname != NULL &&
		(s->fullname != NULL ? strcmp(node->fullname, s->fullname) == 0 :
		 strcmp(node->name, s->name) == 0))
	{
		s->found = node;
		return;
	}
	for (int i = 0; i < node->field_count; i++)
		search(s, node->fields[i].type);
	for (int i = 0; i < node->branch_count; i++)
		search(s, node->branches[i]);
	if (node->items != NULL)
		search(s, node->items);
}

static const AvroNode *
find(const OutboxAvroSchema *schema, const char *fullname, const char *name)
{
	Search		s = {fullname, name};

	s.seen = palloc0(schema->node_count);
	search(&s, schema->root);
	pfree(s.seen);
	return s.found;
}

static const char *
join(const char *space, const char *name)
{
	return space[0] == '\0' ? name : psprintf("%s.%s", space, name);
}

const AvroNode *
avro_alias_node(const OutboxAvroSchema *before, const OutboxAvroRename *rename,
				Oid type, const char *space, const char *name,
				const char *fullname)
{
	const AvroNode *node = find(before, fullname, NULL);

	if (node != NULL || rename == NULL)
		return node;
	if (rename->old_schema != NULL)
		return find(before, join(avro_map_name(rename->old_schema), name),
					NULL);
	if (!list_member_oid(rename->types, type))
		return NULL;
	if (rename->old_name != NULL)
		return find(before, join(space, avro_map_name(rename->old_name)), NULL);
	if (rename->old_column == NULL)
		return find(before, NULL, name);	/* moved from another schema */
	return NULL;
}

/* Under another name too: the topic, which the namespace comes from, may change. */
const AvroNode *
avro_alias_record(const OutboxAvroSchema *before, const char *fullname)
{
	const AvroNode *node = find(before, fullname, NULL);
	const char *dot = strrchr(fullname, '.');

	if (node == NULL)
		node = find(before, NULL, dot != NULL ? dot + 1 : fullname);
	return node != NULL && node->type == AVRO_TYPE_RECORD ? node : NULL;
}

/* Collects names without repeating any. */
static void
add_name(List **names, const char *name)
{
	ListCell   *lc;

	foreach(lc, *names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return;
	}
	*names = lappend(*names, unconstify(char *, name));
}

static void
put_names(StringInfo out, List *names)
{
	ListCell   *lc;

	if (names == NIL)
		return;
	appendStringInfoString(out, ",\"aliases\":");
	foreach(lc, names)
	{
		appendStringInfoChar(out, lc == list_head(names) ? '[' : ',');
		avro_json_quote(out, lfirst(lc), strlen(lfirst(lc)));
	}
	appendStringInfoChar(out, ']');
}

void
avro_alias_put_type(StringInfo out, const AvroNode *before,
					const char *fullname)
{
	List	   *names = NIL;

	if (before == NULL)
		return;
	if (strcmp(before->fullname, fullname) != 0)
		add_name(&names, before->fullname);
	for (int i = 0; i < before->alias_count; i++)
	{
		if (strcmp(before->aliases[i], fullname) != 0)
			add_name(&names, before->aliases[i]);
	}
	put_names(out, names);
}

static const AvroField *
find_field(const AvroNode *record, const char *name)
{
	for (int i = 0; i < record->field_count; i++)
	{
		if (strcmp(record->fields[i].name, name) == 0)
			return &record->fields[i];
	}
	return NULL;
}

static bool
is_column(TupleDesc desc, const char *field)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped &&
			strcmp(avro_map_name(NameStr(att->attname)), field) == 0)
			return true;
	}
	return false;
}

void
avro_alias_put_field(StringInfo out, const AvroNode *before,
					 const OutboxAvroRename *rename, Oid type,
					 TupleDesc desc, const char *column)
{
	const AvroField *field;
	const char *was = NULL;
	List	   *names = NIL;

	if (before == NULL)
		return;
	if (rename != NULL && rename->old_column != NULL &&
		strcmp(rename->new_column, column) == 0 &&
		list_member_oid(rename->types, type))
		was = avro_map_name(rename->old_column);
	field = find_field(before, was != NULL ? was : avro_map_name(column));
	if (field == NULL)
		return;
	if (was != NULL && !is_column(desc, was))
		add_name(&names, was);
	for (int i = 0; i < field->alias_count; i++)
	{
		if (!is_column(desc, field->aliases[i]))
			add_name(&names, field->aliases[i]);
	}
	put_names(out, names);
}
