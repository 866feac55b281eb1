/*-------------------------------------------------------------------------
 *
 * switch.h
 *		Which source the relay reads from, and the change from one to the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SWITCH_H
#define OUTBOX_SWITCH_H

#include "relay/relay.h"

/* In a transaction: note whether there are captures with mode log. */
extern void outbox_switch_read_captures(OutboxRelay *relay);

/*
 * When the position is known and nothing was published: whether decoding can
 * go on from there.  Does not return when it cannot, unless outbox.adopt() was
 * called, which gives up what is lost.
 */
extern void outbox_switch_check_slot(OutboxRelay *relay);

/* Set relay->source. */
extern void outbox_switch_open_source(OutboxRelay *relay);

/* From the event log to WAL, if the log was read; true when it was. */
extern bool outbox_switch_leave_log(OutboxRelay *relay);

/* At a transaction boundary: go on with a change of source, if one is due. */
extern void outbox_switch_look(OutboxRelay *relay,
							   const OutboxSourceProgress *progress);

/* End the process that builds a slot and wait until it has ended. */
extern void outbox_switch_end_builder(void);

extern PGDLLEXPORT void outbox_log_slot_main(Datum arg);

#endif							/* OUTBOX_SWITCH_H */
