/*-------------------------------------------------------------------------
 *
 * slot.c
 *		The physical replication slots that keep WAL for us.
 *
 * One for the relay of each database, "outbox_<database oid>", and one for its
 * event log's writer, "outbox_events_<database oid>", persistent.  The restart
 * LSN is the only thing used; nobody streams from them.  They are that worker's
 * while it runs (the slot machinery's own ownership, by process id), and
 * nobody's in between; a process holds at most one slot.  What is said of the
 * relay's in the following holds for the writer's too, but that the writer
 * makes and drops it.
 *
 *	CREATE EXTENSION	makes it, WAL reserved and on disk before anything of the
 *						extension can be seen.  A rolled-back CREATE EXTENSION
 *						leaves an orphan (slots are not transactional): the
 *						next one drops it and makes its own
 *	relay				acquires it, moves it forward, dies with it held: the
 *						slot machinery releases it at process exit
 *	DROP EXTENSION,		dropped when nobody holds it, by whoever comes: the
 *	DROP DATABASE		launcher asks again later
 *	crash				the slot comes back as last saved, at worst further
 *						back: more WAL is kept, nothing is lost
 *	invalidated			(max_slot_wal_keep_size, idle_replication_slot_timeout)
 *						the checkpointer signals the holder and waits for it to
 *						go; the next acquire says INVALID.  Release the slot
 *						before anything that takes long and cannot be ended
 *
 * A process holds at most one slot, says core; a relay that decodes holds two,
 * the other one being log_slot.c's.
 *
 * A save costs an fsync, so moving forward saves only every some seconds or
 * after a large move; checkpoints save dirty slots besides.  From 18 on WAL is
 * released by the saved value, not by the one in memory, so the requirement is
 * computed after saving too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "source/source.h"

#define SAVE_INTERVAL_MS	10000
#define SAVE_DISTANCE		(UINT64CONST(64) * 1024 * 1024)

/*
 * While a logical slot is held too, that one is MyReplicationSlot, which logical
 * decoding goes by, and the physical one waits here.  Both are this process's by
 * its id in shared memory; the exit callback hands back both.
 */
static ReplicationSlot *aside = NULL;
static ReplicationSlot *in_front = NULL;	/* while aside is worked on */

/* What is known to be on disk for the slot held; this process's. */
static XLogRecPtr saved_restart = InvalidXLogRecPtr;
static TimestampTz saved_at = 0;

typedef struct SlotView
{
	bool		found;
	bool		physical;
	bool		active;
	XLogRecPtr	restart;
} SlotView;

static void
slot_name(OutboxSlotUse use, Oid database, NameData *name)
{
	snprintf(NameStr(*name), NAMEDATALEN, OUTBOX_SLOT_PREFIX "%s%u",
			 use == OUTBOX_SLOT_EVENT_LOG ? "events_" : "", database);
}

/* The slot machinery's entries, looked at without holding the slot. */
static SlotView
look_up(const char *name)
{
	SlotView	view = {0};
	ReplicationSlot *slot;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		view.found = true;
		view.physical = SlotIsPhysical(slot);
		view.active = slot->active_pid != 0;
		view.restart = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return view;
}

/* Say what to do before core says only that there is none left. */
static void
check_free_slot(void)
{
	bool		free = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !free; i++)
		free = !ReplicationSlotCtl->replication_slots[i].in_use;
	LWLockRelease(ReplicationSlotControlLock);
	if (!free)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("all replication slots are in use"),
				 errdetail("The extension \"outbox\" needs one physical slot in each database it is created in, and another one for its event log."),
				 errhint("Raise max_replication_slots, now %d, or drop a slot that is no longer used.",
						 max_replication_slots)));
}

/* At exit core releases MyReplicationSlot, after this callback. */
static void
give_back(int code, Datum arg)
{
	if (aside == NULL)
		return;
	if (in_front != NULL)
		MyReplicationSlot = in_front;
	if (MyReplicationSlot != NULL && MyReplicationSlot != aside)
		ReplicationSlotRelease();
	MyReplicationSlot = aside;
	aside = in_front = NULL;
}

void
outbox_slot_set_aside(void)
{
	static bool registered = false;

	Assert(aside == NULL && MyReplicationSlot != NULL);
	if (!registered)
		before_shmem_exit(give_back, 0);
	registered = true;
	aside = MyReplicationSlot;
	MyReplicationSlot = NULL;
}

void
outbox_slot_take_back(void)
{
	Assert(MyReplicationSlot == NULL);
	MyReplicationSlot = aside;
	aside = NULL;
}

/* Work on the physical slot, whichever is in front. */
static void
turn_to_physical(void)
{
	if (aside == NULL)
		return;
	in_front = MyReplicationSlot;
	MyReplicationSlot = aside;
}

static void
turn_back(void)
{
	if (aside == NULL)
		return;
	MyReplicationSlot = in_front;
	in_front = NULL;
}

static void
save_held_slot(void)
{
	saved_restart = MyReplicationSlot->data.restart_lsn;
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	saved_at = GetCurrentTimestamp();
}

XLogRecPtr
outbox_slot_create(OutboxSlotUse use, Oid database)
{
	NameData	name;
	SlotView	view;
	XLogRecPtr	restart;

	slot_name(use, database, &name);
	CheckSlotRequirements();
	view = look_up(NameStr(name));
	if (view.found && !view.physical)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("replication slot \"%s\" exists and is a logical slot",
						NameStr(name)),
				 errhint("Drop it; the extension \"outbox\" needs that name for a physical slot.")));

	/* Left behind by a rolled-back CREATE EXTENSION; in use is an error. */
	if (view.found)
		ReplicationSlotDrop(NameStr(name), true);
	else
		check_free_slot();

	outbox_compat_slot_create(NameStr(name));
	PG_TRY();
	{
		ReplicationSlotReserveWal();
		save_held_slot();
		ReplicationSlotsComputeRequiredLSN();
		restart = MyReplicationSlot->data.restart_lsn;
	}
	PG_FINALLY();
	{
		/* A caller may catch the error and stay: never keep it. */
		ReplicationSlotRelease();
	}
	PG_END_TRY();
	return restart;
}

OutboxSlotState
outbox_slot_acquire(OutboxSlotUse use, Oid database, XLogRecPtr *restart)
{
	NameData	name;
	SlotView	view;

	*restart = InvalidXLogRecPtr;
	slot_name(use, database, &name);
	view = look_up(NameStr(name));
	if (!view.found)
		return OUTBOX_SLOT_MISSING;
	if (!view.physical)
		return OUTBOX_SLOT_NOT_PHYSICAL;

	outbox_compat_slot_acquire(NameStr(name));
	if (outbox_compat_slot_invalidated(&MyReplicationSlot->data) ||
		MyReplicationSlot->data.restart_lsn == InvalidXLogRecPtr)
	{
		ReplicationSlotRelease();
		return OUTBOX_SLOT_INVALID;
	}
	*restart = MyReplicationSlot->data.restart_lsn;
	saved_restart = *restart;
	saved_at = GetCurrentTimestamp();
	return OUTBOX_SLOT_OK;
}

XLogRecPtr
outbox_slot_peek(OutboxSlotUse use, Oid database)
{
	NameData	name;
	SlotView	view;

	slot_name(use, database, &name);
	view = look_up(NameStr(name));
	return view.found && view.physical ? view.restart : InvalidXLogRecPtr;
}

static void
advance(ReplicationSlot *slot, XLogRecPtr restart)
{
	Assert(slot != NULL);
	/* The holder alone changes it, so it may be read without the lock. */
	if (restart <= slot->data.restart_lsn)
		return;

	SpinLockAcquire(&slot->mutex);
	slot->data.restart_lsn = restart;
	SpinLockRelease(&slot->mutex);
	ReplicationSlotMarkDirty();
	if (restart - saved_restart >= SAVE_DISTANCE ||
		TimestampDifferenceExceeds(saved_at, GetCurrentTimestamp(),
								   SAVE_INTERVAL_MS))
		save_held_slot();
	ReplicationSlotsComputeRequiredLSN();
}

void
outbox_slot_advance(XLogRecPtr restart)
{
	turn_to_physical();
	advance(MyReplicationSlot, restart);
	turn_back();
}

void
outbox_slot_set(XLogRecPtr restart)
{
	ReplicationSlot *slot;

	turn_to_physical();
	slot = MyReplicationSlot;
	Assert(slot != NULL);
	SpinLockAcquire(&slot->mutex);
	slot->data.restart_lsn = restart;
	SpinLockRelease(&slot->mutex);
	save_held_slot();
	ReplicationSlotsComputeRequiredLSN();
	turn_back();
}

void
outbox_slot_release(void)
{
	if (aside != NULL)
	{
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		outbox_slot_take_back();
	}
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
}

/*
 * Between the look and the drop somebody may acquire or drop it; that is an
 * error then (object in use, undefined object), and asking again is right.
 */
bool
outbox_slot_drop(OutboxSlotUse use, Oid database)
{
	NameData	name;
	SlotView	view;

	slot_name(use, database, &name);
	view = look_up(NameStr(name));
	if (!view.found || !view.physical)
		return true;			/* a logical slot of that name is not ours */
	if (view.active)
		return false;
	ReplicationSlotDrop(NameStr(name), true);
	return true;
}

/* The database in a slot's name, or InvalidOid when it is not one of ours. */
static Oid
database_of(const char *name)
{
	const char *digits = name + strlen(OUTBOX_SLOT_PREFIX);
	uint64		oid = 0;

	if (strncmp(name, OUTBOX_SLOT_PREFIX, strlen(OUTBOX_SLOT_PREFIX)) != 0 ||
		*digits < '1' || *digits > '9')
		return InvalidOid;
	for (; *digits >= '0' && *digits <= '9' && oid <= PG_UINT32_MAX; digits++)
		oid = oid * 10 + (*digits - '0');
	return *digits == '\0' && oid <= PG_UINT32_MAX ? (Oid) oid : InvalidOid;
}

int
outbox_slot_databases(Oid *databases, int max)
{
	int			n = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && n < max; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		Oid			database;

		/* name and kind do not change while it is in use */
		if (!slot->in_use || !SlotIsPhysical(slot))
			continue;
		database = database_of(NameStr(slot->data.name));
		if (OidIsValid(database))
			databases[n++] = database;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return n;
}
