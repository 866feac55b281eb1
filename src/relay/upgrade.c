/*-------------------------------------------------------------------------
 *
 * upgrade.c
 *		Going on by itself after pg_upgrade, where that is safe.
 *
 * pg_upgrade takes tables and sequences along, and neither WAL nor slots nor the
 * system identifier; LSNs go on (pg_resetwal -l).  Events that the old server
 * had not published are gone with its WAL, so the new relay may only go on when
 * there were none.  That is known from what the old relay noted when its server
 * was shut down (closing.c), and that nothing was written since (server.c):
 *
 *	first start		outbox_upgrade_look(): slot; then, in one transaction, the
 *					new system identifier, the old one, whether that was closed,
 *					and where our events begin.  Until then nobody here can
 *					write an event, so the comparison is of the old server's
 *					count.  Needs no Kafka.
 *	takeover		the position is of the old server: go on where our events
 *					begin if it was closed and the position is not behind the
 *					note; else refuse, and adopt() begins there too
 *	taken over		outbox_upgrade_settle(): floor; the old one is forgotten
 *
 * What if the process dies here?
 *	slot made, row not			found again, set forward, nobody has written
 *	row written, no takeover	the same judgement the next time
 *	position is ours, row not
 *	settled						the position has our system identifier: as ever,
 *								and settled then
 *
 * Two servers with one past (the old one started again, a copy that got an
 * identifier of its own from pg_createsubscriber): whoever of them comes second
 * finds a living writer (clone), or a position of a system that is not its own
 * (other_instance).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/instance.h"
#include "miscadmin.h"
#include "relay/upgrade.h"

void
outbox_upgrade_look(OutboxRelay *relay)
{
	XLogRecPtr	begins;

	StartTransactionCommand();
	(void) outbox_server_read(&relay->server);
	CommitTransactionCommand();
	if (relay->server.system_id == GetSystemIdentifier())
		return;

	if (outbox_slot_acquire(OUTBOX_SLOT_RELAY, MyDatabaseId,
							&begins) != OUTBOX_SLOT_OK)
	{
		outbox_slot_drop(OUTBOX_SLOT_RELAY, MyDatabaseId);
		outbox_slot_create(OUTBOX_SLOT_RELAY, MyDatabaseId);
		if (outbox_slot_acquire(OUTBOX_SLOT_RELAY, MyDatabaseId,
								&begins) != OUTBOX_SLOT_OK)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the replication slot went away while it was made")));
	}
	begins = GetXLogInsertRecPtr();
	outbox_slot_set(begins);
	outbox_slot_release();
	StartTransactionCommand();
	outbox_server_receive(begins);
	CommitTransactionCommand();
	StartTransactionCommand();
	(void) outbox_server_read(&relay->server);
	CommitTransactionCommand();
	ereport(LOG,
			(errmsg("outbox begins at %X/%X in a server made by pg_upgrade; the one before, system " UINT64_FORMAT ", %s",
					LSN_FORMAT_ARGS(begins), relay->server.former_system,
					relay->server.former_closed ?
					"had published everything" :
					"is not known to have published everything")));
}

static void
refuse(OutboxVerdict *verdict, OutboxRelayState state, const char *reason)
{
	verdict->refusal = state;
	strlcpy(verdict->reason, reason, sizeof(verdict->reason));
}

bool
outbox_upgrade_judge(const OutboxOwnFacts *own, const OutboxPosition *position,
					 OutboxVerdict *verdict)
{
	const OutboxServer *server = own->server;
	OutboxPosition *start = &verdict->start;
	char		text[OUTBOX_RESULT_MESSAGE_SIZE];

	if (server->former_system == 0 ||
		(position != NULL && position->system_id != server->former_system))
		return false;
	if (position == NULL)
	{
		if (server->former_closed || own->instance->has_floor)
			return false;
		refuse(verdict, OUTBOX_STATE_GAP,
			   "events that were written before pg_upgrade were not published");
		start->scanned = start->restart = server->begins;
		verdict->usable = true;
		return true;
	}

	/* Dead letters and snapshots go on; the place is one in our WAL. */
	start->scanned = start->restart = server->begins;
	start->split_ordinal = 0;
	start->event_end = start->commit_start = InvalidXLogRecPtr;
	start->event_crc = start->commit_crc = 0;
	verdict->usable = true;
	verdict->foreign = true;	/* nobody else may be alive */

	if (own->instance->has_floor && position->scanned < own->instance->floor)
	{
		snprintf(text, sizeof(text),
				 "the position %X/%X is behind %X/%X, which was published before pg_upgrade",
				 LSN_FORMAT_ARGS(position->scanned),
				 LSN_FORMAT_ARGS(own->instance->floor));
		refuse(verdict, OUTBOX_STATE_KAFKA_LOST, text);
	}
	else if (!server->former_closed || position->scanned < server->closed)
	{
		snprintf(text, sizeof(text),
				 "the position was written before pg_upgrade, by system " UINT64_FORMAT ", which is not known to have published everything when it was shut down",
				 position->system_id);
		refuse(verdict, OUTBOX_STATE_OTHER_INSTANCE, text);
	}
	else if (server->begins < own->oldest_wal)
	{
		snprintf(text, sizeof(text),
				 "WAL from %X/%X, where this server began after pg_upgrade, to %X/%X is gone",
				 LSN_FORMAT_ARGS(server->begins),
				 LSN_FORMAT_ARGS(own->oldest_wal));
		refuse(verdict, OUTBOX_STATE_GAP, text);
		start->restart = own->oldest_wal;
	}
	return true;
}

void
outbox_upgrade_settle(OutboxRelay *relay)
{
	if (relay->server.former_system == 0)
		return;
	StartTransactionCommand();
	outbox_instance_set_floor(relay->position.scanned,
							  relay->instance.adopt_pending);
	outbox_server_settle();
	CommitTransactionCommand();
	relay->server.former_system = 0;
	relay->instance.has_floor = true;
	relay->instance.adopt_pending = false;
	relay->instance.floor = relay->position.scanned;
}
