/*-------------------------------------------------------------------------
 *
 * rest.h
 *		How long a transactional id rests between two transactions.
 *
 * A broker refuses the next transaction of an id while it writes the markers
 * of the last (CONCURRENT_TRANSACTIONS), and librdkafka asks again only 20 ms
 * later.  Not to ask too early costs less than to be put off: so an id rests
 * after its commit for as long as experience says, no longer than LONGEST.
 * One small batch that was put off adds STEP; each that was not takes DECAY
 * away, so more than STEP / DECAY that are in time make up for one that is
 * late.  A large batch is late by itself and tells nothing.
 *
 * Pure functions of their arguments, in us; see producer.c for who calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_REST_H
#define OUTBOX_KAFKA_REST_H

#include "base/base.h"

#define OUTBOX_REST_STEP	500
#define OUTBOX_REST_DECAY	5
#define OUTBOX_REST_LONGEST	10000
#define OUTBOX_SMALL_BATCH	1000	/* events; all of it is produced at once */

/*
 * us from an answer to AddPartitionsToTxn to the next such request when the
 * broker said CONCURRENT_TRANSACTIONS: librdkafka waits 20 ms.
 */
#define OUTBOX_LEAST_PUT_OFF	15000
#define OUTBOX_MOST_PUT_OFF		30000

/* The rest after a batch, given the one before. */
static inline int64
outbox_rest_next(int64 rest, uint32 events, bool put_off)
{
	if (events < OUTBOX_SMALL_BATCH && put_off)
		return Min(rest + OUTBOX_REST_STEP, OUTBOX_REST_LONGEST);
	return Max(rest - OUTBOX_REST_DECAY, 0);
}

/* Whether so long a gap between two such requests means that. */
static inline bool
outbox_rest_is_put_off(int64 gap)
{
	return gap >= OUTBOX_LEAST_PUT_OFF && gap < OUTBOX_MOST_PUT_OFF;
}

#endif							/* OUTBOX_KAFKA_REST_H */
