/*-------------------------------------------------------------------------
 *
 * capture_drop.c
 *		DROP TABLE ends the capture.
 *
 * When the table goes, its rows go with it, and a last event says so: the one
 * that TRUNCATE has, with header "outbox.capture" = "dropped".  It is written
 * while the table is still there, into the transaction of the DROP, whatever
 * the statement is (DROP SCHEMA, DROP OWNED, a cascade); the capture's row goes
 * at the same time.  An abort brings back all three.
 *
 * The hook is called for every object that is dropped anywhere, so it looks at
 * a list of captured tables that is kept for one catalog generation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/capture.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/owner.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "emit/write_message.h"
#include "rowcodec/rowcodec.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define HEADER	"outbox.capture"
#define DROPPED	"dropped"

static object_access_hook_type prev_object_access = NULL;

static List *captured = NIL;	/* of Oid, in CacheMemoryContext */
static uint64 captured_generation = 0;

/* Not while the extension is being created or dropped. */
static bool
is_present(void)
{
	Oid			nsp = get_namespace_oid("outbox", true);

	return OidIsValid(nsp) && outbox_catalog_present() &&
		OidIsValid(get_relname_relid("capture_def", nsp)) &&
		OidIsValid(get_relname_relid("captured_schema", nsp)) &&
		OidIsValid(get_relname_relid("event_type_def", nsp));
}

static bool
is_captured(Oid relid)
{
	List	   *captures;
	ListCell   *lc;

	if (captured_generation != outbox_catalog_generation())
	{
		MemoryContext old;

		if (!is_present())
			return false;
		captures = outbox_capture_list();
		list_free(captured);
		captured = NIL;
		old = MemoryContextSwitchTo(CacheMemoryContext);
		foreach(lc, captures)
			captured = lappend_oid(captured,
								   ((OutboxCapture *) lfirst(lc))->relation);
		MemoryContextSwitchTo(old);
		captured_generation = outbox_catalog_generation();
	}
	return list_member_oid(captured, relid);
}

static void
write_end(void *arg, OutboxWalMessage *msg)
{
	StringInfoData headers;

	initStringInfo(&headers);
	outbox_headers_begin(&headers);
	(void) outbox_headers_add(&headers, HEADER, strlen(HEADER),
							  DROPPED, strlen(DROPPED));
	msg->headers = headers.data;
	msg->headers_len = headers.len;
	outbox_message_new_id(msg->event_id);
	outbox_message_write(msg);
}

static void
end_capture(Oid relid)
{
	OutboxChange change = {.op = OUTBOX_OP_TRUNCATE};
	OutboxOwnerScope scope;
	OutboxCapture *capture;
	Relation	rel;

	outbox_owner_begin(&scope);
	capture = outbox_capture_of_table(relid);
	rel = RelationIdGetRelation(relid);
	if (capture != NULL && RelationIsValid(rel))
	{
		outbox_message_check_server("capture");
		change.xid = GetTopFullTransactionId();
		outbox_rowcodec_change(outbox_rowcodec_make(capture, rel), &change,
							   write_end, NULL);
		outbox_capture_delete(capture->id);
		if (capture->log && outbox_capture_log != NULL)
			outbox_capture_log->ended(capture);
	}
	if (RelationIsValid(rel))
		RelationClose(rel);
	outbox_owner_end(&scope);
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int subid,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, subid, arg);
	if (access == OAT_DROP && class == RelationRelationId && subid == 0 &&
		is_captured(object))
		end_capture(object);
	else if (access == OAT_DROP && class == NamespaceRelationId &&
			 is_present())
		outbox_capture_schema_dropped(object);
}

void
outbox_capture_hooks_init(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
