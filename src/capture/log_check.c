/*-------------------------------------------------------------------------
 *
 * log_check.c
 *		Whether a table can be captured with mode log.
 *
 * What WAL says of an updated or deleted row is its replica identity, so that
 * must be there and have what the key and the row filter are made of.  A value
 * stored out of line and not changed by an update is in WAL only with REPLICA
 * IDENTITY FULL: where that can happen, a policy must be chosen.  Checked when a
 * capture begins or is altered, and when DDL changes the table or attaches a
 * partition to it.
 *
 * Owns no state.  The relay is told at the commit of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "capture/capture.h"
#include "capture/log_check.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "rowcodec/rowcodec.h"
#include "state/log_settings.h"
#include "state/state.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"

/* Whether a column's values may be stored out of line. */
static bool
may_be_toasted(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attlen == -1 &&
			att->attstorage != TYPSTORAGE_PLAIN)
			return true;
	}
	return false;
}

static void
require_identity_columns(List *names, const char *what, Relation rel,
						 const Bitmapset *identity)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), lfirst(lc));

		if (!bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber,
						   identity))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" of table \"%s\" is part of the capture's %s, but not of the replica identity",
							(char *) lfirst(lc), RelationGetRelationName(rel),
							what),
					 errdetail("With mode \"log\" deleted rows are known by their replica identity only."),
					 errhint("Use REPLICA IDENTITY FULL, or an index that has the column, or mode \"trigger\".")));
	}
}

static void
check_identity(const OutboxCapture *capture, Relation rel)
{
	Bitmapset  *identity;

	if (capture->toast != NULL && strcmp(capture->toast, "full") == 0 &&
		rel->rd_rel->relreplident != REPLICA_IDENTITY_FULL &&
		may_be_toasted(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("toast => 'full' needs REPLICA IDENTITY FULL of table \"%s\"",
						RelationGetRelationName(rel)),
				 errhint("Run ALTER TABLE ... REPLICA IDENTITY FULL, or choose toast => 'omit'.")));
	if (rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return;
	identity = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	if (bms_is_empty(identity))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no replica identity",
						RelationGetRelationName(rel)),
				 errdetail("With mode \"log\" an update or delete would not say which row it is of."),
				 errhint("Add a primary key, or set REPLICA IDENTITY USING INDEX or FULL, or use mode \"trigger\".")));
	require_identity_columns(outbox_rowcodec_key_columns(capture, rel), "key",
							 rel, identity);
	require_identity_columns(outbox_rowcodec_filter_columns(capture, rel),
							 "row filter", rel, identity);
	bms_free(identity);
}

/* Without a policy every value must be known: as "full". */
static void
check_toast(const OutboxCapture *capture, Relation rel)
{
	if (capture->toast != NULL && strcmp(capture->toast, "fetch") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("toast => 'fetch' is not possible with mode \"log\""),
				 errdetail("A value fetched after the commit may be a later one."),
				 errhint("Choose toast => 'full', with REPLICA IDENTITY FULL, or toast => 'omit'.")));
	if (capture->toast == NULL && may_be_toasted(rel) &&
		rel->rd_rel->relreplident != REPLICA_IDENTITY_FULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("toast must be chosen for table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("Values stored out of line are not in WAL when an update does not change them."),
				 errhint("Set REPLICA IDENTITY FULL, or choose toast => 'omit': unchanged values are left out, and named.")));
}

static void
check_tables(const OutboxCapture *capture, Relation rel)
{
	List	   *children;
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
	{
		check_toast(capture, rel);
		check_identity(capture, rel);
		return;
	}
	children = find_all_inheritors(RelationGetRelid(rel), AccessShareLock,
								   NULL);
	foreach(lc, children)
	{
		Relation	child = table_open(lfirst_oid(lc), NoLock);

		if (child->rd_rel->relkind == RELKIND_RELATION)
		{
			check_toast(capture, child);
			check_identity(capture, child);
		}
		table_close(child, NoLock);
	}
}

static void
log_started(const OutboxCapture *capture)
{
	Relation	rel;

	outbox_log_settings_require();
	rel = table_open(capture->relation, AccessShareLock);
	check_tables(capture, rel);
	table_close(rel, AccessShareLock);
	outbox_state_note_extension();
}

static void
log_ended(const OutboxCapture *capture)
{
	outbox_state_note_extension();
}

static const OutboxCaptureLog log_capture = {log_started, log_ended};

void
outbox_log_check_init(void)
{
	outbox_capture_log = &log_capture;
}
