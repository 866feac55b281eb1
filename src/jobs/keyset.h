/*-------------------------------------------------------------------------
 *
 * keyset.h
 *		Read a table in the order of its key, and go on at any place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KEYSET_H
#define OUTBOX_KEYSET_H

#include "postgres.h"

#include "base/cursor.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef struct OutboxKeyset OutboxKeyset;

/* The unique index that says what a row is; invalid when there is none. */
extern Oid	outbox_keyset_index(Relation rel);

/* Attribute numbers of its columns; NULL when there is no such index. */
extern Bitmapset *outbox_keyset_columns(Relation rel);

/*
 * Begin behind the row that the cursor names (NULL: at the first one).  Throws
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE when the cursor was made with
 * another key, or when the table has none.
 */
extern OutboxKeyset *outbox_keyset_begin(Relation rel, Snapshot snapshot,
										 const char *cursor, int32 len);
extern bool outbox_keyset_next(OutboxKeyset *keyset, TupleTableSlot *slot);
extern void outbox_keyset_end(OutboxKeyset *keyset);

/* Append the cursor that names this row. */
extern void outbox_keyset_put_cursor(OutboxKeyset *keyset,
									 TupleTableSlot *slot, StringInfo out);

#endif							/* OUTBOX_KEYSET_H */
