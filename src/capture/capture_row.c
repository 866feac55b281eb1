/*-------------------------------------------------------------------------
 *
 * capture_row.c
 *		The functions of a captured table's triggers.
 *
 * An AFTER ROW trigger is queued while its statement runs and fires at the
 * statement's end.  In between, triggers of rows that came before may have
 * changed this row again, and those changes fire first: the images of a row
 * would come out of order, whatever the triggers' names are.  The WHEN
 * condition of an AFTER trigger however is evaluated at once when the row has
 * been written, before anything else can happen to it.  So the condition is
 * where the change is written, and it is always false: nothing is queued, which
 * is also cheaper and needs no memory for a statement's rows.
 *
 * The condition runs as whoever writes to the table, who therefore must be able
 * to execute outbox.capture_row().  What keeps others from calling it with
 * rows of their choice: its arguments must be the system columns of OLD and NEW
 * as the condition of a trigger has them, references that no plan of a query
 * can have (expression trees know them as INNER_VAR and OUTER_VAR; a plan uses
 * these for columns of subplans, which have positive numbers).  So what is
 * written is what the server has just done in a table with such triggers.
 *
 * For an UPDATE that moves a row to another partition the server runs DELETE
 * and INSERT triggers, and, for the sake of foreign keys, UPDATE triggers of the
 * partitioned table with rows of two partitions, in the layout of none and with
 * no table's number: these are no change of their own.
 *
 * TRUNCATE has a statement trigger, which fires at the end of the statement,
 * before the user's own of this table.  Of several tables in one TRUNCATE, what
 * triggers of one write to another comes before that one's TRUNCATE event if it
 * is named later.
 *
 * Owns no state; scratch memory is that of one change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "capture/capture.h"
#include "commands/trigger.h"
#include "emit/emit.h"
#include "emit/write_message.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "rowcodec/rowcodec.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(outbox_capture_row);
PG_FUNCTION_INFO_V1(outbox_capture_change);
PG_FUNCTION_INFO_V1(outbox_capture_truncate);

/* ---- who calls ---- */

static bool
is_column(const Node *node, int varno, AttrNumber attnum)
{
	return IsA(node, Const) ? ((const Const *) node)->constisnull :
		IsA(node, Var) && ((const Var *) node)->varno == varno &&
		((const Var *) node)->varattno == attnum;
}

static bool
is_condition(const FmgrInfo *flinfo)
{
	const Node *expr = flinfo->fn_expr;
	List	   *args;

	if (expr == NULL || !IsA(expr, FuncExpr))
		return false;
	args = ((const FuncExpr *) expr)->args;
	return list_length(args) == 4 &&
		is_column(linitial(args), INNER_VAR, TableOidAttributeNumber) &&
		is_column(lsecond(args), INNER_VAR, SelfItemPointerAttributeNumber) &&
		is_column(lthird(args), OUTER_VAR, TableOidAttributeNumber) &&
		is_column(lfourth(args), OUTER_VAR, SelfItemPointerAttributeNumber);
}

/* Once for each expression; fn_extra remembers. */
static void
check_caller(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra != NULL)
		return;
	if (!is_condition(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.capture_row() is the condition of triggers that outbox.capture() creates")));
	fcinfo->flinfo->fn_extra = fcinfo->flinfo;
}

/* ---- one change ---- */

/* Said in errors: of which table. */
static void
describe_relation(void *arg)
{
	errcontext("capture of table \"%s\"",
			   RelationGetRelationName((Relation) arg));
}

static void
check_size(const OutboxWalMessage *msg)
{
	int64		size = (int64) Max(msg->payload_len, 0) +
		Max(msg->key_len, 0) + Max(msg->headers_len, 0);

	if (msg->key_len > OUTBOX_MAX_KEY)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("key of a captured row is too long: %d bytes",
						msg->key_len),
				 errdetail("At most %d bytes are allowed.", OUTBOX_MAX_KEY),
				 errhint("Choose other key columns with outbox.alter_capture().")));
	if (size > outbox_max_event_size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("change of a captured row is too large: %lld bytes",
						(long long) size),
				 errdetail("The limit outbox.max_event_size is %d bytes for key, headers and encoded value.",
						   outbox_max_event_size),
				 errhint("Leave large columns out with outbox.alter_capture(columns => ...), or raise the limit.")));
}

static void
write_change(void *arg, OutboxWalMessage *msg)
{
	check_size(msg);
	outbox_message_new_id(msg->event_id);
	outbox_message_write(msg);
}

static void
encode(Relation rel, OutboxChange *change)
{
	OutboxCaptureEntry *entry;
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = describe_relation,
		.arg = rel
	};

	outbox_message_check_server("capture");
	error_context_stack = &callback;
	entry = outbox_capture_entry(rel);
	if (entry->busy)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" was written to while one of its rows was captured",
						RelationGetRelationName(rel)),
				 errhint("An output function of a column's type must not write.")));
	change->xid = GetTopFullTransactionId();
	entry->busy = true;
	PG_TRY();
	{
		outbox_rowcodec_change(entry->codec, change, write_change, NULL);
	}
	PG_FINALLY();
	{
		entry->busy = false;
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
}

/* The row at this place, whoever sees it; the buffer stays pinned. */
static HeapTuple
fetch(Relation rel, ItemPointer place, HeapTuple tuple, Buffer *buffer)
{
	tuple->t_self = *place;
	if (!heap_fetch(rel, SnapshotAny, tuple, buffer, false))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not find a row of table \"%s\" that was just written",
						RelationGetRelationName(rel))));
	return tuple;
}

/*
 * capture_row(OLD.tableoid, OLD.ctid, NEW.tableoid, NEW.ctid), nulls for what
 * there is not
 */
Datum
outbox_capture_row(PG_FUNCTION_ARGS)
{
	bool		has_old = !PG_ARGISNULL(1);
	bool		has_new = !PG_ARGISNULL(3);
	OutboxChange change = {0};
	HeapTupleData old;
	HeapTupleData new;
	Buffer		old_buffer = InvalidBuffer;
	Buffer		new_buffer = InvalidBuffer;
	Relation	rel;

	check_caller(fcinfo);
	if (!has_old && !has_new)
		PG_RETURN_BOOL(false);
	if (has_old && has_new && (PG_GETARG_OID(0) != PG_GETARG_OID(2) ||
							   !OidIsValid(PG_GETARG_OID(2))))
		PG_RETURN_BOOL(false);	/* moved: see above */

	/* the executor has it open and locked */
	rel = table_open(PG_GETARG_OID(has_new ? 2 : 0), NoLock);
	if (rel->rd_tableam != GetHeapamTableAmRoutine())
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("partition \"%s\" is no heap table and cannot be captured",
						RelationGetRelationName(rel)),
				 errhint("Detach it from the captured table.")));
	change.op = has_new ? has_old ? OUTBOX_OP_UPDATE : OUTBOX_OP_CREATE :
		OUTBOX_OP_DELETE;
	if (has_old)
		change.before = fetch(rel, (ItemPointer) PG_GETARG_POINTER(1), &old,
							  &old_buffer);
	if (has_new)
		change.after = fetch(rel, (ItemPointer) PG_GETARG_POINTER(3), &new,
							 &new_buffer);
	encode(rel, &change);
	if (BufferIsValid(old_buffer))
		ReleaseBuffer(old_buffer);
	if (BufferIsValid(new_buffer))
		ReleaseBuffer(new_buffer);
	table_close(rel, NoLock);
	PG_RETURN_BOOL(false);
}

/* Trigger function of the row triggers, whose condition is never true. */
Datum
outbox_capture_change(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("outbox.capture_change() is for triggers that outbox.capture() creates")));
	PG_RETURN_NULL();
}

Datum
outbox_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	OutboxChange change = {.op = OUTBOX_OP_TRUNCATE};

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.capture_truncate() is the trigger that outbox.capture() creates")));
	encode(trigger->tg_relation, &change);
	return PointerGetDatum(NULL);
}

/*
 * Those of CREATE TABLE AS, which were there before the capture began: by
 * nobody else, as nobody sees the table yet.
 */
void
outbox_capture_present_rows(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		OutboxChange change = {.op = OUTBOX_OP_CREATE};

		CHECK_FOR_INTERRUPTS();
		change.after = ExecFetchSlotHeapTuple(slot, false, NULL);
		encode(rel, &change);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
}
