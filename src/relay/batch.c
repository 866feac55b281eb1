/*-------------------------------------------------------------------------
 *
 * batch.c
 *		Kafka transactions: one being filled, up to ring-size in flight.
 *
 * A batch is closed at a transaction boundary with the position record that
 * describes that boundary, and both travel in one Kafka transaction.  The
 * child commits batches in order; the relay believes only COMMITTED.
 *
 * If the process dies
 *	before COMMIT is sent		the child sees EOF, commits nothing; Kafka
 *								aborts the open transaction at takeover
 *	after COMMIT, before the answer
 *								the position in Kafka says which it was:
 *								takeover reads it after fencing, and events up
 *								to it are skipped
 *	after COMMITTED, before the slot moves
 *								the slot lags: WAL is read again and skipped
 *
 * In a split transaction (more events than outbox.max_kafka_txn_events) the
 * position stays in front of it, with the number of its messages already sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/clock.h"
#include "guc.h"
#include "jobs/jobs.h"
#include "relay/child.h"
#include "relay/relay.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define KEEP_FOR_CHECK	(UINT64CONST(64) * 1024 * 1024)	/* bytes of WAL */
#define NARROWING	8			/* smaller batches after each refusal */

static OutboxBatch *
new_batch(uint32 number)
{
	OutboxBatch *batch = MemoryContextAllocZero(TopMemoryContext,
												sizeof(OutboxBatch));

	batch->number = number;
	batch->whole = true;
	return batch;
}

static void
free_batch(OutboxBatch *batch)
{
	if (batch->ntopics > 0)
	{
		pfree(batch->topic_events);
		pfree(batch->topic_bytes);
	}
	if (batch->places != NULL)
		pfree(batch->places);
	pfree(batch);
}

/* An event is in the batch: remember where it came from, if need be. */
void
outbox_batch_note(OutboxBatch *batch, const OutboxPlace *place, bool all)
{
	batch->parkable |= place->dead_letter;
	if (batch->nplaces > 0 && !all)
		return;
	if (batch->nplaces == batch->places_size)
	{
		batch->places_size = Max(batch->places_size * 2, 1);
		batch->places = batch->places == NULL ?
			MemoryContextAlloc(TopMemoryContext, sizeof(OutboxPlace)) :
			repalloc(batch->places, batch->places_size * sizeof(OutboxPlace));
	}
	batch->places[batch->nplaces++] = *place;
}

void
outbox_batch_init(OutboxRelay *relay)
{
	relay->nflying = 0;
	relay->next_batch = 1;
	relay->open = new_batch(relay->next_batch++);
}

bool
outbox_batch_can_close(OutboxRelay *relay)
{
	return relay->nflying < outbox_ring_size;
}

/* ms since 1970 */
int64
outbox_relay_now_ms(void)
{
	return GetCurrentTimestamp() / 1000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * 86400 * 1000;
}

/*
 * Whether the child would begin the open batch at once.  Until then a batch
 * that is not full is better left open.
 */
bool
outbox_batch_can_begin(OutboxRelay *relay)
{
	if (relay->nflying == 0)
		return true;
	return outbox_batch_can_close(relay) &&
		(outbox_delivery == OUTBOX_AT_LEAST_ONCE ||
		 relay->ready_after == relay->flying[relay->nflying - 1]->number);
}

/*
 * Close the open batch at the place that progress describes and send it on its
 * way.  With no events in it, it is a position-only transaction.
 */
void
outbox_batch_close(OutboxRelay *relay, const OutboxSourceProgress *progress)
{
	OutboxBatch *batch = relay->open;
	OutboxPosition *pos = &relay->position;
	StringInfo	out = outbox_child_buffer();
	StringInfoData record;
	int			start;

	Assert(outbox_batch_can_close(relay));
	outbox_publish_flush(relay);
	pos->scanned = progress->scanned;
	pos->restart = progress->restart;
	if (progress->commit_start != InvalidXLogRecPtr)
	{
		pos->commit_start = progress->commit_start;
		pos->commit_crc = progress->commit_crc;
	}
	pos->written_ms = outbox_relay_now_ms();

	initStringInfo(&record);
	outbox_position_write(&record, pos);
	start = outbox_frame_begin(out, OUTBOX_FRAME_COMMIT);
	outbox_put_u32(out, batch->number);
	outbox_put_u32(out, batch->events);
	outbox_put_bytes(out, record.data, record.len);
	outbox_frame_end(out, start);
	outbox_child_flush();
	pfree(record.data);

	batch->position = *pos;
	relay->flying[relay->nflying++] = batch;
	relay->open = new_batch(relay->next_batch++);
	relay->last_record_ms = outbox_monotonic_ms();
}

static void
count_topics(OutboxRelayEntry *entry, const OutboxBatch *batch, TimestampTz now)
{
	for (int i = 0; i < batch->ntopics; i++)
	{
		OutboxTopicStat *stat;

		if (batch->topic_events[i] == 0)
			continue;
		/* The last place counts all topics that have none of their own. */
		stat = &entry->topics[Min(i, OUTBOX_MAX_TOPIC_STATS - 1)];
		if (stat->name[0] == '\0')
			strlcpy(stat->name, i < OUTBOX_MAX_TOPIC_STATS - 1 ?
					outbox_routes_topic_name(i) : "(others)",
					sizeof(stat->name));
		stat->events += batch->topic_events[i];
		stat->bytes += batch->topic_bytes[i];
		stat->last_at = now;
	}
}

static void
count_batch(OutboxRelay *relay, const OutboxBatch *batch)
{
	OutboxRelayEntry *entry = relay->entry;
	TimestampTz now = GetCurrentTimestamp();
	OutboxLatency latency = {0};

	outbox_commit_times_count(&batch->commit_times, now, &latency);
	SpinLockAcquire(&entry->mutex);
	entry->published = Max(entry->published, batch->position.scanned);
	entry->kafka_transactions++;
	entry->split_transactions += batch->splits;
	if (batch->events > 0)
	{
		entry->events += batch->events;
		entry->transactions += batch->transactions;
		entry->bytes += batch->bytes;
		outbox_latency_add(&entry->latency, &latency);
		entry->last_published_at = now;
		entry->last_commit_time = batch->newest_commit;
		entry->failures = 0;
	}
	entry->oldest_pending = relay->nflying > 0 ?
		relay->flying[0]->oldest_commit : relay->open->oldest_commit;
	count_topics(entry, batch, now);
	SpinLockRelease(&entry->mutex);
	ConditionVariableBroadcast(&entry->progress);
}

/*
 * One event cannot go, and takes its whole batch with it.  Let the next process
 * make smaller batches up to this place, each committed before the next is
 * begun, until all that was committed before the event is published and it
 * stands alone.
 */
void
outbox_batch_narrow(OutboxRelay *relay)
{
	OutboxRelayEntry *entry = relay->entry;
	uint32		events = 0;

	if (relay->open == NULL)
		return;
	events = relay->open->events;
	for (int i = 0; i < relay->nflying; i++)
		events += relay->flying[i]->events;
	SpinLockAcquire(&entry->mutex);
	entry->batch_limit = Max(events / NARROWING, 1);
	entry->limit_until = relay->pushing;
	SpinLockRelease(&entry->mutex);
}

/*
 * This position record is in Kafka: WAL that it does not need may go.
 */
void
outbox_batch_recorded(OutboxRelay *relay, const OutboxPosition *pos)
{
	XLogRecPtr	restart = pos->restart;

	relay->recorded = pos->scanned;
	outbox_jobs_recorded(pos);
	SpinLockAcquire(&relay->entry->mutex);
	relay->entry->recorded = pos->scanned;
	relay->entry->restart = pos->restart;
	SpinLockRelease(&relay->entry->mutex);

	/*
	 * Keep the commit record at C for the next takeover's comparison, unless
	 * that would hold much WAL: a check, not a need.
	 */
	if (pos->commit_start != InvalidXLogRecPtr &&
		pos->commit_start < restart &&
		restart - pos->commit_start < KEEP_FOR_CHECK)
		restart = pos->commit_start;
	outbox_slot_advance(restart);
	outbox_log_slot_confirm(pos->scanned);
}

/*
 * The child says that a batch is committed.  Anything but the oldest one in
 * flight, or another count, means that the two disagree about what was sent.
 */
void
outbox_batch_committed(OutboxRelay *relay, uint32 number, uint32 events)
{
	OutboxBatch *batch;

	if (relay->nflying == 0 || relay->flying[0]->number != number ||
		relay->flying[0]->events != events)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("outbox-kafka committed batch %u with %u events out of turn",
						number, events)));
	batch = relay->flying[0];
	memmove(relay->flying, relay->flying + 1,
			sizeof(relay->flying[0]) * --relay->nflying);
	count_batch(relay, batch);

	/* at_least_once: the position follows, see RECORDED */
	if (outbox_delivery == OUTBOX_EXACTLY_ONCE)
		outbox_batch_recorded(relay, &batch->position);
	free_batch(batch);
}
