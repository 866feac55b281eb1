/*-------------------------------------------------------------------------
 *
 * tap.h
 *		The few lines that unit tests in C share: ok(), done().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TEST_TAP_H
#define OUTBOX_TEST_TAP_H

#include "base/base.h"

static int	tap_tests = 0;
static int	tap_failures = 0;

static inline void
ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tap_tests, what);
	if (!good)
		tap_failures++;
}

static inline int
done(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failures == 0 ? 0 : 1;
}

#endif							/* OUTBOX_TEST_TAP_H */
