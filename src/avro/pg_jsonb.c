/*-------------------------------------------------------------------------
 *
 * pg_jsonb.c
 *		jsonb to Avro by a compiled plan: the hot path of emit.
 *
 * The plan holds, per record, the fields in the order in which jsonb keeps its
 * keys, so that one merge finds every field; nothing is looked up in a catalog
 * and, for records of up to STACK_FIELDS fields, nothing is allocated.
 *
 * What a value may look like:
 * - every member of an object is a field of the record, under the name in the
 *   schema (aliases are for readers); a missing field takes its default;
 * - scalars as in pg_scalar.c; JSON null only for null; duration is an object
 *   of "months", "days" and "milliseconds";
 * - unions as in pg_jsonb_union.c.
 *
 * A plan refers to its schema and is read-only: one plan serves nested and
 * repeated calls.  On error "out" keeps a part of the value.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/pg_jsonb.h"
#include "miscadmin.h"

#define STACK_FIELDS 64

static int
compare_fields(const void *a, const void *b, void *arg)
{
	const AvroNode *node = arg;
	const AvroField *x = &node->fields[*(const int *) a];
	const AvroField *y = &node->fields[*(const int *) b];

	return jb_compare_keys(x->name, x->name_len, y->name, y->name_len);
}

static void
compile(OutboxAvroJsonPlan *plan, const AvroNode *node)
{
	PlanNode   *pn = &plan->nodes[node->id];

	if (pn->node != NULL)
		return;
	pn->node = node;
	pn->null_branch = pn->only_branch = -1;
	if (node->type == AVRO_TYPE_RECORD)
	{
		int			n = node->field_count;

		pn->sorted = palloc((n + 1) * sizeof(int));
		for (int i = 0; i < n; i++)
			pn->sorted[i] = i;
		qsort_arg(pn->sorted, n, sizeof(int), compare_fields, (void *) node);
		for (int i = 0; i < n; i++)
			compile(plan, node->fields[i].type);
	}
	for (int i = 0; i < node->branch_count; i++)
	{
		if (node->branches[i]->type == AVRO_TYPE_NULL)
			pn->null_branch = i;
		compile(plan, node->branches[i]);
	}
	if (node->branch_count - (pn->null_branch >= 0 ? 1 : 0) == 1)
		pn->only_branch = pn->null_branch == 0 ? 1 : 0;
	if (node->items != NULL)
		compile(plan, node->items);
}

OutboxAvroJsonPlan *
outbox_avro_plan_jsonb(const OutboxAvroSchema *schema)
{
	OutboxAvroJsonPlan *plan = palloc(sizeof(OutboxAvroJsonPlan));

	plan->root = schema->root;
	plan->nodes = palloc0(schema->node_count * sizeof(PlanNode));
	compile(plan, schema->root);
	return plan;
}

const char *
avro_jb_kind(const JbRef *ref)
{
	switch (ref->type)
	{
		case JENTRY_ISSTRING:
			return "a string";
		case JENTRY_ISNUMERIC:
			return "a number";
		case JENTRY_ISBOOL_FALSE:
		case JENTRY_ISBOOL_TRUE:
			return "a boolean";
		case JENTRY_ISNULL:
			return "null";
		default:
			return jb_is_object(ref) ? "an object" : "an array";
	}
}

static void
mismatch(const AvroNode *node, const JbRef *value, const AvroPath *path)
{
	avro_value_error(path, ERRCODE_DATATYPE_MISMATCH, NULL,
					 "expected %s, got %s", avro_scalar_wanted(node),
					 avro_jb_kind(value));
}

static void
unknown_field(const AvroNode *node, const char *key, int len,
			  const AvroPath *path)
{
	AvroPath	here = {path, key, len, 0};
	const char **names = palloc(node->field_count * sizeof(char *));

	for (int i = 0; i < node->field_count; i++)
		names[i] = node->fields[i].name;
	avro_value_error(&here, ERRCODE_INVALID_TEXT_REPRESENTATION,
					 node->field_count == 0 ? "The record has no fields." :
					 avro_list_names("Its fields are ", names,
									 node->field_count),
					 "record \"%s\" has no such field", node->fullname);
}

static void
write_record(JbWriter *w, const AvroNode *node, const JsonbContainer *object,
			 const AvroPath *path)
{
	const PlanNode *pn = &w->plan->nodes[node->id];
	int			fields = node->field_count;
	JbRef		stack_slots[STACK_FIELDS];
	JbRef	   *slots = stack_slots;
	int			stack_order[STACK_FIELDS];
	int		   *order = stack_order;	/* field of the i-th key */
	int			next = 0;
	JbCursor	cursor;
	int			count = jb_open(object, &cursor);

	if (fields > STACK_FIELDS)
	{
		slots = palloc(fields * sizeof(JbRef));
		order = palloc(fields * sizeof(int));
	}
	for (int i = 0; i < fields; i++)
		slots[i].p = NULL;

	for (int i = 0; i < count; i++)
	{
		JbRef		key;
		int			cmp = 1;

		jb_next(&cursor, &key);
		for (; next < fields; next++)
		{
			const AvroField *field = &node->fields[pn->sorted[next]];

			cmp = jb_compare_keys(field->name, field->name_len,
								  key.p, key.len);
			if (cmp >= 0)
				break;
		}
		if (next == fields || cmp != 0)
			unknown_field(node, key.p, key.len, path);
		order[i] = pn->sorted[next++];
	}
	for (int i = 0; i < count; i++)
		jb_next(&cursor, &slots[order[i]]);

	for (int i = 0; i < fields; i++)
	{
		const AvroField *field = &node->fields[i];
		AvroPath	here = {path, field->name, field->name_len, 0};

		if (slots[i].p != NULL)
			avro_jb_write(w, field->type, &slots[i], &here);
		else if (field->has_default)
			avro_put_raw(w->out, field->default_data, field->default_len);
		else
			avro_value_error(&here, ERRCODE_NOT_NULL_VIOLATION,
							 "Give it, or a default in the schema.",
							 "field is missing and has no default");
	}
	if (slots != stack_slots)
	{
		pfree(slots);
		pfree(order);
	}
}

static void
write_array(JbWriter *w, const AvroNode *node, const JsonbContainer *array,
			const AvroPath *path)
{
	JbCursor	cursor;
	int			count = jb_open(array, &cursor);
	AvroPath	here = {path, NULL, 0, 0};

	if (count > 0)
		avro_put_long(w->out, count);
	for (int i = 0; i < count; i++)
	{
		JbRef		item;

		CHECK_FOR_INTERRUPTS();
		here.index = i;
		jb_next(&cursor, &item);
		avro_jb_write(w, node->items, &item, &here);
	}
	avro_put_long(w->out, 0);
}

static void
write_map(JbWriter *w, const AvroNode *node, const JsonbContainer *object,
		  const AvroPath *path)
{
	JbCursor	keys;
	JbCursor	values;
	int			count = jb_open(object, &keys);
	AvroPath	here = {path, NULL, 0, 0};

	values = keys;
	for (int i = 0; i < count; i++)
	{
		JbRef		skipped;

		jb_next(&values, &skipped);
	}
	if (count > 0)
		avro_put_long(w->out, count);
	for (int i = 0; i < count; i++)
	{
		JbRef		key,
					item;

		CHECK_FOR_INTERRUPTS();
		jb_next(&keys, &key);
		jb_next(&values, &item);
		here.name = key.p;
		here.name_len = key.len;
		avro_scalar_put_string(key.p, key.len, w->out);
		avro_jb_write(w, node->items, &item, &here);
	}
	avro_put_long(w->out, 0);
}

/* Three unsigned numbers; missing ones are zero. */
static void
write_duration(JbWriter *w, const AvroNode *node, const JsonbContainer *object,
			   const AvroPath *path)
{
	static const char *const names[] = {"months", "days", "milliseconds"};
	int64		parts[3] = {0, 0, 0};
	int			which[3];
	JbCursor	cursor;
	int			count = jb_open(object, &cursor);

	for (int i = 0; i < count; i++)
	{
		JbRef		key;
		int			n = 0;

		jb_next(&cursor, &key);
		while (n < 3 && (key.len != (int) strlen(names[n]) ||
						 memcmp(key.p, names[n], key.len) != 0))
			n++;
		if (n == 3)
		{
			AvroPath	here = {path, key.p, key.len, 0};

			avro_value_error(&here, ERRCODE_INVALID_TEXT_REPRESENTATION, NULL,
							 "a duration has \"months\", \"days\" and "
							 "\"milliseconds\" only");
		}
		which[i] = n;
	}
	for (int i = 0; i < count; i++)
	{
		JbRef		value;
		AvroDigits	digits;
		AvroPath	here = {path, names[which[i]],
		(int) strlen(names[which[i]]), 0};

		jb_next(&cursor, &value);
		if (value.type == JENTRY_ISNUMERIC)
			avro_numeric_open((Numeric) value.p, &digits);
		if (value.type != JENTRY_ISNUMERIC ||
			avro_numeric_int64(&digits, &parts[which[i]]) != AVRO_NUMERIC_OK ||
			parts[which[i]] < 0 || parts[which[i]] > PG_UINT32_MAX)
			avro_value_error(&here, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
							 "must be an integer from 0 to %u", PG_UINT32_MAX);
	}
	for (int i = 0; i < 3; i++)
		avro_put_le(w->out, parts[i], 4);
}

static void
write_container(JbWriter *w, const AvroNode *node, const JbRef *value,
				const AvroPath *path)
{
	const JsonbContainer *container = (const JsonbContainer *) value->p;
	bool		object = JsonContainerIsObject(container);

	if (++w->depth > OUTBOX_AVRO_MAX_DEPTH)
		avro_value_error(path, ERRCODE_STATEMENT_TOO_COMPLEX, NULL,
						 "nested more than %d levels deep",
						 OUTBOX_AVRO_MAX_DEPTH);
	check_stack_depth();
	if (object && node->type == AVRO_TYPE_RECORD)
		write_record(w, node, container, path);
	else if (object && node->type == AVRO_TYPE_MAP)
		write_map(w, node, container, path);
	else if (object && node->logical == AVRO_LOGICAL_DURATION)
		write_duration(w, node, container, path);
	else if (!object && node->type == AVRO_TYPE_ARRAY)
		write_array(w, node, container, path);
	else
		mismatch(node, value, path);
	w->depth--;
}

void
avro_jb_write(JbWriter *w, const AvroNode *node, const JbRef *value,
			  const AvroPath *path)
{
	if (node->type == AVRO_TYPE_UNION)
	{
		avro_jb_write_union(w, node, value, path);
		return;
	}
	switch (value->type)
	{
		case JENTRY_ISSTRING:
			if (node->type == AVRO_TYPE_STRING &&
				node->logical == AVRO_LOGICAL_NONE)
				avro_scalar_put_string(value->p, value->len, w->out);
			else
				avro_scalar_put_text(node, value->p, value->len, w->out, path);
			return;
		case JENTRY_ISNUMERIC:
			avro_scalar_put_numeric(node, (Numeric) value->p, w->out, path);
			return;
		case JENTRY_ISBOOL_FALSE:
		case JENTRY_ISBOOL_TRUE:
			if (node->type != AVRO_TYPE_BOOLEAN)
				mismatch(node, value, path);
			avro_put_byte(w->out, value->type == JENTRY_ISBOOL_TRUE);
			return;
		case JENTRY_ISNULL:
			if (node->type != AVRO_TYPE_NULL)
				avro_value_error(path, ERRCODE_NULL_VALUE_NOT_ALLOWED,
								 "Leave the member out to get the field's "
								 "default, or make its type a union with "
								 "\"null\" in the schema.",
								 "expected %s, got null",
								 avro_scalar_wanted(node));
			return;
		default:
			write_container(w, node, value, path);
			return;
	}
}

/* As outbox_avro_encode_jsonb(), for a value within another. */
void
avro_jsonb_put_at(const OutboxAvroJsonPlan *plan, Jsonb *value,
				  StringInfo out, const AvroPath *path)
{
	JbWriter	w = {plan, out, 0};
	JbRef		ref;

	if (JB_ROOT_IS_SCALAR(value))
	{
		JbCursor	cursor;

		(void) jb_open(&value->root, &cursor);
		jb_next(&cursor, &ref);
	}
	else
	{
		ref.type = JENTRY_ISCONTAINER;
		ref.p = (const char *) &value->root;
		ref.len = VARSIZE(value) - VARHDRSZ;
	}
	avro_jb_write(&w, plan->root, &ref, path);
}

void
outbox_avro_encode_jsonb(const OutboxAvroJsonPlan *plan, Jsonb *value,
						 StringInfo out)
{
	static const AvroPath root = {0};

	avro_jsonb_put_at(plan, value, out, &root);
	if (out->maxlen > out->len)
		out->data[out->len] = '\0';
}
