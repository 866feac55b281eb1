/*-------------------------------------------------------------------------
 *
 * rowcodec.h
 *		A captured table's row -> key and value of its messages.
 *
 * For triggers, the decoder and snapshots alike: whoever has a tuple and knows
 * what happened to it.  Works in any context in which the catalogs can be read,
 * also under a historic snapshot; runs output functions of column types (which
 * only superusers can create) and built-in functions of a row filter, nothing
 * else of a user's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ROWCODEC_H
#define OUTBOX_ROWCODEC_H

#include "postgres.h"

#include "access/htup.h"
#include "access/transam.h"
#include "avro/pg_avro.h"
#include "catalog/capture_def.h"
#include "nodes/bitmapset.h"
#include "record/wal_message.h"
#include "utils/rel.h"

/*
 * One capture under one tuple descriptor.  Lives in the context it was made in
 * and keeps what it needs of capture, which must live as long; rel is not kept
 * open.  To be made anew when the capture's row or the table changes (catalog
 * generation, relcache invalidation).  Not to be used by two at once.
 */
typedef struct OutboxRowCodec OutboxRowCodec;

/*
 * rel is the captured table, or a partition that the capture stands for.  Error
 * when the stored schema does not fit the table (event triggers were disabled).
 */
extern OutboxRowCodec *outbox_rowcodec_make(const OutboxCapture *capture,
											Relation rel);

typedef enum OutboxChangeOp
{
	OUTBOX_OP_CREATE = 'c',
	OUTBOX_OP_UPDATE = 'u',
	OUTBOX_OP_DELETE = 'd',
	OUTBOX_OP_TRUNCATE = 't',
	OUTBOX_OP_READ = 'r'		/* snapshot */
} OutboxChangeOp;

typedef struct OutboxChange
{
	OutboxChangeOp op;
	HeapTuple	before;			/* NULL = not known */
	HeapTuple	after;			/* NULL = none */
	bool		before_key_only;	/* only replica identity columns are set */
	const Bitmapset *unchanged; /* attnums (from 1) of after whose value is an
								 * unchanged TOAST pointer that cannot be
								 * fetched; NULL = none */
	FullTransactionId xid;		/* top level */
} OutboxChange;

/*
 * One message: kind, flags, route_id, schema_id, partition -1, key, headers and
 * payload are set; event id, ordinal, key id and MAC are the caller's.  What it
 * points to is valid until the sink returns.
 */
typedef void (*OutboxChangeSink) (void *arg, OutboxWalMessage *msg);

/* Hand the messages of one change to the sink: none, one, two or three. */
extern void outbox_rowcodec_change(OutboxRowCodec *codec,
								   const OutboxChange *change,
								   OutboxChangeSink sink, void *arg);

/* The codec's columns of the key, names in order; NIL = messages have none. */
extern List *outbox_rowcodec_key_columns(const OutboxCapture *capture,
										 Relation rel);

/*
 * Schemas of a capture, rendered, palloc'd; rel is the captured table itself.
 * before is the schema until now, whose aliases are kept, rename what has just
 * been renamed; both may be NULL.  Of the capture only what is set at that time
 * counts: no ids are needed, but route.topic is.
 */
extern char *outbox_rowcodec_value_schema(const OutboxCapture *capture,
										  Relation rel, const char *before,
										  const OutboxAvroRename *rename);

/* NULL when the key is no Avro record. */
extern char *outbox_rowcodec_key_schema(const OutboxCapture *capture,
										Relation rel, const char *before,
										const OutboxAvroRename *rename);

/*
 * Checks at capture time, throwing: columns exist and have distinct Avro names,
 * key columns are among them, masks and row filter are good for this table.
 */
extern void outbox_rowcodec_check(const OutboxCapture *capture, Relation rel);

/* Names of the columns that a row filter reads, in no order. */
extern List *outbox_rowcodec_filter_columns(const OutboxCapture *capture,
											Relation rel);

#endif							/* OUTBOX_ROWCODEC_H */
