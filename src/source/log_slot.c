/*-------------------------------------------------------------------------
 *
 * log_slot.c
 *		The logical replication slot that log captures are decoded from.
 *
 * One for each database that has log captures, "outbox_log_<database oid>",
 * persistent, with our own output plugin; from 17 on a failover slot.  It is
 * held by the relay while that decodes, beside the physical slot.
 *
 *	first log capture	built by a process of its own (relay/switch.c), because
 *						it waits for the end of every transaction that was
 *						running: publishing goes on meanwhile.  Ephemeral until
 *						it is ready, so a death before leaves nothing
 *	relay				holds it, confirms what Kafka has, dies with it held:
 *						released at process exit (slot.c has the callback)
 *	last log capture	dropped after the switch back to the scanner
 *	gone, DROP EXTENSION
 *	DROP DATABASE		core drops logical slots with their database
 *	crash				comes back as last saved: decoding begins further back,
 *						and skips what is before the position
 *	dropped, made		missing, or confirmed beyond the position: the relay
 *	again, advanced		stands in state "gap"
 *	by others
 *
 * Confirming costs a spinlock; logical decoding saves the slot by itself when
 * its restart point moves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "source/decoder.h"
#include "source/source.h"

#define WAL_POLL	100			/* ms between looks at flushed WAL, building */

/* The slot held by this process, NULL = none. */
static ReplicationSlot *held = NULL;

void
outbox_log_slot_name(Oid database, NameData *name)
{
	snprintf(NameStr(*name), NAMEDATALEN, "outbox_log_%u", database);
}

/* State of an entry; its mutex is held. */
static OutboxLogSlotState
state_of(const ReplicationSlot *slot, Oid database)
{
	if (SlotIsPhysical(slot) || slot->data.database != database ||
		strcmp(NameStr(slot->data.plugin), OUTBOX_PLUGIN) != 0)
		return slot->data.persistency == RS_EPHEMERAL &&
			slot->data.database == database ?
			OUTBOX_LOG_SLOT_BUSY : OUTBOX_LOG_SLOT_OTHER;
	if (slot->data.persistency != RS_PERSISTENT ||
		(slot->active_pid != 0 && slot->active_pid != MyProcPid))
		return OUTBOX_LOG_SLOT_BUSY;
	if (outbox_compat_slot_invalidated(&slot->data) ||
		slot->data.restart_lsn == InvalidXLogRecPtr)
		return OUTBOX_LOG_SLOT_INVALID;
	return OUTBOX_LOG_SLOT_READY;
}

OutboxLogSlotState
outbox_log_slot_look(Oid database, XLogRecPtr *confirmed)
{
	OutboxLogSlotState state = OUTBOX_LOG_SLOT_MISSING;
	ReplicationSlot *slot;
	NameData	name;

	*confirmed = InvalidXLogRecPtr;
	outbox_log_slot_name(database, &name);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(NameStr(name), false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		state = state_of(slot, database);
		*confirmed = slot->data.confirmed_flush;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return state;
}

void
outbox_log_slot_acquire(Oid database)
{
	NameData	name;

	Assert(held == NULL);
	outbox_log_slot_name(database, &name);
	outbox_slot_set_aside();
	outbox_compat_slot_acquire(NameStr(name));
	held = MyReplicationSlot;
}

void
outbox_log_slot_release(void)
{
	if (held == NULL)
		return;
	held = NULL;
	ReplicationSlotRelease();
	outbox_slot_take_back();
}

void
outbox_log_slot_confirm(XLogRecPtr lsn)
{
	/* The holder alone changes it, so it may be read without the lock. */
	if (held != NULL && lsn > held->data.confirmed_flush)
		LogicalConfirmReceivedLocation(lsn);
}

/*
 * Dropping acquires, so a slot that is held must stand aside for it.  An error
 * (somebody has just acquired or dropped it) leaves that to the process's exit.
 */
static void
drop_by_name(const char *name)
{
	bool		holding = MyReplicationSlot != NULL;

	Assert(held == NULL);
	if (holding)
		outbox_slot_set_aside();
	ReplicationSlotDrop(name, true);
	if (holding)
		outbox_slot_take_back();
}

bool
outbox_log_slot_drop(Oid database)
{
	XLogRecPtr	confirmed;
	NameData	name;

	switch (outbox_log_slot_look(database, &confirmed))
	{
		case OUTBOX_LOG_SLOT_BUSY:
			return false;
		case OUTBOX_LOG_SLOT_READY:
		case OUTBOX_LOG_SLOT_INVALID:
			outbox_log_slot_name(database, &name);
			drop_by_name(NameStr(name));
			break;
		default:
			break;
	}
	return true;
}

/*
 * page_read that waits: DecodingContextFindStartpoint() takes the end of WAL
 * for an error.  Any process that ends us does so by an interrupt.
 */
static int
read_page_waiting(XLogReaderState *state, XLogRecPtr page, int wanted,
				  XLogRecPtr record, char *out)
{
	static uint32 wait_event = 0;
	XLogRecPtr	readable;
	TimeLineID	timeline;
	WALReadError failure;
	int			count;

	while ((readable = outbox_source_flushed(&timeline)) < page + wanted)
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 WAL_POLL,
						 outbox_compat_wait_event(&wait_event,
												  "OutboxLogSlot"));
		ResetLatch(MyLatch);
	}
	XLogReadDetermineTimeline(state, page, wanted, timeline);
	if (state->currTLI != timeline)
		readable = state->currTLIValidUntil;
	count = Min(XLOG_BLCKSZ, readable - page);
	if (!WALRead(state, out, page, count, state->currTLI, &failure))
		WALReadRaiseError(&failure);
	return count;
}

void
outbox_log_slot_build(Oid database)
{
	LogicalDecodingContext *logical;
	NameData	name;

	outbox_log_slot_name(database, &name);
	CheckSlotRequirements();
	CheckLogicalDecodingRequirements();

	/* Waiting for other transactions needs a resource owner; no snapshot. */
	StartTransactionCommand();
	outbox_compat_slot_create_logical(NameStr(name));
	outbox_plugin_permit(true);
	logical = CreateInitDecodingContext(OUTBOX_PLUGIN, NIL, false,
										InvalidXLogRecPtr,
										XL_ROUTINE(.page_read = read_page_waiting,
												   .segment_open = wal_segment_open,
												   .segment_close = wal_segment_close),
										NULL, NULL, NULL);
	outbox_plugin_permit(false);
	DecodingContextFindStartpoint(logical);
	FreeDecodingContext(logical);
	ReplicationSlotPersist();
	ReplicationSlotRelease();
	CommitTransactionCommand();
}
