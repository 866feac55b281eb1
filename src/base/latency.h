/*-------------------------------------------------------------------------
 *
 * latency.h
 *		How long commits took to be published: a histogram.
 *
 * Plain data, so that it can live in shared memory; whoever owns one says what
 * protects it.  Upper bounds are 1, 2, 4, ... ms and never change, so that
 * counts of different servers and times can be added up; the last bucket has
 * none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LATENCY_H
#define OUTBOX_LATENCY_H

#include "base/base.h"

#define OUTBOX_LATENCY_BOUNDS	22	/* 1 ms to 2^21 ms, 35 minutes */

typedef struct OutboxLatency
{
	uint64		counts[OUTBOX_LATENCY_BOUNDS + 1];	/* not cumulative */
	uint64		sum_us;
} OutboxLatency;

/* Upper bound of a bucket, ms; infinity for the last. */
extern double outbox_latency_bound(int bucket);

/* n commits that took this long; a clock that went back counts as 0. */
extern void outbox_latency_count(OutboxLatency *latency, int64 us, uint32 n);
extern void outbox_latency_add(OutboxLatency *to, const OutboxLatency *what);
extern uint64 outbox_latency_total(const OutboxLatency *latency);

/*
 * The value, in ms, that a share (0 to 1) of the commits did not exceed,
 * evenly spread within its bucket; the highest bound for what is beyond it.  0
 * when nothing was counted.
 */
extern double outbox_latency_quantile(const OutboxLatency *latency,
									  double share);

#endif							/* OUTBOX_LATENCY_H */
