/*-------------------------------------------------------------------------
 *
 * ddl_plan.c
 *		outbox.plan_ddl(): what the gate would say about a statement.
 *
 * The statement is really run, with its caller's rights and search path, in a
 * subtransaction that is always rolled back; meanwhile the gate reports here.
 * Only DDL that can change a row type is taken, so nothing happens that a
 * rollback does not undo.  Its locks are released with the subtransaction, but
 * it waits for them, and a table that the DDL rewrites is rewritten.
 *
 * Owns the rows of the call under way, in the memory of its result, and a
 * pointer to them that is null otherwise, also after an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/ddl_plan.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "schema/schema.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(outbox_plan_ddl);

/* Columns of outbox.plan_ddl() */
enum
{
	PLAN_EVENT_TYPE,
	PLAN_SUBJECT,
	PLAN_VERDICT,
	PLAN_RULE,
	PLAN_PATH,
	PLAN_MESSAGE,
	PLAN_SCHEMA,
	PLAN_COLUMNS
};

typedef struct DdlPlan
{
	Tuplestorestate *rows;
	TupleDesc	desc;
	MemoryContext context;
	List	   *seen;			/* of text: rows that are there */
} DdlPlan;

static DdlPlan *plan = NULL;

bool
outbox_ddl_planning(void)
{
	return plan != NULL;
}

static const char *
verdict_name(OutboxFollowVerdict verdict)
{
	switch (verdict)
	{
		case OUTBOX_FOLLOW_SAME:
			break;
		case OUTBOX_FOLLOW_COMPATIBLE:
			return "compatible";
		case OUTBOX_FOLLOW_OVERRIDDEN:
			return "overridden";
		case OUTBOX_FOLLOW_REFUSED:
			return "refused";
	}
	return "same";
}

/* A command may come to the gate twice, by its drops and at its end. */
static bool
seen_before(const char *const *columns)
{
	StringInfoData key;
	ListCell   *lc;

	initStringInfo(&key);
	for (int i = 0; i < PLAN_COLUMNS; i++)
		appendStringInfo(&key, "%s\n", columns[i] != NULL ? columns[i] : "");
	foreach(lc, plan->seen)
	{
		if (strcmp(lfirst(lc), key.data) == 0)
			return true;
	}
	plan->seen = lappend(plan->seen, key.data);
	return false;
}

static void
put_row(const char *const *columns)
{
	MemoryContext old = MemoryContextSwitchTo(plan->context);
	Datum		values[PLAN_COLUMNS] = {0};
	bool		nulls[PLAN_COLUMNS];

	for (int i = 0; i < PLAN_COLUMNS; i++)
	{
		nulls[i] = columns[i] == NULL;
		if (!nulls[i])
			values[i] = CStringGetTextDatum(columns[i]);
	}
	if (!seen_before(columns))
		tuplestore_putvalues(plan->rows, plan->desc, values, nulls);
	MemoryContextSwitchTo(old);
}

void
outbox_ddl_plan_add(const char *event_type, const OutboxFollowResult *result)
{
	const char *columns[PLAN_COLUMNS] = {
		[PLAN_EVENT_TYPE] = event_type,
		[PLAN_SUBJECT] = result->subject,
		[PLAN_VERDICT] = verdict_name(result->verdict),
		[PLAN_SCHEMA] = result->schema
	};
	ListCell   *lc;

	if (result->problems == NIL)
		put_row(columns);
	foreach(lc, result->problems)
	{
		OutboxSchemaProblem *problem = lfirst(lc);

		columns[PLAN_RULE] = problem->rule;
		columns[PLAN_PATH] = problem->path;
		columns[PLAN_MESSAGE] = problem->message;
		put_row(columns);
	}
}

/* Statements that may touch a row type and are undone by a rollback. */
static void
check_statement(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterTableStmt:
		case T_AlterDomainStmt:
		case T_AlterEnumStmt:
		case T_AlterObjectSchemaStmt:
		case T_CommentStmt:
		case T_CompositeTypeStmt:
		case T_CreateEnumStmt:
		case T_CreateDomainStmt:
		case T_DropStmt:
		case T_RenameStmt:
		case T_ViewStmt:
			return;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("only statements that change tables and types can be planned"),
					 errhint("Pass ALTER, RENAME, DROP or COMMENT of a table, view or type.")));
	}
}

static void
check_text(const char *sql)
{
	ListCell   *lc;

	foreach(lc, raw_parser(sql, RAW_PARSE_DEFAULT))
		check_statement(lfirst_node(RawStmt, lc)->stmt);
}

static void
run(const char *sql)
{
	int			rc;

	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not connect to the SPI manager")));
	rc = SPI_execute(sql, false, 0);
	if (rc < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("could not plan the statement: %s",
						SPI_result_code_string(rc))));
	SPI_finish();
}

/* Run it and roll it back, whether it succeeds or not. */
static void
run_and_roll_back(const char *sql)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *error = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		run(sql);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	plan = NULL;
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
		ReThrowError(error);
}

/* plan_ddl(statement) */
Datum
outbox_plan_ddl(PG_FUNCTION_ARGS)
{
	char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DdlPlan		new_plan = {0};

	if (plan != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox.plan_ddl() cannot be called within itself")));
	check_text(sql);
	InitMaterializedSRF(fcinfo, 0);
	new_plan.rows = result->setResult;
	new_plan.desc = result->setDesc;
	new_plan.context = result->econtext->ecxt_per_query_memory;
	plan = &new_plan;
	run_and_roll_back(sql);
	return (Datum) 0;
}
