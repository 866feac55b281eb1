/*-------------------------------------------------------------------------
 *
 * job_table.c
 *		Rows of outbox.snapshot_job and outbox.snapshot_progress.
 *
 * Owns no state.  Users write the first table, the relay alone the second, so
 * neither waits for a row of the other's.  Without SQL, so that nothing of the
 * database's runs in the relay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "jobs/job_table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns, in the order of catalog.sql. */
enum
{
	Anum_job_id = 1,
	Anum_job_token = 2,
	Anum_job_relation = 3,
	Anum_job_filter = 4,
	Anum_job_chunk_rows = 5,
	Anum_job_rate = 6,
	Anum_job_wanted = 7,
	Anum_job_topic = 10
};

enum
{
	Anum_progress_job = 1,
	Anum_progress_state = 2,
	Anum_progress_reason = 3,
	Anum_progress_rows = 4,
	Anum_progress_superseded = 5,
	Anum_progress_reread = 6,
	Anum_progress_estimate = 7,
	Anum_progress_rate = 8,
	Anum_progress_started_at = 9,
	Anum_progress_updated_at = 10,
	Anum_progress_finished_at = 11,
	Anum_progress_removed = 12,
	Anum_progress_pass = 13,
	Natts_progress = 13
};

#define JOBS "snapshot_job"
#define PROGRESS "snapshot_progress"
#define PROGRESS_KEY "snapshot_progress_pkey"

static void
scan_progress(OutboxCatalogScan *scan, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_progress_job, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(id));
	outbox_catalog_scan_begin(scan, PROGRESS, PROGRESS_KEY, 1, &key);
}

static bool
is_finished(int64 id)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	bool		finished = false;

	scan_progress(&scan, id);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		(void) outbox_catalog_attr(&scan, tuple, Anum_progress_finished_at,
								   &isnull);
		finished = !isnull;
	}
	outbox_catalog_scan_end(&scan);
	return finished;
}

static OutboxJobWanted
wanted_of(const char *text)
{
	if (strcmp(text, "pause") == 0)
		return OUTBOX_JOB_PAUSE;
	return strcmp(text, "cancel") == 0 ? OUTBOX_JOB_CANCEL : OUTBOX_JOB_RUN;
}

static OutboxJob *
read_job(OutboxCatalogScan *scan, HeapTuple tuple)
{
	OutboxJob  *job = palloc0(sizeof(OutboxJob));
	bool		isnull;
	Datum		rate;
	Datum		relation;

	job->id = DatumGetInt64(outbox_catalog_attr(scan, tuple, Anum_job_id,
												&isnull));
	job->token = (uint64) DatumGetInt64(outbox_catalog_attr(scan, tuple,
															Anum_job_token,
															&isnull));
	relation = outbox_catalog_attr(scan, tuple, Anum_job_relation, &isnull);
	job->relation = isnull ? InvalidOid : DatumGetObjectId(relation);
	job->filter = outbox_catalog_text(scan, tuple, Anum_job_filter);
	job->chunk_rows = DatumGetInt32(outbox_catalog_attr(scan, tuple,
														Anum_job_chunk_rows,
														&isnull));
	rate = outbox_catalog_attr(scan, tuple, Anum_job_rate, &isnull);
	job->rate = isnull ? 0 : DatumGetInt32(rate);
	job->topic = outbox_catalog_text(scan, tuple, Anum_job_topic);
	job->wanted = wanted_of(outbox_catalog_text(scan, tuple, Anum_job_wanted));
	return job;
}

List *
outbox_job_list(void)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	List	   *jobs = NIL;
	List	   *open = NIL;
	ListCell   *lc;

	outbox_catalog_scan_begin(&scan, JOBS, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
		jobs = lappend(jobs, read_job(&scan, tuple));
	outbox_catalog_scan_end(&scan);
	foreach(lc, jobs)
	{
		if (!is_finished(((OutboxJob *) lfirst(lc))->id))
			open = lappend(open, lfirst(lc));
	}
	return open;
}

static void
set_count(Datum *values, bool *nulls, int attnum, uint64 count, bool known)
{
	values[attnum - 1] = Int64GetDatum((int64) count);
	nulls[attnum - 1] = !known;
}

void
outbox_job_save(int64 id, const OutboxJobProgress *progress)
{
	Relation	rel = table_open(outbox_catalog_relation(PROGRESS),
								 RowExclusiveLock);
	Datum		values[Natts_progress] = {0};
	bool		nulls[Natts_progress] = {0};
	TimestampTz now = GetCurrentTimestamp();
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	HeapTuple	old;

	values[Anum_progress_job - 1] = Int64GetDatum(id);
	values[Anum_progress_state - 1] = CStringGetTextDatum(progress->state);
	nulls[Anum_progress_reason - 1] = progress->reason == NULL;
	if (progress->reason != NULL)
		values[Anum_progress_reason - 1] =
			CStringGetTextDatum(progress->reason);
	set_count(values, nulls, Anum_progress_rows, progress->rows, true);
	set_count(values, nulls, Anum_progress_superseded, progress->superseded,
			  true);
	set_count(values, nulls, Anum_progress_reread, progress->reread, true);
	set_count(values, nulls, Anum_progress_removed, progress->removed, true);
	set_count(values, nulls, Anum_progress_pass, progress->pass,
			  progress->pass > 0);
	set_count(values, nulls, Anum_progress_estimate, progress->estimate,
			  progress->estimate > 0);
	values[Anum_progress_rate - 1] = Float8GetDatum(progress->rate);
	nulls[Anum_progress_rate - 1] = progress->rate <= 0;
	values[Anum_progress_started_at - 1] =
		TimestampTzGetDatum(progress->started_at);
	values[Anum_progress_updated_at - 1] = TimestampTzGetDatum(now);
	values[Anum_progress_finished_at - 1] = TimestampTzGetDatum(now);
	nulls[Anum_progress_finished_at - 1] = !progress->finished;

	PushActiveSnapshot(GetTransactionSnapshot());	/* for a long reason */
	scan_progress(&scan, id);
	old = outbox_catalog_scan_next(&scan);
	if (!HeapTupleIsValid(old))
		CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values,
												nulls));
	else
	{
		bool		replace[Natts_progress];

		memset(replace, true, sizeof(replace));
		replace[Anum_progress_started_at - 1] = false;

		/* After a restart it is not asked for again. */
		replace[Anum_progress_estimate - 1] = progress->estimate > 0;
		tuple = heap_modify_tuple(old, RelationGetDescr(rel), values, nulls,
								  replace);
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	}
	outbox_catalog_scan_end(&scan);
	PopActiveSnapshot();
	table_close(rel, NoLock);	/* to the end of the transaction */
}
