/*-------------------------------------------------------------------------
 *
 * capture_def.h
 *		Rows of outbox.capture_def: which tables are captured, and how.
 *
 * Read as catalog.h says, also under the historic snapshot of logical decoding:
 * then the definition is the one at the place in WAL that is being decoded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_DEF_H
#define OUTBOX_CAPTURE_DEF_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "avro/pg_avro.h"
#include "catalog/catalog.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum OutboxKeyFormat
{
	OUTBOX_KEY_PLAIN,			/* text, or a JSON object of texts */
	OUTBOX_KEY_RECORD,			/* an Avro record, or a JSON object */
	OUTBOX_KEY_NONE
} OutboxKeyFormat;

/* One row, palloc'd with all it points to. */
typedef struct OutboxCapture
{
	int32		id;
	Oid			relation;		/* captured table; as_root: the root */
	bool		log;			/* mode log, else trigger */
	OutboxEnvelope envelope;
	OutboxRoute route;
	uint32		schema_id;		/* 0 = format json */
	uint32		key_schema_id;	/* 0 = key is no Avro record */
	OutboxKeyFormat key_format;
	List	   *key_columns;	/* of char *; NIL = primary key, else replica
								 * identity */
	List	   *columns;		/* of char *; NIL = all */
	char	   *row_filter;		/* NULL = none */
	Jsonb	   *masks;			/* NULL = none */
	OutboxAvroSpecial special;
	bool		tombstones;
	char	   *toast;			/* "full", "omit", "fetch"; NULL = mode trigger */
	bool		as_root;
	bool		rls_ok;
	bool		transaction_metadata;
	Oid			owner;
	XLogRecPtr	active_from;	/* mode log: from here on; invalid = not yet */
} OutboxCapture;

/* The capture of this very table, NULL = none. */
extern OutboxCapture *outbox_capture_of_table(Oid relation);

/*
 * The capture that changes of this table belong to: its own, else that of the
 * nearest ancestor that stands for its partitions; NULL = none.
 */
extern OutboxCapture *outbox_capture_find(Oid relation);

/* All, in no particular order. */
extern List *outbox_capture_list(void);

/* Whether rows may come without all columns (toast, replica identity). */
extern bool outbox_capture_partial(const OutboxCapture *capture);

/* The salt of hashed columns, palloc'd; error when there is none. */
extern bytea *outbox_capture_salt(void);

#endif							/* OUTBOX_CAPTURE_DEF_H */
