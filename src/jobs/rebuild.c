/*-------------------------------------------------------------------------
 *
 * rebuild.c
 *		rebuild_topic(): a snapshot, then tombstones of keys that are gone.
 *
 *	1 the line: where each partition of the topic ends, before the first chunk
 *	  is asked for.  An empty chunk brings it
 *	2 a snapshot of all rows, as any other (run.c)
 *	3 keys whose last record in front of the line has a value and which have no
 *	  record behind it get a tombstone, in the partition where they were found.
 *	  outbox-kafka reads the topic for that (outbox-kafka/gone.c), in chunks:
 *		a relay: L; from here on changed keys are noted
 *		b relay: waits until all rows, and all changes up to L, are in Kafka
 *		c outbox-kafka: which keys are gone, as of a moment after that
 *		d relay: at whatever boundary X the answer finds it, tombstones of all
 *		  of them but those noted in (L, X], into the open batch, with the cursor
 *
 * A row that is there has a record behind the line: the snapshot has sent it, or
 * left it out because the stream had sent a newer change, after L of its chunk
 * and so behind the line.  So a key without one belongs to no row, unless one
 * came after the moment of (c): then its change is either noted, and no
 * tombstone is sent, or comes after X, behind the tombstone.
 *
 * Keys are told apart without the id of their schema: a row that has got a
 * record under a newer schema is there.
 *
 * All of it is in the cursor, and that in the position record: whatever dies,
 * the next relay goes on with the same line behind the last tombstone that is in
 * Kafka, and none is sent twice.  A topic that was made anew has another line:
 * the job fails.
 *
 * Owns what Kafka has answered to the present request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/capture_def.h"
#include "jobs/gone_link.h"
#include "jobs/read_table.h"
#include "jobs/rebuild.h"
#include "jobs/stamp.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define MAX_PARTITIONS	400		/* whose places fit into a mark */

typedef enum Phase
{
	PHASE_LINE,
	PHASE_ROWS,
	PHASE_GONE
} Phase;

typedef struct Place
{
	Phase		phase;
	const char *line;			/* u32 n, n x u64 */
	int32		line_len;
	const char *inner;
	int32		inner_len;
} Place;

int			outbox_rebuild_memory = 64 * 1024;

static OutboxCursor answer;

bool
outbox_rebuild_seeks_gone(const char *topic, const char *cursor, int32 len)
{
	return topic != NULL && len > 0 && (uint8) cursor[0] == PHASE_GONE;
}

const char *
outbox_rebuild_inner(const char *topic, const char *cursor, int32 len,
					 int32 *inner_len)
{
	OutboxCursor c;

	*inner_len = len;
	if (topic == NULL)
		return cursor;
	outbox_cursor_init(&c, cursor, Max(len, 0));
	if (outbox_get_u8(&c) != PHASE_ROWS)
	{
		*inner_len = 0;
		return NULL;
	}
	(void) outbox_get_raw(&c, outbox_get_u32(&c) * sizeof(uint64));
	*inner_len = (int32) outbox_cursor_left(&c);
	return (const char *) c.p;
}

static void
parse_place(const OutboxChunkRequest *request, Place *place)
{
	OutboxCursor c;
	uint32		n;

	memset(place, 0, sizeof(*place));
	if (request->cursor_len <= 0)
		return;
	outbox_cursor_init(&c, request->cursor, request->cursor_len);
	place->phase = (Phase) outbox_get_u8(&c);
	place->line = (const char *) c.p;
	n = outbox_get_u32(&c);
	place->line_len = sizeof(uint32) + n * sizeof(uint64);
	(void) outbox_get_raw(&c, n * sizeof(uint64));
	place->inner = (const char *) c.p;
	place->inner_len = (int32) outbox_cursor_left(&c);
	if (c.failed || n > MAX_PARTITIONS || place->phase > PHASE_GONE)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the place of a rebuild is damaged")));
}

static void
put_place(StringInfo out, Phase phase, const char *line, int32 line_len)
{
	outbox_put_u8(out, (uint8) phase);
	appendBinaryStringInfo(out, line, line_len);
}

/*
 * Whose topic it is, with its stamp, the older one if it changes meanwhile.
 */
static OutboxCapture *
find_capture(const OutboxChunkRequest *request, uint64 *stamp)
{
	OutboxCapture *capture;

	*stamp = outbox_stamp_capture(request->relation);
	capture = outbox_capture_of_table(request->relation);
	if (capture == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the table is not captured any more")));
	if (strcmp(capture->route.topic, request->topic) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table is captured to topic \"%s\" now",
						capture->route.topic)));
	return capture;
}

/* ---- Kafka's part --------------------------------------------------------- */

static void
ask_gone(const OutboxChunkRequest *request, const Place *place)
{
	StringInfoData body;
	OutboxCursor c;
	uint32		skip;

	outbox_cursor_init(&c, place->inner, place->inner_len);
	skip = outbox_get_u32(&c);
	initStringInfo(&body);
	outbox_put_u32(&body, skip);
	outbox_put_u64(&body, outbox_get_u64(&c));
	outbox_put_u32(&body, Min(request->max_rows, OUTBOX_REBUILD_KEYS));
	appendBinaryStringInfo(&body, place->line, place->line_len);
	outbox_gone_ask(request, OUTBOX_FRAME_GONE, &body, OUTBOX_FRAME_GONE_OK,
					&answer);
}

void
outbox_rebuild_ask_kafka(const OutboxChunkRequest *request)
{
	Place		place;

	parse_place(request, &place);
	if (place.phase == PHASE_LINE)
		outbox_gone_ask(request, OUTBOX_FRAME_ENDS, NULL,
						OUTBOX_FRAME_ENDS_OK, &answer);
	else if (place.phase == PHASE_GONE)
		ask_gone(request, &place);
}

/* ---- chunks --------------------------------------------------------------- */

/* What a chunk without rows of the table says of itself. */
static void
begin_head(const OutboxChunkRequest *request, OutboxChunkHead *head)
{
	memset(head, 0, sizeof(*head));
	head->number = request->number;
	head->seen.xip = palloc(sizeof(TransactionId));	/* it sees nothing */
	head->until = request->place;
	head->read_at = GetCurrentTimestamp();
	head->identity = true;
}

static void
set_cursor(OutboxChunkHead *head, const StringInfoData *cursor)
{
	head->cursor = cursor->data;
	head->cursor_len = cursor->len;
}

static void
read_line(const OutboxChunkRequest *request, OutboxChunkHead *head)
{
	const char *line = (const char *) answer.p;
	int32		line_len = (int32) outbox_cursor_left(&answer);
	uint32		n = outbox_get_u32(&answer);
	StringInfoData cursor;

	begin_head(request, head);
	(void) find_capture(request, &head->capture_stamp);
	if (n > MAX_PARTITIONS)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("topic \"%s\" has %u partitions, more than %d",
						request->topic, n, MAX_PARTITIONS)));
	initStringInfo(&cursor);
	put_place(&cursor, PHASE_ROWS, line, line_len);
	set_cursor(head, &cursor);
}

/* As of a snapshot; behind the last one come the keys. */
static void
read_rows(const OutboxChunkRequest *request, const Place *place,
		  OutboxChunkHead *head, StringInfo rows)
{
	OutboxChunkRequest inner = *request;
	OutboxCapture *capture;
	StringInfoData prefix;
	StringInfoData cursor;
	uint64		stamp;

	inner.cursor = place->inner_len > 0 ? place->inner : NULL;
	inner.cursor_len = place->inner_len;
	outbox_read_chunk(&inner, head, rows);
	capture = find_capture(request, &stamp);

	initStringInfo(&prefix);
	put_place(&prefix, PHASE_ROWS, place->line, place->line_len);
	head->prefix = prefix.data;
	head->prefix_len = prefix.len;
	initStringInfo(&cursor);
	if (head->finished)
	{
		put_place(&cursor, PHASE_GONE, place->line, place->line_len);
		outbox_put_u32(&cursor, capture->key_schema_id != 0 ? OUTBOX_WIRE_PREFIX : 0);
		outbox_put_u64(&cursor, 0);
	}
	else
	{
		appendBinaryStringInfo(&cursor, prefix.data, prefix.len);
		appendBinaryStringInfo(&cursor, head->cursor, head->cursor_len);
	}
	head->finished = false;
	set_cursor(head, &cursor);
}

/* The hash to go on with behind a key; its copies are not parted. */
static void
put_inner(StringInfo out, uint32 skip, uint64 hash, uint64 next_hash)
{
	resetStringInfo(out);
	outbox_put_u32(out, skip);
	outbox_put_u64(out, hash == next_hash || hash == PG_UINT64_MAX ? hash :
				   hash + 1);
}

static void
put_tombstone(StringInfo rows, OutboxChunkRow *row, const OutboxCapture *capture,
			  uint32 skip)
{
	OutboxWalMessage *msg = &row->msg;

	msg->kind = OUTBOX_MESSAGE_CHANGE;
	msg->flags = skip > 0 ? OUTBOX_ROW_WIRE_KEY : 0;
	msg->route_id = capture->route.id;
	msg->topic_len = msg->headers_len = msg->payload_len = -1;
	outbox_chunk_put_row(rows, row);
}

static void
read_gone(const OutboxChunkRequest *request, const Place *place,
		  OutboxChunkHead *head, StringInfo rows)
{
	OutboxCapture *capture;
	OutboxCursor inner;
	StringInfoData cursor;
	StringInfoData row_cursor;
	uint64		next;
	uint64		hash;
	uint32		skip;

	begin_head(request, head);
	capture = find_capture(request, &head->capture_stamp);
	outbox_cursor_init(&inner, place->inner, place->inner_len);
	skip = outbox_get_u32(&inner);
	next = outbox_get_u64(&answer);
	head->finished = outbox_get_u8(&answer) != 0;
	head->nrows = outbox_get_u32(&answer);
	initStringInfo(&row_cursor);
	hash = head->nrows > 0 ? outbox_get_u64(&answer) : 0;
	for (uint32 i = 0; i < head->nrows; i++)
	{
		OutboxChunkRow row = {0};
		uint64		of_next;

		row.msg.partition = (int32) outbox_get_u32(&answer);
		row.msg.key = outbox_get_bytes(&answer, &row.msg.key_len);
		of_next = i + 1 < head->nrows ? outbox_get_u64(&answer) : ~hash;
		put_inner(&row_cursor, skip, hash, of_next);
		row.cursor = row_cursor.data;
		row.cursor_len = row_cursor.len;
		put_tombstone(rows, &row, capture, skip);
		hash = of_next;
	}
	if (answer.failed)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("outbox-kafka sent a damaged list of keys")));
	initStringInfo(&cursor);
	put_place(&cursor, PHASE_GONE, place->line, place->line_len);
	head->prefix_len = cursor.len;
	head->prefix = memcpy(palloc(cursor.len), cursor.data, cursor.len);
	outbox_put_u32(&cursor, skip);
	outbox_put_u64(&cursor, next);
	set_cursor(head, &cursor);
}

void
outbox_rebuild_read(const OutboxChunkRequest *request, OutboxChunkHead *head,
					StringInfo rows)
{
	Place		place;

	parse_place(request, &place);
	switch (place.phase)
	{
		case PHASE_LINE:
			read_line(request, head);
			break;
		case PHASE_ROWS:
			read_rows(request, &place, head, rows);
			break;
		case PHASE_GONE:
			read_gone(request, &place, head, rows);
			break;
	}
}
