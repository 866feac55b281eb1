/*-------------------------------------------------------------------------
 *
 * pg_default.c
 *		A column's DEFAULT as the default of its field.
 *
 * A NOT NULL column may be added at level BACKWARD when its field has a default:
 * the reader takes it where an older writer has no such field.  Only constants
 * count, and of those the ones that Avro can write down: no NaN, no infinite
 * date, no array but the empty one, no row.  now(), nextval() and the like are no
 * value of older rows, so the field has no default then.
 *
 * Nothing of the user's is run: a constant may be cast by built-in immutable
 * functions alone, as in DEFAULT 7 for a bigint.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "access/transam.h"
#include "avro/pg_default.h"
#include "avro/pg_row.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* A constant, or built-in casts of one. */
static bool
is_constant(Node *node)
{
	ListCell   *lc;
	FuncExpr   *call;

	if (IsA(node, Const))
		return true;
	if (IsA(node, RelabelType))
		return is_constant((Node *) ((RelabelType *) node)->arg);
	if (!IsA(node, FuncExpr))
		return false;
	call = (FuncExpr *) node;
	if (call->funcid >= FirstNormalObjectId || call->funcretset ||
		(call->funcformat != COERCE_IMPLICIT_CAST &&
		 call->funcformat != COERCE_EXPLICIT_CAST) ||
		func_volatile(call->funcid) != PROVOLATILE_IMMUTABLE)
		return false;
	foreach(lc, call->args)
	{
		if (!is_constant(lfirst(lc)))
			return false;
	}
	return true;
}

/* The column's default as a constant; NULL: it has none. */
static Const *
constant_default(Oid relation, AttrNumber attnum)
{
	Relation	rel = relation_open(relation, NoLock);
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	Node	   *node = NULL;

	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
		if (constr->defval[i].adnum == attnum)
			node = stringToNode(constr->defval[i].adbin);
	relation_close(rel, NoLock);
	while (node != NULL && IsA(node, CoerceToDomain))
		node = (Node *) ((CoerceToDomain *) node)->arg;
	if (node == NULL || !is_constant(node))
		return NULL;
	node = eval_const_expressions(NULL, node);
	return IsA(node, Const) && !((Const *) node)->constisnull ?
		(Const *) node : NULL;
}

/* Whether Avro's JSON has a way to write this value. */
static bool
can_be_written(Oid type, Datum value)
{
	if (OidIsValid(get_element_type(type)))
		return ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(value)),
							  ARR_DIMS(DatumGetArrayTypeP(value))) == 0;
	if (type == FLOAT4OID)
		return isfinite(DatumGetFloat4(value));
	if (type == FLOAT8OID)
		return isfinite(DatumGetFloat8(value));
	return get_typtype(type) != TYPTYPE_COMPOSITE;
}

void
avro_default_put(StringInfo out, Oid relation, Form_pg_attribute att)
{
	int32		typmod = att->atttypmod;
	Oid			type = getBaseTypeAndTypmod(att->atttypid, &typmod);
	Const	   *value;
	OutboxAvroSchema *schema;
	OutboxAvroError error;
	StringInfoData bytes;
	char	   *definition;

	if (att->attgenerated != '\0' || att->attidentity != '\0')
		return;
	value = constant_default(relation, att->attnum);
	if (value == NULL || !can_be_written(type, value->constvalue))
		return;
	definition = outbox_avro_schema_of_type(type, typmod, NULL, NULL);
	schema = outbox_avro_parse_or_error(definition, strlen(definition));
	initStringInfo(&bytes);
	if (!avro_row_put_alone(schema, type, typmod, value->constvalue, &bytes))
		return;
	appendStringInfoString(out, ",\"default\":");
	if (!outbox_avro_decode(schema, bytes.data, bytes.len, true, out, &error))
		outbox_avro_throw(&error);
}
