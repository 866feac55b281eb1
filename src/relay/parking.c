/*-------------------------------------------------------------------------
 *
 * parking.c
 *		Events that cannot go and are set aside: dead letters.
 *
 * An event that broker or schema registry refuses for good, and whose route has
 * on_error = dead_letter, becomes a row of outbox.parked_event instead of a
 * message.  What comes later with the same topic and key follows it there, of
 * whatever event type, so that order per key is never broken; all else flows.
 *
 * The registry is asked before an event is sent, so its refusal is acted on
 * where it comes up.  The broker's comes with the end of a Kafka transaction
 * and of this process:
 *
 *	the child names the event		condemned: noted in shared memory, the next
 *									process parks it when it meets it
 *	it is one of many				the next process sends smaller batches
 *									(outbox_batch_narrow()) and one message a
 *									request; then the child names it
 *
 * If the process dies
 *	before the condemned event is parked, and with it shared memory
 *									the broker refuses it again
 *	after, and before the Kafka transaction that passes it is committed
 *									it is met again, found in the table by its
 *									place and id, and passed
 *	after that						P is beyond it
 *
 * Rows are committed without waiting; before anything may pass the transaction
 * they are of, they are flushed, and with synchronous standbys are there, too:
 * outbox_parking_settle().
 *
 * Owns, for the process, the hashes of lanes (topic and key) that may be held.
 * A hit is looked up in the table, which alone decides, so a dead letter that
 * was discarded holds nobody from its commit on, and one that is sent again
 * (retry.c) nobody behind the place where it is.  A row holds what comes behind
 * it, not what is read again in front of it.  Beyond MAX_LANES hashes none are
 * kept, and every event with an order is looked up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "guc.h"
#include "miscadmin.h"
#include "relay/parking.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_LANES		65536
#define LOCK_TIMEOUT	"1000"	/* ms */
#define LOG_INTERVAL	1000	/* ms between lines about parked events */
#define INVALID_TOPIC	17		/* Kafka's code INVALID_TOPIC_EXCEPTION */

static HTAB *lanes = NULL;		/* NULL: too many, or none yet */
static bool too_many_lanes = false;

/* Events up to here may be in the table already. */
static OutboxParkedPlace met_before;

/* Must be durable before the present transaction is passed; 0 = nothing. */
static XLogRecPtr unsettled = InvalidXLogRecPtr;

/* Highest place of the present transaction that is in the table, or 0. */
static OutboxParkedPlace passing;

/* ---- transactions ------------------------------------------------------ */

/*
 * Whoever holds the table must not hold us for long: then this process ends
 * with an error, and the next one tries again.
 */
MemoryContext
outbox_parking_begin(void)
{
	MemoryContext old = CurrentMemoryContext;

	outbox_relay_begin_transaction();
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	(void) set_config_option("synchronous_commit", "off", PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	return old;
}

void
outbox_parking_end(MemoryContext old)
{
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
}

/* ---- lanes ------------------------------------------------------------- */

static void
note_lane(int64 hash)
{
	if (too_many_lanes)
		return;
	if (lanes == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(int64),
			.entrysize = sizeof(int64),.hcxt = TopMemoryContext};

		lanes = hash_create("outbox lanes", 64, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	(void) hash_search(lanes, &hash, HASH_ENTER, NULL);
	if (hash_get_num_entries(lanes) <= MAX_LANES)
		return;
	hash_destroy(lanes);
	lanes = NULL;
	too_many_lanes = true;
}

/* Nothing of that hash holds anybody from here on. */
static void
forget_lane(int64 hash)
{
	if (lanes == NULL)
		return;
	(void) hash_search(lanes, &hash, HASH_REMOVE, NULL);
	if (hash_get_num_entries(lanes) > 0)
		return;
	hash_destroy(lanes);
	lanes = NULL;
}

/* Id of the event that the one at that place must follow, 0: none. */
static int64
find_holder(const OutboxLane *lane, const OutboxParkedPlace *at)
{
	MemoryContext old;
	bool		lasting;
	int64		id;

	if (!lane->ordered || (lanes == NULL && !too_many_lanes))
		return 0;
	if (lanes != NULL && hash_search(lanes, &lane->hash, HASH_FIND, NULL) == NULL)
		return 0;
	old = outbox_parking_begin();
	id = outbox_parked_holder(lane, at, &lasting);
	outbox_parking_end(old);
	if (!lasting)
		forget_lane(lane->hash);
	return id;
}

/* Something was sent again: who is behind that place may be free now. */
void
outbox_parking_review(const OutboxLane *lane, const OutboxParkedPlace *at)
{
	(void) find_holder(lane, at);
}

/* ---- places ------------------------------------------------------------ */

static bool
was_parked(const OutboxParkedPlace *place, const OutboxWalMessage *msg)
{
	MemoryContext old;
	bool		found;

	if (outbox_parked_after(place, &met_before))
		return false;
	old = outbox_parking_begin();
	found = outbox_parked_has(place, msg->event_id);
	outbox_parking_end(old);
	return found;
}

bool
outbox_parking_condemned(OutboxRelay *relay, const OutboxParkedPlace *place,
						 OutboxResult *why)
{
	OutboxRelayEntry *entry = relay->entry;
	bool		condemned;

	if (relay->condemned_end != place->commit_end ||
		relay->condemned_ordinal != place->ordinal)
		return false;
	SpinLockAcquire(&entry->mutex);
	condemned = entry->condemned_end == place->commit_end &&
		entry->condemned_ordinal == place->ordinal;
	*why = entry->condemned_why;
	SpinLockRelease(&entry->mutex);
	return condemned;
}

/* ---- parking ------------------------------------------------------------ */

/* It is in the table with what was said of it. */
void
outbox_parking_pardon(OutboxRelay *relay, const OutboxParkedPlace *place)
{
	OutboxRelayEntry *entry = relay->entry;

	SpinLockAcquire(&entry->mutex);
	entry->failures = 0;		/* this is progress */
	if (entry->condemned_end == place->commit_end &&
		entry->condemned_ordinal == place->ordinal)
		entry->condemned_end = InvalidXLogRecPtr;
	SpinLockRelease(&entry->mutex);
}

static void
count_parked(OutboxRelay *relay, const OutboxParkedPlace *place)
{
	OutboxRelayEntry *entry = relay->entry;
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&entry->mutex);
	entry->parked++;
	entry->last_parked_at = now;
	SpinLockRelease(&entry->mutex);
	outbox_parking_pardon(relay, place);
}

/* There may be as many dead letters as events. */
static bool
log_now(void)
{
	static int64 logged_ms = -LOG_INTERVAL;
	int64		now = outbox_monotonic_ms();

	if (now - logged_ms < LOG_INTERVAL)
		return false;
	logged_ms = now;
	return true;
}

/*
 * The table was changed by the last commit of this process: for good, before
 * anything passes the present transaction.  place: what it speaks of, or NULL.
 */
void
outbox_parking_passes(const OutboxParkedPlace *place)
{
	unsettled = XactLastCommitEnd;
	if (place != NULL)
		passing = *place;
}

static void
park(OutboxRelay *relay, const OutboxTxn *txn, const OutboxWalMessage *msg,
	 const OutboxLane *lane, int64 blocked_by, const OutboxResult *why)
{
	OutboxParkedPlace place = {txn->commit_end, msg->ordinal};
	MemoryContext old = outbox_parking_begin();

	outbox_parked_add(&place, txn->commit_time, msg, lane, blocked_by, why);
	outbox_parking_end(old);
	if (lane->ordered)
		note_lane(lane->hash);
	outbox_parking_passes(&place);
	count_parked(relay, &place);
	if (why != NULL)
		ereport(log_now() ? LOG : DEBUG1,
				(errmsg("outbox parks an event of type \"%s\" in outbox.dead_letter: %s",
						outbox_routes_find(msg->route_id)->event_type,
						why->message)));
}

static void
find_lane(OutboxLane *lane, const OutboxRouteEntry *route,
		  const OutboxWalMessage *msg)
{
	if (msg->topic != NULL)
		outbox_lane_of(lane, msg, msg->topic, msg->topic_len);
	else
		outbox_lane_of(lane, msg, route->topic, strlen(route->topic));
}

bool
outbox_parking_holds(const OutboxRouteEntry *route, const OutboxWalMessage *msg)
{
	static const OutboxParkedPlace end_of_time = {PG_UINT64_MAX, 0};
	OutboxLane	lane;

	if (lanes == NULL && !too_many_lanes)
		return false;
	find_lane(&lane, route, msg);
	return find_holder(&lane, &end_of_time) != 0;
}

void
outbox_parking_refuse(OutboxRelay *relay, const OutboxTxn *txn,
					  const OutboxRouteEntry *route,
					  const OutboxWalMessage *msg, const OutboxResult *why)
{
	OutboxLane	lane;

	find_lane(&lane, route, msg);
	park(relay, txn, msg, &lane, 0, why);
}

/*
 * Whether the event is not to be sent: it is in the table already, or belongs
 * there and is put there now.
 */
bool
outbox_parking_takes(OutboxRelay *relay, const OutboxTxn *txn,
					 const OutboxRouteEntry *route,
					 const OutboxWalMessage *msg)
{
	OutboxParkedPlace place = {txn->commit_end, msg->ordinal};
	OutboxLane	lane;
	OutboxResult why;
	int64		holder;

	if (was_parked(&place, msg))
	{
		passing = place;
		return true;
	}
	if (lanes != NULL || too_many_lanes)
	{
		find_lane(&lane, route, msg);
		holder = find_holder(&lane, &place);
		if (holder != 0)
		{
			park(relay, txn, msg, &lane, holder, NULL);
			return true;
		}
	}
	if (!outbox_parking_condemned(relay, &place, &why))
		return false;
	outbox_parking_refuse(relay, txn, route, msg, &why);
	return true;
}

/*
 * What was parked of this transaction must be there for good before anything
 * passes it.
 */
void
outbox_parking_settle(OutboxRelay *relay)
{
	OutboxParkedPlace last = {relay->position.parked_lsn,
	relay->position.parked_ordinal};

	if (unsettled != InvalidXLogRecPtr)
	{
		XLogFlush(unsettled);
		outbox_gate_wait(relay, unsettled);
		unsettled = InvalidXLogRecPtr;
	}
	if (outbox_parked_after(&passing, &last))
	{
		relay->position.parked_lsn = passing.commit_end;
		relay->position.parked_ordinal = passing.ordinal;
	}
}

/* Whether none of this transaction's events can have to do with the table. */
bool
outbox_parking_idle(OutboxRelay *relay, const OutboxTxn *txn)
{
	return lanes == NULL && !too_many_lanes &&
		txn->commit_end > met_before.commit_end &&
		txn->commit_end != relay->condemned_end;
}

/* ---- start -------------------------------------------------------------- */

OutboxParkedPlace
outbox_parking_last(void)
{
	MemoryContext old = outbox_parking_begin();
	OutboxParkedPlace place = outbox_parked_last();

	outbox_parking_end(old);
	return place;
}

/*
 * After the takeover.  What an earlier process parked beyond P may not be
 * durable yet: a commit of ours that is, is behind it.
 */
void
outbox_parking_init(OutboxRelay *relay)
{
	OutboxRelayEntry *entry = relay->entry;
	MemoryContext old = outbox_parking_begin();
	int64		hash = 0;
	bool		more;

	SpinLockAcquire(&entry->mutex);
	relay->condemned_end = entry->condemned_end;
	relay->condemned_ordinal = entry->condemned_ordinal;
	SpinLockRelease(&entry->mutex);

	outbox_parked_reopen(relay->position.scanned, relay->adopted);
	CommandCounterIncrement();
	met_before = outbox_parked_last();
	if (relay->adopted)
	{
		/* Accepted as it is: the next failover has nothing to miss. */
		relay->position.parked_lsn = met_before.commit_end;
		relay->position.parked_ordinal = met_before.ordinal;
	}
	more = outbox_parked_next_lane(&hash, true);
	while (more && !too_many_lanes)
	{
		CHECK_FOR_INTERRUPTS();
		note_lane(hash);
		more = outbox_parked_next_lane(&hash, false);
	}
	if (met_before.commit_end > relay->position.scanned)
		(void) GetTopTransactionId();
	outbox_parking_end(old);
	if (met_before.commit_end > relay->position.scanned)
		unsettled = XactLastCommitEnd;
}

/* ---- what the broker refuses --------------------------------------------- */

/* The first event under way to a topic; NULL when it is not known. */
static const OutboxPlace *
first_to_topic(OutboxRelay *relay, uint32 topic)
{
	for (int i = 0; i <= relay->nflying; i++)
	{
		OutboxBatch *batch = i < relay->nflying ? relay->flying[i] : relay->open;

		for (uint32 n = 0; n < batch->nplaces; n++)
		{
			if (batch->places[n].topic == topic)
				return &batch->places[n];
		}
	}
	return NULL;
}

static const OutboxPlace *
find_place(OutboxBatch *batch, uint32 event)
{
	if (batch == NULL || batch->events == 0)
		return NULL;
	if (batch->events == 1 && batch->nplaces == 1)
		return &batch->places[0];
	return event > 0 && event <= batch->nplaces ?
		&batch->places[event - 1] : NULL;
}

/* Whether any event under way may be parked. */
static bool
any_parkable(OutboxRelay *relay)
{
	for (int i = 0; i < relay->nflying; i++)
	{
		if (relay->flying[i]->parkable)
			return true;
	}
	return relay->open->parkable;
}

/* A name that Kafka does not accept is the event's fault, not the broker's. */
bool
outbox_parking_concerns(const OutboxResult *why, uint32 topic)
{
	return topic != OUTBOX_NO_TOPIC &&
		(why->class == OUTBOX_REFUSED || why->code == INVALID_TOPIC);
}

/*
 * The child has failed at an event.  Does not return when it is known which
 * one, and it may be parked.  The caller leaves the process otherwise.
 */
void
outbox_parking_condemn(OutboxRelay *relay, OutboxBatch *batch, uint32 event,
					   uint32 topic, const OutboxResult *why)
{
	OutboxRelayEntry *entry = relay->entry;
	const OutboxPlace *place;

	if (relay->open == NULL)
		return;
	place = why->code == INVALID_TOPIC ? first_to_topic(relay, topic) :
		find_place(batch, event);
	if (place == NULL)
	{
		if (any_parkable(relay))
		{
			SpinLockAcquire(&entry->mutex);
			entry->single_messages = true;
			SpinLockRelease(&entry->mutex);
		}
		return;
	}
	if (!place->dead_letter)
		return;
	SpinLockAcquire(&entry->mutex);
	entry->condemned_end = place->commit_end;
	entry->condemned_ordinal = place->ordinal;
	entry->condemned_why = *why;
	SpinLockRelease(&entry->mutex);
	outbox_relay_stop(relay, OUTBOX_STATE_STOPPED, why);
}
