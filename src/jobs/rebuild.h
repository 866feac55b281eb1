/*-------------------------------------------------------------------------
 *
 * rebuild.h
 *		rebuild_topic(): a snapshot, then tombstones of keys that are gone.
 *
 * The cursor of such a job is u8 phase, u32 n, n x u64 offset: the line; then,
 * while rows are read, the cursor of a snapshot, and while keys are looked for,
 * u64 hash of the first one.  Empty: the line is not known yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REBUILD_H
#define OUTBOX_REBUILD_H

#include "postgres.h"

#include "jobs/chunk.h"

#define OUTBOX_REBUILD_KEYS	10000	/* of a chunk */

/* The cursor of the snapshot in it; NULL when there is none. */
extern const char *outbox_rebuild_inner(const char *topic, const char *cursor,
										int32 len, int32 *inner_len);

/* Relay: whether a request with this cursor is about keys that are gone. */
extern bool outbox_rebuild_seeks_gone(const char *topic, const char *cursor,
									  int32 len);

/*
 * Reader: the part of a request that waits for Kafka, outside a transaction;
 * then the answer, in one, as outbox_read_chunk().
 */
extern void outbox_rebuild_ask_kafka(const OutboxChunkRequest *request);
extern void outbox_rebuild_read(const OutboxChunkRequest *request,
								OutboxChunkHead *head, StringInfo rows);

extern int	outbox_rebuild_memory;	/* kB */

#endif							/* OUTBOX_REBUILD_H */
