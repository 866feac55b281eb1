/*-------------------------------------------------------------------------
 *
 * counters.h
 *		What this program counts of itself, for /metrics.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_COUNTERS_H
#define OUTBOX_HTTP_COUNTERS_H

#include "base/base.h"

#include <stdatomic.h>

/* Answers by status; others count as 500. */
#define OUTBOX_STATUS_CODES \
	{200, 400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 500, 503}
#define OUTBOX_NSTATUS 14

typedef struct OutboxCounters
{
	atomic_ulong answers[OUTBOX_NSTATUS];
	atomic_ulong connections;	/* open now */
	atomic_ulong accepted;		/* ever */
	atomic_ulong expired;		/* closed for being too slow */
	atomic_ulong bad_passwords;
	atomic_ulong body_bytes;	/* held now */
} OutboxCounters;

extern OutboxCounters outbox_counters;

extern void outbox_count_answer(int status);

#endif							/* OUTBOX_HTTP_COUNTERS_H */
