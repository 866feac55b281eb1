/*-------------------------------------------------------------------------
 *
 * compat_walk.c
 *		Schema resolution (spec, "Schema Resolution") without data: walk a
 *		reader's and a writer's schema side by side.
 *
 * Which branch of a reader's union takes the writer's type is decided as
 * readers decide it, by names and types alone, so each place has one
 * successor and nothing is tried and taken back.
 *
 * Bounded work: a pair of records is compared once, however often it is met,
 * and from a queue, so that a chain of records that refer to each other costs
 * no stack.  Between two records there are only arrays, maps and unions, which
 * the parser has bounded in depth.  A pair met again is taken for good: if it
 * is not, its own violations say so.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/compat_model.h"
#ifndef FRONTEND
#include "miscadmin.h"
#endif

/* ---- pairs of records ---- */

static uint32
hash_pair(uint64 key)
{
	return (uint32) ((key * UINT64CONST(0x9E3779B97F4A7C15)) >> 32);
}

static bool
insert_key(uint64 *seen, uint32 size, uint64 key)
{
	uint32		at = hash_pair(key) & (size - 1);

	for (; seen[at] != 0; at = (at + 1) & (size - 1))
		if (seen[at] == key)
			return false;
	seen[at] = key;
	return true;
}

static uint64
pair_key(const AvroNode *reader, const AvroNode *writer)
{
	return (uint64) (uint32) (reader->id + 1) << 32 |
		(uint32) (writer->id + 1);
}

bool
avro_compat_seen(const CompatWalk *w, const AvroNode *reader,
				 const AvroNode *writer)
{
	uint64		key = pair_key(reader, writer);
	uint32		at;

	if (w->seen_size == 0)
		return false;
	at = hash_pair(key) & (w->seen_size - 1);
	for (; w->seen[at] != 0; at = (at + 1) & (w->seen_size - 1))
		if (w->seen[at] == key)
			return true;
	return false;
}

static void
grow(CompatWalk *w)
{
	uint32		size = w->seen_size == 0 ? 64 : w->seen_size * 2;
	uint64	   *seen = palloc0(size * sizeof(uint64));

	for (uint32 i = 0; i < w->seen_size; i++)
		if (w->seen[i] != 0)
			insert_key(seen, size, w->seen[i]);
	if (w->seen != NULL)
		pfree(w->seen);
	w->seen = seen;
	w->seen_size = size;
}

/* A copy of the frames below the pair in work, which are on the C stack. */
static const AvroPath *
keep_path(CompatWalk *w, const AvroPath *path)
{
	CompatFrame *frame;

	if (path == w->base)
		return path;
	frame = palloc(sizeof(CompatFrame));
	frame->path = *path;
	frame->path.parent = keep_path(w, path->parent);
	frame->next = w->frames;
	w->frames = frame;
	return &frame->path;
}

static void
enqueue(CompatWalk *w, const AvroNode *reader, const AvroNode *writer,
		const AvroPath *path)
{
	uint64		key = pair_key(reader, writer);

	if (w->queued * 2 >= w->seen_size)
		grow(w);
	if (!insert_key(w->seen, w->seen_size, key))
		return;
	if (w->queued == w->queue_space)
	{
		w->queue_space = w->queue_space == 0 ? 16 : w->queue_space * 2;
		w->queue = w->queue == NULL ?
			palloc(w->queue_space * sizeof(CompatPair)) :
			repalloc(w->queue, w->queue_space * sizeof(CompatPair));
	}
	w->queue[w->queued].reader = reader;
	w->queue[w->queued].writer = writer;
	w->queue[w->queued++].path = keep_path(w, path);
}

/* ---- one place ---- */

/* Is every value of the writer's primitive also one of the reader's? */
static bool
promotes(AvroType reader, AvroType writer)
{
	switch (writer)
	{
		case AVRO_TYPE_INT:
			return reader == AVRO_TYPE_LONG || reader == AVRO_TYPE_FLOAT ||
				reader == AVRO_TYPE_DOUBLE;
		case AVRO_TYPE_LONG:
			return reader == AVRO_TYPE_FLOAT || reader == AVRO_TYPE_DOUBLE;
		case AVRO_TYPE_FLOAT:
			return reader == AVRO_TYPE_DOUBLE;
		case AVRO_TYPE_STRING:
			return reader == AVRO_TYPE_BYTES;
		case AVRO_TYPE_BYTES:
			return reader == AVRO_TYPE_STRING;
		default:
			return false;
	}
}

static void
compare_logical(CompatWalk *w, const AvroNode *reader,
				const AvroNode *writer, const AvroPath *path)
{
	const char *r = avro_compat_logical(reader);
	const char *t = avro_compat_logical(writer);

	if (r == NULL && t == NULL)
		return;
	if (r == NULL || t == NULL || strcmp(r, t) != 0)
		avro_compat_violation(w, OUTBOX_COMPAT_LOGICAL_TYPE_MISMATCH, path,
							  avro_compat_part(reader),
							  avro_compat_part(writer),
							  "%s was written, %s is read",
							  t == NULL ? "no logical type" : t,
							  r == NULL ? "no logical type" : r);
	else if (reader->logical == AVRO_LOGICAL_DECIMAL &&
			 (reader->precision != writer->precision ||
			  reader->scale != writer->scale))
		avro_compat_violation(w, OUTBOX_COMPAT_DECIMAL_MISMATCH, path,
							  avro_compat_part(reader),
							  avro_compat_part(writer),
							  "decimal(%d,%d) was written, decimal(%d,%d) is read",
							  writer->precision, writer->scale,
							  reader->precision, reader->scale);
}

static void
compare_names(CompatWalk *w, const AvroNode *reader, const AvroNode *writer,
			  const AvroPath *path)
{
	if (!avro_compat_same_name(reader, writer))
		avro_compat_violation(w, OUTBOX_COMPAT_NAME_MISMATCH, path,
							  avro_compat_part(reader),
							  avro_compat_part(writer),
							  "\"%s\" has no alias \"%s\"",
							  reader->fullname, writer->fullname);
}

static int
compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The writer's symbols that the reader's enum lacks, ten of them by name. */
static int
list_missing(const AvroNode *reader, const AvroNode *writer, StringInfo out)
{
	const char **sorted = NULL;
	int			count = 0;

	for (int i = 0; i < writer->symbol_count; i++)
	{
		const char *symbol = writer->symbols[i];

		/* the same place first: most enums only grow at their end */
		if (i < reader->symbol_count &&
			strcmp(reader->symbols[i], symbol) == 0)
			continue;
		if (sorted == NULL)
		{
			sorted = palloc((reader->symbol_count + 1) * sizeof(char *));
			memcpy(sorted, reader->symbols,
				   reader->symbol_count * sizeof(char *));
			qsort(sorted, reader->symbol_count, sizeof(char *),
				  compare_text);
		}
		if (bsearch(&symbol, sorted, reader->symbol_count, sizeof(char *),
					compare_text) == NULL && count++ < 10)
			appendStringInfo(out, "%s\"%s\"", count == 1 ? "" : ", ",
							 symbol);
	}
	if (sorted != NULL)
		pfree(sorted);
	if (count > 10)
		appendStringInfo(out, " and %d more", count - 10);
	return count;
}

static void
compare_symbols(CompatWalk *w, const AvroNode *reader, const AvroNode *writer,
				const AvroPath *path)
{
	StringInfoData missing;

	if (reader->symbol_default != NULL)
		return;
	initStringInfo(&missing);
	if (list_missing(reader, writer, &missing) > 0)
		avro_compat_violation(w, OUTBOX_COMPAT_MISSING_ENUM_SYMBOLS, path,
							  avro_compat_part(reader),
							  avro_compat_part(writer),
							  "the reader's enum has no default and lacks %s",
							  missing.data);
	pfree(missing.data);
}

/* Neither is a union. */
static void
compare_types(CompatWalk *w, const AvroNode *reader, const AvroNode *writer,
			  const AvroPath *path)
{
	AvroPath	inner = {path, NULL, 0, AVRO_PATH_ITEMS};

	if (reader->type != writer->type && !promotes(reader->type, writer->type))
	{
		char	   *r = avro_compat_part(reader);
		char	   *t = avro_compat_part(writer);

		avro_compat_violation(w, OUTBOX_COMPAT_TYPE_MISMATCH, path, r, t,
							  "%s cannot be read as %s", t, r);
		return;
	}
	compare_logical(w, reader, writer, path);
	if (reader->type != writer->type)
		return;
	if (reader->fullname != NULL)
		compare_names(w, reader, writer, path);
	switch (reader->type)
	{
		case AVRO_TYPE_RECORD:
			enqueue(w, reader, writer, path);
			break;
		case AVRO_TYPE_ENUM:
			compare_symbols(w, reader, writer, path);
			break;
		case AVRO_TYPE_FIXED:
			if (reader->size != writer->size)
				avro_compat_violation(w, OUTBOX_COMPAT_FIXED_SIZE_MISMATCH,
									  path, avro_compat_part(reader),
									  avro_compat_part(writer),
									  "%zu bytes were written, %zu are read",
									  writer->size, reader->size);
			break;
		case AVRO_TYPE_MAP:
			inner.index = AVRO_PATH_VALUES;
			/* FALLTHROUGH */
		case AVRO_TYPE_ARRAY:
			avro_compat_nodes(w, reader->items, writer->items, &inner);
			break;
		default:
			break;
	}
}

/* ---- unions ---- */

/* The branch of the writer's type, else the first it is promoted to. */
static const AvroNode *
find_unnamed(const AvroNode *reader, AvroType writer)
{
	for (int i = 0; i < reader->branch_count; i++)
		if (reader->branches[i]->type == writer)
			return reader->branches[i];
	for (int i = 0; i < reader->branch_count; i++)
		if (promotes(reader->branches[i]->type, writer))
			return reader->branches[i];
	return NULL;
}

/*
 * The branch of the writer's full name, by alias too, else by the last part
 * of the name (*count of them; 0 for a match by full name).
 */
static const AvroNode *
find_named(const AvroNode *reader, const AvroNode *writer, int *count)
{
	const AvroNode *found = NULL;

	*count = 0;
	for (int i = 0; i < reader->branch_count; i++)
	{
		const AvroNode *branch = reader->branches[i];

		if (branch->type != writer->type)
			continue;
		if (avro_compat_same_fullname(branch, writer))
		{
			*count = 0;
			return branch;
		}
		if (strcmp(branch->name, writer->name) == 0)
		{
			found = branch;
			++*count;
		}
	}
	return found;
}

/* The writer's is no union. */
static void
compare_branch(CompatWalk *w, const AvroNode *reader, const AvroNode *writer,
			   const AvroPath *path)
{
	int			by_name = 0;
	const AvroNode *branch = writer->fullname == NULL ?
		find_unnamed(reader, writer->type) :
		find_named(reader, writer, &by_name);

	if (branch == NULL)
	{
		char	   *t = avro_compat_part(writer);

		avro_compat_violation(w, OUTBOX_COMPAT_MISSING_UNION_BRANCH, path,
							  avro_compat_part(reader), t,
							  "the reader's union has no branch for %s", t);
		return;
	}
	if (by_name > 1)
	{
		avro_compat_violation(w, OUTBOX_COMPAT_AMBIGUOUS_BRANCH, path,
							  avro_compat_part(reader),
							  avro_compat_part(writer),
							  "%d branches of the reader's union are called \"%s\", none \"%s\"",
							  by_name, writer->name, writer->fullname);
		return;
	}
	/* Java's reader compares full names here, but for records */
	if (by_name == 1 && writer->type != AVRO_TYPE_RECORD)
		avro_compat_violation(w, OUTBOX_COMPAT_NAMESPACE_MISMATCH, path,
							  avro_compat_part(branch),
							  avro_compat_part(writer),
							  "inside a union \"%s\" is not read as \"%s\" without an alias",
							  writer->fullname, branch->fullname);
	compare_types(w, branch, writer, path);
}

void
avro_compat_nodes(CompatWalk *w, const AvroNode *reader,
				  const AvroNode *writer, const AvroPath *path)
{
#ifndef FRONTEND
	CHECK_FOR_INTERRUPTS();
#endif
	if (writer->type == AVRO_TYPE_UNION)
		for (int i = 0; i < writer->branch_count && !w->list->cut; i++)
			avro_compat_nodes(w, reader, writer->branches[i], path);
	else if (reader->type == AVRO_TYPE_UNION)
		compare_branch(w, reader, writer, path);
	else
		compare_types(w, reader, writer, path);
}

void
avro_compat_walk(CompatWalk *w)
{
	static const AvroPath root = {0};

	w->base = &root;
	avro_compat_nodes(w, w->reader->root, w->writer->root, &root);
	for (int i = 0; i < w->queued && !w->list->cut; i++)
	{
		/* the queue may move while the pair is compared */
		CompatPair	pair = w->queue[i];

		w->base = pair.path;
		avro_compat_fields(w, pair.reader, pair.writer, pair.path);
	}
	avro_compat_aliases(w);
	while (w->frames != NULL)
	{
		CompatFrame *frame = w->frames;

		w->frames = frame->next;
		pfree(frame);
	}
	if (w->queue != NULL)
	{
		pfree(w->queue);
		pfree(w->seen);
	}
}
