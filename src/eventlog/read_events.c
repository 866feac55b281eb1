/*-------------------------------------------------------------------------
 *
 * read_events.c
 *		Events of the event log for a query: filtered, complete, in commit order.
 *
 * Blocks come in the order in which they were written, from the first that can
 * have what is asked for; a block all of which lies outside
 * of the bounds, or which has no event of a route that is asked for, is not
 * decompressed.  An event id of version 7 is such a bound, too: an event is
 * committed after its id was made, but for a clock that was set back meanwhile;
 * CLOCK_SLACK is allowed for that.
 *
 * A row of a captured table is completed as it was published, but for the
 * counts of transaction metadata, which are null here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "eventlog/reader.h"
#include "miscadmin.h"
#include "rowcodec/tail.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define EPOCH_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
#define CLOCK_SLACK (INT64CONST(3600) * USECS_PER_SEC)

struct OutboxLogEvents
{
	OutboxLogFilter filter;
	TimestampTz floor;			/* no event asked for was committed before */
	bool		has_floor;
	MemoryContext context;		/* of the whole */
	MemoryContext block_context;
	OutboxReadable *readable;
	OutboxLogScan scan;
	OutboxLogRow row;			/* of the block being read */
	bool		open;			/* reader is in a block */
	OutboxLogReader reader;
	uint32		index;			/* messages of the block that were read */
	StringInfoData payload;		/* of a captured row */
};

/* Time in an id of version 7; false for another. */
static bool
time_of_id(const uint8 *id, TimestampTz *time)
{
	int64		ms = 0;

	if ((id[6] & 0xF0) != 0x70)
		return false;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id[i];
	*time = ms * 1000 - EPOCH_US;
	return true;
}

static void
set_floor(OutboxLogEvents *events)
{
	const OutboxLogFilter *filter = &events->filter;
	TimestampTz made;

	events->has_floor = filter->has_from;
	events->floor = filter->from;
	if (filter->id == NULL || !time_of_id(filter->id, &made))
		return;
	made -= CLOCK_SLACK;
	if (!events->has_floor || made > events->floor)
		events->floor = made;
	events->has_floor = true;
}

/*
 * The first block that can have an event that is asked for.  Commit times do not
 * rise quite as commits do, so it need not be the first by its last commit.
 */
static int64
first_block(const OutboxLogEvents *events)
{
	int64		first = events->filter.after_block;
	OutboxLogScan scan;
	OutboxLogRow row;
	ScanKeyData key;

	if (first > 0 || !events->has_floor)
		return first;
	ScanKeyInit(&key, Anum_log_last_commit, BTGreaterEqualStrategyNumber,
				F_TIMESTAMPTZ_GE, TimestampTzGetDatum(events->floor));
	outbox_log_scan_begin(&scan, OUTBOX_LOG_TIME_INDEX, GetActiveSnapshot(), 1,
						  &key);
	first = PG_INT64_MAX;
	while (outbox_log_scan_next(&scan, &row) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		first = Min(first, row.id);
	}
	outbox_log_scan_end(&scan);
	return first;
}

/* By their numbers, which rise as their places do. */
static void
begin_scan(OutboxLogEvents *events)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_log_id, BTGreaterEqualStrategyNumber, F_INT8GE,
				Int64GetDatum(first_block(events)));
	outbox_log_scan_begin(&events->scan, OUTBOX_LOG_ID_INDEX,
						  GetActiveSnapshot(), 1, &key);
}

OutboxLogEvents *
outbox_log_events_begin(const OutboxLogFilter *filter, Oid role)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox log events",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxLogEvents *events = palloc0(sizeof(OutboxLogEvents));

	events->context = context;
	events->block_context = AllocSetContextCreate(context, "outbox log block",
												  ALLOCSET_DEFAULT_SIZES);
	events->filter = *filter;
	events->readable = outbox_readable_create(role);
	initStringInfo(&events->payload);
	set_floor(events);
	begin_scan(events);
	MemoryContextSwitchTo(old);
	return events;
}

void
outbox_log_events_end(OutboxLogEvents *events)
{
	outbox_log_scan_end(&events->scan);
	MemoryContextDelete(events->context);
}

static OutboxReadableRoute *
find_route(OutboxLogEvents *events, uint32 route_id)
{
	MemoryContext old = MemoryContextSwitchTo(events->context);
	OutboxReadableRoute *route = outbox_readable_find(events->readable,
													  route_id);

	MemoryContextSwitchTo(old);
	return route;
}

static bool
is_wanted(const OutboxLogFilter *filter, const char *event_type)
{
	ListCell   *lc;

	if (filter->event_type != NULL &&
		strcmp(event_type, filter->event_type) != 0)
		return false;
	foreach(lc, filter->event_types)
	{
		if (strcmp(event_type, lfirst(lc)) == 0)
			return true;
	}
	return filter->event_types == NIL;
}

static bool
wants_route(OutboxLogEvents *events, uint32 route_id)
{
	OutboxReadableRoute *route = find_route(events, route_id);

	return route->allowed &&
		is_wanted(&events->filter, route->route.event_type);
}

static bool
may_have_any(OutboxLogEvents *events, HeapTuple tuple)
{
	const OutboxLogFilter *filter = &events->filter;
	const OutboxLogRow *row = &events->row;
	ArrayType  *routes;
	bool		isnull;
	int			n;

	if (row->events == 0 || (filter->has_from && row->last_commit < filter->from) ||
		(filter->has_to && row->first_commit > filter->to))
		return false;
	routes = DatumGetArrayTypePCopy(heap_getattr(tuple, Anum_log_routes,
												 RelationGetDescr(events->scan.rel),
												 &isnull));
	n = ArrayGetNItems(ARR_NDIM(routes), ARR_DIMS(routes));
	for (int i = 0; i < n; i++)
	{
		if (wants_route(events, ((uint32 *) ARR_DATA_PTR(routes))[i]))
			return true;
	}
	return false;
}

static void
throw_damaged(const OutboxLogEvents *events)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("block " INT64_FORMAT " of the event log is damaged",
					events->row.id),
			 errhint("Delete it from outbox.log; what it holds cannot be read.")));
}

/* Open the next block that may have an event; false at the end. */
static bool
open_block(OutboxLogEvents *events)
{
	MemoryContext old = MemoryContextSwitchTo(events->context);
	HeapTuple	tuple = NULL;
	bool		found = false;

	while (!found && !events->filter.nothing)
	{
		CHECK_FOR_INTERRUPTS();
		/* The scan keeps memory of its own in the current context. */
		MemoryContextSwitchTo(events->context);
		tuple = outbox_log_scan_next(&events->scan, &events->row);
		if (tuple == NULL)
			break;
		MemoryContextReset(events->block_context);
		MemoryContextSwitchTo(events->block_context);
		found = may_have_any(events, tuple);
	}
	if (found)
	{
		bytea	   *body = outbox_log_scan_body(&events->scan, tuple);

		if (!outbox_log_reader_init(&events->reader, VARDATA(body),
									VARSIZE(body) - VARHDRSZ))
			throw_damaged(events);
		events->open = true;
		events->index = 0;
	}
	MemoryContextSwitchTo(old);
	return found;
}

static bool
matches(OutboxLogEvents *events)
{
	const OutboxLogFilter *filter = &events->filter;
	const OutboxWalMessage *msg = &events->reader.msg;
	TimestampTz at = events->reader.txn.commit_time;

	return (!filter->has_from || at >= filter->from) &&
		(!filter->has_to || at <= filter->to) &&
		(filter->id == NULL ||
		 memcmp(msg->event_id, filter->id, OUTBOX_EVENT_ID_SIZE) == 0) &&
		(filter->key == NULL ||
		 (msg->key != NULL && msg->key_len == filter->key_len &&
		  memcmp(msg->key, filter->key, filter->key_len) == 0)) &&
		wants_route(events, msg->route_id);
}

static void
complete(OutboxLogEvents *events, OutboxLogEvent *event)
{
	const OutboxLogTxn *txn = event->txn;
	OutboxChangeTail tail = {
		.commit_time_us = txn->commit_time + EPOCH_US,
		.lsn = event->lsn,
		.xid = txn->full_xid,
		.commit_lsn = txn->commit_end
	};

	if ((event->msg->flags & OUTBOX_MSG_TAIL) == 0 || event->payload == NULL)
		return;
	resetStringInfo(&events->payload);
	appendBinaryStringInfo(&events->payload, event->payload,
						   event->payload_len);
	outbox_change_tail(&events->payload, event->route->envelope,
					   event->route->format, &tail);
	event->payload = events->payload.data;
	event->payload_len = events->payload.len;
}

static void
set_event(OutboxLogEvents *events, OutboxLogEvent *event)
{
	const OutboxLogReader *reader = &events->reader;

	event->block = events->row.id;
	event->index = events->index;
	event->txn = &reader->txn;
	event->msg = &reader->msg;
	event->lsn = reader->lsn;
	event->route = &find_route(events, reader->msg.route_id)->route;
	event->payload = reader->msg.payload;
	event->payload_len = reader->msg.payload_len;
	complete(events, event);
}

static bool
is_before_place(const OutboxLogEvents *events)
{
	const OutboxLogFilter *filter = &events->filter;

	return events->row.id < filter->after_block ||
		(events->row.id == filter->after_block &&
		 events->index <= filter->after_index);
}

bool
outbox_log_events_next(OutboxLogEvents *events, OutboxLogEvent *event)
{
	for (;;)
	{
		if (!events->open && !open_block(events))
			return false;
		switch (outbox_log_reader_next(&events->reader))
		{
			case OUTBOX_LOG_DONE:
				events->open = false;
				break;
			case OUTBOX_LOG_DAMAGED:
				throw_damaged(events);
				break;
			case OUTBOX_LOG_MESSAGE:
				events->index++;
				if (is_before_place(events) || !matches(events))
					break;
				set_event(events, event);
				return true;
			default:
				break;
		}
	}
}

uint64
outbox_log_events_estimate(const OutboxLogFilter *filter, Oid role)
{
	OutboxLogEvents *events = outbox_log_events_begin(filter, role);
	MemoryContext old = MemoryContextSwitchTo(events->context);
	HeapTuple	tuple;
	uint64		n = 0;

	while ((tuple = outbox_log_scan_next(&events->scan, &events->row)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (may_have_any(events, tuple))
			n += events->row.events;
	}
	MemoryContextSwitchTo(old);
	outbox_log_events_end(events);
	return n;
}

bool
outbox_log_was_dropped(const OutboxLogFilter *filter, Oid role,
					   XLogRecPtr after, TimestampTz *until)
{
	OutboxReadable *readable = outbox_readable_create(role);
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	bool		dropped = false;

	outbox_catalog_scan_begin(&scan, "log_dropped", NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		bool		isnull;
		uint32		route_id = DatumGetInt32(outbox_catalog_attr(&scan, tuple, 1,
																 &isnull));
		XLogRecPtr	to = DatumGetLSN(outbox_catalog_attr(&scan, tuple, 2,
														 &isnull));
		TimestampTz last = DatumGetTimestampTz(outbox_catalog_attr(&scan, tuple,
																   3, &isnull));

		if (to <= after || (filter->has_from && last < filter->from) ||
			!is_wanted(filter,
					   outbox_readable_find(readable, route_id)->route.event_type))
			continue;
		*until = dropped ? Max(*until, last) : last;
		dropped = true;
	}
	outbox_catalog_scan_end(&scan);
	return dropped;
}
