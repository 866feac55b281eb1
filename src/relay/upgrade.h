/*-------------------------------------------------------------------------
 *
 * upgrade.h
 *		What the relay does before and after pg_upgrade.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_UPGRADE_H
#define OUTBOX_UPGRADE_H

#include "relay/judge.h"
#include "relay/relay.h"

/* SIGTERM, once we stream; kept only while the source reads. */
extern void outbox_closing_signal(SIGNAL_ARGS);
extern void outbox_closing_reads(bool now);

/* A SIGTERM that was kept is a SIGTERM: before anything that may wait. */
extern void outbox_closing_act(void);

/* Before interrupts are looked at: stay a little if the server is shut down. */
extern void outbox_closing_begin(OutboxRelay *relay);

/*
 * Between two steps: go on with leaving, if that has begun.  True: look again
 * soon.  Does not return when it is time to go.
 */
extern bool outbox_closing_look(OutboxRelay *relay,
								const OutboxSourceProgress *progress, bool more);

/* Read outbox.server; where pg_upgrade made this server, begin here. */
extern void outbox_upgrade_look(OutboxRelay *relay);

/*
 * A position that the server before pg_upgrade wrote.  False: it is none; else
 * the verdict is complete.
 */
extern bool outbox_upgrade_judge(const OutboxOwnFacts *own,
								 const OutboxPosition *position,
								 OutboxVerdict *verdict);

/* The position is ours now. */
extern void outbox_upgrade_settle(OutboxRelay *relay);

#endif							/* OUTBOX_UPGRADE_H */
