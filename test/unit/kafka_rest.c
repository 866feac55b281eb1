/*-------------------------------------------------------------------------
 *
 * kafka_rest.c
 *		How long a transactional id rests between two transactions.
 *
 *-------------------------------------------------------------------------
 */
#include "unit/tap.h"

#include "outbox-kafka/rest.h"

/* The rest after n batches alike. */
static int64
after(int64 rest, int n, uint32 events, bool put_off)
{
	while (n-- > 0)
		rest = outbox_rest_next(rest, events, put_off);
	return rest;
}

int
main(void)
{
	int64		grown = after(0, 4, 1, true);

	ok(after(0, 1000, 1, false) == 0, "nobody rests without need");
	ok(after(0, 1, 1, true) == 500, "one that was put off: half a millisecond");
	ok(grown == 2000, "each of them more");
	ok(after(0, 1000, 1, true) == 10000, "never more than 10 ms");
	ok(after(9999, 1, 1, true) == 10000, "not by a part of a step either");
	ok(after(grown, 1, 1, false) == 1995, "one in time: a little less");
	ok(after(grown, 400, 1, false) == 0, "and so on");
	ok(after(3, 1, 1, false) == 0, "down to none, never below");
	ok(after(grown, 1, 999, true) == 2500, "999 events are a small batch");
	ok(after(grown, 1, 1000, true) == 1995, "1000 are not: late by themselves");
	ok(after(0, 1, 0, true) == 500, "a position alone is one too");

	/* late by 20 ms once in 150 must not make everybody wait for ever */
	{
		int64		rest = 0;

		for (int i = 0; i < 100; i++)
			rest = after(after(rest, 1, 1, true), 149, 1, false);
		ok(rest == 0, "a rare one is forgotten");
	}

	ok(!outbox_rest_is_put_off(0) && !outbox_rest_is_put_off(14999),
	   "another topic soon after is no sign");
	ok(outbox_rest_is_put_off(15000) && outbox_rest_is_put_off(20000) &&
	   outbox_rest_is_put_off(29999), "20 ms, more or less, are");
	ok(!outbox_rest_is_put_off(30000), "another topic much later is none");
	return done();
}
