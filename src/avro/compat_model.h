/*-------------------------------------------------------------------------
 *
 * compat_model.h
 *		What the files compat*.c share; private to them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_COMPAT_MODEL_H
#define OUTBOX_AVRO_COMPAT_MODEL_H

#include "avro/compat.h"
#include "avro/model.h"

/* A pair of records still to be compared. */
typedef struct CompatPair
{
	const AvroNode *reader;
	const AvroNode *writer;
	const AvroPath *path;		/* where it was first met */
} CompatPair;

/* Frames of the paths above, so that they outlive the C stack. */
typedef struct CompatFrame
{
	AvroPath	path;
	struct CompatFrame *next;
} CompatFrame;

typedef struct CompatWalk
{
	const OutboxAvroSchema *reader;
	const OutboxAvroSchema *writer;
	OutboxCompatViolations *list;
	int			version;		/* stamped on each violation */
	OutboxCompatDirection direction;

	CompatPair *queue;			/* every pair once, in the order met */
	int			queued;
	int			queue_space;
	uint64	   *seen;			/* hash of the queued pairs, 0: free */
	uint32		seen_size;		/* a power of two */
	const AvroPath *base;		/* path of the pair in work */
	CompatFrame *frames;
} CompatWalk;

/* The named types of a schema, by full name. */
typedef struct CompatNames
{
	const AvroNode **nodes;
	int			count;
	int			space;
	bool		aliases;		/* any of them has one */
	bool		field_aliases;	/* any field of a record has one */
} CompatNames;

/* compat.c */
extern OutboxCompatViolations *avro_compat_list(void);
extern void avro_compat_violation(CompatWalk *w, const char *rule,
								  const AvroPath *path, const char *reader,
								  const char *writer, const char *fmt,...)
			pg_attribute_printf(6, 7);

/* compat_walk.c */
extern void avro_compat_walk(CompatWalk *w);
extern void avro_compat_nodes(CompatWalk *w, const AvroNode *reader,
							  const AvroNode *writer, const AvroPath *path);

/* ... whether this pair of records has been met */
extern bool avro_compat_seen(const CompatWalk *w, const AvroNode *reader,
							 const AvroNode *writer);

/* compat_names.c */
extern bool avro_compat_same_name(const AvroNode *reader,
								  const AvroNode *writer);
extern bool avro_compat_same_fullname(const AvroNode *reader,
									  const AvroNode *writer);
extern void avro_compat_collect(CompatNames *names,
								const OutboxAvroSchema *schema);
extern const AvroNode *avro_compat_find(const CompatNames *names,
										const char *fullname);

/* compat_alias.c */
extern void avro_compat_aliases(CompatWalk *w);

/* compat_record.c */
extern void avro_compat_fields(CompatWalk *w, const AvroNode *reader,
							   const AvroNode *writer, const AvroPath *path);

/* compat_text.c: a part of a schema in a few words; palloc'd */
extern char *avro_compat_part(const AvroNode *node);
extern char *avro_compat_field_part(const AvroField *field);
extern const char *avro_compat_logical(const AvroNode *node);

#endif							/* OUTBOX_AVRO_COMPAT_MODEL_H */
