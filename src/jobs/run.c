/*-------------------------------------------------------------------------
 *
 * run.c
 *		One job at work: read ahead, wait for the stream, send, go on.
 *
 * The algorithm, step by step, and why it is right wherever a process dies:
 *
 *	1 relay: L is where the stream is, between two transactions.  From here on
 *	  every change of this table that the stream carries is noted, with its
 *	  transaction.  All commits up to L have passed the gate: everybody sees
 *	  them
 *	2 reader: takes snapshot S, then H, an LSN behind every commit that S sees;
 *	  reads and encodes one chunk behind the cursor (read_table.c); its
 *	  transaction is over before the chunk is sent to us
 *	3 relay: goes on streaming to a boundary X >= H
 *	4 relay: rows that a transaction not seen by S has changed in (L, X] are
 *	  left out; the others and the new cursor go into the open batch (send.c)
 *
 * No row overtakes a newer change: a change that S sees was committed before H
 * <= X, so it is in front of the row, and the row is what it left.  A change
 * that S does not see either was committed in (L, X], and then the row is left
 * out; or after X, and then it comes behind.  Not before L, because S sees
 * those.
 *
 * No row is missing: one that S sees is sent, or left out because a newer image
 * of it, or its delete, was sent by the stream.  One that S does not see in the
 * part already passed was written by a change that comes with the stream.
 *
 * The cursor is in the position record (marks, job_mark.h) of the Kafka
 * transaction that carries the rows, and nowhere else.  So, if
 *
 *	the reader dies			the chunk is read again from the cursor
 *	the relay or outbox-kafka
 *	dies before the commit	Kafka aborts rows, changes and cursor together;
 *							the next relay reads the position and goes on from
 *							the cursor of the last commit
 *	... after it			rows, changes and cursor are there; the same
 *	... in it				the position says which it was
 *	the broker dies			the same: see takeover.c
 *	the server dies or is
 *	promoted				the same; what the lost server read but did not
 *							commit to Kafka is nobody's
 *	a promoted standby has
 *	lost commits			the position counts a chunk as an event: diverged
 *	the last chunk is in
 *	Kafka, "done" not in
 *	the table				the mark says done: written when it is read
 *	"done" is in a table
 *	that a failover lost	the mark of a finished job is kept for a while
 *
 * Two chunks are under way: one waits for its X or is sent, the next is being
 * read.  Each has its own L and its own list of changes.  When the first one
 * turns out to be worthless, so is the second.
 *
 * TRUNCATE, rewrites, DDL and changes of the capture make a chunk worthless by
 * their stamps (stamp.c); a restart by forgetting it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "catalog/capture_def.h"
#include "guc.h"
#include "jobs/rebuild.h"
#include "jobs/run.h"
#include "jobs/stamp.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define FIRST_BACKOFF	100		/* ms, doubling */
#define LONGEST_BACKOFF	30000
#define BLOCKED_WAIT	1000	/* ms between looks at a row that cannot go */
#define INACTIVE_WAIT	250		/* the same at a capture in mode log */
#define RATE_SLICE		4		/* chunks a second, with a rate limit */

static const char *const state_names[] = {
	"waiting", "running", "paused", "blocked", "done", "failed", "cancelled"
};

const char *
outbox_run_state_name(OutboxRunState state)
{
	return state_names[state];
}

void
outbox_run_set(OutboxRun *run, OutboxRunState state, const char *reason)
{
	if (run->state == state &&
		strcmp(run->reason, reason == NULL ? "" : reason) == 0)
		return;
	run->state = state;
	if (reason != run->reason)
		strlcpy(run->reason, reason == NULL ? "" : reason,
				sizeof(run->reason));
	run->unsaved = true;
	run->saved_ms = 0;			/* say so at once */
	ereport(state == OUTBOX_RUN_FAILED ? LOG : DEBUG1,
			(errmsg("snapshot " INT64_FORMAT " is %s%s%s", run->job.id,
					state_names[state], reason == NULL ? "" : ": ",
					reason == NULL ? "" : reason)));
}

/* ---- chunks ------------------------------------------------------------ */

static OutboxChunk *
new_chunk(uint64 capture_stamp)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "outbox chunk",
												  ALLOCSET_DEFAULT_SIZES);
	OutboxChunk *chunk = MemoryContextAllocZero(context, sizeof(OutboxChunk));

	chunk->context = context;
	chunk->touched = outbox_touched_create(context);
	chunk->capture_stamp = capture_stamp;
	return chunk;
}

static void
free_chunk(OutboxChunk **chunk)
{
	if (*chunk != NULL)
		MemoryContextDelete((*chunk)->context);
	*chunk = NULL;
}

/* Read again from the place; what is being read meanwhile comes in vain. */
void
outbox_run_discard(OutboxRun *run)
{
	free_chunk(&run->ready);
	if (run->reading != NULL && (run->reading->complete || !run->asked))
		free_chunk(&run->reading);
	else if (run->reading != NULL)
		run->reading->dead = true;
	resetStringInfo(&run->next_cursor);
	appendBinaryStringInfo(&run->next_cursor, run->cursor.data,
						   run->cursor.len);
	run->exhausted = false;
}

/* A position record soon; if events are under way it comes with them. */
void
outbox_run_hurry(OutboxRelay *relay)
{
	if (relay->open->events == 0 && relay->nflying == 0)
		relay->last_record_ms = 0;
}

void
outbox_run_rest(OutboxRun *run)
{
	if (run->link != NULL)
		outbox_reader_stop(run->link);
	run->link = NULL;
	free_chunk(&run->reading);
	outbox_run_discard(run);
}

static void
back_off(OutboxRun *run)
{
	int64		delay = FIRST_BACKOFF << Min(run->failures, 10);

	run->failures++;
	run->due_ms = outbox_monotonic_ms() + Min(delay, LONGEST_BACKOFF);
}

static void
retry_later(OutboxRun *run, const char *reason)
{
	outbox_run_rest(run);
	outbox_run_set(run, OUTBOX_RUN_WAITING, reason);
	back_off(run);
}

/* ---- asking ------------------------------------------------------------ */

/* Nothing that the stream carries matters to what was published before. */
static void
begin_replay(OutboxRun *run)
{
	if (run->event_type == NULL)
		run->event_type = MemoryContextStrdup(TopMemoryContext, "");
	run->reading = new_chunk(0);
}

/*
 * Step 1.  In mode log nothing is noted before the capture has become active:
 * then a snapshot must wait for that.
 */
static bool
begin_recording(OutboxRun *run, XLogRecPtr place)
{
	MemoryContext old = CurrentMemoryContext;
	OutboxCapture *capture;
	bool		active = true;

	if (run->job.relation == InvalidOid)
	{
		begin_replay(run);
		return true;
	}
	outbox_relay_begin_transaction();
	capture = outbox_capture_find(run->job.relation);
	if (capture != NULL && capture->log)
		active = capture->active_from != InvalidXLogRecPtr &&
			capture->active_from <= place;
	if (capture != NULL && active)
	{
		if (run->event_type != NULL)
			pfree(run->event_type);
		run->event_type = MemoryContextStrdup(TopMemoryContext,
											  capture->route.event_type);
		run->reading = new_chunk(outbox_stamp_capture(capture->relation));
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	if (capture == NULL)
	{
		outbox_run_rest(run);
		outbox_run_set(run, OUTBOX_RUN_FAILED,
					   "the table is not captured any more");
	}
	else if (!active)
	{
		outbox_run_set(run, OUTBOX_RUN_WAITING,
					   "the capture is not active yet");
		run->due_ms = outbox_monotonic_ms() + INACTIVE_WAIT;
	}
	return capture != NULL && active;
}

static void
put_request(OutboxRun *run, StringInfo out)
{
	OutboxChunkRequest request = {.number = ++run->next_number};

	request.relation = run->job.relation;
	request.max_rows = Min(run->max_rows, outbox_max_kafka_txn_events);
	if (run->job.rate > 0)
		request.max_rows = Min(request.max_rows,
							   Max(run->job.rate / RATE_SLICE, 1));
	request.filter = run->job.filter;
	request.topic = run->job.topic;
	request.token = run->job.token;
	request.place = run->place;
	if (run->job.relation == InvalidOid)
		request.replay = run->job.id;
	if (run->next_cursor.len > 0)
	{
		request.cursor = run->next_cursor.data;
		request.cursor_len = run->next_cursor.len;
	}
	outbox_chunk_put_request(out, &request);
}

static void
send_request(OutboxRun *run)
{
	StringInfoData request;

	initStringInfo(&request);
	put_request(run, &request);
	run->asked = true;
	if (!outbox_reader_ask(run->link, &request))
		retry_later(run, "the reader has ended; see the server log");
	pfree(request.data);
}

/*
 * Keys that are gone are looked for in the topic, so all that is noted no more
 * must be there: every row, and what the stream carried up to L.
 */
static bool
is_in_kafka(OutboxRelay *relay, OutboxRun *run)
{
	if (run->recorded_rows == run->rows && relay->recorded >= run->place)
		return true;
	outbox_run_hurry(relay);
	return false;
}

static void
ask(OutboxRelay *relay, OutboxRun *run, XLogRecPtr place)
{
	bool		gone = outbox_rebuild_seeks_gone(run->job.topic,
												 run->next_cursor.data,
												 run->next_cursor.len);

	if (run->reading != NULL && !run->asked && is_in_kafka(relay, run))
		send_request(run);
	if (run->reading != NULL || run->exhausted ||
		(gone && run->ready != NULL) || outbox_monotonic_ms() < run->due_ms)
		return;
	if (run->link == NULL && (run->link = outbox_reader_start()) == NULL)
	{
		retry_later(run, "no background worker is free; raise max_worker_processes");
		return;
	}
	if (!begin_recording(run, place))
		return;
	run->place = place;
	run->asked = false;
	if (!gone || is_in_kafka(relay, run))
		send_request(run);
}

/* ---- listening --------------------------------------------------------- */

/* Not to be mended by waiting. */
static bool
is_final(int sqlstate)
{
	return sqlstate == ERRCODE_UNDEFINED_TABLE ||
		sqlstate == ERRCODE_UNDEFINED_OBJECT ||
		sqlstate == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
}

static void
take_error(OutboxRun *run, const OutboxChunkHead *head)
{
	char		text[OUTBOX_RESULT_MESSAGE_SIZE];

	snprintf(text, sizeof(text), "%.*s", head->message_len, head->message);
	if (!is_final(head->sqlstate))
	{
		retry_later(run, text);
		return;
	}
	outbox_run_rest(run);
	outbox_run_set(run, OUTBOX_RUN_FAILED, text);
}

/* One that is not the first begins with rows that are published already. */
static void
note_pass(OutboxRun *run, const OutboxChunkHead *head)
{
	if (head->pass == run->pass || head->pass == 0)
		return;
	if (head->pass > 1)
		ereport(LOG,
				(errmsg("snapshot " INT64_FORMAT " of a table without a key begins again, pass %u: rows are published once more",
						run->job.id, head->pass)));
	run->pass = head->pass;
	run->unsaved = true;
}

/* Step 2 is over. */
static void
take_chunk(OutboxRun *run, const char *data, Size len)
{
	OutboxChunk *chunk = run->reading;
	MemoryContext old = MemoryContextSwitchTo(chunk->context);
	char	   *copy = palloc(len);

	memcpy(copy, data, len);
	outbox_cursor_init(&chunk->rows, copy, len);
	outbox_chunk_get_head(&chunk->rows, &chunk->head);
	MemoryContextSwitchTo(old);
	if (chunk->head.sqlstate != 0)
	{
		OutboxChunkHead head = chunk->head;
		char		text[OUTBOX_RESULT_MESSAGE_SIZE];

		/* taking it gives up the chunk that the message is in */
		head.message_len = Min(head.message_len, (int32) sizeof(text));
		memcpy(text, head.message, head.message_len);
		head.message = text;
		take_error(run, &head);
		return;
	}
	chunk->complete = true;
	outbox_touched_judge(chunk->touched, &chunk->head.seen);
	if (chunk->dead)
	{
		free_chunk(&run->reading);
		return;
	}
	note_pass(run, &chunk->head);
	if (chunk->head.estimate > 0)
		run->estimate = chunk->head.estimate;
	run->exhausted = chunk->head.finished;
	resetStringInfo(&run->next_cursor);
	appendBinaryStringInfo(&run->next_cursor, chunk->head.cursor,
						   Max(chunk->head.cursor_len, 0));
	if (run->job.rate > 0)
		run->due_ms = Max(run->due_ms, outbox_monotonic_ms() - 1000) +
			(int64) chunk->head.nrows * 1000 / run->job.rate;
	if (run->state != OUTBOX_RUN_BLOCKED)
		outbox_run_set(run, OUTBOX_RUN_RUNNING, NULL);
}

static void
listen_to_reader(OutboxRun *run)
{
	const char *data;
	Size		len;

	while (run->link != NULL &&
		   run->reading != NULL && !run->reading->complete)
	{
		switch (outbox_reader_listen(run->link, &data, &len))
		{
			case OUTBOX_READER_NOTHING:
				return;
			case OUTBOX_READER_CHUNK:
				take_chunk(run, data, len);
				break;
			case OUTBOX_READER_GONE:
				retry_later(run, "the reader has ended; see the server log");
				break;
		}
	}
}

/* ---- sending ----------------------------------------------------------- */

static void
read_again(OutboxRun *run)
{
	run->reread++;
	run->unsaved = true;
	run->max_rows = Max(run->max_rows / 2, 1);
	outbox_run_discard(run);
}

/* Steps 3 and 4.  True: there may be more to do at once. */
static bool
send_ready(OutboxRelay *relay, OutboxRun *run, const OutboxSourceProgress *progress)
{
	switch (outbox_send_chunk(relay, run, progress))
	{
		case OUTBOX_SEND_LATER:
			return false;
		case OUTBOX_SEND_DONE:
			free_chunk(&run->ready);
			outbox_run_set(run, OUTBOX_RUN_RUNNING, NULL);
			run->failures = 0;
			run->max_rows = Min(run->max_rows * 2, run->job.chunk_rows);
			return !run->done;
		case OUTBOX_SEND_PART:
		case OUTBOX_SEND_STALE:
			read_again(run);
			return true;
		case OUTBOX_SEND_BLOCKED:
			/* A pass cannot go back: it keeps what is left of the chunk. */
			if (run->ready->head.pass == 0)
				outbox_run_discard(run);
			outbox_run_set(run, OUTBOX_RUN_BLOCKED, run->reason);
			run->due_ms = outbox_monotonic_ms() + BLOCKED_WAIT;
			return false;
	}
	return false;
}

/* Between two transactions of the stream, at progress. */
void
outbox_run_step(OutboxRelay *relay, OutboxRun *run,
				const OutboxSourceProgress *progress)
{
	bool		more = true;

	while (more && !run->done)
	{
		listen_to_reader(run);
		if (run->ready == NULL && run->reading != NULL &&
			run->reading->complete)
		{
			run->ready = run->reading;
			run->reading = NULL;
		}
		if (run->state == OUTBOX_RUN_FAILED)
			return;
		ask(relay, run, progress->scanned);
		more = run->ready != NULL &&
			(run->state != OUTBOX_RUN_BLOCKED ||
			 outbox_monotonic_ms() >= run->due_ms) &&
			send_ready(relay, run, progress);
	}
	if (run->done)
		outbox_run_rest(run);
}
