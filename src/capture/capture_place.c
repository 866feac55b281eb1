/*-------------------------------------------------------------------------
 *
 * capture_place.c
 *		from_lsn: to go on where another program has stopped.
 *
 * A capture begins with its commit; since, a place in WAL when its table was
 * locked, lies in front of all that it will ever see.  from_lsn, at or behind
 * that, leaves out changes of commits up to there: another program has published
 * them.
 *
 *	capture(from_lsn)		may lie ahead, never behind: what was written between
 *							there and the capture is nobody's any more
 *	alter_capture(from_lsn)	while publishing is paused, and nothing behind since
 *							is published.  So: pause, capture, let the other
 *							program pass the capture's commit, stop it, tell here
 *							where it has stopped, resume.  Nobody stops writing
 *
 * The relay reads from_lsn when it meets the capture's route, and again when it
 * was told that something was altered, which is before it goes on after
 * resume().  The place is compared with the commit's end alone, so any process
 * that publishes the transaction again leaves out the same.
 *
 * Rows are not dumped: LSNs of a restored copy are others.
 *
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "capture/capture.h"
#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "state/state.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

static XLogRecPtr
published(void)
{
	OutboxRelayEntry *entry = outbox_state_find(MyDatabaseId);
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	if (entry == NULL)
		return lsn;
	SpinLockAcquire(&entry->mutex);
	lsn = entry->published;
	SpinLockRelease(&entry->mutex);
	return lsn;
}

/* The table is locked: since lies in front of all that is written from now on. */
void
outbox_capture_note_place(int32 id, XLogRecPtr from)
{
	static const Oid types[] = {INT4OID, LSNOID, LSNOID};
	XLogRecPtr	since = GetXLogInsertRecPtr();
	Datum		values[] = {Int32GetDatum(id), LSNGetDatum(since),
	LSNGetDatum(from)};

	if (from != InvalidXLogRecPtr && from < since)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("from_lsn %X/%X lies behind: WAL is at %X/%X",
						LSN_FORMAT_ARGS(from), LSN_FORMAT_ARGS(since)),
				 errdetail("Changes between there and this capture would be lost."),
				 errhint("Pause publishing, capture the table, stop the other program when it has passed the capture's commit, and say where it has stopped with outbox.alter_capture(from_lsn => ...).")));
	(void) outbox_owner_execute("INSERT INTO outbox.capture_from"
								" (capture_id, since, from_lsn)"
								" VALUES ($1, $2, $3)",
								lengthof(types), types, values,
								from == InvalidXLogRecPtr ? "  n" : "   ");
}

static XLogRecPtr
since_of(int32 id)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(id);

	if (outbox_owner_execute("SELECT since::text FROM outbox.capture_from"
							 " WHERE capture_id OPERATOR(pg_catalog.=) $1",
							 1, &type, &value, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("it is not known where this capture began"),
				 errhint("Call outbox.uncapture() and outbox.capture().")));
	return DatumGetLSN(DirectFunctionCall1(pg_lsn_in,
										   CStringGetDatum(outbox_owner_result_text(1))));
}

static void
check_held_back(const OutboxCapture *def, XLogRecPtr since)
{
	OutboxInstance instance;
	XLogRecPtr	done = published();

	if (!outbox_catalog_instance(&instance) || !instance.paused)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("from_lsn of a capture can be set only while publishing is paused"),
				 errhint("Pause with outbox.pause() before the table is captured.")));
	if (done > since)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("changes of this capture may be published already: it began at %X/%X, and publishing has come to %X/%X",
						LSN_FORMAT_ARGS(since), LSN_FORMAT_ARGS(done)),
				 errhint("Call outbox.uncapture(), and outbox.capture() while publishing is paused.")));
	if (def->log && instance.log_from == InvalidXLogRecPtr)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this capture is not active: changes made now are not captured"),
				 errhint("With mode \"log\" another table must be captured, and active, before publishing is paused; or use mode \"trigger\".")));
}

void
outbox_capture_set_place(const OutboxCapture *def, XLogRecPtr from)
{
	static const Oid types[] = {INT4OID, LSNOID};
	Datum		values[] = {Int32GetDatum(def->id), LSNGetDatum(from)};
	XLogRecPtr	since = since_of(def->id);

	check_held_back(def, since);
	if (from < since)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("from_lsn %X/%X lies in front of the capture, which began at %X/%X",
						LSN_FORMAT_ARGS(from), LSN_FORMAT_ARGS(since)),
				 errhint("Let the other program go on until it has passed the capture.")));
	(void) outbox_owner_execute("UPDATE outbox.capture_from SET from_lsn = $2"
								" WHERE capture_id OPERATOR(pg_catalog.=) $1",
								lengthof(types), types, values, NULL);
	outbox_state_note_extension();
}

void
outbox_capture_forget_place(int32 id)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(id);

	(void) outbox_owner_execute("DELETE FROM outbox.capture_from"
								" WHERE capture_id OPERATOR(pg_catalog.=) $1",
								1, &type, &value, NULL);
}
