/*-------------------------------------------------------------------------
 *
 * event_row.c
 *		Payloads that are rows: the plan and the key column of a row type.
 *
 * Owns, per cached event type, the shape of the row type that came last.  It
 * is valid for one tuple descriptor, told by typcache's identifier, which is
 * new whenever the type is altered.  A shape that is replaced stays alive to
 * the end of the transaction: an output function called while encoding may
 * itself emit.
 *
 * A row of the very type that the event type's schema comes from must fit that
 * schema as it stands: the DDL gate (capture/ddl_gate.c) sees to that.  Here,
 * once for each shape, is noticed when the gate was passed by.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "emit/emit.h"
#include "fmgr.h"
#include "schema/schema.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

struct OutboxRowShape
{
	uint64		identifier;		/* of the tuple descriptor */
	TupleDesc	desc;
	OutboxAvroRowPlan *plan;	/* NULL: the event type has no schema */
	AttrNumber	key_attnum;		/* 0 = no such column */
	Oid			key_type;
	FmgrInfo	key_output;
	MemoryContext context;
};

static void
find_key_column(OutboxRowShape *shape, const char *key_field)
{
	for (int i = 0; key_field != NULL && i < shape->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(shape->desc, i);
		Oid			output;
		bool		is_varlena;

		if (att->attisdropped || strcmp(NameStr(att->attname), key_field) != 0)
			continue;
		getTypeOutputInfo(att->atttypid, &output, &is_varlena);
		fmgr_info_cxt(output, &shape->key_output, CurrentMemoryContext);
		shape->key_attnum = att->attnum;
		shape->key_type = getBaseType(att->atttypid);
		break;
	}
}

static void
check_gate(const OutboxEventType *type, Oid rowtype)
{
	if (type->schema == NULL || !OidIsValid(type->row_type) ||
		getBaseType(type->row_type) != rowtype)
		return;
	if (strcmp(outbox_schema_of_row_type(type->row_type, type->definition, NULL),
			   type->definition) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("row type %s of event type \"%s\" has changed",
					format_type_be(type->row_type), type->name),
			 errdetail("It was altered while event triggers did not run, so its schema was not checked."),
			 errhint("Run SELECT outbox.alter_event_type(%s, row_type => %s).",
					 quote_literal_cstr(type->name),
					 quote_literal_cstr(format_type_be(type->row_type)))));
}

static OutboxRowShape *
build_shape(const OutboxEventType *type, Oid rowtype, int32 typmod)
{
	OutboxRowShape *shape = palloc0(sizeof(OutboxRowShape));

	check_gate(type, rowtype);
	shape->context = CurrentMemoryContext;
	shape->identifier = assign_record_type_identifier(rowtype, typmod);
	shape->desc = lookup_rowtype_tupdesc_copy(rowtype, typmod);
	if (type->schema != NULL)
		shape->plan = outbox_avro_plan_row(type->schema, shape->desc);
	find_key_column(shape, type->key_field);
	return shape;
}

static OutboxRowShape *
shape_of(OutboxEventType *type, HeapTupleHeader row)
{
	Oid			rowtype = HeapTupleHeaderGetTypeId(row);
	int32		typmod = HeapTupleHeaderGetTypMod(row);
	MemoryContext context;
	MemoryContext old;
	OutboxRowShape *shape = type->row_shape;

	if (shape != NULL &&
		shape->identifier == assign_record_type_identifier(rowtype, typmod))
		return shape;

	context = AllocSetContextCreate(CurrentMemoryContext, "outbox row shape",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	shape = build_shape(type, rowtype, typmod);
	MemoryContextSwitchTo(old);

	if (type->row_shape != NULL)
		MemoryContextSetParent(type->row_shape->context,
							   TopTransactionContext);
	MemoryContextSetParent(context, type->context);
	type->row_shape = shape;
	return shape;
}

void
outbox_row_encode(OutboxEventType *type, Datum row, StringInfo out)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);

	outbox_avro_encode_row(shape_of(type, header)->plan,
						   PointerGetDatum(header), out);
}

char *
outbox_row_key(OutboxEventType *type, Datum row)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	OutboxRowShape *shape = shape_of(type, header);
	HeapTupleData tuple;
	Datum		value;
	bool		isnull;

	if (shape->key_attnum == 0)
		return NULL;
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	value = heap_getattr(&tuple, shape->key_attnum, shape->desc, &isnull);
	return isnull ? NULL :
		outbox_value_text(&shape->key_output, shape->key_type, value);
}
