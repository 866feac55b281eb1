/*-------------------------------------------------------------------------
 *
 * latency.c
 *		The latency histogram, and the commit times that go into it.
 *
 *-------------------------------------------------------------------------
 */
#include "unit/tap.h"

#include <math.h>

#include "base/commit_times.h"

#define MS INT64CONST(1000)		/* us */

static void
test_buckets(void)
{
	OutboxLatency l = {0};

	ok(outbox_latency_quantile(&l, 0.5) == 0, "nothing counted: 0");
	ok(outbox_latency_bound(0) == 1 && outbox_latency_bound(10) == 1024 &&
	   isinf(outbox_latency_bound(OUTBOX_LATENCY_BOUNDS)), "bounds");
	outbox_latency_count(&l, -5, 1);
	outbox_latency_count(&l, 0, 1);
	outbox_latency_count(&l, 1 * MS, 1);
	ok(l.counts[0] == 3, "a bound belongs to its bucket, what is negative to the first");
	outbox_latency_count(&l, 1 * MS + 1, 1);
	outbox_latency_count(&l, 2 * MS, 1);
	ok(l.counts[1] == 2, "beyond a bound is the next bucket");
	outbox_latency_count(&l, (INT64CONST(1) << 21) * MS, 1);
	ok(l.counts[21] == 1, "the highest bound");
	outbox_latency_count(&l, PG_INT64_MAX, 1);
	ok(l.counts[22] == 1, "and beyond it");
	ok(outbox_latency_total(&l) == 7, "total");
	ok(outbox_latency_quantile(&l, 1) == 2097152, "beyond the bounds: the highest one");
}

static void
test_quantiles(void)
{
	OutboxLatency l = {0};
	OutboxLatency sum = {0};

	outbox_latency_count(&l, 6 * MS, 90);
	outbox_latency_count(&l, 100 * MS, 10);
	ok(outbox_latency_quantile(&l, 0.45) == 6, "half of a bucket of 4 to 8 ms");
	ok(outbox_latency_quantile(&l, 0.9) == 8, "all of it");
	ok(outbox_latency_quantile(&l, 0.95) == 96, "half of the one of 64 to 128 ms");
	ok(outbox_latency_quantile(&l, 0) == 4, "the least");
	outbox_latency_add(&sum, &l);
	outbox_latency_add(&sum, &l);
	ok(outbox_latency_total(&sum) == 200 &&
	   sum.sum_us == 2 * (90 * 6 + 10 * 100) * MS, "added up");
}

/* Times rise by step us; the worst and the total error of what is counted. */
static bool
spread(int n, int64 step, int64 allowed)
{
	OutboxCommitTimes times = {0};
	OutboxLatency got = {0};
	uint64		want = 0;
	int64		now = n * step;

	for (int i = 0; i < n; i++)
	{
		outbox_commit_times_note(&times, i * step);
		want += now - i * step;
		if (times.n > OUTBOX_COMMIT_TIMES)
			return false;
	}
	for (int i = 1; i < times.n; i++)
		if (times.times[i].first - times.times[i - 1].first < times.width)
			return false;
	outbox_commit_times_count(&times, now, &got);
	return outbox_latency_total(&got) == n && got.sum_us >= want &&
		got.sum_us - want <= (uint64) n * allowed && times.width <= allowed;
}

static void
test_commit_times(void)
{
	OutboxCommitTimes times = {0};
	OutboxLatency l = {0};

	outbox_commit_times_count(&times, 5, &l);
	ok(outbox_latency_total(&l) == 0, "an empty batch counts nothing");
	outbox_commit_times_note(&times, 100 * MS);
	outbox_commit_times_note(&times, 99 * MS);
	ok(times.n == 1 && times.times[0].count == 2, "a commit time that goes back");
	ok(spread(1, 1, 250), "one transaction");
	ok(spread(32, 250, 250), "as many as there are entries");
	ok(spread(33, 250, 500), "one more");
	ok(spread(100000, 10, 100000 * 10 / 16), "100,000 within a second");
	ok(spread(1000, 600000 * MS, 1000 * 600000 * MS / 15), "1,000 in a week");
}

int
main(void)
{
	test_buckets();
	test_quantiles();
	test_commit_times();
	return done();
}
