/*-------------------------------------------------------------------------
 *
 * writer.h
 *		What the files of the log writer share: one writer per process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOG_WRITER_H
#define OUTBOX_LOG_WRITER_H

#include "postgres.h"

#include "catalog/catalog.h"
#include "eventlog/eventlog.h"
#include "source/source.h"
#include "state/state.h"

/* A block that was written, and where WAL has to be read from behind it. */
typedef struct OutboxLogMark
{
	XLogRecPtr	commit;			/* end of the transaction that wrote it */
	XLogRecPtr	to;				/* what it covers */
	XLogRecPtr	restart;
} OutboxLogMark;

typedef struct OutboxLogWriter
{
	OutboxSink	sink;			/* must be first */
	OutboxRelayEntry *entry;
	OutboxInstance instance;
	OutboxSource *source;
	MemoryContext context;		/* of one write */

	OutboxLogRow last;			/* newest row, id 0 = none */
	OutboxLogRow row;			/* being filled */
	StringInfoData body;
	int			counts_size;	/* of row.counts */
	int64		first_event_ms; /* monotonic, of row */
	bool		cut;			/* inside a transaction */
	uint64		resume_part;	/* messages of the first transaction to come
								 * that are in the log */

	/* the transaction being pushed */
	FullTransactionId full_xid;
	uint32		last_ordinal;
	uint64		seen;			/* messages of it */
	uint64		skip;			/* of those, in blocks of a process before */
	bool		begun;			/* it has an item in the open block */
	bool		has_items;		/* or in one before */
	uint32		left_out;		/* in a row, not yet an item */
	uint32		forged;			/* the same */

	OutboxLogMark awaited;		/* to be flushed; commit 0 = none */
	OutboxLogMark newest;
} OutboxLogWriter;

/* writer.c: the only place where it sleeps */
extern void outbox_log_rest(OutboxLogWriter *writer, int timeout_ms);

/* Note why a write failed, or (NULL) that it is over. */
extern void outbox_log_note(OutboxLogWriter *writer, const OutboxResult *why);

/* sink.c */
extern void outbox_log_sink_init(OutboxLogWriter *writer);

/*
 * Write what is open, whatever it is, as far as the source has come; waits
 * until that is possible.
 */
extern void outbox_log_close_block(OutboxLogWriter *writer);

/* release.c: WAL that the relay can do without */
extern void outbox_log_release_init(OutboxLogWriter *writer);
extern void outbox_log_release_note(const OutboxLogRow *row,
									XLogRecPtr restart_before);
extern void outbox_log_release_share(OutboxLogWriter *writer,
									 XLogRecPtr durable_restart);

#endif							/* OUTBOX_LOG_WRITER_H */
