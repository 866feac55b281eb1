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
 * c.h
 */

/* 18 replaced pg_attribute_noreturn() by a prefix. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 16 moved VARDATA() and its family out of postgres.h. */
#if !defined(FRONTEND) && PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * mb/pg_wchar.h, if included later
 */

/* 17's libpgcommon has the encoding functions under private names alone. */
#if defined(FRONTEND) && PG_VERSION_NUM >= 170000
#define USE_PRIVATE_ENCODING_FUNCS
#endif

/*
 * storage/proc.h, storage/latch.h
 */

/* 17 took the number out of PGPROC. */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_my_procno() MyProcNumber
#else
#define outbox_compat_my_procno() (MyProc->pgprocno)
#endif

/* 17 made a resource owner of the first argument; without one: until freed. */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_wait_event_set(nevents) \
	CreateWaitEventSet(NULL, nevents)
#else
#define outbox_compat_wait_event_set(nevents) \
	CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/*
 * access/tupdesc.h
 */

/* 18 keeps a compact copy of each attribute, to be renewed after a change. */
#if PG_VERSION_NUM >= 180000
#define outbox_compat_populate_attribute(desc, attribute) \
	populate_compact_attribute(desc, attribute)
#else
#define outbox_compat_populate_attribute(desc, attribute) ((void) 0)
#endif

/*
 * catalog/pg_attribute.h
 */

/* 18 has generated columns that no tuple holds. */
#define outbox_compat_is_virtual(attribute) ((attribute)->attgenerated == 'v')

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

/* The same for a logical slot that is dropped unless it is persisted. */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_slot_create_logical(name) \
	ReplicationSlotCreate(name, true, RS_EPHEMERAL, false, true, false)
#else
#define outbox_compat_slot_create_logical(name) \
	ReplicationSlotCreate(name, true, RS_EPHEMERAL, false)
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

/*
 * replication/reorderbuffer.h
 */

/* 16 renamed the node of a relation to its locator. */
#if PG_VERSION_NUM >= 160000
#define OutboxLocator RelFileLocator
#define outbox_compat_change_locator(change) ((change)->data.tp.rlocator)
#else
#define OutboxLocator RelFileNode
#define outbox_compat_change_locator(change) ((change)->data.tp.relnode)
#endif

/* 17 made the tuples of a change plain HeapTuples. */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_change_tuple(tuple) (tuple)
#else
#define outbox_compat_change_tuple(buffer) \
	((buffer) != NULL ? &(buffer)->tuple : NULL)
#endif

/*
 * common/jsonapi.h; OUTBOX_COMPAT_JSON asks for it, in both worlds.
 */
#ifdef OUTBOX_COMPAT_JSON
#include "common/jsonapi.h"

/* 16 made the semantic actions of pg_parse_json() return an error code. */
#if PG_VERSION_NUM >= 160000
typedef JsonParseErrorType OutboxJsonActionResult;
#define OUTBOX_JSON_ACTION_DONE return JSON_SUCCESS
#else
typedef void OutboxJsonActionResult;
#define OUTBOX_JSON_ACTION_DONE return
#endif

/* 17 lets the caller give the struct; NULL allocates one as before. */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_json_lex(json, len) \
	makeJsonLexContextCstringLen(NULL, (json), (len), PG_UTF8, true)
#else
#define outbox_compat_json_lex(json, len) \
	makeJsonLexContextCstringLen((json), (len), PG_UTF8, true)
#endif

/* Programs have no json_errdetail() before 17. */
#if defined(FRONTEND) && PG_VERSION_NUM < 170000
#define outbox_compat_json_detail(result, lex) NULL
#else
#define outbox_compat_json_detail(result, lex) json_errdetail(result, lex)
#endif
#endif							/* OUTBOX_COMPAT_JSON */

/*
 * utils/wait_event.h
 */

/* 17 lets extensions name what they wait for; each place has its own event. */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_wait_event(event, name) \
	(*(event) != 0 ? *(event) : (*(event) = WaitEventExtensionNew(name)))
#else
#define outbox_compat_wait_event(event, name) ((void) (event), PG_WAIT_EXTENSION)
#endif

/*
 * utils/acl.h
 */

/* 16 replaced the ownership checks of each kind of object by one. */
#if PG_VERSION_NUM >= 160000
#define outbox_compat_database_owner(database, role) \
	object_ownercheck(DatabaseRelationId, database, role)
#define outbox_compat_table_owner(table, role) \
	object_ownercheck(RelationRelationId, table, role)
#else
#define outbox_compat_table_owner(table, role) pg_class_ownercheck(table, role)
#define outbox_compat_database_owner(database, role) \
	pg_database_ownercheck(database, role)
#endif

/*
 * access/genam.h
 */

/* 18 lets index scans count what they do. */
#if PG_VERSION_NUM >= 180000
#define outbox_compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define outbox_compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/*
 * replication/message.h
 */

/* 17 added flush to LogLogicalMessage(), for non-transactional messages. */
#if PG_VERSION_NUM >= 170000
#define outbox_compat_log_message(prefix, data, len) \
	LogLogicalMessage(prefix, data, len, true, false)
#else
#define outbox_compat_log_message(prefix, data, len) \
	LogLogicalMessage(prefix, data, len, true)
#endif
#if PG_VERSION_NUM >= 170000
#define outbox_compat_log_barrier(prefix) \
	LogLogicalMessage(prefix, "", 0, false, false)
#else
#define outbox_compat_log_barrier(prefix) \
	LogLogicalMessage(prefix, "", 0, false)
#endif

/*
 * optimizer/pathnode.h
 */

/* 17 added the outer joins' restrictions, 18 the disabled nodes. */
#if PG_VERSION_NUM >= 180000
#define outbox_compat_foreignscan_path(root, rel, rows, total) \
	create_foreignscan_path(root, rel, NULL, rows, 0, 0, total, NIL, NULL, \
							NULL, NIL, NIL)
#elif PG_VERSION_NUM >= 170000
#define outbox_compat_foreignscan_path(root, rel, rows, total) \
	create_foreignscan_path(root, rel, NULL, rows, 0, total, NIL, NULL, NULL, \
							NIL, NIL)
#else
#define outbox_compat_foreignscan_path(root, rel, rows, total) \
	create_foreignscan_path(root, rel, NULL, rows, 0, total, NIL, NULL, NULL, \
							NIL)
#endif

#endif							/* OUTBOX_COMPAT_H */
