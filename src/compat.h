/*-------------------------------------------------------------------------
 *
 * compat.h
 *		PostgreSQL 15 to 18: the one place that asks for the version.
 *
 * Call sites are written for the newest version; each shim names the change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_COMPAT_H
#define OUTBOX_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "outbox needs PostgreSQL 15 or later"
#endif

/*
 * replication/slot.h
 */

/* 17 added failover and synced to ReplicationSlotCreate(). */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_slot_create(name) \
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false, false, false)
#else
#define outbox_compat_slot_create(name) \
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false)
#endif

/* 18 added error_if_invalid to ReplicationSlotAcquire(). */
#if PG_VERSION_NUM >= 180000
#define outbox_compat_slot_acquire(name) \
	ReplicationSlotAcquire(name, true, false)
#else
#define outbox_compat_slot_acquire(name) \
	ReplicationSlotAcquire(name, true)
#endif

/* 16 replaced invalidated_at by a cause. */
#if PG_VERSION_NUM >= 160000
#define outbox_compat_slot_invalidated(data) \
	((data)->invalidated != RS_INVAL_NONE)
#else
#define outbox_compat_slot_invalidated(data) \
	((data)->invalidated_at != InvalidXLogRecPtr)
#endif

#endif							/* OUTBOX_COMPAT_H */
