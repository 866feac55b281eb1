/*-------------------------------------------------------------------------
 *
 * uuid7.c
 *		UUID version 7: milliseconds, fraction, random bits.
 *
 * Owns, per process: the last time used and a pool of random bytes.  The 12
 * bits after the version hold the fraction of the millisecond (RFC 9562,
 * section 6.2, method 3); an id that would not be greater than the last one
 * takes the last time plus one tick, so ids rise within a process even when
 * the clock stands or steps back.  The pool is drawn from the operating
 * system's generator, used once and wiped; it is filled after the fork of a
 * backend, so no two processes share one.
 *
 *-------------------------------------------------------------------------
 */
#include "base/uuid7.h"

#include <sys/time.h>

#define RANDOM_BYTES	8
#define POOL_SIZE		(64 * RANDOM_BYTES)

static bool
take_random(uint8 out[RANDOM_BYTES])
{
	static uint8 pool[POOL_SIZE];
	static int	used = POOL_SIZE;

	if (used == POOL_SIZE)
	{
		if (!pg_strong_random(pool, POOL_SIZE))
			return false;
		used = 0;
	}
	memcpy(out, pool + used, RANDOM_BYTES);
	memset(pool + used, 0, RANDOM_BYTES);
	used += RANDOM_BYTES;
	return true;
}

bool
outbox_uuid7(uint8 out[OUTBOX_UUID_SIZE])
{
	static uint64 last_ticks = 0;	/* 1/4096 ms since 1970 */
	struct timeval now;
	uint64		ticks;
	uint64		ms;

	if (!take_random(out + 8))
		return false;
	gettimeofday(&now, NULL);
	ticks = ((uint64) now.tv_sec * 1000 + now.tv_usec / 1000) << 12 |
		(uint64) (now.tv_usec % 1000) * 4096 / 1000;
	if (ticks <= last_ticks)
		ticks = last_ticks + 1;
	last_ticks = ticks;

	ms = ticks >> 12;
	for (int i = 0; i < 6; i++)
		out[i] = (uint8) (ms >> (40 - 8 * i));
	out[6] = 0x70 | (uint8) ((ticks >> 8) & 0x0F);
	out[7] = (uint8) ticks;
	out[8] = 0x80 | (out[8] & 0x3F);
	return true;
}
