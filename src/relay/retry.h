/*-------------------------------------------------------------------------
 *
 * retry.h
 *		Dead letters that are sent again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_RETRY_H
#define OUTBOX_RELAY_RETRY_H

#include "relay/relay.h"

/* After the takeover, and after outbox_parking_init(). */
extern void outbox_retry_init(OutboxRelay *relay);

/* The marker is met in the stream: send what it names, in its place. */
extern void outbox_retry_take(OutboxRelay *relay, const OutboxTxn *txn,
							  const OutboxWalMessage *marker);

/* Between two steps: note what Kafka has confirmed. */
extern void outbox_retry_confirm(OutboxRelay *relay);

#endif							/* OUTBOX_RELAY_RETRY_H */
