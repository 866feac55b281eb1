/*-------------------------------------------------------------------------
 *
 * snapshot_sql.c
 *		outbox.snapshot(), rebuild_topic() and what ends or holds one.
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
PG_FUNCTION_INFO_V1(outbox_rebuild_topic);
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

/* What nobody would expect who knows other tables. */
static void
warn_keyless(Relation rel)
{
	if (OidIsValid(outbox_keyset_index(rel)))
		return;
	ereport(NOTICE,
			(errmsg("table \"%s\" has neither a primary key nor a replica identity index",
					RelationGetRelationName(rel)),
			 errdetail("Its rows are read in one pass, during which DDL and TRUNCATE wait.  A pass that is interrupted begins again, and rows are published once more.")));
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

typedef struct NewJob
{
	Oid			relation;
	Datum		row_filter;		/* text, 0 = none */
	int32		rate_limit;		/* 0 = none */
	int32		chunk_rows;
	char	   *topic;			/* NULL: a snapshot */
} NewJob;

static int64
insert_job(const NewJob *job)
{
	static const Oid types[] = {OIDOID, TEXTOID, INT4OID, INT4OID, INT8OID,
	NAMEOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[] = "       ";
	OutboxOwnerScope scope;
	NameData	user;
	int64		id;

	namestrcpy(&user, GetUserNameFromId(GetUserId(), false));
	values[0] = ObjectIdGetDatum(job->relation);
	values[1] = job->row_filter;
	nulls[1] = job->row_filter == (Datum) 0 ? 'n' : ' ';
	values[2] = Int32GetDatum(job->rate_limit);
	nulls[2] = job->rate_limit == 0 ? 'n' : ' ';
	values[3] = Int32GetDatum(job->chunk_rows);
	values[4] = Int64GetDatum(random_token());
	values[5] = NameGetDatum(&user);
	values[6] = job->topic == NULL ? (Datum) 0 :
		CStringGetTextDatum(job->topic);
	nulls[6] = job->topic == NULL ? 'n' : ' ';
	outbox_owner_begin(&scope);
	(void) outbox_owner_execute("INSERT INTO outbox.snapshot_job"
								" (relation, row_filter, rate_limit, chunk_rows, token, created_by, topic)"
								" VALUES ($1::regclass, $2, $3, $4, $5, $6, $7) RETURNING id",
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

/* Arguments rate_limit and chunk_rows, from this number on. */
static void
take_pace(FunctionCallInfo fcinfo, int n, NewJob *job)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(n + 1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table and chunk_rows must not be null")));
	job->relation = PG_GETARG_OID(0);
	job->chunk_rows = PG_GETARG_INT32(n + 1);
	check_range(job->chunk_rows, 1000000, "chunk_rows");
	if (PG_ARGISNULL(n))
		return;
	job->rate_limit = PG_GETARG_INT32(n);
	check_range(job->rate_limit, PG_INT32_MAX, "rate_limit");
}

/* snapshot("table" regclass, row_filter text, rate_limit int, chunk_rows int) */
Datum
outbox_snapshot(PG_FUNCTION_ARGS)
{
	NewJob		job = {0};
	Relation	rel;
	int64		id;

	take_pace(fcinfo, 2, &job);
	if (!PG_ARGISNULL(1))
		job.row_filter = PG_GETARG_DATUM(1);
	rel = table_open(job.relation, AccessShareLock);
	check_owner(rel->rd_rel->relowner, RelationGetRelationName(rel));
	check_table(rel, PG_ARGISNULL(1) ? NULL :
				text_to_cstring(PG_GETARG_TEXT_PP(1)));
	warn_keyless(rel);
	id = insert_job(&job);
	table_close(rel, NoLock);
	outbox_state_note_extension();
	PG_RETURN_INT64(id);
}

/* A topic without keys has nothing that could be gone. */
static char *
topic_to_rebuild(Relation rel)
{
	OutboxCapture *capture = outbox_capture_find(RelationGetRelid(rel));

	if (capture->key_format == OUTBOX_KEY_NONE ||
		outbox_rowcodec_key_columns(capture, rel) == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("messages of table \"%s\" have no key",
						RelationGetRelationName(rel)),
				 errhint("Use outbox.snapshot() to publish its rows.")));
	if (capture->relation != RelationGetRelid(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partition of captured table \"%s\"",
						RelationGetRelationName(rel),
						get_rel_name(capture->relation)),
				 errhint("The topic has the rows of all partitions: rebuild that of the captured table.")));
	return capture->route.topic;
}

/* rebuild_topic("table" regclass, rate_limit int, chunk_rows int) */
Datum
outbox_rebuild_topic(PG_FUNCTION_ARGS)
{
	NewJob		job = {0};
	Relation	rel;
	int64		id;

	take_pace(fcinfo, 1, &job);
	rel = table_open(job.relation, AccessShareLock);
	check_owner(rel->rd_rel->relowner, RelationGetRelationName(rel));
	check_table(rel, NULL);
	job.topic = topic_to_rebuild(rel);
	warn_keyless(rel);
	id = insert_job(&job);
	table_close(rel, NoLock);
	outbox_state_note_extension();
	PG_RETURN_INT64(id);
}

/*
 * The table that a job is about, invalid for a replay; a dropped one is
 * everybody's to cancel.
 */
static Oid
table_of_job(int64 id)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(id);
	OutboxOwnerScope scope;
	Oid			relation;
	char	   *text;

	outbox_owner_begin(&scope);
	if (outbox_owner_execute("SELECT j.relation::oid::text FROM outbox.snapshot_job j"
							 " LEFT JOIN outbox.snapshot_progress p ON p.job_id = j.id"
							 " WHERE j.id = $1 AND p.finished_at IS NULL",
							 1, &type, &value, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no unfinished snapshot " INT64_FORMAT, id),
				 errhint("See outbox.stat_snapshot and outbox.stat_replay.")));
	text = outbox_owner_result_text(1);
	relation = text == NULL ? InvalidOid : (Oid) strtoul(text, NULL, 10);
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

	if (relation == InvalidOid && !outbox_owner_is_admin(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for replay " INT64_FORMAT, id)));

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
