/*-------------------------------------------------------------------------
 *
 * pg_row.c
 *		Rows to Avro: the plan that pairs columns with fields, and the walk.
 *
 * A column goes to the field of its name, mapped to an Avro name if need be; a
 * field without a column takes its default.  Whether types fit is decided when
 * the plan is made; only values are looked at later.  In a union the branch is
 * chosen by the column's type, once: the best-ranked, the earlier among
 * equals.  Domains count as their base types.
 *
 * A plan lives in the context it was made in and copies the descriptor.  It is
 * for one row type at one moment; the caller makes a new one when the type
 * changes.  Types of nested rows are watched here, because a change of theirs
 * does not show in the outer type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "avro/pg_row.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#define STACK_COLUMNS 64

static int	compile(RowOp *op, const AvroNode *node, Oid type, int32 typmod,
					const AvroPath *path);

/* What the ops of one plan have in common. */
static void
inherit(RowOp *op, const RowOp *parent)
{
	op->schema = parent->schema;
	op->context = parent->context;
	op->image = parent->image;
	op->notes = parent->notes;
}

/* ---- json and jsonb ---- */

static void
put_jsonb(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);

	avro_jsonb_put_at(op->json, jsonb, out, path);
	if ((Pointer) jsonb != DatumGetPointer(value))
		pfree(jsonb);
}

static void
put_json(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	char	   *json = TextDatumGetCString(value);
	Datum		jsonb = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));

	put_jsonb(op, jsonb, out, path);
	pfree(json);
	pfree(DatumGetPointer(jsonb));
}

/* Documents are strings where a string is asked for, else values. */
static bool
wants_text(const AvroNode *node)
{
	bool		text = node->type == AVRO_TYPE_STRING;

	for (int i = 0; i < node->branch_count; i++)
	{
		AvroType	type = node->branches[i]->type;

		if (type == AVRO_TYPE_STRING)
			text = true;
		else if (type != AVRO_TYPE_NULL)
			return false;
	}
	return text;
}

static int
compile_document(RowOp *op, const AvroNode *node, Oid type)
{
	OutboxAvroSchema part = *op->schema;

	part.root = (AvroNode *) node;
	op->node = node;
	op->json = outbox_avro_plan_jsonb(&part);
	op->put = type == JSONOID ? put_json : put_jsonb;
	for (int i = 0; i < node->branch_count; i++)
		if (node->branches[i]->type == AVRO_TYPE_NULL)
			op->null_branch = i;
	return 0;
}

/* ---- nested rows ---- */

static OutboxAvroRowPlan *
nested_plan(RowOp *op, Oid type, const AvroPath *path)
{
	MemoryContext old = MemoryContextSwitchTo(op->context);
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	OutboxAvroRowPlan *plan;

	plan = avro_row_plan(op, op->node, 0, desc, path);
	ReleaseTupleDesc(desc);
	op->sub_desc_id = assign_record_type_identifier(type, -1);
	MemoryContextSwitchTo(old);
	return plan;
}

static void
put_composite(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	if (unlikely(op->sub_desc_id !=
				 assign_record_type_identifier(op->type, -1)))
		op->sub = nested_plan(op, op->type, path);
	avro_row_put(op->sub, value, out, path);
}

/* ---- arrays ---- */

/* Where the walk through an array's elements is. */
typedef struct ArrayWalk
{
	RowOp	   *op;
	const int  *dims;
	const bits8 *nulls;
	const char *p;
	int			element;
	StringInfo	out;
} ArrayWalk;

static void put_dimension(ArrayWalk *walk, int dimension,
						  const AvroPath *path);

static void
put_element(ArrayWalk *walk, const AvroPath *path)
{
	RowOp	   *op = walk->op;
	int			i = walk->element++;

	if (walk->nulls != NULL && (walk->nulls[i / 8] & (1 << (i % 8))) == 0)
	{
		avro_row_put_value(op->element, (Datum) 0, true, walk->out, path);
		return;
	}
	avro_row_put_value(op->element,
					   fetch_att(walk->p, op->typbyval, op->typlen), false,
					   walk->out, path);
	walk->p = att_addlength_pointer(walk->p, op->typlen, walk->p);
	walk->p = (const char *) att_align_nominal(walk->p, op->typalign);
}

static void
put_dimension(ArrayWalk *walk, int dimension, const AvroPath *path)
{
	AvroPath	here = {path, NULL, 0, 0};

	avro_put_long(walk->out, walk->dims[dimension]);
	for (int i = 0; i < walk->dims[dimension]; i++)
	{
		CHECK_FOR_INTERRUPTS();
		here.index = i;
		if (dimension + 1 < walk->op->depth)
			put_dimension(walk, dimension + 1, &here);
		else
			put_element(walk, &here);
	}
	avro_put_long(walk->out, 0);
}

static void
put_array(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	ArrayWalk	walk = {op, ARR_DIMS(array), ARR_NULLBITMAP(array),
	ARR_DATA_PTR(array), 0, out};

	if (ARR_NDIM(array) == 0)
		avro_put_long(out, 0);
	else if (ARR_NDIM(array) == op->depth)
		put_dimension(&walk, 0, path);
	else
		avro_value_error(path, ERRCODE_ARRAY_SUBSCRIPT_ERROR,
						 "Avro arrays have one dimension; use an array of a "
						 "composite type that holds an array.",
						 "the array has %d dimensions", ARR_NDIM(array));
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

/* Arrays directly within arrays are the dimensions of one of PostgreSQL's. */
static int
compile_array(RowOp *op, const AvroNode *node, Oid element, int32 typmod,
			  const AvroPath *path)
{
	AvroPath	here = {path, NULL, 0, 0};

	op->depth = 1;
	while (node->items->type == AVRO_TYPE_ARRAY && op->depth < MAXDIM &&
		   !OidIsValid(get_element_type(getBaseType(element))))
	{
		node = node->items;
		op->depth++;
	}
	op->put = put_array;
	op->element_type = element;
	get_typlenbyvalalign(element, &op->typlen, &op->typbyval, &op->typalign);
	op->element = palloc0(sizeof(RowOp));
	inherit(op->element, op);
	return compile(op->element, node->items, element, typmod, &here) < 0 ?
		AVRO_ROW_NO_WAY : 0;
}

/* ---- compiling ---- */

/* One type to one node that is no union; the rank, or AVRO_ROW_NO_WAY. */
static int
compile_plain(RowOp *op, const AvroNode *node, Oid type, int32 typmod,
			  const AvroPath *path)
{
	Oid			element = get_element_type(type);

	op->node = node;
	op->type = type;
	if (node->type == AVRO_TYPE_NULL)
		return AVRO_ROW_NO_WAY;
	if (OidIsValid(element))
	{
		if (node->type != AVRO_TYPE_ARRAY)
			return AVRO_ROW_NO_WAY;
		return compile_array(op, node, element, typmod, path);
	}
	if (get_typtype(type) == TYPTYPE_COMPOSITE)
	{
		if (node->type != AVRO_TYPE_RECORD)
			return AVRO_ROW_NO_WAY;
		check_stack_depth();
		op->put = put_composite;
		op->sub = nested_plan(op, type, path);
		return 0;
	}
	return avro_row_find_put(op, node, type);
}

/* As above for any node; op is zeroed but for schema and context. */
static int
compile(RowOp *op, const AvroNode *node, Oid type, int32 typmod,
		const AvroPath *path)
{
	RowOp		blank;
	RowOp		best;
	int			best_rank = AVRO_ROW_NO_WAY;

	type = getBaseTypeAndTypmod(type, &typmod);
	op->branch = op->null_branch = op->text_branch = -1;
	if ((type == JSONOID || type == JSONBOID) && !wants_text(node))
		return compile_document(op, node, type);
	if (node->type != AVRO_TYPE_UNION)
	{
		best_rank = compile_plain(op, node, type, typmod, path);
		if (best_rank >= 0 && op->image)
			avro_row_find_special(op, node);
		return best_rank;
	}

	blank = *op;
	for (int i = 0; i < node->branch_count; i++)
	{
		RowOp		candidate = blank;
		int			rank;

		if (node->branches[i]->type == AVRO_TYPE_NULL)
		{
			op->null_branch = i;
			continue;
		}
		rank = compile_plain(&candidate, node->branches[i], type, typmod, path);
		if (rank >= 0 && (best_rank < 0 || rank < best_rank))
		{
			best = candidate;
			best.branch = i;
			best_rank = rank;
		}
	}
	if (best_rank >= 0)
	{
		best.null_branch = op->null_branch;
		*op = best;
		if (op->image)
			avro_row_find_special(op, node);
	}
	return best_rank;
}

static void
misfit(Form_pg_attribute att, const AvroNode *node, const AvroPath *path)
{
	StringInfoData place;
	const char *wanted = avro_scalar_wanted(node);

	initStringInfo(&place);
	avro_path_append(&place, path);
	if (node->type == AVRO_TYPE_UNION)
	{
		const char **names = palloc(node->branch_count * sizeof(char *));
		char	   *list;

		for (int i = 0; i < node->branch_count; i++)
			names[i] = avro_scalar_wanted(node->branches[i]);
		list = avro_list_names("union of ", names, node->branch_count);
		*strrchr(list, '.') = '\0';
		wanted = list;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg(
					"column \"%s\" of type %s does not fit the Avro schema at "
					"%s: expected %s",
					NameStr(att->attname),
					format_type_with_typemod(att->atttypid, att->atttypmod),
					place.data, wanted),
			 errhint("outbox.avro_schema() shows the Avro type of a column.")));
}

static int
find_field(const AvroNode *record, const char *name)
{
	for (int i = 0; i < record->field_count; i++)
		if (strcmp(record->fields[i].name, name) == 0)
			return i;
	return -1;
}

/* parent has schema, context and what else its ops are to inherit. */
OutboxAvroRowPlan *
avro_row_plan(const RowOp *parent, const AvroNode *record, int trailing,
			  TupleDesc desc, const AvroPath *path)
{
	OutboxAvroRowPlan *plan = palloc0(sizeof(OutboxAvroRowPlan));

	plan->record = record;
	plan->trailing = trailing;
	plan->desc = CreateTupleDescCopy(desc);
	plan->column = palloc((record->field_count + 1) * sizeof(int));
	plan->ops = palloc0((record->field_count + 1) * sizeof(RowOp));
	for (int i = 0; i < record->field_count; i++)
		plan->column[i] = -1;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *name;
		int			field;
		AvroPath	here;
		RowOp	   *op;

		if (att->attisdropped)
			continue;
		name = avro_map_name(NameStr(att->attname));
		field = find_field(record, name);
		if (field < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" has no field in Avro record \"%s\"",
							NameStr(att->attname), record->fullname),
					 errhint(
							"Add field \"%s\" to the schema, or leave the "
							"column out of the row.",
							 name)));
		if (plan->column[field] >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("columns \"%s\" and \"%s\" both go to field \"%s\"",
							NameStr(TupleDescAttr(desc, plan->column[field])->attname),
							NameStr(att->attname), name)));
		here.parent = path;
		here.name = record->fields[field].name;
		here.name_len = (int) strlen(here.name);
		here.index = 0;
		plan->column[field] = i;
		op = &plan->ops[field];
		inherit(op, parent);
		op->context = CurrentMemoryContext;
		if (compile(op, record->fields[field].type, att->atttypid,
					att->atttypmod, &here) < 0)
			misfit(att, record->fields[field].type, &here);
	}
	for (int i = 0; i < record->field_count - trailing; i++)
		if (plan->column[i] < 0 && !record->fields[i].has_default)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg(
							"field \"%s\" of Avro record \"%s\" has neither a "
							"column nor a default",
							record->fields[i].name, record->fullname)));
	return plan;
}

OutboxAvroRowPlan *
outbox_avro_plan_row(const OutboxAvroSchema *schema, TupleDesc desc)
{
	static const AvroPath root = {0};
	RowOp		parent = {.schema = schema};

	if (schema->root->type != AVRO_TYPE_RECORD)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a row does not fit the Avro schema at $: expected %s",
						avro_scalar_wanted(schema->root))));
	return avro_row_plan(&parent, schema->root, 0, desc, &root);
}

bool
avro_row_put_alone(const OutboxAvroSchema *schema, Oid type, int32 typmod,
				   Datum value, StringInfo out)
{
	static const AvroPath root = {0};
	RowOp		op = {.schema = schema,.context = CurrentMemoryContext};

	if (compile(&op, schema->root, type, typmod, &root) < 0 ||
		avro_row_is_special(&op, value))
		return false;
	op.special = NULL;
	avro_row_put_value(&op, value, false, out, &root);
	return true;
}

/* ---- the walk ---- */

void
avro_row_put_values(const OutboxAvroRowPlan *plan, const Datum *values,
					const bool *nulls, StringInfo out, const AvroPath *path)
{
	int			n = plan->record->field_count - plan->trailing;

	for (int i = 0; i < n; i++)
	{
		const AvroField *field = &plan->record->fields[i];
		int			column = plan->column[i];
		AvroPath	here = {path, field->name, field->name_len, 0};

		if (column < 0)
		{
			avro_put_raw(out, field->default_data, field->default_len);
			continue;
		}
		avro_row_put_value(&plan->ops[i], values[column], nulls[column], out,
						   &here);
	}
}

void
avro_row_put(const OutboxAvroRowPlan *plan, Datum composite, StringInfo out,
			 const AvroPath *path)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(composite);
	int			natts = plan->desc->natts;
	Datum		stack_values[STACK_COLUMNS];
	bool		stack_nulls[STACK_COLUMNS];
	Datum	   *values = stack_values;
	bool	   *nulls = stack_nulls;
	HeapTupleData tuple;

	check_stack_depth();
	if (natts > STACK_COLUMNS)
	{
		values = palloc(natts * sizeof(Datum));
		nulls = palloc(natts * sizeof(bool));
	}
	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	heap_deform_tuple(&tuple, plan->desc, values, nulls);

	avro_row_put_values(plan, values, nulls, out, path);
	if (values != stack_values)
	{
		pfree(values);
		pfree(nulls);
	}
	if ((Pointer) row != DatumGetPointer(composite))
		pfree(row);
}

void
outbox_avro_encode_row(const OutboxAvroRowPlan *plan, Datum composite,
					   StringInfo out)
{
	static const AvroPath root = {0};

	avro_row_put(plan, composite, out, &root);
	if (out->maxlen > out->len)
		out->data[out->len] = '\0';
}
