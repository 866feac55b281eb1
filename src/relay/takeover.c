/*-------------------------------------------------------------------------
 *
 * takeover.c
 *		From a fresh child to the first position record of our own.
 *
 * Every start of a relay is a takeover, from a predecessor that may still be
 * alive (a network partition, another copy of the data).  The order is that of
 * the design, and what a death at each step leaves behind:
 *
 *	  (meanwhile the slot keeps to its budget, see budget.c)
 *	1 read position and claims		nothing
 *	2 judge them (judge.c)			nothing
 *	3 write a claim					a claim: others know that we meant to
 *	4 init_transactions on every id ever used
 *									predecessors are fenced, their open
 *									transactions aborted; the position stands
 *	5 read and judge the position again: a predecessor may have committed
 *	  between 1 and 4				nothing
 *	6 position-only transaction with the new incarnation
 *									the position is ours and says the same P
 *	  (now the logical slot is checked against it, if changes are decoded: see
 *	  switch.c)
 *	7 first time: write the floor	the position may exist without a floor; the
 *									other way round would look like a loss, and
 *									no event goes out before the floor is there
 *	8 read WAL from R, skip what is <= P
 *
 * at_least_once does the same, so that changing the setting is no event; its
 * records are not transactional.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "catalog/instance.h"
#include "guc.h"
#include "miscadmin.h"
#include "relay/budget.h"
#include "relay/child.h"
#include "relay/judge.h"
#include "relay/parking.h"
#include "relay/relay.h"
#include "relay/switch.h"
#include "relay/upgrade.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/fmgrprotos.h"

#define ANSWER_TIMEOUT		30000	/* ms; the child has shorter ones */

static int	frame_start;

/* The relay's own, once it is acquired. */
static OutboxSlotState slot = OUTBOX_SLOT_MISSING;
static XLogRecPtr slot_restart = InvalidXLogRecPtr;

static StringInfo
begin_frame(OutboxFrameType type)
{
	StringInfo	out = outbox_child_buffer();

	frame_start = outbox_frame_begin(out, type);
	return out;
}

/*
 * The slot is taken before Kafka is asked for, so that it keeps to its budget
 * while that is away.
 */
static void
hold_slot(OutboxRelay *relay)
{
	if (slot != OUTBOX_SLOT_OK)
		slot = outbox_slot_acquire(OUTBOX_SLOT_RELAY, MyDatabaseId,
								   &slot_restart);
	if (slot == OUTBOX_SLOT_OK && outbox_budget_apply(relay))
		slot_restart = outbox_slot_peek(OUTBOX_SLOT_RELAY, MyDatabaseId);
}

/* Wait for an answer; failures end the process. */
static void
await(OutboxRelay *relay, uint8 answer)
{
	int64		begun = outbox_monotonic_ms();

	relay->answer = 0;
	while (relay->answer != answer)
	{
		if (outbox_monotonic_ms() - begun > ANSWER_TIMEOUT)
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("outbox-kafka gave no answer within %d seconds",
							ANSWER_TIMEOUT / 1000)));
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
		hold_slot(relay);
	}
}

/* Finish the frame and wait for its answer. */
static void
ask(OutboxRelay *relay, uint8 answer)
{
	outbox_frame_end(outbox_child_buffer(), frame_start);
	await(relay, answer);
}

static char *
instance_text(OutboxRelay *relay)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out,
											   UUIDPGetDatum(&relay->instance.id)));
}

static void
say_hello(OutboxRelay *relay)
{
	StringInfo	out = begin_frame(OUTBOX_FRAME_HELLO);
	char	   *id = instance_text(relay);

	outbox_put_u16(out, OUTBOX_PROTOCOL_VERSION);
	outbox_put_u8(out, (uint8) outbox_delivery);
	outbox_put_u16(out, (uint16) outbox_ring_size);
	outbox_put_cstring(out, psprintf("outbox-%s", id));
	outbox_put_cstring(out, psprintf("outbox.position.%s", id));
	outbox_put_cstring(out, outbox_kafka_config_file[0] != '\0' ?
					   outbox_kafka_config_file : NULL);
	outbox_put_u32(out, 2 + (outbox_schema_registry_url[0] != '\0') +
				   relay->single);
	outbox_put_cstring(out, "bootstrap.servers");
	outbox_put_cstring(out, outbox_bootstrap_servers);
	outbox_put_cstring(out, "client.id");
	outbox_put_cstring(out, psprintf("outbox-%s", id));
	if (outbox_schema_registry_url[0] != '\0')
	{
		outbox_put_cstring(out, "schema.registry.url");
		outbox_put_cstring(out, outbox_schema_registry_url);
	}
	if (relay->single)
	{
		outbox_put_cstring(out, "outbox.single.messages");
		outbox_put_cstring(out, "true");
	}
	ask(relay, OUTBOX_FRAME_HELLO_OK);

	(void) outbox_routes_position_topic(psprintf("outbox.position.%s", id));
	await(relay, OUTBOX_FRAME_TOPIC_OK);
}

static void
read_position(OutboxRelay *relay)
{
	(void) begin_frame(OUTBOX_FRAME_READ_POSITION);
	ask(relay, OUTBOX_FRAME_POSITION);
}

static void
gather_facts(OutboxRelay *relay, OutboxOwnFacts *own)
{
	hold_slot(relay);
	memset(own, 0, sizeof(*own));
	own->instance = &relay->instance;
	own->server = &relay->server;
	own->host = relay->host;
	own->flushed = outbox_source_flushed(&own->timeline);
	relay->timeline = own->timeline;
	own->slot = slot;
	own->slot_restart = slot_restart;
	own->oldest_wal = outbox_source_oldest();
	own->incarnation = relay->entry->incarnation;
	own->parked = outbox_parking_last();
}

/*
 * Somebody with another host identity wrote the position.  Three heartbeats
 * without a new record: nobody lives there any more.  adopt() ends the watch.
 */
static bool
writer_lives(OutboxRelay *relay)
{
	int64		seen = relay->kafka_position.written_ms;
	uint64		incarnation = relay->kafka_position.incarnation;
	int64		end = outbox_monotonic_ms() +
		3 * (int64) outbox_heartbeat_interval;

	while (outbox_monotonic_ms() < end && !relay->instance.adopt_pending)
	{
		outbox_relay_wait(relay, Min(outbox_heartbeat_interval,
									 OUTBOX_PING_INTERVAL));
		read_position(relay);
		if (relay->has_position &&
			(relay->kafka_position.written_ms != seen ||
			 relay->kafka_position.incarnation != incarnation))
			return true;
	}
	return false;
}

static void
judge(OutboxRelay *relay, OutboxOwnFacts *own, OutboxVerdict *verdict)
{
	gather_facts(relay, own);
	outbox_judge(own, relay->has_position ? &relay->kafka_position : NULL,
				 relay->kafka_parse, relay->has_claim ? &relay->claim : NULL,
				 verdict);
}

static void
judge_foreigner(OutboxRelay *relay, OutboxOwnFacts *own, OutboxVerdict *verdict)
{
	if (writer_lives(relay))
	{
		judge(relay, own, verdict);
		verdict->refusal = OUTBOX_STATE_CLONE;
		strlcpy(verdict->reason,
				"another server with the same data is publishing",
				sizeof(verdict->reason));
		return;
	}
	judge(relay, own, verdict);
	if (verdict->refusal == OUTBOX_STATE_STREAMING &&
		own->slot != OUTBOX_SLOT_OK)
	{
		verdict->refusal = OUTBOX_STATE_CLONE;
		strlcpy(verdict->reason,
				"the position was written on another host, and this server has no replication slot: it may be a copy",
				sizeof(verdict->reason));
	}
}

/*
 * What adopting state "gap" gives up, to be written down with the adoption: what
 * the event log lacks, and what lies between it and WAL; without a log, all from
 * the position to where WAL begins.
 */
static void
note_gaps(OutboxRelay *relay, const OutboxVerdict *verdict)
{
	XLogRecPtr	from = relay->kafka_position.scanned;
	XLogRecPtr	to = verdict->start.scanned;

	relay->ngaps = 0;
	if (verdict->from_log)
	{
		relay->ngaps = verdict->log.ngaps;
		memcpy(relay->gaps, verdict->log.gaps, sizeof(verdict->log.gaps));
		from = verdict->log.limit;
		to = verdict->wal_position;
	}
	if (relay->has_position && to > from)
	{
		relay->gaps[relay->ngaps].from = from;
		relay->gaps[relay->ngaps].to = to;
		relay->ngaps++;
	}
	for (int i = 0; i < relay->ngaps; i++)
		ereport(LOG,
				(errmsg("events of commits from %X/%X to %X/%X are given up",
						LSN_FORMAT_ARGS(relay->gaps[i].from),
						LSN_FORMAT_ARGS(relay->gaps[i].to))));
}

/* Steps 1 and 2, and again 5. */
static void
read_and_judge(OutboxRelay *relay, bool first, OutboxPosition *start)
{
	OutboxOwnFacts own;
	OutboxVerdict verdict;
	XLogRecPtr	needed;

	read_position(relay);
	judge(relay, &own, &verdict);
	if (first && verdict.foreign && !relay->instance.adopt_pending &&
		verdict.refusal == OUTBOX_STATE_STREAMING)
		judge_foreigner(relay, &own, &verdict);

	if (verdict.refusal != OUTBOX_STATE_STREAMING)
	{
		if (!relay->instance.adopt_pending)
			outbox_relay_refuse(relay, verdict.refusal, "%s", verdict.reason);
		ereport(LOG,
				(errmsg("outbox adopts state \"%s\": %s",
						outbox_state_name(verdict.refusal), verdict.reason)));
		outbox_judge_adopt(&own, &verdict);
		relay->adopted = true;
	}
	*start = verdict.start;
	relay->from_log = verdict.from_log;
	relay->log_limit = verdict.log.limit;
	relay->wal_restart = verdict.wal_restart;
	relay->wal_position = verdict.wal_position;
	if (verdict.refusal == OUTBOX_STATE_GAP)
		note_gaps(relay, &verdict);
	needed = verdict.from_log ? verdict.wal_restart : start->restart;
	if (own.slot == OUTBOX_SLOT_OK && own.slot_restart <= needed)
		return;

	/* All WAL that is needed is here; hold it again. */
	if (own.slot != OUTBOX_SLOT_OK)
	{
		outbox_slot_drop(OUTBOX_SLOT_RELAY, MyDatabaseId);
		outbox_slot_create(OUTBOX_SLOT_RELAY, MyDatabaseId);
		gather_facts(relay, &own);
	}
	if (own.slot == OUTBOX_SLOT_OK)
		outbox_slot_set(needed);
	if (own.slot != OUTBOX_SLOT_OK ||
		outbox_source_oldest() > needed)
		outbox_relay_refuse(relay, OUTBOX_STATE_GAP,
							"WAL from %X/%X on went away while the slot was made again",
							LSN_FORMAT_ARGS(needed));
}

/* Steps 3 and 4. */
static void
claim(OutboxRelay *relay)
{
	OutboxPosition *pos = &relay->position;
	uint64		incarnation = 0;
	int			ring = outbox_ring_size;
	StringInfoData record;
	StringInfo	out;

	if (relay->has_position && relay->kafka_parse == OUTBOX_POSITION_OK)
	{
		incarnation = relay->kafka_position.incarnation;
		ring = Max(ring, relay->kafka_position.ring);
	}
	if (relay->has_claim)
	{
		incarnation = Max(incarnation, relay->claim.incarnation);
		ring = Max(ring, relay->claim.ring);
	}
	memcpy(pos->instance, relay->instance.id.data, UUID_LEN);
	memcpy(pos->host, relay->host, OUTBOX_IDENTITY_SIZE);
	pos->system_id = GetSystemIdentifier();
	pos->timeline = relay->timeline;
	pos->incarnation = incarnation + 1;
	pos->ring = ring;
	pos->written_ms = outbox_relay_now_ms();

	initStringInfo(&record);
	outbox_position_write(&record, pos);
	out = begin_frame(OUTBOX_FRAME_PUT_RECORD);
	outbox_put_cstring(out, OUTBOX_CLAIM_KEY);
	outbox_put_bytes(out, record.data, record.len);
	ask(relay, OUTBOX_FRAME_PUT_OK);

	out = begin_frame(OUTBOX_FRAME_INIT);
	outbox_put_u16(out, (uint16) ring);
	ask(relay, OUTBOX_FRAME_INIT_OK);
}

/* P, R and the rest of the place; who wrote it stays ours. */
static void
take_place(OutboxPosition *pos, const OutboxPosition *start)
{
	pos->scanned = start->scanned;
	pos->split_ordinal = start->split_ordinal;
	pos->event_end = start->event_end;
	pos->event_crc = start->event_crc;
	pos->commit_start = start->commit_start;
	pos->commit_crc = start->commit_crc;
	pos->restart = start->restart;
	pos->parked_lsn = start->parked_lsn;
	pos->parked_ordinal = start->parked_ordinal;
	pos->marks_len = start->marks_len;
	memcpy(pos->marks, start->marks, start->marks_len);
}

/* Step 6. */
static void
record_incarnation(OutboxRelay *relay)
{
	OutboxSourceProgress place;

	memset(&place, 0, sizeof(place));
	place.scanned = relay->position.scanned;
	place.restart = relay->position.restart;
	outbox_batch_close(relay, &place);
	while (relay->nflying > 0 || relay->recorded < relay->position.scanned)
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
}

/* Step 7, and the end of an adoption. */
static void
write_floor(OutboxRelay *relay)
{
	if (relay->instance.has_floor && !relay->instance.adopt_pending)
		return;
	StartTransactionCommand();
	outbox_instance_set_floor(relay->position.scanned,
							  relay->instance.adopt_pending);
	for (int i = 0; i < relay->ngaps; i++)
		outbox_catalog_note_gap(relay->gaps[i].from, relay->gaps[i].to);
	CommitTransactionCommand();
	relay->instance.has_floor = true;
	relay->instance.adopt_pending = false;
	relay->instance.floor = relay->position.scanned;
}

void
outbox_takeover(OutboxRelay *relay)
{
	OutboxPosition start;

	outbox_state_set(relay->entry, OUTBOX_STATE_CONNECTING, NULL);
	hold_slot(relay);
	say_hello(relay);
	read_and_judge(relay, true, &start);

	outbox_state_set(relay->entry, OUTBOX_STATE_TAKING_OVER, NULL);
	take_place(&relay->position, &start);
	claim(relay);
	read_and_judge(relay, false, &start);
	take_place(&relay->position, &start);

	SpinLockAcquire(&relay->entry->mutex);
	relay->entry->incarnation = relay->position.incarnation;
	if (relay->instance.adopt_pending)
		relay->entry->published = InvalidXLogRecPtr;	/* may go back */
	SpinLockRelease(&relay->entry->mutex);
	record_incarnation(relay);
	outbox_switch_check_slot(relay);
	outbox_upgrade_settle(relay);
	write_floor(relay);
	relay->floor = relay->instance.floor;
}
