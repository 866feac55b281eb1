/*-------------------------------------------------------------------------
 *
 * judge.h
 *		May this server go on publishing from the position found in Kafka?
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JUDGE_H
#define OUTBOX_JUDGE_H

#include "catalog/parked.h"
#include "eventlog/log_source.h"
#include "relay/relay.h"

typedef struct OutboxVerdict
{
	OutboxRelayState refusal;	/* OUTBOX_STATE_STREAMING = none */
	char		reason[OUTBOX_RESULT_MESSAGE_SIZE];
	OutboxPosition start;		/* P, R, split, E, C to go on from */
	bool		usable;			/* refused, but start is right here: adopt it */
	bool		foreign;		/* written by another host: watch it first */
	bool		from_log;		/* WAL behind start is gone: publish from the
								 * event log what "log" says, then from WAL */
	OutboxLogCoverage log;
	XLogRecPtr	wal_restart;	/* R and P to go on from then */
	XLogRecPtr	wal_position;
} OutboxVerdict;

/* What is known of our side. */
typedef struct OutboxOwnFacts
{
	const OutboxInstance *instance;
	const OutboxServer *server;
	const uint8 *host;
	TimeLineID	timeline;
	XLogRecPtr	flushed;
	OutboxSlotState slot;
	XLogRecPtr	slot_restart;	/* when slot is OK */
	XLogRecPtr	oldest_wal;		/* start of the oldest segment still here */
	uint64		incarnation;	/* last of ours in this server's life, or 0 */
	OutboxParkedPlace parked;	/* highest in outbox.parked_event */
} OutboxOwnFacts;

/*
 * position is NULL when Kafka has none; claim NULL likewise.  parse tells
 * whether the position could be read.  Reads the timeline history,
 * and the event log when WAL is gone.
 */
extern void outbox_judge(const OutboxOwnFacts *own,
						 const OutboxPosition *position,
						 OutboxPositionParse parse,
						 const OutboxPosition *claim,
						 OutboxVerdict *verdict);

/* Where outbox.adopt() makes a refused relay go on. */
extern void outbox_judge_adopt(const OutboxOwnFacts *own,
							   OutboxVerdict *verdict);

#endif							/* OUTBOX_JUDGE_H */
