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
	bool		nothing;		/* the conditions exclude each other */
} OutboxLogFilter;

typedef struct OutboxLogEvent
{
	int64		block;			/* outbox.log.id */
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

/* header_block.c: a header block (bytea) as a jsonb object; SQL-callable. */
extern PGDLLEXPORT Datum outbox_header_block_json(PG_FUNCTION_ARGS);

#endif							/* OUTBOX_LOG_READER_H */
