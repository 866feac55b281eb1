/*-------------------------------------------------------------------------
 *
 * copy.h
 *		The dead-letter topic: a copy of each event that is parked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_COPY_H
#define OUTBOX_COPY_H

#include "relay/relay.h"

extern bool outbox_copy_wanted(void);

/* The event was parked, now or before, and is about to be passed. */
extern void outbox_copy_send(OutboxRelay *relay, const OutboxTxn *txn,
							 OutboxRouteEntry *route,
							 const OutboxWalMessage *msg);

#endif							/* OUTBOX_COPY_H */
