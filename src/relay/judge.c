/*-------------------------------------------------------------------------
 *
 * judge.c
 *		Compare the position found in Kafka with this server.
 *
 * Owns nothing and changes nothing: facts in, verdict out.  Every refusal is a
 * state with a reason; a guess is never made for the operator, who decides
 * with outbox.adopt().
 *
 *	position cannot be parsed			position_unreadable
 *	other instance or system			other_instance (but see upgrade.c)
 *	timeline not in our history			diverged
 *	events published beyond the point
 *	where our history left its timeline	diverged
 *	a dead letter that it passed is not
 *	in our table, on a new timeline		diverged
 *	P beyond the end of our WAL			diverged
 *	no commit record at C, or another	diverged
 *	none, though we have published		kafka_lost
 *	P before what we have published		kafka_lost
 *	WAL between P and our oldest gone	gap, unless the event log has it
 *	newer claim by another host			fenced
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "relay/judge.h"
#include "relay/upgrade.h"

static void refuse(OutboxVerdict *verdict, OutboxRelayState state,
				   const char *fmt,...) pg_attribute_printf(3, 4);

static void
refuse(OutboxVerdict *verdict, OutboxRelayState state, const char *fmt,...)
{
	va_list		args;

	verdict->refusal = state;
	va_start(args, fmt);
	vsnprintf(verdict->reason, sizeof(verdict->reason), fmt, args);
	va_end(args);
}

/* A claim that outranks ours, made by somebody else: we were replaced. */
static bool
judge_claim(const OutboxOwnFacts *own, const OutboxPosition *claim,
			OutboxVerdict *verdict)
{
	if (claim == NULL || own->incarnation == 0 ||
		memcmp(claim->host, own->host, OUTBOX_IDENTITY_SIZE) == 0)
		return true;
	if (claim->timeline < own->timeline ||
		(claim->timeline == own->timeline &&
		 claim->incarnation <= own->incarnation))
		return true;
	refuse(verdict, OUTBOX_STATE_FENCED,
		   "another server claimed this instance: timeline %u, incarnation " UINT64_FORMAT " (ours: timeline %u, incarnation " UINT64_FORMAT ")",
		   claim->timeline, claim->incarnation, own->timeline,
		   own->incarnation);
	return false;
}

static bool
judge_identity(const OutboxOwnFacts *own, const OutboxPosition *pos,
			   OutboxVerdict *verdict)
{
	if (memcmp(pos->instance, own->instance->id.data, UUID_LEN) != 0)
		refuse(verdict, OUTBOX_STATE_OTHER_INSTANCE,
			   "the position topic was written by another outbox instance");
	else if (pos->system_id != GetSystemIdentifier())
		refuse(verdict, OUTBOX_STATE_OTHER_INSTANCE,
			   "the position was written by system " UINT64_FORMAT ", this is system " UINT64_FORMAT,
			   pos->system_id, GetSystemIdentifier());
	else
		return true;
	return false;
}

static bool
parked_beyond(const OutboxPosition *pos, const OutboxParkedPlace *own)
{
	return pos->parked_lsn > own->commit_end ||
		(pos->parked_lsn == own->commit_end &&
		 pos->parked_ordinal > own->ordinal);
}

/*
 * The record's timeline must be an ancestor of ours (or ours).  Events beyond
 * the switch point were published and are not in our history; event-free WAL
 * beyond it is no loss, and the position is brought back to the switch point.
 * That is where to go on in either case: all before it was published.
 *
 * A dead letter was parked here before Kafka's position passed it; if the
 * failover lost the row, neither has the event.  If it lost that a retry has
 * sent one, both have it.
 */
static bool
judge_timeline(const OutboxOwnFacts *own, OutboxPosition *pos,
			   OutboxVerdict *verdict)
{
	List	   *history;
	XLogRecPtr	until;
	bool		lost;

	if (pos->timeline == own->timeline)
		return true;
	history = readTimeLineHistory(own->timeline);
	if (pos->timeline > own->timeline || !tliInHistory(pos->timeline, history))
	{
		refuse(verdict, OUTBOX_STATE_DIVERGED,
			   "the position is of timeline %u, which is not in the history of timeline %u",
			   pos->timeline, own->timeline);
		return false;
	}
	until = tliSwitchPoint(pos->timeline, history, NULL);
	lost = pos->event_end > until ||
		(pos->split_ordinal > 0 && pos->scanned >= until);
	if (lost)
	{
		refuse(verdict, OUTBOX_STATE_DIVERGED,
			   "events up to %X/%X of timeline %u were published, but this server left that timeline at %X/%X",
			   LSN_FORMAT_ARGS(Max(pos->event_end, pos->scanned)),
			   pos->timeline, LSN_FORMAT_ARGS(until));
		pos->event_end = InvalidXLogRecPtr;
		pos->split_ordinal = 0;
		verdict->usable = true;
	}
	if (pos->scanned > until)
	{
		pos->scanned = until;
		pos->restart = Min(pos->restart, until);
		if (pos->commit_start >= until)
			pos->commit_start = InvalidXLogRecPtr;
	}
	if (!lost && parked_beyond(pos, &own->parked))
	{
		refuse(verdict, OUTBOX_STATE_DIVERGED,
			   "what was committed at %X/%X was parked on timeline %u, or sent from there, and outbox.dead_letter of this server does not know",
			   LSN_FORMAT_ARGS(pos->parked_lsn), pos->timeline);
		verdict->usable = true;
		return false;
	}
	return !lost;
}

/*
 * Whether the commit record at C is the one that was published, as far as that
 * WAL is still here.  It is there if this is our own history.  A checkpoint may
 * take that WAL away while we look for it.
 */
static bool
same_history(const OutboxOwnFacts *own, const OutboxPosition *pos)
{
	uint32		crc;

	if (pos->commit_start == InvalidXLogRecPtr ||
		pos->commit_start < own->oldest_wal)
		return true;
	if (outbox_scanner_commit_crc(pos->commit_start, &crc))
		return crc == pos->commit_crc;
	return pos->commit_start < outbox_source_oldest();
}

/* What the slot has let go of is not asked for again, though it is there yet. */
static bool
has_wal(const OutboxOwnFacts *own, const OutboxPosition *pos)
{
	return pos->restart >= own->oldest_wal &&
		(own->slot != OUTBOX_SLOT_OK || pos->restart >= own->slot_restart);
}

/*
 * WAL from R on was released for the event log, or lost: if that has all behind
 * P up to where WAL begins, nothing lacks.  Rows that are decoded are not in it.
 */
static bool
covered_by_log(const OutboxOwnFacts *own, const OutboxPosition *pos,
			   OutboxVerdict *verdict)
{
	outbox_log_coverage(pos->scanned, &verdict->log);
	verdict->from_log = verdict->log.any && verdict->log.ngaps == 0 &&
		verdict->log.restart >= own->oldest_wal &&
		own->instance->log_from == InvalidXLogRecPtr;
	verdict->wal_restart = verdict->log.restart;
	verdict->wal_position = verdict->log.limit;
	return verdict->from_log;
}

static bool
judge_place(const OutboxOwnFacts *own, const OutboxPosition *pos,
			OutboxVerdict *verdict)
{
	if (pos->scanned > own->flushed)
		refuse(verdict, OUTBOX_STATE_DIVERGED,
			   "the position %X/%X is ahead of this server's WAL, which ends at %X/%X",
			   LSN_FORMAT_ARGS(pos->scanned), LSN_FORMAT_ARGS(own->flushed));
	else if (own->instance->has_floor && pos->scanned < own->instance->floor)
		refuse(verdict, OUTBOX_STATE_KAFKA_LOST,
			   "the position %X/%X is behind %X/%X, which was published before",
			   LSN_FORMAT_ARGS(pos->scanned),
			   LSN_FORMAT_ARGS(own->instance->floor));
	else if (!same_history(own, pos))
		refuse(verdict, OUTBOX_STATE_DIVERGED,
			   "the commit record at %X/%X is not the one that was published",
			   LSN_FORMAT_ARGS(pos->commit_start));
	else if (!has_wal(own, pos) && !covered_by_log(own, pos, verdict) &&
			 pos->restart < own->oldest_wal)
		refuse(verdict, OUTBOX_STATE_GAP,
			   "WAL from %X/%X to %X/%X, which may hold unpublished events, is gone",
			   LSN_FORMAT_ARGS(pos->restart), LSN_FORMAT_ARGS(own->oldest_wal));
	else
		return true;
	return false;
}

/* Nothing in Kafka: the beginning, or a loss. */
static void
judge_none(const OutboxOwnFacts *own, OutboxVerdict *verdict)
{
	memset(&verdict->start, 0, sizeof(verdict->start));
	if (own->instance->has_floor)
	{
		refuse(verdict, OUTBOX_STATE_KAFKA_LOST,
			   "Kafka has no position, but events up to %X/%X were published",
			   LSN_FORMAT_ARGS(own->instance->floor));
		return;
	}
	if (own->slot != OUTBOX_SLOT_OK)
	{
		refuse(verdict, OUTBOX_STATE_GAP,
			   "the replication slot is gone and nothing was published yet, so it is not known where to begin");
		return;
	}
	verdict->start.scanned = verdict->start.restart = own->slot_restart;
}

void
outbox_judge(const OutboxOwnFacts *own, const OutboxPosition *position,
			 OutboxPositionParse parse, const OutboxPosition *claim,
			 OutboxVerdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->refusal = OUTBOX_STATE_STREAMING;

	if (!judge_claim(own, claim, verdict))
		return;
	if (position == NULL)
	{
		if (!outbox_upgrade_judge(own, NULL, verdict))
			judge_none(own, verdict);
		return;
	}
	if (parse != OUTBOX_POSITION_OK)
	{
		refuse(verdict, OUTBOX_STATE_POSITION_UNREADABLE,
			   parse == OUTBOX_POSITION_TOO_NEW ?
			   "the position record was written by a later version of outbox" :
			   "the position record is damaged");
		return;
	}
	verdict->start = *position;
	if (memcmp(position->instance, own->instance->id.data, UUID_LEN) == 0 &&
		outbox_upgrade_judge(own, position, verdict))
		return;
	if (judge_identity(own, position, verdict) &&
		judge_timeline(own, &verdict->start, verdict))
		judge_place(own, &verdict->start, verdict);
	verdict->foreign = memcmp(position->host, own->host,
							  OUTBOX_IDENTITY_SIZE) != 0;
}

/* What the log still has behind the position, then WAL as far as there is any. */
static bool
adopt_log(const OutboxOwnFacts *own, OutboxVerdict *verdict)
{
	OutboxLogCoverage *log = &verdict->log;

	outbox_log_coverage(verdict->start.scanned, log);
	if (!log->any)
		return false;
	verdict->from_log = true;
	verdict->wal_restart = log->restart;
	verdict->wal_position = log->limit;
	if (log->restart < own->oldest_wal)
	{
		verdict->wal_restart = outbox_source_first_record(own->oldest_wal);
		verdict->wal_position = Max(log->limit, verdict->wal_restart);
	}
	return true;
}

/*
 * The operator says: go on.  From Kafka's position where it makes sense here,
 * else from what was published before, else from the oldest WAL that the slot
 * holds: in doubt an event goes out twice rather than never.  Over a gap, what
 * the event log still has goes out first.
 */
void
outbox_judge_adopt(const OutboxOwnFacts *own, OutboxVerdict *verdict)
{
	OutboxPosition *start = &verdict->start;
	XLogRecPtr	oldest = own->slot == OUTBOX_SLOT_OK ?
		own->slot_restart : own->oldest_wal;
	XLogRecPtr	from;
	bool		usable;

	usable = verdict->usable || verdict->refusal == OUTBOX_STATE_CLONE ||
		verdict->refusal == OUTBOX_STATE_FENCED ||
		verdict->refusal == OUTBOX_STATE_GAP ||
		(verdict->refusal == OUTBOX_STATE_KAFKA_LOST &&
		 start->scanned != InvalidXLogRecPtr);
	if (usable && start->scanned != InvalidXLogRecPtr &&
		start->scanned <= own->flushed)
	{
		if (start->restart >= oldest)
			return;
		if (adopt_log(own, verdict))
			return;
		from = Max(start->scanned, oldest);
	}
	else if (own->instance->has_floor && own->instance->floor >= oldest &&
			 own->instance->floor <= own->flushed)
	{
		/* Transactions that were open at the floor begin before it. */
		memset(start, 0, sizeof(*start));
		start->scanned = own->instance->floor;
		start->restart = outbox_source_first_record(oldest);
		return;
	}
	else
		from = Min(oldest, own->flushed);
	memset(start, 0, sizeof(*start));
	start->scanned = from;
	start->restart = outbox_source_first_record(Min(oldest, from));
	start->scanned = Max(start->scanned, start->restart);
}
