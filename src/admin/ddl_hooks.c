/*-------------------------------------------------------------------------
 *
 * ddl_hooks.c
 *		Let DDL on databases and on the extension go ahead.
 *
 * A relay is connected to its database, which blocks DROP DATABASE, CREATE
 * DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME and SET TABLESPACE.  Before
 * such a statement the database's relay is asked to leave and is not started
 * again until the statement is over; should this backend die in between, the
 * hold runs out by itself.
 *
 * DROP EXTENSION and COMMIT PREPARED only wake the relay: the first at its
 * commit, to see that the extension is gone and drop the slot; the second
 * because XactLastCommitEnd is not set for it (FinishPreparedTransaction,
 * access/transam/twophase.c).
 *
 * ALTER SCHEMA ... RENAME is told to who keeps names of schemas.
 *
 * DROP OWNED and DROP ROLE are told to those who keep rows about roles, see
 * emit/access.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "admin/admin.h"
#include "capture/capture.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "compat.h"
#include "emit/access.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "state/state.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#define LEAVE_TIMEOUT	5000	/* ms to wait for the relay to go */
#define HOLD			60000	/* ms without a relay, at most */

static ProcessUtility_hook_type prev_process_utility = NULL;
static object_access_hook_type prev_object_access = NULL;

/* The database a statement wants for itself, or NULL. */
static const char *
wanted_database(Node *stmt)
{
	ListCell   *cell;

	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) stmt)->dbname;
		case T_AlterDatabaseStmt:
			foreach(cell, ((AlterDatabaseStmt *) stmt)->options)
			{
				if (strcmp(lfirst_node(DefElem, cell)->defname,
						   "tablespace") == 0)
					return ((AlterDatabaseStmt *) stmt)->dbname;
			}
			return NULL;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) stmt)->subname;
			return NULL;
		case T_CreatedbStmt:
			foreach(cell, ((CreatedbStmt *) stmt)->options)
			{
				if (strcmp(lfirst_node(DefElem, cell)->defname,
						   "template") == 0 &&
					lfirst_node(DefElem, cell)->arg != NULL)
					return defGetString(lfirst_node(DefElem, cell));
			}
			return "template1";
		default:
			return NULL;
	}
}

/*
 * Whether the statement has a chance: somebody without the right must not be
 * able to send the relay away.  The statement itself checks again, and says no.
 */
static bool
may_take(Node *stmt, Oid database)
{
	HeapTuple	tuple;
	bool		template;

	if (outbox_compat_database_owner(database, GetUserId()))
		return true;
	if (!IsA(stmt, CreatedbStmt) || !have_createdb_privilege())
		return false;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (!HeapTupleIsValid(tuple))
		return false;
	template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return template;
}

static void
after_statement(Node *stmt)
{
	/* A database made from a template may have the extension: look into it. */
	if (IsA(stmt, CreatedbStmt))
		outbox_state_note_database(get_database_oid(((CreatedbStmt *) stmt)->dbname,
													true));
	else if (IsA(stmt, TransactionStmt) &&
			 ((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED)
	{
		OutboxRelayEntry *entry = outbox_state_find(MyDatabaseId);

		if (entry != NULL)
			outbox_state_wake(entry);
	}
	else if (IsA(stmt, RenameStmt) &&
			 ((RenameStmt *) stmt)->renameType == OBJECT_SCHEMA &&
			 strcmp(((RenameStmt *) stmt)->newname, "outbox") != 0 &&
			 outbox_catalog_present())
		outbox_capture_schema_renamed(((RenameStmt *) stmt)->subname,
									  ((RenameStmt *) stmt)->newname);
	else if (IsA(stmt, DropOwnedStmt) && outbox_catalog_present())
	{
		ListCell   *cell;

		foreach(cell, ((DropOwnedStmt *) stmt)->roles)
			outbox_access_forget(get_rolespec_oid(lfirst(cell), false));
	}
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest,
				QueryCompletion *completion)
{
	Node	   *stmt = pstmt->utilityStmt;
	const char *wanted = wanted_database(stmt);
	Oid			database = InvalidOid;

	/* These run outside transaction blocks: a lookup here is harmless. */
	if (wanted != NULL)
		database = get_database_oid(wanted, true);
	if (OidIsValid(database) && !may_take(stmt, database))
		database = InvalidOid;
	if (OidIsValid(database))
		outbox_state_leave(database, LEAVE_TIMEOUT, HOLD);

	PG_TRY();
	{
		if (prev_process_utility)
			prev_process_utility(pstmt, query, read_only_tree, context,
								 params, environment, dest, completion);
		else
			standard_ProcessUtility(pstmt, query, read_only_tree, context,
									params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		if (OidIsValid(database))
			outbox_state_unhold(database);
	}
	PG_END_TRY();
	after_statement(stmt);
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int subid,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, subid, arg);
	if (class == ExtensionRelationId &&
		(access == OAT_DROP || access == OAT_POST_CREATE))
		outbox_state_note_extension();
	if (class == AuthIdRelationId && access == OAT_DROP &&
		outbox_catalog_present())
		outbox_access_role_dropped(object);
}

void
outbox_ddl_hooks_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
