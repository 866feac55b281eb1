/*-------------------------------------------------------------------------
 *
 * snapshot_sql.c
 *		outbox.snapshot() and what ends or holds one.
 *
 * In the caller's transaction: a row of outbox.snapshot_job is written, and at
 * commit the relay looks at that table.  Nothing is read or sent here.  The
 * owner of the table decides, or a member of that role.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/capture_def.h"
#include "catalog/owner.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "jobs/keyset.h"
#include "miscadmin.h"
#include "rowcodec/rowcodec.h"
#include "state/state.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#define MAX_FILTER		8000	/* bytes; goes with every request */

PG_FUNCTION_INFO_V1(outbox_snapshot);
PG_FUNCTION_INFO_V1(outbox_set_snapshot);

static void
check_owner(Oid owner, const char *table)
{
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", table)));
}

/* Everything that can be said now rather than by a job that fails. */
static void
check_table(Relation rel, char *filter)
{
	OutboxCapture *capture = outbox_capture_find(RelationGetRelid(rel));

	if (capture == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not captured",
						RelationGetRelationName(rel)),
				 errhint("Use outbox.capture() first: a snapshot without what changes meanwhile would be wrong at once.")));
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		!OidIsValid(outbox_keyset_index(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has neither a primary key nor a replica identity index",
						RelationGetRelationName(rel)),
				 errhint("Rows are read in the order of a key.")));
	if (filter != NULL)
	{
		if (strlen(filter) > MAX_FILTER)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("row_filter is longer than %d bytes", MAX_FILTER)));
		capture->row_filter = filter;
		outbox_rowcodec_check(capture, rel);
	}
}

static int64
random_token(void)
{
	int64		token;

	if (!pg_strong_random(&token, sizeof(token)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bits")));
	return token;
}

static int64
insert_job(Oid relation, FunctionCallInfo fcinfo)
{
	static const Oid types[] = {OIDOID, TEXTOID, INT4OID, INT4OID, INT8OID,
	NAMEOID};
	Datum		values[lengthof(types)];
	char		nulls[] = "      ";
	OutboxOwnerScope scope;
	NameData	user;
	int64		id;

	namestrcpy(&user, GetUserNameFromId(GetUserId(), false));
	values[0] = ObjectIdGetDatum(relation);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[2] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	nulls[2] = PG_ARGISNULL(2) ? 'n' : ' ';
	values[3] = PG_GETARG_DATUM(3);
	values[4] = Int64GetDatum(random_token());
	values[5] = NameGetDatum(&user);
	outbox_owner_begin(&scope);
	(void) outbox_owner_execute("INSERT INTO outbox.snapshot_job"
								" (relation, row_filter, rate_limit, chunk_rows, token, created_by)"
								" VALUES ($1::regclass, $2, $3, $4, $5, $6) RETURNING id",
								lengthof(types), types, values, nulls);
	id = pg_strtoint64(outbox_owner_result_text(1));
	outbox_owner_end(&scope);
	return id;
}

static void
check_range(int32 value, int32 max, const char *name)
{
	if (value < 1 || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between 1 and %d", name, max)));
}

/* snapshot("table" regclass, row_filter text, rate_limit int, chunk_rows int) */
Datum
outbox_snapshot(PG_FUNCTION_ARGS)
{
	Relation	rel;
	int64		id;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table and chunk_rows must not be null")));
	check_range(PG_GETARG_INT32(3), 1000000, "chunk_rows");
	if (!PG_ARGISNULL(2))
		check_range(PG_GETARG_INT32(2), PG_INT32_MAX, "rate_limit");
	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	check_owner(rel->rd_rel->relowner, RelationGetRelationName(rel));
	check_table(rel, PG_ARGISNULL(1) ? NULL :
				text_to_cstring(PG_GETARG_TEXT_PP(1)));
	id = insert_job(RelationGetRelid(rel), fcinfo);
	table_close(rel, NoLock);
	outbox_state_note_extension();
	PG_RETURN_INT64(id);
}

/* The table that a job is about; a dropped one is everybody's to cancel. */
static Oid
table_of_job(int64 id)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(id);
	OutboxOwnerScope scope;
	Oid			relation;

	outbox_owner_begin(&scope);
	if (outbox_owner_execute("SELECT j.relation::oid::text FROM outbox.snapshot_job j"
							 " LEFT JOIN outbox.snapshot_progress p ON p.job_id = j.id"
							 " WHERE j.id = $1 AND p.finished_at IS NULL",
							 1, &type, &value, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no unfinished snapshot " INT64_FORMAT, id),
				 errhint("See outbox.stat_snapshot.")));
	relation = (Oid) strtoul(outbox_owner_result_text(1), NULL, 10);
	outbox_owner_end(&scope);
	return relation;
}

/* set_snapshot(job bigint, wanted text) */
Datum
outbox_set_snapshot(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TEXTOID};
	int64		id = PG_GETARG_INT64(0);
	Datum		values[] = {Int64GetDatum(id), PG_GETARG_DATUM(1)};
	Oid			relation = table_of_job(id);
	char	   *name = get_rel_name(relation);
	OutboxOwnerScope scope;

	if (name != NULL && !outbox_owner_is_admin(GetUserId()))
	{
		Relation	rel = table_open(relation, AccessShareLock);

		check_owner(rel->rd_rel->relowner, name);
		table_close(rel, AccessShareLock);
	}
	outbox_owner_begin(&scope);
	(void) outbox_owner_execute("UPDATE outbox.snapshot_job SET wanted = $2"
								" WHERE id = $1 AND wanted <> 'cancel'",
								lengthof(types), types, values, NULL);
	outbox_owner_end(&scope);
	outbox_state_note_extension();
	PG_RETURN_VOID();
}
