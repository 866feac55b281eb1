/*-------------------------------------------------------------------------
 *
 * send.c
 *		Whether a chunk may go, which of its rows, and into the open batch.
 *
 * At a transaction boundary X of the stream.  Everything committed up to X is
 * in this or an earlier batch, so what is appended now comes behind it.
 *
 *	X before H							later
 *	H not flushed by the standbys that
 *	commits wait for					later: what others may still lose must
 *										not be published
 *	table or capture was changed since	stale
 *	all rows may have been changed
 *	(TRUNCATE), or too many were		stale
 *
 * Then, row by row, what the stream has carried between L and X by transactions
 * that S does not see:
 *
 *	equal keys mean the same row		the row is left out.  Its newer image
 *										is in front of us already: sending the
 *										older one would take it back
 *	they do not (key => other columns,
 *	masked or none)						the chunk ends in front of the row, and
 *										is read again from there
 *	mode log, and images may lack
 *	columns (toast)						the same: no newer image of the whole
 *										row is there
 *	a dead letter holds the key			the chunk ends in front of the row
 *
 * Rows of a table without a key have no names: they all go (pass.c).
 * Events of a replay are in the stream before X, too: H is the last one's commit.
 * None of them is left out, and their ids are their own.
 *
 * All rows of a chunk that go, and the mark that names the place behind them,
 * get into one batch, so into one Kafka transaction: nothing in between closes
 * the batch, because schema ids, which may have to be waited for, are found
 * before the first row is appended.
 *
 * Owns nothing; the caller gives up the chunk.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/capture_def.h"
#include "guc.h"
#include "jobs/rebuild.h"
#include "jobs/run.h"
#include "jobs/stamp.h"
#include "relay/child.h"
#include "relay/parking.h"

typedef struct SendPlan
{
	uint32		nrows;			/* of the chunk, that are dealt with */
	uint32		events;			/* of these, that are sent */
	OutboxChunkRow last;		/* the last of them */
	OutboxSendResult result;
} SendPlan;

/* Read anew: what was committed up to X shows. */
static bool
definitions_stand(const OutboxChunk *chunk, Oid relation)
{
	MemoryContext old = CurrentMemoryContext;
	OutboxCapture *capture;
	bool		same = true;

	if (relation == InvalidOid)
		return true;			/* a replay: what it reads never changes */
	if (chunk->head.capture_stamp != chunk->capture_stamp)
		return false;
	outbox_relay_begin_transaction();
	capture = outbox_capture_find(relation);
	same = capture != NULL &&
		outbox_stamp_capture(capture->relation) == chunk->capture_stamp &&
		(chunk->head.table == InvalidOid ||
		 outbox_stamp_table(chunk->head.table) == chunk->head.table_stamp);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	return same;
}

static OutboxRouteEntry *
route_of(const OutboxWalMessage *msg)
{
	OutboxRouteEntry *route = outbox_routes_find(msg->route_id);

	if (route == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("route %u is not in outbox.route", msg->route_id)));
	return route;
}

/* A row that cannot go now, whoever waits for it. */
static bool
is_blocked(OutboxRelay *relay, OutboxRun *run, const OutboxWalMessage *msg)
{
	OutboxRouteEntry *route = route_of(msg);
	OutboxResult why;

	if (outbox_parking_holds(route, msg))
	{
		snprintf(run->reason, sizeof(run->reason),
				 "a dead letter holds the key of the next row; see outbox.dead_letter");
		return true;
	}
	if (!outbox_publish_prepare(relay, route, msg, &why))
	{
		strlcpy(run->reason, why.message, sizeof(run->reason));
		return true;
	}
	return false;
}

/* Whether the stream has carried a newer change of the row, as far as rows have
 * names. */
static bool
is_newer(const OutboxChunk *chunk, const OutboxWalMessage *msg)
{
	return chunk->head.pass == 0 && outbox_touched_any(chunk->touched) &&
		outbox_touched_has(chunk->touched, msg);
}

/* What was read is not what may be sent: it is all to be read again. */
static bool
is_stale(const OutboxChunk *chunk, Oid relation)
{
	if (!definitions_stand(chunk, relation))
		return true;
	if (chunk->head.pass > 0)
		return outbox_touched_truncated(chunk->touched);
	return outbox_touched_all(chunk->touched) && chunk->head.identity;
}

static void
plan(OutboxRelay *relay, OutboxRun *run, SendPlan *plan)
{
	OutboxChunk *chunk = run->ready;
	OutboxCursor c = chunk->rows;

	memset(plan, 0, sizeof(*plan));
	plan->result = OUTBOX_SEND_DONE;
	for (uint32 i = 0; i < chunk->head.nrows; i++)
	{
		OutboxChunkRow row;
		bool		newer;

		outbox_chunk_get_row(&c, &row);
		newer = is_newer(chunk, &row.msg);
		if (newer && !chunk->head.identity)
			plan->result = OUTBOX_SEND_PART;
		else if (!newer && is_blocked(relay, run, &row.msg))
			plan->result = OUTBOX_SEND_BLOCKED;
		if (plan->result != OUTBOX_SEND_DONE)
			return;
		plan->nrows++;
		plan->events += !newer;
		plan->last = row;
	}
}

/* The open batch takes them all, if need be after it was closed. */
static bool
make_room(OutboxRelay *relay, const OutboxSourceProgress *progress,
		  uint32 events)
{
	if (relay->open->events == 0 ||
		relay->open->events + events <= outbox_max_kafka_txn_events)
		return true;
	if (!outbox_batch_can_close(relay))
		return false;
	outbox_batch_close(relay, progress);
	return true;
}

/* Unique for as long as rows are counted: the job, and which row of it. */
static void
make_id(uint8 id[OUTBOX_EVENT_ID_SIZE], uint64 token, uint64 number)
{
	outbox_store_le(id, token, 8);
	id[6] = (id[6] & 0x0F) | 0x80;	/* version 8 of RFC 9562 */
	id[8] = 0x80;				/* its variant */
	outbox_store_le(id + 9, number, 7);
}

static void
append_rows(OutboxRelay *relay, OutboxRun *run, const SendPlan *plan)
{
	OutboxChunk *chunk = run->ready;

	for (uint32 i = 0; i < plan->nrows; i++)
	{
		OutboxChunkRow row;

		outbox_chunk_get_row(&chunk->rows, &row);
		if (is_newer(chunk, &row.msg))
		{
			run->superseded++;
			continue;
		}
		if (row.msg.payload == NULL)
			run->removed++;
		row.msg.flags &= ~OUTBOX_ROW_WIRE_KEY;
		if (run->job.relation != InvalidOid)
			make_id(row.msg.event_id, run->job.token, run->rows);
		run->rows++;
		outbox_publish_row(relay, route_of(&row.msg), &row.msg,
						   chunk->head.read_at, chunk->head.until);
	}
	if (plan->events > 0)
		relay->open->job = run->job.token;
}

/* Behind what was appended. */
static void
move_place(OutboxRun *run, const SendPlan *plan)
{
	const OutboxChunkHead *head = &run->ready->head;
	bool		whole = plan->result == OUTBOX_SEND_DONE;

	if (plan->nrows == 0 && !whole)
		return;
	run->begun = true;
	run->done = whole && head->finished;
	run->unsaved = true;
	resetStringInfo(&run->cursor);
	if (!whole)
	{
		appendBinaryStringInfo(&run->cursor, head->prefix,
							   Max(head->prefix_len, 0));
		appendBinaryStringInfo(&run->cursor, plan->last.cursor,
							   plan->last.cursor_len);
	}
	else if (!run->done)
		appendBinaryStringInfo(&run->cursor, head->cursor, head->cursor_len);
}

static bool
is_held(const OutboxRun *run)
{
	return outbox_snapshot_hold ||
		(outbox_rebuild_hold &&
		 outbox_rebuild_seeks_gone(run->job.topic, run->ready->head.prefix,
								   run->ready->head.prefix_len));
}

OutboxSendResult
outbox_send_chunk(OutboxRelay *relay, OutboxRun *run,
				  const OutboxSourceProgress *progress)
{
	OutboxChunk *chunk = run->ready;
	SendPlan	todo;

	if (progress->scanned < chunk->head.until || is_held(run) ||
		outbox_gate_replicated(chunk->head.until) < chunk->head.until)
		return OUTBOX_SEND_LATER;
	if (is_stale(chunk, run->job.relation))
		return OUTBOX_SEND_STALE;
	plan(relay, run, &todo);
	if (!make_room(relay, progress, todo.events))
		return OUTBOX_SEND_LATER;
	append_rows(relay, run, &todo);
	move_place(run, &todo);
	outbox_jobs_put_marks(relay);
	if (todo.events > 0)
	{
		/* Losing a commit that these rows may be of is losing an event. */
		relay->position.event_end = Max(relay->position.event_end,
										progress->commit_start + 1);
		if ((relay->open->events >= outbox_batch_events ||
			 relay->open->bytes / 1024 >= outbox_batch_bytes) &&
			outbox_batch_can_close(relay))
			outbox_batch_close(relay, progress);
	}
	chunk->head.nrows -= todo.nrows;
	return todo.result;
}
