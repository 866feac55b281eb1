/*-------------------------------------------------------------------------
 *
 * latency.c
 *		How long commits took to be published: a histogram.
 *
 * Arithmetic alone: no state, no locks, nothing that can fail.
 *
 *-------------------------------------------------------------------------
 */
#include "base/latency.h"

#include <math.h>

double
outbox_latency_bound(int bucket)
{
	return bucket < OUTBOX_LATENCY_BOUNDS ?
		(double) (UINT64CONST(1) << bucket) : INFINITY;
}

void
outbox_latency_count(OutboxLatency *latency, int64 us, uint32 n)
{
	int			bucket = 0;

	us = Max(us, 0);
	while (bucket < OUTBOX_LATENCY_BOUNDS && us > INT64CONST(1000) << bucket)
		bucket++;
	latency->counts[bucket] += n;
	latency->sum_us += (uint64) us * n;
}

void
outbox_latency_add(OutboxLatency *to, const OutboxLatency *what)
{
	for (int i = 0; i <= OUTBOX_LATENCY_BOUNDS; i++)
		to->counts[i] += what->counts[i];
	to->sum_us += what->sum_us;
}

uint64
outbox_latency_total(const OutboxLatency *latency)
{
	uint64		total = 0;

	for (int i = 0; i <= OUTBOX_LATENCY_BOUNDS; i++)
		total += latency->counts[i];
	return total;
}

double
outbox_latency_quantile(const OutboxLatency *latency, double share)
{
	double		rank = share * (double) outbox_latency_total(latency);
	double		below = 0;

	for (int i = 0; i < OUTBOX_LATENCY_BOUNDS; i++)
	{
		double		here = (double) latency->counts[i];
		double		from = i == 0 ? 0 : outbox_latency_bound(i - 1);

		if (here > 0 && below + here >= rank)
			return from + (outbox_latency_bound(i) - from) *
				Max(rank - below, 0) / here;
		below += here;
	}
	return outbox_latency_total(latency) == 0 ? 0 :
		outbox_latency_bound(OUTBOX_LATENCY_BOUNDS - 1);
}
