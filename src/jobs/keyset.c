/*-------------------------------------------------------------------------
 *
 * keyset.c
 *		Read a table in the order of its key, and go on at any place.
 *
 * The order is that of a unique index over columns that are never null: the
 * primary key, else the replica identity.  Nothing is planned and no SQL runs;
 * the index is scanned, its own operators and collations compare.
 *
 * "Behind (a, b, c)" is, in the index's order, three scans after each other:
 *
 *	a = $1 and b = $2 and c behind $3
 *	a = $1 and b behind $2
 *	a behind $1
 *
 * where behind is > for an ascending column and < for a descending one.  Each
 * is one range of the index, so that any mix of directions, operator classes
 * and types works, which a comparison of rows would not.
 *
 * A cursor is the key of a row: for each column its type and its bytes as they
 * are in a tuple, detoasted.  It is of use to this database and to physical
 * copies of it only.
 *
 * Owns nothing beyond begin .. end, all in the caller's memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "compat.h"
#include "jobs/keyset.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

struct OutboxKeyset
{
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	int			nkeys;
	Datum		from[INDEX_MAX_KEYS];	/* of the cursor */
	bool		has_cursor;
	int			prefix;			/* columns that are equal to the cursor's in the
								 * present range; -1 = the whole index */
	IndexScanDesc scan;			/* of the present range */
};

static bool
is_btree(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool		btree;

	if (!HeapTupleIsValid(tuple))
		return false;
	btree = ((Form_pg_class) GETSTRUCT(tuple))->relam == BTREE_AM_OID;
	ReleaseSysCache(tuple);
	return btree;
}

/* Usable: complete, unique at once, a plain b-tree over columns not null. */
static bool
is_usable(Relation rel, Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		usable;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	usable = form->indisvalid && form->indisready && form->indisunique &&
		form->indimmediate &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	for (int i = 0; i < form->indnkeyatts && usable; i++)
	{
		AttrNumber	attnum = form->indkey.values[i];

		usable = attnum > 0 &&
			TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull;
	}
	ReleaseSysCache(tuple);
	return usable && is_btree(index);
}

Oid
outbox_keyset_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	Oid			key = rel->rd_pkindex;
	Oid			replica = rel->rd_replidindex;

	list_free(indexes);
	if (OidIsValid(key) && is_usable(rel, key))
		return key;
	if (OidIsValid(replica) && is_usable(rel, replica))
		return replica;
	return InvalidOid;
}

Bitmapset *
outbox_keyset_columns(Relation rel)
{
	Oid			index = outbox_keyset_index(rel);
	HeapTuple	tuple;
	Form_pg_index form;
	Bitmapset  *columns = NULL;

	if (!OidIsValid(index))
		return NULL;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	form = (Form_pg_index) GETSTRUCT(tuple);
	for (int i = 0; i < form->indnkeyatts; i++)
		columns = bms_add_member(columns, form->indkey.values[i]);
	ReleaseSysCache(tuple);
	return columns;
}

/* ---- cursors ----------------------------------------------------------- */

static Form_pg_attribute
key_column(const OutboxKeyset *keyset, int i)
{
	AttrNumber	attnum = keyset->index->rd_index->indkey.values[i];

	return TupleDescAttr(RelationGetDescr(keyset->rel), attnum - 1);
}

void
outbox_keyset_put_cursor(OutboxKeyset *keyset, TupleTableSlot *slot,
						 StringInfo out)
{
	outbox_put_u16(out, (uint16) keyset->nkeys);
	for (int i = 0; i < keyset->nkeys; i++)
	{
		Form_pg_attribute column = key_column(keyset, i);
		bool		isnull;
		Datum		value = slot_getattr(slot, column->attnum, &isnull);

		Assert(!isnull);
		outbox_put_u32(out, column->atttypid);
		if (column->attbyval)
			outbox_put_bytes(out, &value, sizeof(Datum));
		else if (column->attlen == -1)
		{
			struct varlena *plain = PG_DETOAST_DATUM(value);

			outbox_put_bytes(out, plain, VARSIZE(plain));
			if ((Pointer) plain != DatumGetPointer(value))
				pfree(plain);
		}
		else
			outbox_put_bytes(out, DatumGetPointer(value),
							 datumGetSize(value, false, column->attlen));
	}
}

static bool
read_cursor(OutboxKeyset *keyset, const char *cursor, int32 len)
{
	OutboxCursor c;

	outbox_cursor_init(&c, cursor, len);
	if (outbox_get_u16(&c) != keyset->nkeys)
		return false;
	for (int i = 0; i < keyset->nkeys; i++)
	{
		Form_pg_attribute column = key_column(keyset, i);
		Oid			type = outbox_get_u32(&c);
		int32		size;
		const char *bytes = outbox_get_bytes(&c, &size);

		if (bytes == NULL || type != column->atttypid)
			return false;
		if (column->attbyval)
		{
			if (size != sizeof(Datum))
				return false;
			memcpy(&keyset->from[i], bytes, sizeof(Datum));
		}
		else
		{
			char	   *copy = palloc(size);	/* aligned */

			memcpy(copy, bytes, size);
			keyset->from[i] = PointerGetDatum(copy);
		}
	}
	return !c.failed && outbox_cursor_left(&c) == 0;
}

/* ---- ranges ------------------------------------------------------------ */

static void
init_key(OutboxKeyset *keyset, ScanKey key, int column, bool equal)
{
	Relation	index = keyset->index;
	bool		descending = (index->rd_indoption[column] & INDOPTION_DESC) != 0;
	StrategyNumber strategy = equal ? BTEqualStrategyNumber :
		descending ? BTLessStrategyNumber : BTGreaterStrategyNumber;
	Oid			type = index->rd_opcintype[column];
	Oid			operator = get_opfamily_member(index->rd_opfamily[column],
											   type, type, strategy);

	if (!OidIsValid(operator))
		elog(ERROR, "missing operator %d(%u,%u) in opfamily %u", strategy,
			 type, type, index->rd_opfamily[column]);
	ScanKeyEntryInitialize(key, 0, column + 1, strategy, type,
						   index->rd_indcollation[column],
						   get_opcode(operator), keyset->from[column]);
}

/* Open the range of the present prefix. */
static void
begin_range(OutboxKeyset *keyset)
{
	ScanKeyData keys[INDEX_MAX_KEYS];
	int			nkeys = 0;

	for (int i = 0; i < keyset->prefix; i++)
		init_key(keyset, &keys[nkeys++], i, true);
	if (keyset->prefix >= 0)
		init_key(keyset, &keys[nkeys++], keyset->prefix, false);
	keyset->scan = outbox_compat_index_beginscan(keyset->rel, keyset->index,
												 keyset->snapshot, nkeys);
	index_rescan(keyset->scan, keys, nkeys, NULL, 0);
}

static void
end_range(OutboxKeyset *keyset)
{
	index_endscan(keyset->scan);
	keyset->scan = NULL;
}

OutboxKeyset *
outbox_keyset_begin(Relation rel, Snapshot snapshot,
					const char *cursor, int32 len)
{
	OutboxKeyset *keyset = palloc0(sizeof(OutboxKeyset));
	Oid			index = outbox_keyset_index(rel);

	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has neither a primary key nor a replica identity index",
						RelationGetRelationName(rel)),
				 errhint("Add a primary key, then start another snapshot.")));
	keyset->rel = rel;
	keyset->snapshot = snapshot;
	keyset->index = index_open(index, AccessShareLock);
	keyset->nkeys = keyset->index->rd_index->indnkeyatts;
	keyset->has_cursor = cursor != NULL;
	keyset->prefix = -1;
	if (keyset->has_cursor)
	{
		if (!read_cursor(keyset, cursor, len))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the key of table \"%s\" has changed since the snapshot began",
							RelationGetRelationName(rel)),
					 errhint("Cancel the snapshot and start another.")));
		keyset->prefix = keyset->nkeys - 1;
	}
	begin_range(keyset);
	return keyset;
}

bool
outbox_keyset_next(OutboxKeyset *keyset, TupleTableSlot *slot)
{
	while (keyset->scan != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (index_getnext_slot(keyset->scan, ForwardScanDirection, slot))
			return true;
		end_range(keyset);
		if (keyset->prefix > 0)
		{
			keyset->prefix--;
			begin_range(keyset);
		}
	}
	return false;
}

void
outbox_keyset_end(OutboxKeyset *keyset)
{
	if (keyset->scan != NULL)
		end_range(keyset);
	index_close(keyset->index, AccessShareLock);
	pfree(keyset);
}
