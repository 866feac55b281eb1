/*-------------------------------------------------------------------------
 *
 * capture.h
 *		Inside capture/: captured tables, their triggers, what DDL does to them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_H
#define OUTBOX_CAPTURE_H

#include "postgres.h"

#include "capture/ddl_change.h"
#include "catalog/capture_def.h"
#include "fmgr.h"
#include "utils/rel.h"

/* Called from _PG_init(): settings and, when preloaded, the hook. */
extern void outbox_capture_init(void);
extern void outbox_capture_hooks_init(void);

/* ---- a definition on its way in (capture_options.c) ---- */

typedef struct OutboxCaptureRequest
{
	OutboxCapture def;			/* route.id and schema ids: as they are stored */
	char	   *strategy;		/* of the subjects' names */
	char	   *compatibility;	/* asked for, NULL = leave it */
	char	   *origin;			/* "any", "none": what replication applies */
	bool		snapshot;
	bool		by_ddl;			/* the table has changed, not the capture */
} OutboxCaptureRequest;

/* Arguments of capture() and alter_capture(), by position. */
enum
{
	CAPTURE_RELATION,
	CAPTURE_MODE,
	CAPTURE_TOPIC,
	CAPTURE_ENVELOPE,
	CAPTURE_FORMAT,
	CAPTURE_KEY,
	CAPTURE_KEY_FORMAT,
	CAPTURE_COLUMNS,
	CAPTURE_ROW_FILTER,
	CAPTURE_MASK,
	CAPTURE_SNAPSHOT,
	CAPTURE_TOAST,
	CAPTURE_ON_ERROR,
	CAPTURE_PARTITIONS,
	CAPTURE_TOMBSTONES,
	CAPTURE_SPECIAL,
	CAPTURE_AS_ROOT,
	CAPTURE_ROW_SECURITY,
	CAPTURE_TRANSACTION_METADATA,
	CAPTURE_ORIGIN,
	CAPTURE_STRATEGY,
	CAPTURE_COMPATIBILITY,
	CAPTURE_FROM_LSN,
	CAPTURE_NARGS
};

/* Capture a table on behalf of role; returns the capture's id. */
extern int32 outbox_capture_table(FunctionCallInfo fcinfo, Oid role);

/* End the capture of a table that is locked exclusively; closes it. */
extern void outbox_capture_end(Relation rel);

/* Lay the arguments that are given over what is there; null = keep. */
extern void outbox_capture_take(FunctionCallInfo fcinfo,
								OutboxCaptureRequest *request);

/* What is still open is decided by the table: topic, key columns. */
extern void outbox_capture_complete(OutboxCaptureRequest *request,
									Relation rel);

/* ---- what may be captured (capture_check.c) ---- */

/* Whether caller may, and whether such a table can be; errors. */
extern void outbox_capture_check_table(Relation rel, Oid caller, bool rls_ok);

/* The caller owns the table or is a member of its owner; error otherwise. */
extern void outbox_capture_check_owner(Relation rel, Oid caller);

/* ---- rows (capture_store.c), within an OutboxOwnerScope ---- */

/* Schemas of a definition, rendered; NULL where it has none. */
typedef struct OutboxCaptureSchemas
{
	char	   *value;
	char	   *key;
} OutboxCaptureSchemas;

/* As the table is now.  rename: what has just been renamed, NULL = nothing. */
extern void outbox_capture_schemas(const OutboxCapture *def, Relation rel,
								   const OutboxAvroRename *rename,
								   OutboxCaptureSchemas *schemas);

/*
 * Bring the schemas under their subjects, add a route where old (NULL: none)
 * has another, and store the row; role is who wants it.
 */
extern void outbox_capture_save(OutboxCaptureRequest *request,
								const OutboxCaptureRequest *old,
								const OutboxCaptureSchemas *schemas,
								Oid role);
extern void outbox_capture_delete(int32 id);

/* ---- where a capture begins (capture_place.c), in the same scope ---- */

/* New, the table being locked; from: InvalidXLogRecPtr = at once. */
extern void outbox_capture_note_place(int32 id, XLogRecPtr from);
extern void outbox_capture_set_place(const OutboxCapture *def,
									 XLogRecPtr from);
extern void outbox_capture_forget_place(int32 id);

/* What is stored, as a request that can be altered. */
extern void outbox_capture_load(const OutboxCapture *capture,
								OutboxCaptureRequest *request);

/*
 * ---- triggers (capture_triggers.c), within an OutboxOwnerScope ----
 *
 * The caller has the table locked, but not open: that would be a use of it.
 */


/* Make them; anew, where one is missing, disabled or of another origin. */
extern void outbox_capture_make_triggers(Oid relid, const char *origin);
extern void outbox_capture_drop_triggers(Oid relid);

/* Whether they are there, but one of them does not fire. */
extern bool outbox_capture_triggers_disabled(Oid relid);

/* ---- mode log ---- */

/*
 * Set by log_check.c when preloaded.  started: the capture has been stored or
 * altered; refuse with an error what cannot be decoded.  ended: it was taken
 * away.  In the capturing transaction, within an OutboxOwnerScope.
 */
typedef struct OutboxCaptureLog
{
	void		(*started) (const OutboxCapture *capture);
	void		(*ended) (const OutboxCapture *capture);
} OutboxCaptureLog;

extern const OutboxCaptureLog *outbox_capture_log;

/* ---- encoding (capture_cache.c) ---- */

/* What a backend keeps of a relation whose changes are published. */
typedef struct OutboxCaptureEntry
{
	Oid			relation;		/* hash key: the table or a partition */
	bool		valid;
	bool		busy;			/* a change is being encoded */
	bool		own_types;		/* depends on types of applications */
	uint64		generation;		/* of the catalog */
	uint64		used;			/* when last, by a counter */
	Size		size;			/* of the context, when it was made */
	struct OutboxRowCodec *codec;
	MemoryContext context;		/* of all that it points to */
} OutboxCaptureEntry;

/*
 * The entry of a relation that the caller has open; error when it is not
 * captured by triggers.  Valid until the next call.
 */
extern OutboxCaptureEntry *outbox_capture_entry(Relation rel);

/* capture_row.c: write the rows that a new table already has as inserts. */
extern void outbox_capture_present_rows(Oid relid);

/* ---- DDL (capture_follow.c, capture_schema.c), within an OutboxOwnerScope ---- */

/* The command has touched this; captures of such tables follow it. */
extern void outbox_capture_follow(OutboxDdlChange *change, Oid role);

/* Tables that have come into a captured schema. */
extern void outbox_capture_schema_follow(const OutboxDdlChange *change);

/* A schema goes; not within an owner scope. */
extern void outbox_capture_schema_dropped(Oid namespace);

/* The same renamed, whoever did that; the extension is there. */
extern void outbox_capture_schema_renamed(const char *from, const char *to);

/* Whether any schema is captured. */
extern bool outbox_capture_schema_any(void);

#endif							/* OUTBOX_CAPTURE_H */
