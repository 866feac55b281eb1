/*-------------------------------------------------------------------------
 *
 * parked.h
 *		Rows of outbox.parked_event: dead letters and what follows them.
 *
 * In a transaction of the caller, who is the relay.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PARKED_H
#define OUTBOX_PARKED_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "base/result.h"
#include "datatype/timestamp.h"
#include "record/wal_message.h"

/* A place in the stream; see source.h. */
typedef struct OutboxParkedPlace
{
	XLogRecPtr	commit_end;		/* 0 = none */
	uint32		ordinal;
} OutboxParkedPlace;

/* What is ordered among itself: events of one topic and key. */
typedef struct OutboxLane
{
	bool		ordered;		/* false: this event has no order */
	int64		hash;
	const char *topic;			/* borrowed, not terminated */
	int			topic_len;
	const char *key;			/* NULL = none, then the partition counts */
	int			key_len;
	int32		partition;
} OutboxLane;

extern void outbox_lane_of(OutboxLane *lane, const OutboxWalMessage *msg,
						   const char *topic, int topic_len);

/* Store one event; why is NULL for one that follows another. */
extern void outbox_parked_add(const OutboxParkedPlace *place,
							  TimestampTz commit_time,
							  const OutboxWalMessage *msg,
							  const OutboxLane *lane, int64 blocked_by,
							  const OutboxResult *why);

/* Whether this very event is there, discarded or not. */
extern bool outbox_parked_has(const OutboxParkedPlace *place,
							  const uint8 event_id[OUTBOX_EVENT_ID_SIZE]);

/* The highest place of all. */
extern OutboxParkedPlace outbox_parked_last(void);

/* Id of the oldest event that holds this lane, 0: none. */
extern int64 outbox_parked_holder(const OutboxLane *lane);

/*
 * Hash of the next lane that was ever held, in order; *hash is the last one,
 * or anything when first is set.  False at the end.
 */
extern bool outbox_parked_next_lane(int64 *hash, bool first);

#endif							/* OUTBOX_PARKED_H */
