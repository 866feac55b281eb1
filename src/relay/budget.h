/*-------------------------------------------------------------------------
 *
 * budget.h
 *		When the relay's slot lets go of WAL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_BUDGET_H
#define OUTBOX_BUDGET_H

#include "relay/relay.h"

/* Relay without a source, which holds its slot: move it if it must. */
extern bool outbox_budget_apply(OutboxRelay *relay);

/* Relay with a source: the same now and then, and then ask it to restart. */
extern void outbox_budget_look(OutboxRelay *relay);

/* Launcher: the same for a database that has no relay at the moment. */
extern void outbox_budget_apply_idle(OutboxRelayEntry *entry);

#endif							/* OUTBOX_BUDGET_H */
