/*-------------------------------------------------------------------------
 *
 * publish.c
 *		The sink: committed transactions become events in the open batch.
 *
 * For every message: is it ours (MAC), where does it go (route), frame it
 * (registry id), append it to the DATA frame.  Encoding was done by the
 * backend; this moves bytes.  When the socket is full the sink waits, so a
 * transaction of any size passes through bounded memory.
 *
 * Messages with our prefix that fail the MAC, or repeat an ordinal, are
 * forgeries or copies made with pg_logical_emit_message(): counted, said once
 * a minute, ignored.  A key id nobody knows is the same: a key is committed
 * before any message made with it.  A message that is ours but not understood
 * (later version, route gone) stops the relay: state "blocked".  One that
 * broker or registry refuse, or that follows such a one, may be parked instead
 * of sent: parking.c.  A marker of kind RETRY has dead letters sent again in its
 * place: retry.c.
 *
 * A change of a captured table that the decoder has made needs no MAC and joins
 * in behind that check.  The decoder calls from inside a transaction, in which
 * neither the catalog of now can be read nor anything be written; so it asks
 * first, publish_needs_transaction().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/clock.h"
#include "guc.h"
#include "jobs/jobs.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "relay/child.h"
#include "relay/copy.h"
#include "relay/parking.h"
#include "relay/retry.h"
#include "rowcodec/tail.h"
#include "utils/memutils.h"

#define DATA_FRAME_SIZE		(128 * 1024)	/* bytes; a frame is closed here */
#define MAX_PENDING			(1024 * 1024)	/* bytes waiting for the socket */
#define FORGERY_LOG_INTERVAL 60000	/* ms */
#define MAX_AGE				5000	/* ms a Kafka transaction is filled */
#define AGE_CHECK			256 /* events between looks at the clock */
#define WIRE_PREFIX_SIZE	5	/* Confluent wire format: 0, schema id */
#define UNIX_EPOCH_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
#define SINGLE_EVENTS		5000	/* in a Kafka transaction, one by one: more
									 * might not be done before its timeout */

/* End the DATA frame being filled and hand it to the socket. */
void
outbox_publish_flush(OutboxRelay *relay)
{
	if (relay->data_events == 0)
		return;
	outbox_store_le((uint8 *) relay->data.data + relay->data_count_at,
					relay->data_events, 4);
	outbox_frame_end(&relay->data, relay->data_start);
	appendBinaryStringInfo(outbox_child_buffer(), relay->data.data,
						   relay->data.len);
	resetStringInfo(&relay->data);
	relay->data_events = 0;
	outbox_child_flush();
}

static void
begin_data_frame(OutboxRelay *relay)
{
	relay->data_start = outbox_frame_begin(&relay->data, OUTBOX_FRAME_DATA);
	outbox_put_u32(&relay->data, relay->open->number);
	relay->data_count_at = relay->data.len;
	outbox_put_u32(&relay->data, 0);
}

/* What the registry calls the schemas of an event. */
typedef struct WireIds
{
	uint32		value;
	uint32		key;
} WireIds;

static void
append_prefix(StringInfo data, uint32 wire_id)
{
	uint32		id = pg_hton32(wire_id);

	appendStringInfoChar(data, '\0');
	appendBinaryStringInfo(data, (char *) &id, sizeof(id));
}

/* The prefix takes the place of our own id. */
static void
append_framed_key(StringInfo data, uint32 wire_id, const OutboxWalMessage *msg)
{
	outbox_put_u32(data, msg->key_len - sizeof(uint32) + WIRE_PREFIX_SIZE);
	append_prefix(data, wire_id);
	appendBinaryStringInfo(data, msg->key + sizeof(uint32),
						   msg->key_len - sizeof(uint32));
}

/* Append one event in the form of frame.h. */
static void
append_event(OutboxRelay *relay, bool framed, uint32 topic,
			 const WireIds *ids, const OutboxWalMessage *msg, int64 commit_ms)
{
	StringInfo	data = &relay->data;
	int			prefix = framed && msg->payload != NULL ? WIRE_PREFIX_SIZE : 0;
	int			start;

	if (relay->data_events == 0)
		begin_data_frame(relay);
	start = data->len;
	outbox_put_u32(data, 0);
	outbox_put_u32(data, topic);
	outbox_put_u32(data, (uint32) msg->partition);
	outbox_put_u64(data, msg->timestamp_ms != 0 ? msg->timestamp_ms : commit_ms);
	appendBinaryStringInfo(data, (const char *) msg->event_id,
						   OUTBOX_EVENT_ID_SIZE);
	outbox_put_u32(data, relay->part);
	if (unlikely(msg->flags & OUTBOX_MSG_KEY_SCHEMA) && msg->key != NULL)
		append_framed_key(data, ids->key, msg);
	else
		outbox_put_bytes(data, msg->key, msg->key_len);
	outbox_put_bytes(data, msg->headers, msg->headers_len);
	if (msg->payload == NULL)
		outbox_put_u32(data, OUTBOX_NULL_LENGTH);
	else
		outbox_put_u32(data, prefix + msg->payload_len);
	if (prefix > 0)
		append_prefix(data, ids->value);
	if (msg->payload != NULL)
		appendBinaryStringInfo(data, msg->payload, msg->payload_len);
	outbox_store_le((uint8 *) data->data + start, data->len - start - 4, 4);

	relay->data_events++;
	if (data->len >= DATA_FRAME_SIZE)
		outbox_publish_flush(relay);
}

static void
count_event(OutboxRelay *relay, uint32 topic, const OutboxWalMessage *msg)
{
	OutboxBatch *batch = relay->open;
	uint32		bytes = Max(msg->payload_len, 0) + Max(msg->key_len, 0);

	if (topic >= batch->ntopics)
	{
		int			n = topic + 8;
		uint32	   *events = MemoryContextAllocZero(TopMemoryContext,
													n * sizeof(uint32));
		uint64	   *sums = MemoryContextAllocZero(TopMemoryContext,
												  n * sizeof(uint64));

		if (batch->ntopics > 0)
		{
			memcpy(events, batch->topic_events, batch->ntopics * sizeof(uint32));
			memcpy(sums, batch->topic_bytes, batch->ntopics * sizeof(uint64));
			pfree(batch->topic_events);
			pfree(batch->topic_bytes);
		}
		batch->topic_events = events;
		batch->topic_bytes = sums;
		batch->ntopics = n;
	}
	if (batch->events == 0)
	{
		batch->opened_ms = outbox_monotonic_ms();
		batch->route_id = msg->route_id;
		memcpy(batch->event_id, msg->event_id, OUTBOX_EVENT_ID_SIZE);
	}
	else if (msg->route_id != batch->route_id)
		batch->mixed = true;
	batch->topic_events[topic]++;
	batch->topic_bytes[topic] += bytes;
	batch->events++;
	batch->bytes += bytes;
	relay->accepted++;
	relay->in_part++;
}

void
outbox_publish_note_forged(OutboxRelay *relay, uint64 n, XLogRecPtr before)
{
	static int64 logged_ms = -FORGERY_LOG_INTERVAL;
	static uint64 unlogged = 0;
	int64		now = outbox_monotonic_ms();

	SpinLockAcquire(&relay->entry->mutex);
	relay->entry->forged += n;
	SpinLockRelease(&relay->entry->mutex);
	unlogged += n;
	if (now - logged_ms < FORGERY_LOG_INTERVAL)
		return;
	ereport(LOG,
			(errmsg("ignored " UINT64_FORMAT " WAL messages with prefix \"%s\" that outbox did not write",
					unlogged, OUTBOX_WAL_PREFIX),
			 errdetail("The last one lies, or was committed, before %X/%X.",
					   LSN_FORMAT_ARGS(before))));
	logged_ms = now;
	unlogged = 0;
}

/* Events of one database transaction that one Kafka transaction may have. */
static uint32
max_events(const OutboxRelay *relay)
{
	return relay->single ? Min(outbox_max_kafka_txn_events, SINGLE_EVENTS) :
		outbox_max_kafka_txn_events;
}

/*
 * Whether what is open must be committed before the broker's transaction
 * timeout (15 s) ends it: then trying again would never get any further.
 */
static bool
overdue(OutboxRelay *relay)
{
	OutboxBatch *batch = relay->open;

	return batch->events > 0 &&
		outbox_monotonic_ms() - batch->opened_ms > MAX_AGE;
}

/* The rest of a transaction that is too large for one Kafka transaction. */
static void
split_batch(OutboxRelay *relay)
{
	OutboxSourceProgress progress;

	if (relay->part == 0)
		relay->part = 1;		/* not foreseen: its events are not marked */
	outbox_parking_settle(relay);
	while (!outbox_batch_can_close(relay))
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
	relay->source->progress(relay->source, &progress);
	relay->position.split_ordinal = relay->pushed;
	relay->open->whole = false;
	relay->open->splits = relay->part == 1 ? 1 : 0;
	outbox_batch_close(relay, &progress);
	relay->part++;
	relay->in_part = 0;
}

/* Index of the topic that the event goes to, OUTBOX_NO_TOPIC: none is named. */
static uint32
find_topic(OutboxRouteEntry *route, const OutboxWalMessage *msg)
{
	if (msg->topic != NULL)
		return outbox_routes_topic(msg->topic, msg->topic_len,
								   route->partitions);
	if (route->topic_index == OUTBOX_NO_TOPIC)
		route->topic_index = outbox_routes_topic(route->topic,
												 strlen(route->topic),
												 route->partitions);
	return route->topic_index;
}

static int64
unix_ms(TimestampTz t)
{
	return t / 1000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * 86400 * 1000;
}

/* Tell the transaction topic, if there is one, of a beginning or an end. */
static void
send_boundary(OutboxRelay *relay, const OutboxTxn *txn, bool end)
{
	static const WireIds none = {0};
	OutboxPlace place = {.commit_end = txn->commit_end,.topic = relay->told_topic};
	OutboxWalMessage msg;

	outbox_change_describe(relay, txn, end, &msg);
	append_event(relay, false, place.topic, &none, &msg,
				 unix_ms(txn->commit_time));
	outbox_batch_note(relay->open, &place, relay->single);
	count_event(relay, place.topic, &msg);
}

/* The first row of a transaction that is to be told of. */
static void
begin_told(OutboxRelay *relay, const OutboxTxn *txn,
		   const OutboxRouteEntry *route)
{
	if (likely(route->transaction_topic == NULL) ||
		relay->begun == relay->serial)
		return;
	relay->begun = relay->serial;
	relay->told_topic = outbox_routes_topic(route->transaction_topic,
											strlen(route->transaction_topic),
											1);
	if (relay->pushed >= relay->skip)	/* else it was told before the split */
		send_boundary(relay, txn, false);
}

static bool
find_wire_ids(OutboxRelay *relay, const OutboxRouteEntry *route,
			  const OutboxWalMessage *msg, WireIds *ids, OutboxResult *why)
{
	if (route->framed && msg->payload != NULL &&
		!outbox_schemas_wire_id(relay, route, msg, &ids->value, why))
		return false;
	return likely((msg->flags & OUTBOX_MSG_KEY_SCHEMA) == 0) ||
		msg->key == NULL ||
		outbox_schemas_key_wire_id(relay, route, msg, &ids->key, why);
}

static void
split_if_full(OutboxRelay *relay, const OutboxTxn *txn)
{
	if (((relay->part > 0 || txn->estimated) &&
		 relay->in_part >= max_events(relay)) ||
		(relay->in_part > 0 && relay->in_part % AGE_CHECK == 0 &&
		 overdue(relay)))
		split_batch(relay);
}

/* Into the open batch, unless broker or registry will not have it. */
static void
send_event(OutboxRelay *relay, const OutboxTxn *txn, OutboxRouteEntry *route,
		   const OutboxWalMessage *msg)
{
	OutboxPlace place = {txn->commit_end, msg->ordinal};
	OutboxResult why;
	WireIds		ids = {0};
	bool		parked = outbox_parking_takes(relay, txn, route, msg);

	if (!parked && !find_wire_ids(relay, route, msg, &ids, &why))
	{
		outbox_parking_refuse(relay, txn, route, msg, &why);
		parked = true;
	}
	if (parked)
	{
		if (outbox_copy_wanted())
			outbox_copy_send(relay, txn, route, msg);
		return;
	}
	split_if_full(relay, txn);
	begin_told(relay, txn, route);
	place.topic = find_topic(route, msg);
	place.dead_letter = route->dead_letter;
	append_event(relay, route->framed, place.topic, &ids, msg,
				 unix_ms(txn->commit_time));
	outbox_batch_note(relay->open, &place, relay->single);
	count_event(relay, place.topic, msg);
}

void
outbox_publish_copy(OutboxRelay *relay, const OutboxTxn *txn,
					const OutboxRouteEntry *route,
					const OutboxWalMessage *copy, bool framed, bool refusable)
{
	OutboxPlace place = {.commit_end = txn->commit_end,
		.ordinal = copy->ordinal,
	.dead_letter = refusable};
	OutboxResult why;
	WireIds		ids = {0};

	if (framed && !find_wire_ids(relay, route, copy, &ids, &why))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("schema %u has lost its id", copy->schema_id)));
	split_if_full(relay, txn);
	place.topic = outbox_routes_topic(copy->topic, copy->topic_len, -1);
	append_event(relay, framed && route->framed, place.topic, &ids, copy,
				 unix_ms(txn->commit_time));
	outbox_batch_note(relay->open, &place, relay->single);
	count_event(relay, place.topic, copy);
}

bool
outbox_publish_prepare(OutboxRelay *relay, OutboxRouteEntry *route,
					   const OutboxWalMessage *msg, OutboxResult *why)
{
	WireIds		ids;

	return find_wire_ids(relay, route, msg, &ids, why);
}

/* The end of a row's payload: it is as of that time and place. */
static void
complete_row(StringInfo out, const OutboxRouteEntry *route,
			 OutboxWalMessage *msg, TimestampTz at, XLogRecPtr lsn)
{
	OutboxChangeTail tail = {
		.commit_time_us = at + UNIX_EPOCH_US,
		.lsn = lsn,
		.commit_lsn = lsn
	};

	resetStringInfo(out);
	appendBinaryStringInfo(out, msg->payload, msg->payload_len);
	outbox_change_tail(out, route->envelope,
					   route->framed ? OUTBOX_FORMAT_AVRO : OUTBOX_FORMAT_JSON,
					   &tail);
	msg->payload = out->data;
	msg->payload_len = out->len;
}

/*
 * Into the open batch, under schema ids that were found before; waits while the
 * socket is full.
 */
static void
append_prepared(OutboxRelay *relay, OutboxRouteEntry *route,
				const OutboxWalMessage *msg, OutboxPlace place,
				TimestampTz at)
{
	OutboxResult why;
	WireIds		ids = {0};

	if (!find_wire_ids(relay, route, msg, &ids, &why))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("schema %u has lost its id", msg->schema_id)));
	place.topic = find_topic(route, msg);
	append_event(relay, route->framed, place.topic, &ids, msg, unix_ms(at));
	outbox_batch_note(relay->open, &place, relay->single);
	count_event(relay, place.topic, msg);
	while (outbox_child_pending() > MAX_PENDING)
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
}

/*
 * A row has no place in the stream: it is never parked, so its route's
 * on_error does not count.
 */
void
outbox_publish_row(OutboxRelay *relay, OutboxRouteEntry *route,
				   OutboxWalMessage *msg, TimestampTz at, XLogRecPtr lsn)
{
	static StringInfoData payload;
	OutboxPlace place = {lsn, 0};

	if ((msg->flags & OUTBOX_MSG_TAIL) != 0 && msg->payload != NULL)
	{
		if (payload.data == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			initStringInfo(&payload);
			MemoryContextSwitchTo(old);
		}
		complete_row(&payload, route, msg, at, lsn);
	}
	append_prepared(relay, route, msg, place, at);
}

void
outbox_publish_make_room(OutboxRelay *relay, uint32 events)
{
	if (relay->in_part > 0 &&
		(relay->in_part + events > max_events(relay) || overdue(relay)))
		split_batch(relay);
}

/*
 * It is in the table already, so it can be refused without harm, whatever its
 * route says; and it is no part of the transaction that it travels with.
 */
void
outbox_publish_again(OutboxRelay *relay, OutboxRouteEntry *route,
					 const OutboxWalMessage *msg, XLogRecPtr commit_end,
					 uint32 ordinal, TimestampTz at)
{
	OutboxPlace place = {.commit_end = commit_end,.ordinal = ordinal,
	.dead_letter = true};
	uint32		part = relay->part;

	relay->part = 0;
	append_prepared(relay, route, msg, place, at);
	relay->part = part;
}

/*
 * Where it goes, and off it goes, unless it was published before a split; waits
 * while the socket is full.
 */
static void
send(OutboxRelay *relay, const OutboxTxn *txn, OutboxWalMessage *msg,
	 XLogRecPtr lsn)
{
	OutboxRouteEntry *route;

	if (unlikely(msg->kind == OUTBOX_MESSAGE_RETRY))
	{
		if (relay->pushed >= relay->skip)
			outbox_retry_take(relay, txn, msg);
		relay->pushed++;
		return;
	}
	route = outbox_routes_find(msg->route_id);
	if (route == NULL)
		outbox_relay_refuse(relay, OUTBOX_STATE_BLOCKED,
							"message at %X/%X names route %u, which is not in outbox.route",
							LSN_FORMAT_ARGS(lsn), msg->route_id);
	outbox_jobs_note(route, msg, txn->xid);
	if (unlikely(route->from >= txn->commit_end) &&
		msg->kind != OUTBOX_MESSAGE_EVENT)
	{
		relay->pushed++;		/* another program has published it */
		return;
	}
	if (unlikely(msg->flags & OUTBOX_MSG_TAIL))
		outbox_change_complete(relay, txn, route, lsn, msg);
	if (relay->pushed < relay->skip)
	{
		begin_told(relay, txn, route);
		relay->pushed++;
		return;
	}
	if (msg->topic == NULL ? route->topic == NULL :
		msg->topic_len <= 0 || msg->topic_len >= OUTBOX_TOPIC_NAME_SIZE)
		outbox_relay_refuse(relay, OUTBOX_STATE_BLOCKED,
							"message at %X/%X names no topic",
							LSN_FORMAT_ARGS(lsn));
	send_event(relay, txn, route, msg);
	relay->pushed++;

	while (outbox_child_pending() > MAX_PENDING)
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
}

static void
publish_message(OutboxSink *sink, const OutboxTxn *txn,
				const char *data, Size len, XLogRecPtr lsn)
{
	OutboxRelay *relay = (OutboxRelay *) sink;
	OutboxWalMessage msg;

	if (!outbox_secret_authentic(relay->full_xid, txn->commit_end, data, len,
								 &relay->last_ordinal))
	{
		relay->pushed++;
		outbox_publish_note_forged(relay, 1, txn->commit_end);
		return;
	}
	if (outbox_wal_message_read(data, len, &msg) != OUTBOX_WAL_OK)
		outbox_relay_refuse(relay, OUTBOX_STATE_BLOCKED,
							"message at %X/%X was written by a later version of outbox",
							LSN_FORMAT_ARGS(lsn));
	send(relay, txn, &msg, lsn);
}

/* Made by the source in this process: nothing to authenticate. */
static void
publish_change(OutboxSink *sink, const OutboxTxn *txn, OutboxWalMessage *msg,
			   XLogRecPtr lsn)
{
	send((OutboxRelay *) sink, txn, msg, lsn);
}

/* They count: an ordinal in the position is one of all messages. */
static void
publish_pass_over(OutboxSink *sink, const OutboxTxn *txn, uint32 n)
{
	((OutboxRelay *) sink)->pushed += n;
}

/*
 * Whether what is asked by publish_message(), send() and below is not all known to
 * this process, or something may have to be written.
 */
static bool
publish_needs_transaction(OutboxSink *sink, const OutboxTxn *txn,
						  const char *data, Size len,
						  const OutboxWalMessage *msg)
{
	OutboxRelay *relay = (OutboxRelay *) sink;
	const OutboxRouteEntry *route;
	OutboxWalMessage own;

	if (!outbox_parking_idle(relay, txn))
		return true;
	if (msg == NULL)
	{
		if (outbox_wal_message_read(data, len, &own) != OUTBOX_WAL_OK)
			return true;
		if (!outbox_secret_known(own.key_id, txn->commit_end) ||
			own.kind == OUTBOX_MESSAGE_RETRY)
			return true;
		msg = &own;
	}
	route = outbox_routes_known(msg->route_id);
	return route == NULL || !outbox_schemas_known(route, msg);
}

/* Close the open batch at this boundary, waiting for a place if need be. */
static void
close_full_batch(OutboxRelay *relay)
{
	OutboxSourceProgress progress;

	while (!outbox_batch_can_close(relay))
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
	relay->source->progress(relay->source, &progress);
	outbox_batch_close(relay, &progress);
}

/*
 * All up to where the limit ends is sent.  Only another process sends many
 * messages in a request again.
 */
void
outbox_publish_end_limit(OutboxRelay *relay)
{
	OutboxRelayEntry *entry = relay->entry;

	if (relay->single)
	{
		if (relay->open->events > 0)
			close_full_batch(relay);
		while (relay->nflying > 0 ||
			   relay->recorded < relay->position.scanned)
			outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
	}
	relay->batch_limit = 0;
	SpinLockAcquire(&entry->mutex);
	entry->batch_limit = 0;
	entry->single_messages = false;
	SpinLockRelease(&entry->mutex);
	if (relay->single)
	{
		pg_atomic_fetch_or_u32(&entry->asked, OUTBOX_ASK_RESTART);
		outbox_relay_wait(relay, 0);	/* and leave */
	}
}

/*
 * After a refusal: nothing is under way when a batch begins, so that what the
 * next event does to the child cannot undo what was committed before it.
 */
static void
keep_limit(OutboxRelay *relay)
{
	if (relay->batch_limit == 0)
		return;
	if (relay->pushing > relay->limit_until)
		outbox_publish_end_limit(relay);
	while (relay->batch_limit > 0 && relay->open->events == 0 &&
		   relay->nflying > 0)
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
}

static void
publish_begin(OutboxSink *sink, const OutboxTxn *txn)
{
	OutboxRelay *relay = (OutboxRelay *) sink;

	relay->full_xid = outbox_txn_full_xid(txn->xid);
	outbox_gate_pass(relay, txn);

	/* A database transaction never spans Kafka transactions if it can fit. */
	if (overdue(relay) ||
		(relay->open->events > 0 &&
		 relay->open->events + txn->messages > max_events(relay)))
		close_full_batch(relay);

	relay->pushing = txn->commit_end;
	keep_limit(relay);

	relay->serial++;
	relay->total_order = 0;
	relay->last_ordinal = 0;
	relay->pushed = 0;
	relay->skip = relay->position.split_ordinal;
	relay->accepted = 0;
	relay->in_part = 0;
	relay->part = 0;
	if ((txn->messages > max_events(relay) && !txn->estimated) ||
		relay->skip > 0)
		relay->part = relay->skip / max_events(relay) + 1;
}

static void
publish_commit(OutboxSink *sink, const OutboxTxn *txn)
{
	OutboxRelay *relay = (OutboxRelay *) sink;
	OutboxBatch *batch;

	if (unlikely(relay->begun == relay->serial))
		send_boundary(relay, txn, true);
	batch = relay->open;
	outbox_parking_settle(relay);
	relay->position.split_ordinal = 0;
	if (relay->accepted > 0)
	{
		relay->position.event_end = txn->commit_end;
		relay->position.event_crc = txn->commit_crc;
		batch->transactions++;
		batch->newest_commit = txn->commit_time;
		outbox_commit_times_note(&batch->commit_times, txn->commit_time);
		if (batch->oldest_commit == 0)
		{
			batch->oldest_commit = txn->commit_time;
			SpinLockAcquire(&relay->entry->mutex);
			if (relay->entry->oldest_pending == 0)
				relay->entry->oldest_pending = txn->commit_time;
			SpinLockRelease(&relay->entry->mutex);
		}
	}
	relay->part = 0;
	if (batch->events >= outbox_batch_events ||
		(relay->batch_limit > 0 && batch->events >= relay->batch_limit) ||
		batch->bytes / 1024 >= outbox_batch_bytes || overdue(relay))
		close_full_batch(relay);
}

void
outbox_publish_init(OutboxRelay *relay)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	relay->sink.begin = publish_begin;
	relay->sink.message = publish_message;
	relay->sink.commit = publish_commit;
	relay->sink.change = publish_change;
	relay->sink.pass_over = publish_pass_over;
	relay->sink.needs_transaction = publish_needs_transaction;
	initStringInfo(&relay->data);
	outbox_change_init(relay);
	SpinLockAcquire(&relay->entry->mutex);
	relay->batch_limit = relay->entry->batch_limit;
	relay->limit_until = relay->entry->limit_until;
	relay->single = relay->entry->single_messages && relay->batch_limit > 0;
	SpinLockRelease(&relay->entry->mutex);
	MemoryContextSwitchTo(old);
}
