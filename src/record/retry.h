/*-------------------------------------------------------------------------
 *
 * retry.h
 *		The marker of outbox.retry_dead_letter(): what is to be sent again here.
 *
 * A WAL message of kind OUTBOX_MESSAGE_RETRY, with the MAC of any other; no
 * route, no schema.  It stands in the stream, so that an event of the same key
 * that was committed before it, and is not read yet, comes before it.
 *
 *	lane	topic, key and partition of the message name what is ordered among
 *			itself; the payload is u8 1, u64 commit LSN, u32 ordinal of the last
 *			dead letter of it that is meant, 0 = all in front of the marker
 *	ids		dead letters that have no order; u8 2, u32 count, then u64 ids
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RETRY_H
#define OUTBOX_RETRY_H

#include "base/cursor.h"

typedef enum OutboxRetryKind
{
	OUTBOX_RETRY_LANE = 1,
	OUTBOX_RETRY_IDS = 2
} OutboxRetryKind;

typedef struct OutboxRetry
{
	OutboxRetryKind kind;
	uint64		last_lsn;		/* lane: 0 = no limit */
	uint32		last_ordinal;
	uint32		nids;
	OutboxCursor ids;			/* borrowed; outbox_get_u64() gives the next */
} OutboxRetry;

extern void outbox_retry_write_lane(StringInfo buf, uint64 last_lsn,
									uint32 last_ordinal);
extern void outbox_retry_begin_ids(StringInfo buf, uint32 count);

/* False when it is malformed, or of a kind that is not known. */
extern bool outbox_retry_read(const char *payload, int32 len,
							  OutboxRetry *retry);

#endif							/* OUTBOX_RETRY_H */
