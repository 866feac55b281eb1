/*-------------------------------------------------------------------------
 *
 * parking.h
 *		Events that cannot go and are set aside: dead letters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PARKING_H
#define OUTBOX_PARKING_H

#include "catalog/parked.h"
#include "relay/relay.h"

/* Highest place in outbox.parked_event. */
extern OutboxParkedPlace outbox_parking_last(void);
extern void outbox_parking_init(OutboxRelay *relay);

/* The sink: an event is not to be sent, is refused; a transaction's end. */
extern bool outbox_parking_takes(OutboxRelay *relay, const OutboxTxn *txn,
								 const OutboxRouteEntry *route,
								 const OutboxWalMessage *msg);
extern void outbox_parking_refuse(OutboxRelay *relay, const OutboxTxn *txn,
								  const OutboxRouteEntry *route,
								  const OutboxWalMessage *msg,
								  const OutboxResult *why);
extern bool outbox_parking_idle(OutboxRelay *relay, const OutboxTxn *txn);
extern void outbox_parking_settle(OutboxRelay *relay);

/* Whether a dead letter holds the lane of this message. */
extern bool outbox_parking_holds(const OutboxRouteEntry *route,
								 const OutboxWalMessage *msg);

/*
 * The child's FAILED: whether it is about an event, and what to do.  event is
 * its number in the batch, 0 = not known; batch may be NULL.
 */
extern bool outbox_parking_concerns(const OutboxResult *why, uint32 topic);
extern void outbox_parking_condemn(OutboxRelay *relay, OutboxBatch *batch,
								   uint32 event, uint32 topic,
								   const OutboxResult *why);

/* ---- for retry.c ---- */

/* A transaction on the table that waits for nobody long. */
extern MemoryContext outbox_parking_begin(void);
extern void outbox_parking_end(MemoryContext old);
extern void outbox_parking_passes(const OutboxParkedPlace *place);
extern void outbox_parking_review(const OutboxLane *lane,
								  const OutboxParkedPlace *at);

/* Whether the child has named the event of that place as what cannot go. */
extern bool outbox_parking_condemned(OutboxRelay *relay,
									 const OutboxParkedPlace *place,
									 OutboxResult *why);
extern void outbox_parking_pardon(OutboxRelay *relay,
								  const OutboxParkedPlace *place);

#endif							/* OUTBOX_PARKING_H */
