/*-------------------------------------------------------------------------
 *
 * retry.c
 *		Dead letters that are sent again.
 *
 * outbox.retry_dead_letter() puts a marker (record/retry.h) into the stream of
 * its transaction.  When the relay meets it, every earlier event of the keys
 * that it names is published or parked, so what is parked of them is sent here,
 * in its old order, and what comes behind the marker flows:
 *
 *	1 find what waits in front of this place
 *	2 find its schema ids; the first event that cannot go ends it here: it is
 *	  parked still, with the new reason, and all of its key with it
 *	3 note the place on the rows that go, in a transaction of its own, flushed
 *	  and replicated before the Kafka transaction may be committed
 *	  (outbox_parking_settle())
 *	4 send them, with what else is in the open batch
 *	5 when Kafka's position is beyond the place: note that they are published
 *
 * If the process dies
 *	before 3 is durable		nothing is noted; the position is in front of the
 *							marker, which is met again
 *	between 3 and Kafka's commit
 *							the same: rows noted with this place are sent again
 *	after Kafka's commit, before 5
 *							the position is at or behind the place: the next
 *							process finds rows noted with it, and does 5
 *	child dies				an outcome unknown, as everywhere: one of the above
 *	broker refuses one		the child names it, this process ends, the next one
 *							meets the marker and finds it condemned (parking.c):
 *							step 2
 *
 * Which of these it was is said by Kafka's position alone.  In a transaction
 * that was split the markers in front of the split are not met again, and their
 * rows wait for 5 until the whole transaction is behind the position.
 *
 * After an asynchronous failover the notes may be missing though Kafka has the
 * events: the position names the highest place noted, as with parking, and
 * judge.c compares.  adopt() is a decision in doubt: what was not confirmed
 * waits again, and a person decides.
 *
 * Owns, for the process, the lowest place that waits for 5.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "miscadmin.h"
#include "record/retry.h"
#include "relay/parking.h"
#include "relay/retry.h"
#include "utils/memutils.h"

#define MAX_BYTES	(UINT64CONST(64) * 1024 * 1024) /* of one marker: more might
													 * outlast the broker's
													 * transaction timeout */
#define MAX_ROWS	10000		/* of one marker */
#define CONFIRM_ROWS 1000		/* in one transaction */
#define CONFIRM_AGAIN 1000		/* ms after one that failed */

/* Lowest place that Kafka's word is awaited for, 0 = none. */
static XLogRecPtr unconfirmed = InvalidXLogRecPtr;

/* Not before: monotonic, ms. */
static int64 confirm_after = 0;

/* ---- Kafka's word ------------------------------------------------------ */

static void
confirm(OutboxRelay *relay, XLogRecPtr until)
{
	MemoryContext old = outbox_parking_begin();
	uint64		n = outbox_parked_confirm(until, CONFIRM_ROWS, &unconfirmed);

	outbox_parking_end(old);
	SpinLockAcquire(&relay->entry->mutex);
	relay->entry->retried += n;
	SpinLockRelease(&relay->entry->mutex);
	if (n == 0)
		confirm_after = outbox_monotonic_ms() + CONFIRM_AGAIN;
}

/*
 * It is bookkeeping: whoever holds the table must not hold us, there will be
 * another time.
 */
void
outbox_retry_confirm(OutboxRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;

	if (unconfirmed == InvalidXLogRecPtr || relay->recorded < unconfirmed ||
		outbox_monotonic_ms() < confirm_after)
		return;
	PG_TRY();
	{
		confirm(relay, relay->recorded);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
		confirm_after = outbox_monotonic_ms() + CONFIRM_AGAIN;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* Nothing is confirmed by it, but what there is to confirm is known then. */
void
outbox_retry_init(OutboxRelay *relay)
{
	confirm(relay, InvalidXLogRecPtr);
	confirm_after = 0;
}

/* ---- what goes ---------------------------------------------------------- */

typedef struct Retry
{
	OutboxRelay *relay;
	OutboxParkedPlace at;		/* the marker's place */
	MemoryContext context;
	OutboxLane	lane;			/* not ordered: ids */
	OutboxParkedRows found;
	uint32		going;			/* the first so many of these */
	bool		refused;		/* the next one, for: */
	OutboxResult why;
} Retry;

static OutboxRouteEntry *
route_of(uint32 id)
{
	OutboxRouteEntry *route = outbox_routes_find(id);

	if (route == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("route %u is not in outbox.route", id)));
	return route;
}

/*
 * Whether its schemas have ids.  A row that is in the table already may be
 * refused whatever its route says, so that no retry makes the relay stand.
 */
static bool
has_ids(Retry *retry, const OutboxParkedRow *row)
{
	OutboxRouteEntry route = *route_of(row->route_id);
	char		key[sizeof(uint32)];
	OutboxWalMessage msg = {
		.route_id = row->route_id,
		.schema_id = row->schema_id,
		.payload = row->has_value ? "" : NULL
	};

	route.dead_letter = true;
	if (row->key_schema_id != 0)
	{
		outbox_store_le((uint8 *) key, row->key_schema_id, sizeof(key));
		msg.flags = OUTBOX_MSG_KEY_SCHEMA;
		msg.key = key;
		msg.key_len = sizeof(key);
	}
	return outbox_publish_prepare(retry->relay, &route, &msg, &retry->why);
}

/*
 * Step 2.  One that the same transaction has had refused already, by an earlier
 * marker of its key, is not tried once more.
 */
static void
choose(Retry *retry)
{
	OutboxParkedRows *found = &retry->found;

	for (retry->going = 0; retry->going < found->n; retry->going++)
	{
		const OutboxParkedRow *row = &found->rows[retry->going];

		if (row->refused)
			return;
		retry->refused = outbox_parking_condemned(retry->relay, &row->place,
												  &retry->why) ||
			!has_ids(retry, row);
		if (retry->refused)
			return;
	}
}

/*
 * An earlier process may have noted more, before the broker refused one of
 * them.
 */
static void
withdraw(Retry *retry, uint32 from)
{
	for (uint32 i = from; i < retry->found.all; i++)
	{
		const OutboxParkedRow *row = &retry->found.rows[i];

		if (row->noted &&
			outbox_parked_withdraw(row->id, &retry->at) == OUTBOX_PARKED_LOCKED)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("dead letter " INT64_FORMAT " is locked while it is sent again",
							row->id)));
	}
}

/* Step 3.  A row that somebody is giving up just now ends it, too. */
static void
note(Retry *retry)
{
	OutboxParkedRows *found = &retry->found;
	MemoryContext old = outbox_parking_begin();
	OutboxParkedChange change = OUTBOX_PARKED_CHANGED;
	uint32		kept = 0;
	uint32		i;

	for (i = 0; i < retry->going; i++)
	{
		CHECK_FOR_INTERRUPTS();
		change = outbox_parked_note(found->rows[i].id, &retry->at);
		if (change == OUTBOX_PARKED_LOCKED)
			break;
		if (change == OUTBOX_PARKED_CHANGED)
			found->rows[kept++] = found->rows[i];
	}
	if (change == OUTBOX_PARKED_LOCKED)
		ereport(LOG,
				(errmsg("outbox does not retry a dead letter that an open transaction holds, nor what follows it")));
	else if (retry->refused)
		(void) outbox_parked_refused(found->rows[i++].id, &retry->at,
									 &retry->why);
	withdraw(retry, i);
	outbox_parking_end(old);
	if (kept > 0 && unconfirmed == InvalidXLogRecPtr)
		unconfirmed = retry->at.commit_end;
	outbox_parking_passes(kept > 0 ? &retry->at : NULL);
	if (retry->refused)
		outbox_parking_pardon(retry->relay,
							  &found->rows[retry->going].place);
	retry->going = kept;
}

/* Step 4. */
static void
send_rows(Retry *retry)
{
	MemoryContext context = AllocSetContextCreate(retry->context,
												  "outbox dead letter",
												  ALLOCSET_DEFAULT_SIZES);

	for (uint32 i = 0; i < retry->going; i++)
	{
		const OutboxParkedRow *row = &retry->found.rows[i];
		MemoryContext old = outbox_parking_begin();
		OutboxWalMessage msg;
		TimestampTz commit_time;
		bool		found;

		MemoryContextSwitchTo(context);
		found = outbox_parked_load(row->id, &msg, &commit_time);
		outbox_parking_end(old);
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("dead letter " INT64_FORMAT " was deleted while it was sent again",
							row->id)));
		outbox_publish_again(retry->relay, route_of(row->route_id), &msg,
							 row->place.commit_end, row->place.ordinal,
							 commit_time);
		MemoryContextReset(context);
	}
}

/* ---- the marker ---------------------------------------------------------- */

/* Steps 3 and 4 for what was chosen. */
static void
send_chosen(Retry *retry)
{
	if (retry->found.all == 0)
		return;
	note(retry);
	send_rows(retry);
}

static void
retry_lane(Retry *retry, const OutboxWalMessage *marker,
		   const OutboxRetry *what)
{
	OutboxParkedPlace last = {what->last_lsn, what->last_ordinal};
	MemoryContext old;

	outbox_lane_of(&retry->lane, marker, marker->topic, marker->topic_len);
	old = outbox_parking_begin();
	outbox_parked_waiting(&retry->lane, &retry->at,
						  last.commit_end == 0 ? NULL : &last, MAX_ROWS,
						  MAX_BYTES, retry->context, &retry->found);
	outbox_parking_end(old);
	if (retry->found.n < retry->found.all)
		ereport(LOG,
				(errmsg("outbox retries the first %u dead letters of a key, the others wait for another retry",
						retry->found.n)));
	choose(retry);
	if (retry->going > 0)
		outbox_publish_make_room(retry->relay, retry->going);
	send_chosen(retry);
	outbox_parking_review(&retry->lane, &retry->at);
}

/* They have no order, so one that cannot go does not end it. */
static void
retry_ids(Retry *retry, OutboxRetry *what)
{
	OutboxParkedRow row;

	outbox_publish_make_room(retry->relay, what->nids);
	for (uint32 i = 0; i < what->nids; i++)
	{
		int64		id = (int64) outbox_get_u64(&what->ids);
		MemoryContext old = outbox_parking_begin();
		bool		waits = outbox_parked_waits(id, &retry->at, &row);

		outbox_parking_end(old);
		if (!waits)
			continue;
		retry->found.rows = &row;
		retry->found.n = retry->found.all = 1;
		retry->refused = false;
		choose(retry);
		send_chosen(retry);
	}
}

/*
 * The open batch is closed in front of a marker, if need be, but not within
 * one: what is in front of a split is not met again.
 */
void
outbox_retry_take(OutboxRelay *relay, const OutboxTxn *txn,
				  const OutboxWalMessage *marker)
{
	Retry		retry = {
		.relay = relay,
		.at = {txn->commit_end, marker->ordinal}
	};
	OutboxRetry what;

	if (!outbox_retry_read(marker->payload, marker->payload_len, &what))
		outbox_relay_refuse(relay, OUTBOX_STATE_BLOCKED,
							"a retry committed at %X/%X was asked for by a later version of outbox",
							LSN_FORMAT_ARGS(txn->commit_end));
	retry.context = AllocSetContextCreate(TopMemoryContext,
										  "outbox retry",
										  ALLOCSET_DEFAULT_SIZES);
	if (what.kind == OUTBOX_RETRY_LANE)
		retry_lane(&retry, marker, &what);
	else
		retry_ids(&retry, &what);
	MemoryContextDelete(retry.context);
}
