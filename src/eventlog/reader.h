/*-------------------------------------------------------------------------
 *
 * reader.h
 *		Events of the event log, one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOG_READER_H
#define OUTBOX_LOG_READER_H

#include "postgres.h"

#include "catalog/catalog.h"
#include "eventlog/rows.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "record/log_block.h"

/* readable.c */
typedef struct OutboxReadable OutboxReadable;

typedef struct OutboxReadableRoute
{
	uint32		id;				/* hash key */
	bool		allowed;		/* the role may read its events */
	OutboxRoute route;
} OutboxReadableRoute;

/* For one role, in CurrentMemoryContext, which must live as long. */
extern OutboxReadable *outbox_readable_create(Oid role);
extern OutboxReadableRoute *outbox_readable_find(OutboxReadable *readable,
												 uint32 route_id);

/* read_events.c */

/* What is asked for; a block that cannot have any is not opened. */
typedef struct OutboxLogFilter
{
	bool		has_from;
	TimestampTz from;			/* commit time, inclusive */
	bool		has_to;
	TimestampTz to;				/* the same */
	const uint8 *id;			/* NULL = any */
	const char *key;			/* NULL = any */
	int			key_len;
	const char *event_type;		/* NULL = any */
	List	   *event_types;	/* of char *; NIL = any */
	int64		after_block;	/* only what comes behind this place: block, and */
	uint32		after_index;	/* messages in it; 0 = none */
	bool		nothing;		/* the conditions exclude each other */
} OutboxLogFilter;

typedef struct OutboxLogEvent
{
	int64		block;			/* outbox.log.id */
	uint32		index;			/* of the message in it, from 1 */
	const OutboxLogTxn *txn;
	const OutboxWalMessage *msg;
	XLogRecPtr	lsn;
	const OutboxRoute *route;
	/* payload, complete, without any frame; NULL = null */
	const char *payload;
	int			payload_len;
} OutboxLogEvent;

typedef struct OutboxLogEvents OutboxLogEvents;

/*
 * In commit order.  Lives in a context below the current one until end; what
 * next returns is valid until the next call.  An active snapshot is needed; it
 * is also what is looked at.
 */
extern OutboxLogEvents *outbox_log_events_begin(const OutboxLogFilter *filter,
												Oid role);
extern bool outbox_log_events_next(OutboxLogEvents *events,
								   OutboxLogEvent *event);
extern void outbox_log_events_end(OutboxLogEvents *events);

/*
 * How many they are at most: blocks' counts of the types, without a look at
 * what is in them.
 */
extern uint64 outbox_log_events_estimate(const OutboxLogFilter *filter,
										 Oid role);

/*
 * Whether retention has dropped events of the filter's types and time that were
 * committed behind "after"; up to which commit time then.
 */
extern bool outbox_log_was_dropped(const OutboxLogFilter *filter, Oid role,
								   XLogRecPtr after, TimestampTz *until);

/* header_block.c: a header block (bytea) as a jsonb object; SQL-callable. */
extern PGDLLEXPORT Datum outbox_header_block_json(PG_FUNCTION_ARGS);

#endif							/* OUTBOX_LOG_READER_H */
