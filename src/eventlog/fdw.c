/*-------------------------------------------------------------------------
 *
 * fdw.c
 *		The foreign table outbox.logged_event: the event log for SELECT.
 *
 * What outbox.event shows is this, decoded.  A foreign table, and not a
 * function, so that conditions of the query find their way to the blocks:
 *
 *		id = ...			key = ...			event_type = ...
 *		committed_at =, <, <=, >, >= ...
 *
 * They are looked at again by the executor, so what is handed down here may be
 * too little, never too much.  Whose events may be read is decided by the role
 * that runs the query, see readable.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "compat.h"
#include "eventlog/reader.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(outbox_log_fdw_handler);

/* Columns of outbox.logged_event, in the order of eventlog.sql. */
enum
{
	Event_event_type = 1,
	Event_topic,
	Event_key,
	Event_id,
	Event_headers,
	Event_partition,
	Event_timestamp,
	Event_framed,
	Event_json,
	Event_committed_at,
	Event_xid,
	Event_commit_lsn,
	Event_ordinal,
	Event_columns = Event_ordinal
};

#define FRAME_SIZE 5			/* zero byte and schema id, as decode() takes it */
#define ALL_ROWS 1000000		/* the planner's guess */
#define FEW_ROWS 1000

/* ---- planning --------------------------------------------------------- */

typedef enum Bound
{
	BOUND_ID,
	BOUND_KEY,
	BOUND_TYPE,
	BOUND_FROM,					/* committed_at >=, or >, which is looser */
	BOUND_TO,
	BOUND_AT
} Bound;

/* What "column <function> value" is a bound of; -1 = nothing. */
static int
bound_of(AttrNumber column, Oid function)
{
	switch (column)
	{
		case Event_id:
			return function == F_UUID_EQ ? BOUND_ID : -1;
		case Event_key:
			return function == F_TEXTEQ ? BOUND_KEY : -1;
		case Event_event_type:
			return function == F_TEXTEQ ? BOUND_TYPE : -1;
		case Event_committed_at:
			if (function == F_TIMESTAMPTZ_GE || function == F_TIMESTAMPTZ_GT)
				return BOUND_FROM;
			if (function == F_TIMESTAMPTZ_LE || function == F_TIMESTAMPTZ_LT)
				return BOUND_TO;
			return function == F_TIMESTAMPTZ_EQ ? BOUND_AT : -1;
		default:
			return -1;
	}
}

/* The bound that a clause is, and its value, which is known before the scan. */
static int
match_clause(const RelOptInfo *rel, Expr *clause, Expr **value)
{
	OpExpr	   *op = (OpExpr *) clause;
	Expr	   *left,
			   *right;
	Oid			operator = InvalidOid;

	if (!IsA(clause, OpExpr) || list_length(op->args) != 2)
		return -1;
	left = linitial(op->args);
	right = lsecond(op->args);
	operator = op->opno;
	if (!IsA(left, Var))
	{
		Expr	   *swap = left;

		left = right;
		right = swap;
		operator = get_commutator(operator);
	}
	if (!OidIsValid(operator) || !IsA(left, Var) ||
		((Var *) left)->varno != rel->relid ||
		contain_var_clause((Node *) right) ||
		contain_volatile_functions((Node *) right))
		return -1;
	*value = right;
	return bound_of(((Var *) left)->varattno, get_opcode(operator));
}

static void
get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	ListCell   *lc;

	rel->rows = ALL_ROWS;
	foreach(lc, rel->baserestrictinfo)
	{
		Expr	   *value;

		if (match_clause(rel, lfirst_node(RestrictInfo, lc)->clause, &value) >= 0)
			rel->rows = FEW_ROWS;
	}
}

static void
get_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	Cost		total = rel->rows * cpu_tuple_cost * 10;

	add_path(rel, (Path *)
			 outbox_compat_foreignscan_path(root, rel, rel->rows, total));
}

static ForeignScan *
get_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path,
		 List *tlist, List *clauses, Plan *outer)
{
	List	   *quals = extract_actual_clauses(clauses, false);
	List	   *values = NIL;
	List	   *bounds = NIL;
	ListCell   *lc;

	foreach(lc, quals)
	{
		Expr	   *value;
		int			bound = match_clause(rel, lfirst(lc), &value);

		if (bound < 0)
			continue;
		bounds = lappend_int(bounds, bound);
		values = lappend(values, value);
	}
	return make_foreignscan(tlist, quals, rel->relid, values, bounds, NIL, NIL,
							outer);
}

/* ---- execution -------------------------------------------------------- */

typedef struct EventScan
{
	List	   *values;			/* ExprStates of the bounds */
	MemoryContext row_context;
	OutboxLogEvents *events;	/* NULL = not begun */
} EventScan;

static void
begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EventScan  *state = palloc0(sizeof(EventScan));

	state->values = ExecInitExprList(plan->fdw_exprs, &node->ss.ps);
	state->row_context = AllocSetContextCreate(CurrentMemoryContext,
											   "outbox logged event",
											   ALLOCSET_DEFAULT_SIZES);
	node->fdw_state = state;
}

static void
narrow_from(OutboxLogFilter *filter, TimestampTz at)
{
	if (!filter->has_from || at > filter->from)
		filter->from = at;
	filter->has_from = true;
}

static void
narrow_to(OutboxLogFilter *filter, TimestampTz at)
{
	if (!filter->has_to || at < filter->to)
		filter->to = at;
	filter->has_to = true;
}

static void
set_bound(OutboxLogFilter *filter, Bound bound, Datum value)
{
	text	   *t;

	switch (bound)
	{
		case BOUND_ID:
			filter->id = DatumGetUUIDP(value)->data;
			break;
		case BOUND_KEY:
			/* Keys are as in Kafka, UTF-8; elsewhere the executor compares. */
			if (GetDatabaseEncoding() != PG_UTF8)
				break;
			t = DatumGetTextPP(value);
			filter->key = VARDATA_ANY(t);
			filter->key_len = VARSIZE_ANY_EXHDR(t);
			break;
		case BOUND_TYPE:
			filter->event_type = TextDatumGetCString(value);
			break;
		case BOUND_FROM:
			narrow_from(filter, DatumGetTimestampTz(value));
			break;
		case BOUND_TO:
			narrow_to(filter, DatumGetTimestampTz(value));
			break;
		case BOUND_AT:
			narrow_from(filter, DatumGetTimestampTz(value));
			narrow_to(filter, DatumGetTimestampTz(value));
			break;
	}
}

/* The bounds' values are evaluated when the first row is wanted. */
static void
begin_events(ForeignScanState *node, EventScan *state)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState	   *estate = node->ss.ps.state;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	OutboxLogFilter filter = {0};
	ListCell   *lc,
			   *lb;

	forboth(lc, state->values, lb, plan->fdw_private)
	{
		bool		isnull;
		Datum		value = ExecEvalExpr((ExprState *) lfirst(lc),
										 node->ss.ps.ps_ExprContext, &isnull);

		if (isnull)
			filter.nothing = true;	/* all these operators are strict */
		else
			set_bound(&filter, lfirst_int(lb), value);
	}
	state->events = outbox_log_events_begin(&filter, GetUserId());
	MemoryContextSwitchTo(old);
}

static Datum
text_datum(const char *data, int len)
{
	char	   *text = pnstrdup(data, len);

	text = pg_any_to_server(text, len, PG_UTF8);
	return CStringGetTextDatum(text);
}

static Datum
bytes_datum(const char *data, int len, const char *front, int front_len)
{
	bytea	   *value = palloc(VARHDRSZ + front_len + len);

	SET_VARSIZE(value, VARHDRSZ + front_len + len);
	memcpy(VARDATA(value), front, front_len);
	memcpy(VARDATA(value) + front_len, data, len);
	return PointerGetDatum(value);
}

static void
set_payload(const OutboxLogEvent *event, Datum *values, bool *nulls)
{
	char		frame[FRAME_SIZE] = {0};
	uint32		id = pg_hton32(event->msg->schema_id);
	bool		json = event->route->format == OUTBOX_FORMAT_JSON;

	nulls[Event_json - 1] = event->payload == NULL || !json;
	nulls[Event_framed - 1] = event->payload == NULL || json;
	if (event->payload == NULL)
		return;
	memcpy(frame + 1, &id, sizeof(id));
	if (json)
		values[Event_json - 1] = text_datum(event->payload, event->payload_len);
	else
		values[Event_framed - 1] = bytes_datum(event->payload,
											   event->payload_len, frame,
											   FRAME_SIZE);
}

/* A key that is an Avro record is its schema's id and bytes: shown as hex. */
static Datum
key_datum(const OutboxWalMessage *msg)
{
	if ((msg->flags & OUTBOX_MSG_KEY_SCHEMA) == 0)
		return text_datum(msg->key, msg->key_len);
	return DirectFunctionCall2(binary_encode,
							   bytes_datum(msg->key + sizeof(uint32),
										   msg->key_len - sizeof(uint32),
										   NULL, 0),
							   CStringGetTextDatum("hex"));
}

static void
fill_row(const OutboxLogEvent *event, Datum *values, bool *nulls)
{
	const OutboxWalMessage *msg = event->msg;
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	memset(nulls, 0, Event_columns * sizeof(bool));
	memcpy(id->data, msg->event_id, UUID_LEN);
	values[Event_id - 1] = UUIDPGetDatum(id);
	values[Event_event_type - 1] = CStringGetTextDatum(event->route->event_type);
	values[Event_topic - 1] = msg->topic != NULL ?
		text_datum(msg->topic, msg->topic_len) :
		CStringGetTextDatum(event->route->topic);
	nulls[Event_key - 1] = msg->key == NULL;
	if (msg->key != NULL)
		values[Event_key - 1] = key_datum(msg);
	nulls[Event_headers - 1] = msg->headers == NULL;
	if (msg->headers != NULL)
		values[Event_headers - 1] =
			DirectFunctionCall1(outbox_header_block_json,
								bytes_datum(msg->headers, msg->headers_len,
											NULL, 0));
	nulls[Event_partition - 1] = msg->partition < 0;
	values[Event_partition - 1] = Int32GetDatum(msg->partition);
	values[Event_timestamp - 1] = msg->timestamp_ms == 0 ?
		TimestampTzGetDatum(event->txn->commit_time) :
		TimestampTzGetDatum(time_t_to_timestamptz(0) + msg->timestamp_ms * 1000);
	set_payload(event, values, nulls);
	values[Event_committed_at - 1] = TimestampTzGetDatum(event->txn->commit_time);
	values[Event_xid - 1] =
		FullTransactionIdGetDatum(FullTransactionIdFromU64(event->txn->full_xid));
	values[Event_commit_lsn - 1] = LSNGetDatum(event->txn->commit_end);
	values[Event_ordinal - 1] = Int64GetDatum((int64) msg->ordinal);
}

static TupleTableSlot *
iterate_scan(ForeignScanState *node)
{
	EventScan  *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	OutboxLogEvent event;
	MemoryContext old;

	ExecClearTuple(slot);
	if (slot->tts_tupleDescriptor->natts != Event_columns)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("outbox.logged_event is the only foreign table of its kind")));
	if (state->events == NULL)
		begin_events(node, state);
	if (!outbox_log_events_next(state->events, &event))
		return slot;
	MemoryContextReset(state->row_context);
	old = MemoryContextSwitchTo(state->row_context);
	fill_row(&event, slot->tts_values, slot->tts_isnull);
	MemoryContextSwitchTo(old);
	return ExecStoreVirtualTuple(slot);
}

static void
end_scan(ForeignScanState *node)
{
	EventScan  *state = node->fdw_state;

	if (state != NULL && state->events != NULL)
		outbox_log_events_end(state->events);
	if (state != NULL)
		state->events = NULL;
}

Datum
outbox_log_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = get_rel_size;
	routine->GetForeignPaths = get_paths;
	routine->GetForeignPlan = get_plan;
	routine->BeginForeignScan = begin_scan;
	routine->IterateForeignScan = iterate_scan;
	routine->ReScanForeignScan = end_scan;
	routine->EndForeignScan = end_scan;
	PG_RETURN_POINTER(routine);
}
