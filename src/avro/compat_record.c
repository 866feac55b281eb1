/*-------------------------------------------------------------------------
 *
 * compat_record.c
 *		Compatibility of two records: which field of the writer each field of
 *		the reader takes its values from, by name or alias, or its default.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/compat_model.h"

/* The writer's fields by name. */
typedef struct Lookup
{
	const AvroNode *record;
	int			next;			/* fields mostly keep their order */
	const AvroField **sorted;	/* made when that guess first fails */
	int		   *claimed;		/* by writer's field: reader's, or -1 */
	const char **aliases;		/* all of the reader's fields, sorted; made
								 * when the first one counts */
	int			alias_count;
} Lookup;

static int
compare_fields(const void *a, const void *b)
{
	return strcmp((*(const AvroField *const *) a)->name,
				  (*(const AvroField *const *) b)->name);
}

static void
sort_fields(Lookup *l)
{
	int			n = l->record->field_count;

	l->sorted = palloc((n + 1) * sizeof(AvroField *));
	for (int i = 0; i < n; i++)
		l->sorted[i] = &l->record->fields[i];
	qsort(l->sorted, n, sizeof(AvroField *), compare_fields);
}

/* Index of the writer's field of that name, or -1. */
static int
find_field(Lookup *l, const char *name)
{
	int			low = 0;
	int			high = l->record->field_count - 1;

	if (l->next <= high && strcmp(l->record->fields[l->next].name, name) == 0)
		return l->next++;
	if (l->sorted == NULL)
		sort_fields(l);
	while (low <= high)
	{
		int			mid = (low + high) / 2;
		int			order = strcmp(l->sorted[mid]->name, name);

		if (order == 0)
		{
			int			found = (int) (l->sorted[mid] - l->record->fields);

			l->next = found + 1;
			return found;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid - 1;
	}
	return -1;
}

/*
 * The writer's field for a reader's: -1 if there is none, -2 if more than one
 * answers to the name and aliases (Java's check takes an alias that repeats
 * the field's own name for a second one).
 */
static int
find_source(Lookup *l, const AvroField *field, bool *by_alias)
{
	int			direct = find_field(l, field->name);
	int			via = -1;

	for (int i = 0; i < field->alias_count; i++)
	{
		int			other = find_field(l, field->aliases[i]);

		if (other < 0 || other == via)
			continue;
		if (direct >= 0 || via >= 0)
			return -2;
		via = other;
	}
	*by_alias = via >= 0;
	return via >= 0 ? via : direct;
}

static int
compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Is the name an alias of any field of the record? */
static bool
is_alias(Lookup *l, const AvroNode *reader, const char *name)
{
	if (l->aliases == NULL)
	{
		int			n = 0;

		for (int i = 0; i < reader->field_count; i++)
			n += reader->fields[i].alias_count;
		l->aliases = palloc((n + 1) * sizeof(char *));
		for (int i = 0; i < reader->field_count; i++)
			for (int j = 0; j < reader->fields[i].alias_count; j++)
				l->aliases[l->alias_count++] = reader->fields[i].aliases[j];
		qsort(l->aliases, n, sizeof(char *), compare_text);
	}
	return bsearch(&name, l->aliases, l->alias_count, sizeof(char *),
				   compare_text) != NULL;
}

static void
ambiguous(CompatWalk *w, const AvroField *field, const AvroNode *writer,
		  const AvroPath *path, const char *message)
{
	avro_compat_violation(w, OUTBOX_COMPAT_AMBIGUOUS_ALIAS, path,
						  avro_compat_field_part(field),
						  avro_compat_part(writer), "%s", message);
}

static void
compare_field(CompatWalk *w, Lookup *l, const AvroNode *reader, int i,
			  const AvroPath *path)
{
	const AvroField *field = &reader->fields[i];
	const AvroNode *writer = l->record;
	bool		by_alias;
	int			source = find_source(l, field, &by_alias);

	if (source == -2)
	{
		ambiguous(w, field, writer, path,
				  "more than one name or alias of the field is a field of the writer");
		return;
	}
	if (source == -1)
	{
		if (field->default_json == NULL)
			avro_compat_violation(w, OUTBOX_COMPAT_MISSING_DEFAULT, path,
								  avro_compat_field_part(field),
								  avro_compat_part(writer),
								  "field \"%s\" is not in the writer's record and has no default",
								  field->name);
		return;
	}
	if (l->claimed[source] >= 0)
		ambiguous(w, field, writer, path,
				  psprintf("fields \"%s\" and \"%s\" both stand for the writer's \"%s\"",
						   reader->fields[l->claimed[source]].name,
						   field->name, writer->fields[source].name));
	l->claimed[source] = i;
	/* Java's reader renames the writer's fields twice over */
	if (by_alias && is_alias(l, reader, field->name))
		ambiguous(w, field, writer, path,
				  "the field is found by alias, and its name is the alias of another");
	/* Java's reader looks up a record's field aliases by its full name */
	if (by_alias && !avro_compat_same_fullname(reader, writer))
		avro_compat_violation(w, OUTBOX_COMPAT_NAMESPACE_MISMATCH, path,
							  avro_compat_field_part(field),
							  avro_compat_field_part(&writer->fields[source]),
							  "aliases of fields count only if \"%s\" has the alias \"%s\"",
							  reader->fullname, writer->fullname);
	avro_compat_nodes(w, field->type, writer->fields[source].type, path);
}

void
avro_compat_fields(CompatWalk *w, const AvroNode *reader,
				   const AvroNode *writer, const AvroPath *path)
{
	Lookup		l = {writer};

	l.claimed = palloc((writer->field_count + 1) * sizeof(int));
	for (int i = 0; i < writer->field_count; i++)
		l.claimed[i] = -1;
	for (int i = 0; i < reader->field_count && !w->list->cut; i++)
	{
		AvroPath	here = {path, reader->fields[i].name,
		reader->fields[i].name_len, 0};

		compare_field(w, &l, reader, i, &here);
	}
	if (l.sorted != NULL)
		pfree(l.sorted);
	if (l.aliases != NULL)
		pfree(l.aliases);
	pfree(l.claimed);
}
