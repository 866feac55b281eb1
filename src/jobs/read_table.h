/*-------------------------------------------------------------------------
 *
 * read_table.h
 *		One chunk of a captured table, read and encoded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_READ_TABLE_H
#define OUTBOX_READ_TABLE_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "jobs/chunk.h"
#include "rowcodec/rowcodec.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

/*
 * Reader: in a transaction of the caller's, who calls nothing else in it.  Sets
 * the chunk's head and appends its rows.  Throws what reading and encoding
 * throw.
 */
extern void outbox_read_chunk(const OutboxChunkRequest *request,
							  OutboxChunkHead *head, StringInfo rows);

/* For pass.c: where rows go, and the cursor behind the present one. */
typedef struct OutboxRowSink
{
	StringInfo	rows;
	uint32		nrows;
	const StringInfoData *cursor;
} OutboxRowSink;

extern Relation outbox_read_open(Oid relation); /* ACCESS SHARE, or error */
extern OutboxCapture *outbox_read_capture(Oid relation, const char *filter,
										  uint64 *stamp);
extern void outbox_read_describe(Snapshot snapshot, OutboxSeen *seen);
extern XLogRecPtr outbox_read_barrier(void);
extern void outbox_read_encode(OutboxRowCodec *codec, TupleTableSlot *slot,
							   OutboxRowSink *sink);

#endif							/* OUTBOX_READ_TABLE_H */
