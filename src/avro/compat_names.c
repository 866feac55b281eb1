/*-------------------------------------------------------------------------
 *
 * compat_names.c
 *		Names and aliases of types across two schemas (spec, "Aliases").
 *
 * Readers apply aliases by rewriting the writer's whole schema: each type
 * called by an alias takes the reader's name, wherever it stands.  When more
 * than one type would get or claim a name that way, readers disagree about
 * what is read as what, or refuse; such aliases are violations.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/compat_model.h"

static bool
has_alias(const AvroNode *node, const char *fullname)
{
	for (int i = 0; i < node->alias_count; i++)
		if (strcmp(node->aliases[i], fullname) == 0)
			return true;
	return false;
}

/* Full names match, or the writer's is an alias. */
bool
avro_compat_same_fullname(const AvroNode *reader, const AvroNode *writer)
{
	return strcmp(reader->fullname, writer->fullname) == 0 ||
		has_alias(reader, writer->fullname);
}

/* The specification's rule: names without namespace match, or alias. */
bool
avro_compat_same_name(const AvroNode *reader, const AvroNode *writer)
{
	return strcmp(reader->name, writer->name) == 0 ||
		has_alias(reader, writer->fullname);
}

/* ---- aliases that claim a name twice ---- */

typedef struct Names
{
	const AvroNode **nodes;		/* named types */
	int			count;
	int			space;
	bool		aliases;		/* any of them has one */
	bool	   *seen;
} Names;

/*
 * A type is defined before it is referred to, so in this order references
 * are met last and the depth is that of the text.
 */
static void
collect(Names *names, const AvroNode *node)
{
	if (names->seen[node->id])
		return;
	names->seen[node->id] = true;
	if (node->fullname != NULL)
	{
		if (names->count == names->space)
		{
			names->space = names->space == 0 ? 16 : names->space * 2;
			names->nodes = names->nodes == NULL ?
				palloc(names->space * sizeof(AvroNode *)) :
				repalloc(names->nodes, names->space * sizeof(AvroNode *));
		}
		names->nodes[names->count++] = node;
		names->aliases |= node->alias_count > 0;
	}
	for (int i = 0; i < node->field_count; i++)
		collect(names, node->fields[i].type);
	for (int i = 0; i < node->branch_count; i++)
		collect(names, node->branches[i]);
	if (node->items != NULL)
		collect(names, node->items);
}

static int
compare_nodes(const void *a, const void *b)
{
	return strcmp((*(const AvroNode *const *) a)->fullname,
				  (*(const AvroNode *const *) b)->fullname);
}

static void
collect_names(Names *names, const OutboxAvroSchema *schema)
{
	memset(names, 0, sizeof(*names));
	names->seen = palloc0(schema->node_count);
	collect(names, schema->root);
	pfree(names->seen);
}

static const AvroNode *
find_name(const Names *names, const char *fullname)
{
	int			low = 0;
	int			high = names->count - 1;

	while (low <= high)
	{
		int			mid = (low + high) / 2;
		int			order = strcmp(names->nodes[mid]->fullname, fullname);

		if (order == 0)
			return names->nodes[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid - 1;
	}
	return NULL;
}

/* An alias of the reader, and whose it is. */
typedef struct Claim
{
	const char *alias;
	const AvroNode *by;
	int			order;
} Claim;

static int
compare_claims(const void *a, const void *b)
{
	const Claim *x = a;
	const Claim *y = b;
	int			order = strcmp(x->alias, y->alias);

	return order != 0 ? order : x->order - y->order;
}

static void
check_claim(CompatWalk *w, const Names *readers, const Names *writers,
			const Claim *claim, const Claim *previous)
{
	static const AvroPath root = {0};
	const AvroNode *by = claim->by;
	const AvroNode *writer = find_name(writers, claim->alias);
	const AvroNode *own = find_name(readers, claim->alias);

	if (writer == NULL || strcmp(by->fullname, claim->alias) == 0)
		return;
	if (own == NULL && previous != NULL && previous->by != by &&
		strcmp(previous->alias, claim->alias) == 0)
		own = previous->by;
	if (own == NULL)
		own = find_name(writers, by->fullname);
	if (own != NULL)
		avro_compat_violation(w, OUTBOX_COMPAT_AMBIGUOUS_ALIAS, &root,
							  avro_compat_part(by), avro_compat_part(writer),
							  "alias \"%s\" of \"%s\" stands in the way of \"%s\"",
							  claim->alias, by->fullname, own->fullname);
}

void
avro_compat_aliases(CompatWalk *w)
{
	Names		readers,
				writers;
	Claim	   *claims;
	int			count = 0;

	collect_names(&readers, w->reader);
	if (!readers.aliases)
	{
		if (readers.nodes != NULL)
			pfree(readers.nodes);
		return;
	}
	collect_names(&writers, w->writer);
	for (int i = 0; i < readers.count; i++)
		count += readers.nodes[i]->alias_count;
	claims = palloc(count * sizeof(Claim));
	count = 0;
	for (int i = 0; i < readers.count; i++)
		for (int j = 0; j < readers.nodes[i]->alias_count; j++)
		{
			claims[count].alias = readers.nodes[i]->aliases[j];
			claims[count].order = count;
			claims[count++].by = readers.nodes[i];
		}
	qsort(claims, count, sizeof(Claim), compare_claims);
	qsort(readers.nodes, readers.count, sizeof(AvroNode *), compare_nodes);
	qsort(writers.nodes, writers.count, sizeof(AvroNode *), compare_nodes);
	for (int i = 0; i < count; i++)
		check_claim(w, &readers, &writers, &claims[i],
					i > 0 ? &claims[i - 1] : NULL);
	pfree(claims);
	pfree(readers.nodes);
	if (writers.nodes != NULL)
		pfree(writers.nodes);
}
