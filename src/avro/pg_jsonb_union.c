/*-------------------------------------------------------------------------
 *
 * pg_jsonb_union.c
 *		Which branch of a union a JSON value belongs to.
 *
 * The rules, in this order:
 * 1. null is the null branch.
 * 2. Tagged, Avro's JSON form: an object with exactly one member whose key
 *    names a branch ("int", "map", "com.shop.Order"; named types by full
 *    name) is that branch, and the member is its value.  This wins over a
 *    record or map the object could be as well.  The value inside is read
 *    like any other: bytes are base64 there too.
 * 3. Natural: with one branch besides null the value is that branch's.
 *    Else the branch whose type matches best, the earlier among equals:
 *	  number: int or long that hold it, then decimal, then int or long with a
 *			  date or time, then double, then float
 *	  string: string, then uuid, enum with that symbol, date or time, bytes
 *			  or fixed, then float or double for "NaN" and the infinities
 *			  (uuid before string when the text is a uuid)
 *	  boolean, array: the branch of that type
 *	  object: the record whose fields cover its members and whose other fields
 *			  have defaults (only the first level is looked at); if several do,
 *			  the value is ambiguous: an error that asks for the tag; then
 *			  duration, then map.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/pg_jsonb.h"

#define NO_MATCH 100

static int
number_rank(const AvroNode *branch, const JbRef *value)
{
	if (!avro_scalar_takes_numeric(branch, (Numeric) value->p))
		return NO_MATCH;
	switch (branch->type)
	{
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			return branch->logical == AVRO_LOGICAL_NONE ? 0 : 2;
		case AVRO_TYPE_DOUBLE:
			return 3;
		case AVRO_TYPE_FLOAT:
			return 4;
		default:
			return 1;
	}
}

static int
string_rank(const AvroNode *branch, const JbRef *value)
{
	if (!avro_scalar_takes_text(branch, value->p, value->len))
		return NO_MATCH;
	switch (branch->type)
	{
		case AVRO_TYPE_STRING:
			return branch->logical == AVRO_LOGICAL_UUID ? 0 : 1;
		case AVRO_TYPE_ENUM:
			return 2;
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			return 3;
		case AVRO_TYPE_BYTES:
		case AVRO_TYPE_FIXED:
			return branch->logical == AVRO_LOGICAL_UUID ? 0 : 4;
		default:
			return 5;
	}
}

/* Whether the object's members are fields and all others have defaults. */
static bool
record_covers(const PlanNode *pn, const JsonbContainer *object)
{
	const AvroNode *node = pn->node;
	JbCursor	cursor;
	int			count = jb_open(object, &cursor);
	int			next = 0;

	for (int i = 0; i < count; i++)
	{
		JbRef		key;
		int			cmp = 1;

		jb_next(&cursor, &key);
		for (; next < node->field_count; next++)
		{
			const AvroField *field = &node->fields[pn->sorted[next]];

			cmp = jb_compare_keys(field->name, field->name_len,
								  key.p, key.len);
			if (cmp >= 0)
				break;
			if (!field->has_default)
				return false;
		}
		if (next == node->field_count || cmp != 0)
			return false;
		next++;
	}
	for (; next < node->field_count; next++)
		if (!node->fields[pn->sorted[next]].has_default)
			return false;
	return true;
}

/* The members of a duration and nothing else. */
static bool
duration_covers(const JsonbContainer *object)
{
	JbCursor	cursor;
	int			count = jb_open(object, &cursor);

	for (int i = 0; i < count; i++)
	{
		JbRef		key;

		jb_next(&cursor, &key);
		if (!(key.len == 6 && memcmp(key.p, "months", 6) == 0) &&
			!(key.len == 4 && memcmp(key.p, "days", 4) == 0) &&
			!(key.len == 12 && memcmp(key.p, "milliseconds", 12) == 0))
			return false;
	}
	return true;
}

static int
object_rank(JbWriter *w, const AvroNode *branch, const JbRef *value)
{
	const JsonbContainer *object = (const JsonbContainer *) value->p;

	if (branch->type == AVRO_TYPE_RECORD)
		return record_covers(&w->plan->nodes[branch->id], object) ? 0 :
			NO_MATCH;
	if (branch->logical == AVRO_LOGICAL_DURATION)
		return duration_covers(object) ? 1 : NO_MATCH;
	return branch->type == AVRO_TYPE_MAP ? 2 : NO_MATCH;
}

static int
rank(JbWriter *w, const AvroNode *branch, const JbRef *value)
{
	switch (value->type)
	{
		case JENTRY_ISNUMERIC:
			return number_rank(branch, value);
		case JENTRY_ISSTRING:
			return string_rank(branch, value);
		case JENTRY_ISBOOL_FALSE:
		case JENTRY_ISBOOL_TRUE:
			return branch->type == AVRO_TYPE_BOOLEAN ? 0 : NO_MATCH;
		case JENTRY_ISCONTAINER:
			if (jb_is_object(value))
				return object_rank(w, branch, value);
			return branch->type == AVRO_TYPE_ARRAY ? 0 : NO_MATCH;
		default:
			return NO_MATCH;
	}
}

static char *
branch_list(const AvroNode *node)
{
	const char **names = palloc(node->branch_count * sizeof(char *));

	for (int i = 0; i < node->branch_count; i++)
		names[i] = avro_branch_name(node->branches[i]);
	return avro_list_names("Its branches are ", names, node->branch_count);
}

/* The branch that a one-member object names, or -1; *inner is its value. */
static int
tagged_branch(const AvroNode *node, const JbRef *value, JbRef *inner)
{
	const JsonbContainer *object = (const JsonbContainer *) value->p;
	JbCursor	cursor;
	JbRef		key;

	if (jb_open(object, &cursor) != 1)
		return -1;
	jb_next(&cursor, &key);
	for (int i = 0; i < node->branch_count; i++)
	{
		const char *name = avro_branch_name(node->branches[i]);

		if (strlen(name) == (size_t) key.len &&
			memcmp(name, key.p, key.len) == 0)
		{
			jb_next(&cursor, inner);
			return i;
		}
	}
	return -1;
}

static int
natural_branch(JbWriter *w, const AvroNode *node, const JbRef *value,
			   const AvroPath *path)
{
	int			best = -1;
	int			best_rank = NO_MATCH;

	for (int i = 0; i < node->branch_count; i++)
	{
		int			r = rank(w, node->branches[i], value);

		if (r == 0 && best_rank == 0 &&
			node->branches[i]->type == AVRO_TYPE_RECORD)
			avro_value_error(path, ERRCODE_DATATYPE_MISMATCH,
							 psprintf("Name the branch: {\"%s\": ...}.",
									  avro_branch_name(node->branches[best])),
							 "the object could be record \"%s\" or \"%s\"",
							 avro_branch_name(node->branches[best]),
							 avro_branch_name(node->branches[i]));
		if (r < best_rank)
		{
			best = i;
			best_rank = r;
		}
	}
	if (best < 0)
		avro_value_error(path, ERRCODE_DATATYPE_MISMATCH, branch_list(node),
						 "%s matches no branch of the union",
						 avro_jb_kind(value));
	return best;
}

void
avro_jb_write_union(JbWriter *w, const AvroNode *node, const JbRef *value,
					const AvroPath *path)
{
	const PlanNode *pn = &w->plan->nodes[node->id];
	int			branch;

	if (value->type == JENTRY_ISNULL)
	{
		if (pn->null_branch < 0)
			avro_value_error(path, ERRCODE_NULL_VALUE_NOT_ALLOWED,
							 branch_list(node),
							 "null matches no branch of the union");
		avro_put_long(w->out, pn->null_branch);
		return;
	}
	if (jb_is_object(value))
	{
		JbRef		inner;

		branch = tagged_branch(node, value, &inner);
		if (branch >= 0)
		{
			const char *name = avro_branch_name(node->branches[branch]);
			AvroPath	here = {path, name, (int) strlen(name), 0};

			avro_put_long(w->out, branch);
			avro_jb_write(w, node->branches[branch], &inner, &here);
			return;
		}
	}
	branch = pn->only_branch >= 0 ? pn->only_branch :
		natural_branch(w, node, value, path);
	avro_put_long(w->out, branch);
	avro_jb_write(w, node->branches[branch], value, path);
}
