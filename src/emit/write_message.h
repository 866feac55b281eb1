/*-------------------------------------------------------------------------
 *
 * write_message.h
 *		One message into the current transaction: events and changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_WRITE_MESSAGE_H
#define OUTBOX_WRITE_MESSAGE_H

#include "postgres.h"

#include "record/wal_message.h"

/* Error when this server, or this transaction, cannot write; what: who asks. */
extern void outbox_message_check_server(const char *what);

/* A new event id (UUIDv7). */
extern void outbox_message_new_id(uint8 id[OUTBOX_EVENT_ID_SIZE]);

/*
 * Write it, with the next ordinal and signed.  Key id and ordinal are set
 * here, all else is the caller's, who has looked something up in our tables
 * (catalog.h) and so accepted invalidations.
 */
extern void outbox_message_write(OutboxWalMessage *msg);

#endif							/* OUTBOX_WRITE_MESSAGE_H */
