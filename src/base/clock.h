/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The clock for timeouts: monotonic, so that a wall clock set by an hour
 *		neither ends a wait nor makes it endless.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CLOCK_H
#define OUTBOX_CLOCK_H

#include "base/base.h"

#include <time.h>

static inline int64
outbox_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif							/* OUTBOX_CLOCK_H */
