/*-------------------------------------------------------------------------
 *
 * filter.c
 *		Row filters: a condition on the row that decides whether it is published.
 *
 * It is run in the relay too, which is no place for anybody's code.  So it is
 * restricted as a publication's WHERE is: built-in immutable functions and
 * operators, built-in types and collations, columns of the table itself; no
 * subquery, aggregate, window, set-returning function, parameter or system
 * column.  Names are looked up in pg_catalog alone, whatever search_path says.
 *
 * Masks do not reach it: it sees the row as it is.  Null counts as false.
 * A filter owns an executor state in the context it was made in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rowcodec/codec.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

struct RowFilter
{
	EState	   *estate;
	ExprState  *state;
	TupleTableSlot *slot;
};

pg_noreturn static void
refuse(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("invalid row filter: %s", what),
			 errhint("A row filter is a condition on the row's own columns, with built-in immutable functions and operators only.")));
}

/* Also called for functions behind operators and casts. */
static bool
is_foreign_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId ||
		func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

static bool
check_node(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_foreign_function, NULL))
		refuse("it calls a function that is not built in and immutable");
	switch (nodeTag(node))
	{
		case T_Var:
			if (((Var *) node)->varattno <= 0)
				refuse("it refers to a system column or to the whole row");
			break;
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_RelabelType:
		case T_CollateExpr:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_CaseWhen:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_List:
			break;
		case T_CoerceViaIO:
			refuse("it casts by way of text");
		default:
			refuse("it has an expression that is not allowed");
	}
	if (!IsA(node, List) && exprType(node) >= FirstNormalObjectId)
		refuse("it uses a type that is not built in");
	if (!IsA(node, List) && exprInputCollation(node) >= FirstNormalObjectId)
		refuse("it uses a collation that is not built in");
	return expression_tree_walker(node, check_node, context);
}

/* The tuple must hold what is looked at. */
static void
check_columns(Node *expr, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Bitmapset  *attrs = NULL;

	pull_varattnos(expr, 1, &attrs);
	for (int i = 0; i < desc->natts; i++)
	{
		if (outbox_compat_is_virtual(TupleDescAttr(desc, i)) &&
			bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, attrs))
			refuse("it refers to a virtual generated column");
	}
}

/* The text as an expression over the table's row, types and all. */
static Node *
transform(const char *text, Relation rel)
{
	List	   *raw = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, raw)->stmt;
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *expr;

	if (!IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
		select->fromClause != NIL || select->whereClause != NULL ||
		select->groupClause != NIL || select->havingClause != NULL ||
		select->sortClause != NIL || select->limitCount != NULL ||
		select->op != SETOP_NONE)
		refuse("it is no single condition");
	pstate->p_sourcetext = text;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL,
										 false, false);
	addNSItemToQuery(pstate, item, false, true, true);
	expr = linitial_node(ResTarget, select->targetList)->val;
	expr = transformWhereClause(pstate, expr, EXPR_KIND_POLICY, "row filter");
	assign_expr_collations(pstate, expr);
	if (pstate->p_hasSubLinks || pstate->p_hasAggs)
		refuse("it has a subquery or an aggregate");
	free_parsestate(pstate);
	check_columns(expr, rel);
	return expr;
}

/* Built-in names mean the built-in things. */
static Node *
parse(const char *text, Relation rel)
{
	int			level = NewGUCNestLevel();
	Node	   *expr;

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	expr = transform(text, rel);
	AtEOXact_GUC(true, level);
	(void) check_node(expr, NULL);
	return expr;
}

RowFilter *
rowcodec_filter_make(const OutboxCapture *capture, Relation rel)
{
	RowFilter  *filter;

	if (capture->row_filter == NULL)
		return NULL;
	filter = palloc0(sizeof(RowFilter));
	filter->estate = CreateExecutorState();
	filter->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)),
											&TTSOpsHeapTuple);
	filter->state = ExecPrepareExpr((Expr *) parse(capture->row_filter, rel),
									filter->estate);
	return filter;
}

bool
rowcodec_filter_pass(RowFilter *filter, HeapTuple tuple)
{
	ExprContext *econtext = GetPerTupleExprContext(filter->estate);
	bool		isnull;
	Datum		result;

	ResetExprContext(econtext);
	ExecStoreHeapTuple(tuple, filter->slot, false);
	econtext->ecxt_scantuple = filter->slot;
	result = ExecEvalExprSwitchContext(filter->state, econtext, &isnull);
	ExecClearTuple(filter->slot);
	return !isnull && DatumGetBool(result);
}

List *
outbox_rowcodec_filter_columns(const OutboxCapture *capture, Relation rel)
{
	Bitmapset  *attrs = NULL;
	List	   *names = NIL;
	int			i = -1;

	if (capture->row_filter == NULL)
		return NIL;
	pull_varattnos(parse(capture->row_filter, rel), 1, &attrs);
	while ((i = bms_next_member(attrs, i)) >= 0)
	{
		AttrNumber	attnum = i + FirstLowInvalidHeapAttributeNumber;

		names = lappend(names,
						pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel),
													  attnum - 1)->attname)));
	}
	return names;
}
