/*-------------------------------------------------------------------------
 *
 * compat_alias.c
 *		Aliases that claim too much.
 *
 * Readers apply aliases by rewriting the writer's whole schema before they
 * compare anything: each type and field called by an alias takes the reader's
 * name, wherever it stands, also where nothing is read from it.  (Java's does
 * it twice over, so that an alias may lead on to another.)  When two types or
 * fields would come to bear one name, readers disagree about what is read as
 * what, or refuse; such aliases are violations.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/compat_model.h"

/* An alias of the reader, and whose it is. */
typedef struct Claim
{
	const char *alias;
	const void *by;				/* AvroNode or AvroField */
	int			order;
} Claim;

static int
compare_alias(const void *a, const void *b)
{
	return strcmp(((const Claim *) a)->alias, ((const Claim *) b)->alias);
}

static int
compare_claims(const void *a, const void *b)
{
	int			order = compare_alias(a, b);

	return order != 0 ? order :
		((const Claim *) a)->order - ((const Claim *) b)->order;
}

static const void *
find_claim(const Claim *claims, int count, const char *name)
{
	Claim		key = {name};
	const Claim *found = bsearch(&key, claims, count, sizeof(Claim),
								 compare_alias);

	return found == NULL ? NULL : found->by;
}

static void
violation(CompatWalk *w, const AvroNode *reader, const AvroNode *writer,
		  const char *alias, const char *of, const char *other)
{
	static const AvroPath root = {0};

	avro_compat_violation(w, OUTBOX_COMPAT_AMBIGUOUS_ALIAS, &root,
						  avro_compat_part(reader), avro_compat_part(writer),
						  "alias \"%s\" of \"%s\" stands in the way of \"%s\"",
						  alias, of, other);
}

/* ---- types ---- */

static void
check_type(CompatWalk *w, const CompatNames *readers,
		   const CompatNames *writers, const Claim *claims, int count, int i)
{
	const Claim *claim = &claims[i];
	const AvroNode *by = claim->by;
	const AvroNode *writer = avro_compat_find(writers, claim->alias);
	const AvroNode *own = avro_compat_find(readers, claim->alias);

	if (writer == NULL || strcmp(by->fullname, claim->alias) == 0)
		return;
	/* the reader's own type of that name, or another's alias; */
	if (own == NULL && i > 0 && claim[-1].by != by &&
		strcmp(claim[-1].alias, claim->alias) == 0)
		own = claim[-1].by;
	/* the writer's type that has the new name already; */
	if (own == NULL)
		own = avro_compat_find(writers, by->fullname);
	/* the type that the second round would lead on to */
	if (own == NULL)
		own = find_claim(claims, count, by->fullname);
	if (own != NULL)
		violation(w, by, writer, claim->alias, by->fullname, own->fullname);
}

static void
check_types(CompatWalk *w, const CompatNames *readers,
			const CompatNames *writers)
{
	Claim	   *claims;
	int			count = 0;

	for (int i = 0; i < readers->count; i++)
		count += readers->nodes[i]->alias_count;
	claims = palloc(count * sizeof(Claim));
	count = 0;
	for (int i = 0; i < readers->count; i++)
		for (int j = 0; j < readers->nodes[i]->alias_count; j++)
		{
			claims[count].alias = readers->nodes[i]->aliases[j];
			claims[count].order = count;
			claims[count++].by = readers->nodes[i];
		}
	qsort(claims, count, sizeof(Claim), compare_claims);
	for (int i = 0; i < count; i++)
		check_type(w, readers, writers, claims, count, i);
	pfree(claims);
}

/* ---- fields of records that are not read ---- */

typedef struct Renamed
{
	const char *name;
	const char *was;
} Renamed;

static int
compare_renamed(const void *a, const void *b)
{
	return strcmp(((const Renamed *) a)->name, ((const Renamed *) b)->name);
}

static void
check_fields(CompatWalk *w, const AvroNode *reader, const AvroNode *writer)
{
	Renamed    *names;
	Claim	   *claims;
	int			count = 0;

	for (int i = 0; i < reader->field_count; i++)
		count += reader->fields[i].alias_count;
	if (count == 0)
		return;
	claims = palloc(count * sizeof(Claim));
	count = 0;
	for (int i = 0; i < reader->field_count; i++)
		for (int j = 0; j < reader->fields[i].alias_count; j++)
		{
			claims[count].alias = reader->fields[i].aliases[j];
			claims[count].order = count;
			claims[count++].by = &reader->fields[i];
		}
	qsort(claims, count, sizeof(Claim), compare_claims);

	names = palloc((writer->field_count + 1) * sizeof(Renamed));
	for (int i = 0; i < writer->field_count; i++)
	{
		names[i].name = names[i].was = writer->fields[i].name;
		for (int round = 0; round < 2; round++)
		{
			const AvroField *by = find_claim(claims, count, names[i].name);

			if (by != NULL)
				names[i].name = by->name;
		}
	}
	qsort(names, writer->field_count, sizeof(Renamed), compare_renamed);
	for (int i = 1; i < writer->field_count; i++)
		if (strcmp(names[i - 1].name, names[i].name) == 0)
		{
			bool		first = strcmp(names[i].was, names[i].name) == 0;

			violation(w, reader, writer, names[first ? i - 1 : i].was,
					  names[i].name, names[first ? i : i - 1].was);
		}
	pfree(names);
	pfree(claims);
}

/* The fields of those that were read have been looked at one by one. */
static void
check_unread(CompatWalk *w, const AvroNode *reader, const AvroNode *writer)
{
	if (writer != NULL && writer->type == AVRO_TYPE_RECORD &&
		!avro_compat_seen(w, reader, writer))
		check_fields(w, reader, writer);
}

/* After all pairs have been compared. */
void
avro_compat_aliases(CompatWalk *w)
{
	CompatNames readers,
				writers;

	avro_compat_collect(&readers, w->reader);
	if (readers.aliases || readers.field_aliases)
	{
		avro_compat_collect(&writers, w->writer);
		if (readers.aliases)
			check_types(w, &readers, &writers);
		for (int i = 0; i < readers.count && readers.field_aliases; i++)
		{
			const AvroNode *reader = readers.nodes[i];

			if (reader->type != AVRO_TYPE_RECORD)
				continue;
			check_unread(w, reader, avro_compat_find(&writers,
													 reader->fullname));
			for (int j = 0; j < reader->alias_count; j++)
				check_unread(w, reader, avro_compat_find(&writers,
														 reader->aliases[j]));
		}
		if (writers.nodes != NULL)
			pfree(writers.nodes);
	}
	if (readers.nodes != NULL)
		pfree(readers.nodes);
}
