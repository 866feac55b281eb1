/*-------------------------------------------------------------------------
 *
 * compat_names.c
 *		Names of types across two schemas (spec, "Names" and "Aliases"), and
 *		the named types of one.
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

/*
 * A type is defined before it is referred to, so in this order references
 * are met last and the depth is that of the text.
 */
static void
collect(CompatNames *names, bool *seen, const AvroNode *node)
{
	if (seen[node->id])
		return;
	seen[node->id] = true;
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
	{
		names->field_aliases |= node->fields[i].alias_count > 0;
		collect(names, seen, node->fields[i].type);
	}
	for (int i = 0; i < node->branch_count; i++)
		collect(names, seen, node->branches[i]);
	if (node->items != NULL)
		collect(names, seen, node->items);
}

static int
compare_nodes(const void *a, const void *b)
{
	return strcmp((*(const AvroNode *const *) a)->fullname,
				  (*(const AvroNode *const *) b)->fullname);
}

/* To be ended with pfree() of names->nodes, if that is not NULL. */
void
avro_compat_collect(CompatNames *names, const OutboxAvroSchema *schema)
{
	bool	   *seen = palloc0(schema->node_count);

	memset(names, 0, sizeof(*names));
	collect(names, seen, schema->root);
	pfree(seen);
	if (names->count > 1)
		qsort(names->nodes, names->count, sizeof(AvroNode *),
			  compare_nodes);
}

const AvroNode *
avro_compat_find(const CompatNames *names, const char *fullname)
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
