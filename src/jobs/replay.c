/*-------------------------------------------------------------------------
 *
 * replay.c
 *		outbox.replay(): what a reader reads of the event log.
 *
 * A replay is a job as a snapshot is (run.c): chunks are read ahead, and sent by
 * the relay between two transactions of the stream, with the cursor in the same
 * Kafka transaction; so each event is published again once, whatever is killed.
 * Its rows are the events of the log, in the order of their commits, under
 * their own ids, with their own times, and with one header more:
 *
 *	outbox.replay	number of the job
 *
 * An event is not sent before the stream has carried it (H is its commit).
 *
 * The range is fixed when the replay is asked for.  What retention drops of it
 * before it was read ends the job with an error: a replay that lacks something
 * must not look like a whole one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/pg_type.h"
#include "eventlog/reader.h"
#include "fmgr.h"
#include "jobs/replay.h"
#include "miscadmin.h"
#include "record/wal_message.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define HEADER "outbox.replay"

/* Columns of outbox.replay_job, in the order of catalog.sql. */
enum
{
	Anum_replay_job_id = 1,
	Anum_replay_from_time,
	Anum_replay_to_time,
	Anum_replay_types,
	Anum_replay_key,
	Anum_replay_topic
};

#define TABLE "replay_job"
#define INDEX "replay_job_pkey"

typedef struct Cursor
{
	int64		block;
	uint32		index;
	XLogRecPtr	commit_lsn;
} Cursor;

static List *
read_types(Datum array)
{
	Datum	   *elements;
	int			n;
	List	   *types = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		types = lappend(types, TextDatumGetCString(elements[i]));
	return types;
}

/* The job's row, as a filter; *topic NULL: where each was published. */
static void
read_job(int64 id, OutboxLogFilter *filter, char **topic)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	Datum		types;
	bool		isnull;

	memset(filter, 0, sizeof(*filter));
	ScanKeyInit(&key, Anum_replay_job_id, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(id));
	outbox_catalog_scan_begin(&scan, TABLE, INDEX, 1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("replay " INT64_FORMAT " is not in outbox.replay_job",
						id)));
	filter->has_from = filter->has_to = true;
	filter->from = DatumGetTimestampTz(outbox_catalog_attr(&scan, tuple,
														   Anum_replay_from_time,
														   &isnull));
	filter->to = DatumGetTimestampTz(outbox_catalog_attr(&scan, tuple,
														 Anum_replay_to_time,
														 &isnull));
	types = outbox_catalog_attr(&scan, tuple, Anum_replay_types, &isnull);
	if (!isnull)
		filter->event_types = read_types(types);
	filter->key = outbox_catalog_text(&scan, tuple, Anum_replay_key);
	filter->key_len = filter->key == NULL ? 0 : strlen(filter->key);
	*topic = outbox_catalog_text(&scan, tuple, Anum_replay_topic);
	outbox_catalog_scan_end(&scan);
}

static Cursor
read_cursor(const OutboxChunkRequest *request)
{
	Cursor		cursor = {0};
	OutboxCursor c;

	if (request->cursor == NULL)
		return cursor;
	outbox_cursor_init(&c, request->cursor, request->cursor_len);
	cursor.block = (int64) outbox_get_u64(&c);
	cursor.index = outbox_get_u32(&c);
	cursor.commit_lsn = outbox_get_u64(&c);
	return cursor;
}

static void
put_cursor(StringInfo out, const Cursor *cursor)
{
	resetStringInfo(out);
	outbox_put_u64(out, (uint64) cursor->block);
	outbox_put_u32(out, cursor->index);
	outbox_put_u64(out, cursor->commit_lsn);
}

static void
check_range(const OutboxLogFilter *filter, XLogRecPtr after)
{
	TimestampTz until;

	if (outbox_log_was_dropped(filter, GetUserId(), after, &until))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("events committed up to %s are not in the event log any more",
						timestamptz_to_str(until)),
				 errhint("Replay from a later time; outbox.log_retention says how long events are kept.")));
}

/* The event's headers and ours. */
static void
put_headers(StringInfo out, const OutboxWalMessage *msg, int64 job)
{
	int32		offset = 0;
	OutboxHeader header;
	char		number[32];

	outbox_headers_begin(out);
	while (msg->headers != NULL &&
		   outbox_headers_next(msg->headers, msg->headers_len, &offset,
							   &header))
		(void) outbox_headers_add(out, header.name, header.name_len,
								  header.value, header.value_len);
	snprintf(number, sizeof(number), INT64_FORMAT, job);
	(void) outbox_headers_add(out, HEADER, strlen(HEADER), number,
							  strlen(number));
}

static int64
unix_ms(TimestampTz t)
{
	return t / 1000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

static void
put_event(StringInfo rows, const OutboxLogEvent *event, const char *topic,
		  StringInfo headers, StringInfo cursor)
{
	OutboxChunkRow row = {.msg = *event->msg};

	row.msg.flags &= ~OUTBOX_MSG_TAIL;
	row.msg.payload = event->payload;
	row.msg.payload_len = event->payload_len;
	row.msg.headers = headers->data;
	row.msg.headers_len = headers->len;
	if (row.msg.timestamp_ms == 0)
		row.msg.timestamp_ms = unix_ms(event->txn->commit_time);
	if (topic != NULL)
	{
		row.msg.topic = topic;
		row.msg.topic_len = strlen(topic);
	}
	row.cursor = cursor->data;
	row.cursor_len = cursor->len;
	outbox_chunk_put_row(rows, &row);
}

void
outbox_replay_read(const OutboxChunkRequest *request, OutboxChunkHead *head,
				   StringInfo rows)
{
	OutboxLogFilter filter;
	OutboxLogEvents *events;
	OutboxLogEvent event;
	StringInfoData cursor,
				headers;
	Cursor		place;
	char	   *topic;

	initStringInfo(&cursor);
	initStringInfo(&headers);
	memset(head, 0, sizeof(*head));
	head->number = request->number;
	head->read_at = GetCurrentTimestamp();
	PushActiveSnapshot(GetTransactionSnapshot());
	read_job(request->replay, &filter, &topic);
	place = read_cursor(request);
	check_range(&filter, place.commit_lsn);
	if (request->cursor == NULL)
		head->estimate = outbox_log_events_estimate(&filter, GetUserId());
	filter.after_block = place.block;
	filter.after_index = place.index;
	head->finished = true;
	events = outbox_log_events_begin(&filter, GetUserId());
	while (outbox_log_events_next(events, &event))
	{
		if (head->nrows == request->max_rows || rows->len >= OUTBOX_CHUNK_BYTES)
		{
			head->finished = false;
			break;
		}
		place.block = event.block;
		place.index = event.index;
		place.commit_lsn = event.txn->commit_end;
		put_cursor(&cursor, &place);
		resetStringInfo(&headers);
		put_headers(&headers, event.msg, request->replay);
		put_event(rows, &event, topic, &headers, &cursor);
		head->nrows++;
	}
	outbox_log_events_end(events);
	PopActiveSnapshot();
	head->until = place.commit_lsn;
	put_cursor(&cursor, &place);
	head->cursor = cursor.data;
	head->cursor_len = cursor.len;
}
