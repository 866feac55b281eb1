/*-------------------------------------------------------------------------
 *
 * pg_jsonb.h
 *		Shared by pg_jsonb.c and pg_jsonb_union.c: values inside a jsonb, read
 *		where they lie, and the compiled plan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_PG_JSONB_H
#define OUTBOX_AVRO_PG_JSONB_H

#include "postgres.h"

#include "avro/pg_model.h"

/* One value in a jsonb; p is NULL where there is none. */
typedef struct JbRef
{
	JEntry		type;			/* JENTRY_IS... */
	int			len;
	const char *p;				/* string bytes, Numeric or JsonbContainer */
} JbRef;

typedef struct PlanNode
{
	const AvroNode *node;
	/* record: fields in jsonb's key order (shorter first, then bytes) */
	int		   *sorted;
	/* union */
	int			null_branch;	/* -1: none */
	int			only_branch;	/* the only one besides null, or -1 */
} PlanNode;

struct OutboxAvroJsonPlan
{
	PlanNode   *nodes;			/* by node id */
	const AvroNode *root;
};

typedef struct JbWriter
{
	const OutboxAvroJsonPlan *plan;
	StringInfo	out;
	int			depth;
} JbWriter;

/* Steps through the keys or values of a container. */
typedef struct JbCursor
{
	const JEntry *entry;
	const char *base;
	uint32		offset;
} JbCursor;

static inline void
jb_next(JbCursor *c, JbRef *ref)
{
	JEntry		je = *c->entry++;
	uint32		start = c->offset;

	JBE_ADVANCE_OFFSET(c->offset, je);
	ref->type = je & JENTRY_TYPEMASK;
	if (ref->type == JENTRY_ISNUMERIC || ref->type == JENTRY_ISCONTAINER)
		start = INTALIGN(start);
	ref->p = c->base + start;
	ref->len = (int) (c->offset - start);
}

/* Elements of an array, or keys of an object (values follow on). */
static inline int
jb_open(const JsonbContainer *container, JbCursor *c)
{
	int			count = JsonContainerSize(container);

	c->entry = container->children;
	c->base = (const char *) (container->children +
							  (JsonContainerIsObject(container) ?
							   2 * count : count));
	c->offset = 0;
	return count;
}

static inline bool
jb_is_object(const JbRef *ref)
{
	return ref->type == JENTRY_ISCONTAINER &&
		JsonContainerIsObject((const JsonbContainer *) ref->p);
}

static inline bool
jb_is_array(const JbRef *ref)
{
	return ref->type == JENTRY_ISCONTAINER &&
		JsonContainerIsArray((const JsonbContainer *) ref->p);
}

extern const char *avro_jb_kind(const JbRef *ref);
extern void avro_jb_write(JbWriter *w, const AvroNode *node,
						  const JbRef *value, const AvroPath *path);
extern void avro_jb_write_union(JbWriter *w, const AvroNode *node,
								const JbRef *value, const AvroPath *path);

/* Order of keys in a jsonb object. */
static inline int
jb_compare_keys(const char *a, int a_len, const char *b, int b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

#endif							/* OUTBOX_AVRO_PG_JSONB_H */
