/*-------------------------------------------------------------------------
 *
 * jobs.h
 *		What the relay does beside its stream: snapshots.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JOBS_H
#define OUTBOX_JOBS_H

#include "postgres.h"

#include "relay/relay.h"

extern void outbox_jobs_guc_init(void);

/* After a takeover: go on where the position says. */
extern void outbox_jobs_init(OutboxRelay *relay);

/* Somebody may have changed outbox.snapshot_job. */
extern void outbox_jobs_reload(void);

/*
 * Between two transactions of the stream, never inside one.  progress is the
 * place.  Returns in how many ms it wants to be called again at the latest,
 * -1 = when something happens.
 */
extern int	outbox_jobs_step(OutboxRelay *relay,
							 const OutboxSourceProgress *progress);

/* The sink has met a message of a committed transaction, sent or not. */
extern void outbox_jobs_note(const OutboxRouteEntry *route,
							 const OutboxWalMessage *msg, TransactionId xid);

/* This position record is in Kafka. */
extern void outbox_jobs_recorded(const OutboxPosition *pos);

#endif							/* OUTBOX_JOBS_H */
