/*-------------------------------------------------------------------------
 *
 * compat.c
 *		Compatibility levels, and the list of violations.
 *
 * A level is a set of questions "can data of this schema be read with that
 * one", which compat_walk.c answers.  Pure: nothing is kept between calls,
 * nothing is thrown, everything lives in the caller's memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/compat_model.h"

static const struct
{
	const char *name;
	const char *lower;
	bool		backward;
	bool		forward;
	bool		transitive;
}			levels[] =
{
	[OUTBOX_COMPAT_NONE] = {"NONE", "none", false, false, false},
	[OUTBOX_COMPAT_BACKWARD] = {"BACKWARD", "backward", true, false, false},
	[OUTBOX_COMPAT_BACKWARD_TRANSITIVE] = {"BACKWARD_TRANSITIVE",
	"backward_transitive", true, false, true},
	[OUTBOX_COMPAT_FORWARD] = {"FORWARD", "forward", false, true, false},
	[OUTBOX_COMPAT_FORWARD_TRANSITIVE] = {"FORWARD_TRANSITIVE",
	"forward_transitive", false, true, true},
	[OUTBOX_COMPAT_FULL] = {"FULL", "full", true, true, false},
	[OUTBOX_COMPAT_FULL_TRANSITIVE] = {"FULL_TRANSITIVE", "full_transitive",
	true, true, true},
};

bool
outbox_compat_level_parse(const char *name, OutboxCompatLevel *level)
{
	for (int i = 0; i < lengthof(levels); i++)
		if (strcmp(name, levels[i].name) == 0 ||
			strcmp(name, levels[i].lower) == 0)
		{
			*level = (OutboxCompatLevel) i;
			return true;
		}
	return false;
}

const char *
outbox_compat_level_name(OutboxCompatLevel level)
{
	return levels[level].name;
}

OutboxCompatViolations *
avro_compat_list(void)
{
	return palloc0(sizeof(OutboxCompatViolations));
}

static void
drop_from(OutboxCompatViolations *list, int from)
{
	for (int i = from; i < list->count; i++)
	{
		pfree((char *) list->items[i].path);
		pfree((char *) list->items[i].reader);
		pfree((char *) list->items[i].writer);
		pfree((char *) list->items[i].message);
	}
	list->count = from;
}

void
outbox_compat_free(OutboxCompatViolations *list)
{
	drop_from(list, 0);
	if (list->items != NULL)
		pfree(list->items);
	pfree(list);
}

/* Add one; reader and writer are palloc'd texts that the list takes over. */
void
avro_compat_violation(CompatWalk *w, const char *rule, const AvroPath *path,
					  const char *reader, const char *writer,
					  const char *fmt,...)
{
	OutboxCompatViolations *list = w->list;
	OutboxCompatViolation *v;
	StringInfoData where;
	StringInfoData message;

	if (list->count == OUTBOX_COMPAT_MAX_VIOLATIONS)
	{
		list->cut = true;
		pfree((char *) reader);
		pfree((char *) writer);
		return;
	}
	if (list->count == list->space)
	{
		list->space = list->space == 0 ? 8 : list->space * 2;
		list->items = list->items == NULL ?
			palloc(list->space * sizeof(*v)) :
			repalloc(list->items, list->space * sizeof(*v));
	}
	initStringInfo(&where);
	avro_path_append(&where, path);
	initStringInfo(&message);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&message, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}
	v = &list->items[list->count++];
	v->rule = rule;
	v->path = where.data;
	v->reader = reader;
	v->writer = writer;
	v->message = message.data;
	v->version = w->version;
	v->direction = w->direction;
}

static bool
same_text(const OutboxAvroSchema *a, const OutboxAvroSchema *b)
{
	StringInfoData one,
				two;
	bool		same;

	initStringInfo(&one);
	initStringInfo(&two);
	outbox_avro_render(a, &one);
	outbox_avro_render(b, &two);
	same = one.len == two.len && memcmp(one.data, two.data, one.len) == 0;
	pfree(one.data);
	pfree(two.data);
	return same;
}

static void
read_into(OutboxCompatViolations *list, const OutboxAvroSchema *reader,
		  const OutboxAvroSchema *writer, int version,
		  OutboxCompatDirection direction)
{
	CompatWalk	w = {0};
	int			before = list->count;

	w.reader = reader;
	w.writer = writer;
	w.list = list;
	w.version = version;
	w.direction = direction;
	avro_compat_walk(&w);

	/* a schema reads its own data, however odd its aliases are */
	if (list->count > before && same_text(reader, writer))
		drop_from(list, before);
}

OutboxCompatViolations *
outbox_compat_read(const OutboxAvroSchema *reader,
				   const OutboxAvroSchema *writer)
{
	OutboxCompatViolations *list = avro_compat_list();

	read_into(list, reader, writer, 0, OUTBOX_COMPAT_NEW_READS_OLD);
	return list;
}

OutboxCompatViolations *
outbox_compat_check(const OutboxAvroSchema *new_schema,
					const OutboxAvroSchema *const *old, int n,
					OutboxCompatLevel level)
{
	OutboxCompatViolations *list = avro_compat_list();

	for (int i = levels[level].transitive ? 0 : Max(n - 1, 0); i < n; i++)
	{
		if (levels[level].backward)
			read_into(list, new_schema, old[i], i,
					  OUTBOX_COMPAT_NEW_READS_OLD);
		if (levels[level].forward)
			read_into(list, old[i], new_schema, i,
					  OUTBOX_COMPAT_OLD_READS_NEW);
	}
	return list;
}
