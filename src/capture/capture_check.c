/*-------------------------------------------------------------------------
 *
 * capture_check.c
 *		Which tables may be captured, and by whom.
 *
 * An ordinary, logged heap table or a partitioned one, outside the system's and
 * our own schemas, by its owner.  Columns, key, masks and row filter are the
 * business of rowcodec/.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "capture/capture.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

static void
refuse(Relation rel, const char *kind, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot capture %s \"%s\"", kind,
					RelationGetRelationName(rel)),
			 errhint("%s", hint)));
}

static void
check_kind(Relation rel)
{
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			break;
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
			refuse(rel, "view", "Capture the tables that it reads.");
			break;
		case RELKIND_FOREIGN_TABLE:
			refuse(rel, "foreign table",
				   "Capture the table in the database where it is.");
			break;
		default:
			refuse(rel, "relation", "Only tables can be captured.");
	}
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		refuse(rel, "temporary table", "Only permanent tables can be captured.");
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		refuse(rel, "unlogged table",
			   "A crash empties it without an event; make it one with ALTER TABLE ... SET LOGGED.");
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_tableam != GetHeapamTableAmRoutine())
		refuse(rel, "table", "Only tables with access method heap can be captured.");
}

static void
check_schema(Relation rel)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));

	if (RelationGetRelid(rel) < FirstNormalObjectId ||
		RelationGetNamespace(rel) == PG_CATALOG_NAMESPACE ||
		RelationGetNamespace(rel) == PG_TOAST_NAMESPACE)
		refuse(rel, "system table", "Only tables of applications can be captured.");
	if (strcmp(schema, "outbox") == 0)
		refuse(rel, "table of the extension",
			   "What the relay writes about its work would be work for the relay.");
}

/* A row is published once, under one identity. */
static void
check_relatives(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	ListCell   *lc;

	if (rel->rd_rel->relispartition)
	{
		foreach(lc, get_partition_ancestors(relid))
		{
			OutboxCapture *other = outbox_capture_of_table(lfirst_oid(lc));

			if (other != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_OBJECT),
						 errmsg("partition \"%s\" is already captured with table \"%s\"",
								RelationGetRelationName(rel),
								get_rel_name(lfirst_oid(lc)))));
		}
	}
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		if (lfirst_oid(lc) != relid &&
			outbox_capture_of_table(lfirst_oid(lc)) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("partition \"%s\" of table \"%s\" is captured by itself",
							get_rel_name(lfirst_oid(lc)),
							RelationGetRelationName(rel)),
					 errhint("Call outbox.uncapture() for the partition first.")));
	}
}

/* Who reads the topic sees all rows, whatever a policy says. */
static void
check_row_security(Relation rel, Oid caller, bool rls_ok)
{
	if (!rel->rd_rel->relrowsecurity)
		return;
	if (!rls_ok)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has row security",
						RelationGetRelationName(rel)),
				 errdetail("Its policies do not apply to what is published."),
				 errhint("If every reader of the topic may see every row, pass row_security => true; or leave rows out by row_filter.")));
	if (check_enable_rls(RelationGetRelid(rel), caller, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row security applies to you on table \"%s\"",
						RelationGetRelationName(rel)),
				 errhint("A superuser, or a role with BYPASSRLS, can capture a table with forced row security.")));
}

void
outbox_capture_check_owner(Relation rel, Oid caller)
{
	if (!has_privs_of_role(caller, rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table \"%s\"",
						RelationGetRelationName(rel))));
}

void
outbox_capture_check_table(Relation rel, Oid caller, bool rls_ok)
{
	check_kind(rel);
	check_schema(rel);
	outbox_capture_check_owner(rel, caller);
	check_relatives(rel);
	check_row_security(rel, caller, rls_ok);
}
