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
#include "catalog/catalog.h"
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

/* The highest place that the table speaks of: of an event, or of a retry. */
extern OutboxParkedPlace outbox_parked_last(void);

extern bool outbox_parked_after(const OutboxParkedPlace *a,
								const OutboxParkedPlace *b);

/*
 * Id of an event that holds this lane at that place, 0: none.  *lasting: the
 * hash may still hold somebody at a later place.
 */
extern int64 outbox_parked_holder(const OutboxLane *lane,
								  const OutboxParkedPlace *at, bool *lasting);

/*
 * Hash of the next lane that was ever held, in order; *hash is the last one,
 * or anything when first is set.  False at the end.
 */
extern bool outbox_parked_next_lane(int64 *hash, bool first);

/* For the files of catalog/: two columns of a row as a place, 0 = null. */
extern OutboxParkedPlace outbox_parked_place(HeapTuple tuple, TupleDesc desc,
											 int lsn, int ordinal);
extern bool outbox_parked_is_of(OutboxCatalogScan *scan, HeapTuple tuple,
								const OutboxLane *lane);

extern Datum outbox_parked_reason(const char *message);

#define OUTBOX_UNIX_EPOCH_MS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * 86400 * 1000)

/* ---- sent again (parked_retry.c) --------------------------------------- */

/* What a retry has to know of a dead letter before it is read whole. */
typedef struct OutboxParkedRow
{
	int64		id;
	OutboxParkedPlace place;
	uint32		route_id;
	uint32		schema_id;
	uint32		key_schema_id;	/* 0 = the key is text */
	bool		has_value;
	bool		noted;			/* by an earlier process, at this place */
	bool		refused;		/* by the retry of that commit already */
	uint64		bytes;			/* of the value */
} OutboxParkedRow;

typedef struct OutboxParkedRows
{
	OutboxParkedRow *rows;		/* in the order of their places */
	uint32		n;				/* of them that fit */
	uint32		all;
} OutboxParkedRows;

/*
 * What waits at a retry's place: of a lane, up to last (NULL: all); or one of
 * an id.  palloc'd in that context.
 */
extern void outbox_parked_waiting(const OutboxLane *lane,
								  const OutboxParkedPlace *at,
								  const OutboxParkedPlace *last,
								  uint32 max_rows, uint64 max_bytes,
								  MemoryContext context, OutboxParkedRows *out);
extern bool outbox_parked_waits(int64 id, const OutboxParkedPlace *at,
								OutboxParkedRow *row);

typedef enum OutboxParkedChange
{
	OUTBOX_PARKED_CHANGED,
	OUTBOX_PARKED_GONE,			/* given up, or not there */
	OUTBOX_PARKED_LOCKED		/* by an open transaction, which is not waited
								 * for */
} OutboxParkedChange;

/* It is sent at that place; is not, after all; was tried and refused again. */
extern OutboxParkedChange outbox_parked_note(int64 id,
											 const OutboxParkedPlace *at);
extern OutboxParkedChange outbox_parked_withdraw(int64 id,
												 const OutboxParkedPlace *at);
extern OutboxParkedChange outbox_parked_refused(int64 id,
												const OutboxParkedPlace *at,
												const OutboxResult *why);

/* The event as it was written, palloc'd; false when it is not there. */
extern bool outbox_parked_load(int64 id, OutboxWalMessage *msg,
							   TimestampTz *commit_time);

/*
 * Up to max of those that are sent at places up to "until" are published.
 * Returns how many; *next is the lowest place that is not confirmed, 0: none.
 */
extern uint64 outbox_parked_confirm(XLogRecPtr until, uint32 max,
									XLogRecPtr *next);

/*
 * Kafka is not as far as it was: what was published beyond "until" waits again;
 * doubt: and so does what is not confirmed.
 */
extern void outbox_parked_reopen(XLogRecPtr until, bool doubt);

/* ---- what the dead-letter topic is told (parked_copy.c) ----------------- */

typedef struct OutboxParkedStory
{
	int64		id;
	int64		blocked_by;		/* 0 = refused itself */
	const char *reason;			/* palloc'd, NULL = none */
	int32		code;			/* 0 = none */
	bool		reduced;		/* the copy goes without value and headers */
} OutboxParkedStory;

/* Of the event at that place; false when it is not there. */
extern bool outbox_parked_story(const OutboxParkedPlace *place,
								OutboxParkedStory *story);

/* Its copy was refused: the next one is reduced. */
extern void outbox_parked_reduce_copy(const OutboxParkedPlace *place);

#endif							/* OUTBOX_PARKED_H */
