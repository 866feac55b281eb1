/*-------------------------------------------------------------------------
 *
 * eventlog.h
 *		The event log: blocks of committed messages in the table outbox.log.
 *
 * Written by a process of its own (writer.c), read by whoever wants events
 * again.  Bodies of blocks are described in record/log_block.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EVENTLOG_H
#define OUTBOX_EVENTLOG_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

/*
 * A place in the stream: every commit <= lsn, and so many messages of the
 * transaction that comes next.
 */
typedef struct OutboxLogPlace
{
	XLogRecPtr	lsn;
	uint64		part;
} OutboxLogPlace;

/* How many events of a route a block has. */
typedef struct OutboxLogCount
{
	uint32		route_id;
	uint32		events;
	uint32		bytes;			/* of their records */
} OutboxLogCount;

/* A row of outbox.log, without its body. */
typedef struct OutboxLogRow
{
	int64		id;
	OutboxLogPlace from;
	OutboxLogPlace to;
	XLogRecPtr	restart;		/* where WAL is to be read from to go on */
	XLogRecPtr	commit_start;	/* last commit record <= to, 0 = none seen */
	uint32		commit_crc;
	TimestampTz first_commit;	/* 0 = no messages */
	TimestampTz last_commit;
	uint32		transactions;
	uint32		events;
	uint64		left_out;
	uint32		raw_bytes;
	TimestampTz expires_at;
	int			ncounts;		/* written, but not read back */
	OutboxLogCount *counts;
} OutboxLogRow;

/*
 * store.c, rows.c; the caller is in a transaction.  No privilege is checked, nothing of
 * the database's is run.
 */

/* The newest row; false when there is none. */
extern bool outbox_log_last(OutboxLogRow *row);

/* Add a row; when it takes the place of the last one, which is empty, drop that. */
extern void outbox_log_insert(const OutboxLogRow *row, const StringInfoData *body,
							  bool replaces_last);

/* Visits rows whose end is at or after lsn, oldest first, until told to stop. */
typedef bool (*OutboxLogVisit) (void *arg, const OutboxLogRow *row);
extern void outbox_log_visit(XLogRecPtr lsn, OutboxLogVisit visit, void *arg);

/*
 * Read the first row that has something behind place; body is palloc'd.  False
 * when there is none.
 */
extern bool outbox_log_read(const OutboxLogPlace *place, OutboxLogRow *row,
							bytea **body);

/*
 * Delete up to max rows that have expired and are wholly published (end <=
 * published), but not row "keep"; returns how many.  Notes in
 * outbox.log_dropped how far each route's events are gone.
 */
extern int	outbox_log_expire(XLogRecPtr published, int64 keep, int max);

/* writer.c */
extern PGDLLEXPORT void outbox_log_writer_main(Datum arg);

#endif							/* OUTBOX_EVENTLOG_H */
