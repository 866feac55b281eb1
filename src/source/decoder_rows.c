/*-------------------------------------------------------------------------
 *
 * decoder_rows.c
 *		Rows out of the reorder buffer, as changes for the codec.
 *
 * What WAL holds of a row depends on the table's replica identity and on TOAST:
 *
 *	insert		the new row, whole
 *	update		the new row; a value that is stored out of line and was not
 *				changed is a pointer only.  Old: the whole row (FULL), nothing
 *				when no identity column changed, else the identity's columns
 *	delete		the whole row (FULL) or the identity's columns
 *
 * A pointer is never followed: what it points to may be gone, or something
 * else, by the time it is decoded.  With the whole old row the value is taken
 * from there; else it is reported as unchanged and the capture's policy says
 * what becomes of it.  Values that were written out of line by this change have
 * been put together by the reorder buffer.
 *
 * Everything is made in the decoder's change_context, reset after each row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "source/decoder.h"

typedef struct RowSink
{
	OutboxDecoder *decoder;
	XLogRecPtr	lsn;
} RowSink;

static void
take_message(void *arg, OutboxWalMessage *msg)
{
	RowSink    *sink = arg;

	outbox_decoder_change(sink->decoder, msg, sink->lsn);
}

/* Attributes of a new row that are pointers to unchanged values. */
static Bitmapset *
find_unchanged(TupleDesc desc, HeapTuple tuple)
{
	Bitmapset  *unchanged = NULL;

	if (!HeapTupleHasExternal(tuple))
		return NULL;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Datum		value;
		bool		isnull;

		if (att->attisdropped || att->attlen != -1)
			continue;
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		if (!isnull && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))
			unchanged = bms_add_member(unchanged, i + 1);
	}
	return unchanged;
}

/* The new row with those values taken from the old one, which is whole. */
static HeapTuple
fill_unchanged(TupleDesc desc, HeapTuple tuple, HeapTuple old,
			   const Bitmapset *unchanged)
{
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	int			attnum = -1;

	heap_deform_tuple(tuple, desc, values, nulls);
	while ((attnum = bms_next_member(unchanged, attnum)) >= 0)
		values[attnum - 1] = heap_getattr(old, attnum, desc,
										  &nulls[attnum - 1]);
	return heap_form_tuple(desc, values, nulls);
}

/*
 * An update or delete that WAL does not say the row of: the replica identity
 * was taken away after the capture began.
 */
pg_noreturn static void
raise_no_identity(Relation rel, XLogRecPtr lsn)
{
	ereport(ERROR,
			(errcode(OUTBOX_ERRCODE_BLOCKED),
			 errmsg("a change of captured table \"%s.%s\" at %X/%X does not say which row it is of",
					get_namespace_name(RelationGetNamespace(rel)),
					RelationGetRelationName(rel), LSN_FORMAT_ARGS(lsn)),
			 errdetail("The table had no replica identity when the row was changed."),
			 errhint("Set a replica identity and start the capture again: outbox.uncapture(), outbox.capture().")));
}

/* Fill in what is known of the row. */
static void
describe(OutboxChange *change, Relation rel, ReorderBufferChange *source)
{
	TupleDesc	desc = RelationGetDescr(rel);
	HeapTuple	before = outbox_compat_change_tuple(source->data.tp.oldtuple);
	HeapTuple	after = outbox_compat_change_tuple(source->data.tp.newtuple);
	bool		whole = rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL;

	change->before = before;
	change->after = after;
	change->before_key_only = before != NULL && !whole;
	switch (source->action)
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			change->op = OUTBOX_OP_CREATE;
			break;
		case REORDER_BUFFER_CHANGE_UPDATE:
			change->op = OUTBOX_OP_UPDATE;
			break;
		default:
			change->op = OUTBOX_OP_DELETE;
			if (before == NULL)
				raise_no_identity(rel, source->lsn);
			return;
	}
	if (after == NULL)
		raise_no_identity(rel, source->lsn);
	if (change->op == OUTBOX_OP_UPDATE)
		change->unchanged = find_unchanged(desc, after);
	if (change->unchanged != NULL && before != NULL && whole)
	{
		change->after = fill_unchanged(desc, after, before, change->unchanged);
		change->unchanged = NULL;
	}
}

void
outbox_decoder_row(OutboxDecoder *decoder, Relation rel,
				   ReorderBufferChange *source)
{
	RowSink		sink = {decoder, source->lsn};
	OutboxChange change;
	OutboxDecodedTable *table;
	MemoryContext old;

	if (!decoder->with_changes)
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(decoder->change_context);
	table = outbox_decoded_tables_find(decoder->tables, rel);
	if (table->codec == NULL)
		outbox_decoded_tables_ignore(decoder->tables,
									 &outbox_compat_change_locator(source));
	else if (!decoder->pushing)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a change of table \"%s\" was passed over",
						RelationGetRelationName(rel))));
	else
	{
		memset(&change, 0, sizeof(change));
		describe(&change, rel, source);
		change.xid = decoder->full_xid;
		outbox_rowcodec_change(table->codec, &change, take_message, &sink);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(decoder->change_context);
}

/*
 * TRUNCATE names every table that it empties, partitions beside their root.  A
 * partition that the root stands for is the root's affair.
 */
void
outbox_decoder_truncate(OutboxDecoder *decoder, int nrelations,
						Relation *relations, ReorderBufferChange *source)
{
	RowSink		sink = {decoder, source->lsn};
	MemoryContext old;

	if (!decoder->with_changes)
		return;
	old = MemoryContextSwitchTo(decoder->change_context);
	for (int i = 0; i < nrelations; i++)
	{
		OutboxDecodedTable *table =
			outbox_decoded_tables_find(decoder->tables, relations[i]);
		OutboxChange change;

		if (table->codec == NULL || table->capture->relation != table->relid)
			continue;
		memset(&change, 0, sizeof(change));
		change.op = OUTBOX_OP_TRUNCATE;
		change.xid = decoder->full_xid;
		outbox_rowcodec_change(table->codec, &change, take_message, &sink);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(decoder->change_context);
}
