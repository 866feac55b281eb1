/*-------------------------------------------------------------------------
 *
 * touched.h
 *		The keys that were changed while a chunk was read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TOUCHED_H
#define OUTBOX_TOUCHED_H

#include "postgres.h"

#include "access/transam.h"
#include "record/wal_message.h"

/* What a snapshot of another process sees, as far as it concerns us. */
typedef struct OutboxSeen
{
	TransactionId xmin;
	TransactionId xmax;
	uint32		nxip;
	TransactionId *xip;			/* top level, sorted */
} OutboxSeen;

/* Whether a committed top-level transaction is visible in it. */
extern bool outbox_seen_visible(const OutboxSeen *seen, TransactionId xid);

typedef struct OutboxTouched OutboxTouched;

extern OutboxTouched *outbox_touched_create(MemoryContext context);

/*
 * What this transaction did: a change of the message's key, or of rows that
 * nobody can name (no key, TRUNCATE).
 */
extern void outbox_touched_note(OutboxTouched *touched,
								const OutboxWalMessage *msg,
								TransactionId xid);

/*
 * The snapshot is known now: forget what it sees, here and from now on.  seen
 * must stay for as long as touched.
 */
extern void outbox_touched_judge(OutboxTouched *touched,
								 const OutboxSeen *seen);

/* After that: was this key changed by somebody the snapshot does not see? */
extern bool outbox_touched_has(const OutboxTouched *touched,
							   const OutboxWalMessage *msg);

/* Any key at all; and one that stands for all rows, or too many to keep. */
extern bool outbox_touched_any(const OutboxTouched *touched);
extern bool outbox_touched_all(const OutboxTouched *touched);
extern bool outbox_touched_truncated(const OutboxTouched *touched);

#endif							/* OUTBOX_TOUCHED_H */
