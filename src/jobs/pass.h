/*-------------------------------------------------------------------------
 *
 * pass.h
 *		A table without a key, read in one go.
 *
 * The cursor of such a chunk is u32 0 where that of others has the oid of a
 * table, u32 number of the pass, u64 rows read in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PASS_H
#define OUTBOX_PASS_H

#include "postgres.h"

#include "jobs/chunk.h"
#include "nodes/pg_list.h"

/* Relay and reader: the pass that a snapshot's cursor is of, 0 = none. */
extern uint32 outbox_pass_of_cursor(const char *cursor, int32 len);

/*
 * Reader: go on with the pass that the cursor names, if it is the one under way,
 * else begin another.  leaves: the tables to read.  The transaction stays open
 * for as long as outbox_pass_is_open().
 */
extern void outbox_pass_read(const OutboxChunkRequest *request, List *leaves,
							 OutboxChunkHead *head, StringInfo rows);
extern bool outbox_pass_is_open(void);

/* The transaction was rolled back. */
extern void outbox_pass_forget(void);

#endif							/* OUTBOX_PASS_H */
