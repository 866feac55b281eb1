/*-------------------------------------------------------------------------
 *
 * status.c
 *		What the relays say of themselves, as rows.
 *
 * Copies an entry under its mutex and shows the copy; nothing is locked while
 * a row is built.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "state/state.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(outbox_relay_rows);
PG_FUNCTION_INFO_V1(outbox_topic_rows);

#define RELAY_COLUMNS 32

typedef struct Row
{
	Datum		values[RELAY_COLUMNS];
	bool		nulls[RELAY_COLUMNS];
	int			n;
} Row;

static void
put(Row *row, Datum value)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = false;
}

static void
put_or_null(Row *row, bool known, Datum value)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = !known;
}

static void
put_time(Row *row, TimestampTz time)
{
	put_or_null(row, time != 0 && !TIMESTAMP_NOT_FINITE(time),
				TimestampTzGetDatum(time));
}

static void
put_lsn(Row *row, XLogRecPtr lsn)
{
	put_or_null(row, lsn != InvalidXLogRecPtr, LSNGetDatum(lsn));
}

static void
copy_entry(OutboxRelayEntry *entry, OutboxRelayEntry *copy)
{
	SpinLockAcquire(&entry->mutex);
	memcpy((char *) copy + offsetof(OutboxRelayEntry, pid),
		   (char *) entry + offsetof(OutboxRelayEntry, pid),
		   offsetof(OutboxRelayEntry, progress) -
		   offsetof(OutboxRelayEntry, pid));
	SpinLockRelease(&entry->mutex);
	copy->database = entry->database;
}

/* Age of the oldest event that is not published, ms; 0 when there is none. */
static double
lag_ms(const OutboxRelayEntry *entry, XLogRecPtr flushed)
{
	TimestampTz since = entry->oldest_pending;

	if (since == 0 && entry->published < flushed &&
		(entry->state != OUTBOX_STATE_STREAMING || entry->scanned < flushed))
		since = entry->caught_up_at;
	if (since == 0)
		return 0;
	return Max(0, (GetCurrentTimestamp() - since) / 1000.0);
}

static void
put_relay(Row *row, const OutboxRelayEntry *entry)
{
	XLogRecPtr	flushed = RecoveryInProgress() ?
		InvalidXLogRecPtr : GetFlushRecPtr(NULL);

	put(row, ObjectIdGetDatum(entry->database));
	put(row, CStringGetTextDatum(outbox_state_name(entry->state)));
	put_time(row, entry->state_since);
	put_or_null(row, entry->pid != 0, Int32GetDatum(entry->pid));
	put_or_null(row, entry->child_pid != 0, Int32GetDatum(entry->child_pid));
	put_lsn(row, entry->published);
	put_lsn(row, entry->recorded);
	put_lsn(row, entry->restart);
	put_lsn(row, entry->scanned);
	put_or_null(row, entry->published != InvalidXLogRecPtr &&
				flushed != InvalidXLogRecPtr,
				Int64GetDatum(flushed > entry->published ?
							  flushed - entry->published : 0));
	put(row, Float8GetDatum(lag_ms(entry, flushed)));
	put(row, Int64GetDatum(entry->events));
	put(row, Int64GetDatum(entry->transactions));
	put(row, Int64GetDatum(entry->kafka_transactions));
	put(row, Int64GetDatum(entry->bytes));
	put(row, Int64GetDatum(entry->forged));
	put(row, Int64GetDatum(entry->split_transactions));
	put(row, Int64GetDatum(entry->open_transactions));
	put(row, Int64GetDatum(entry->spilled));
	put(row, Int64GetDatum(entry->scanner_memory));
	put_time(row, entry->last_published_at);
	put_time(row, entry->last_commit_time);
	put_time(row, entry->caught_up_at);
	put(row, Int64GetDatum(entry->incarnation));
	put(row, Int32GetDatum(entry->failures));
	put_or_null(row, entry->last_error.message[0] != '\0',
				CStringGetTextDatum(entry->last_error.message));
	put_or_null(row, entry->last_error.message[0] != '\0' &&
				entry->last_error.code != 0,
				Int32GetDatum(entry->last_error.code));
	put_time(row, entry->last_error_at);
	put_time(row, entry->pid == 0 || entry->next_retry_at >
			 GetCurrentTimestamp() ? entry->next_retry_at : 0);
	put(row, Int64GetDatum(entry->parked));
	put_time(row, entry->last_parked_at);
	put(row, Int64GetDatum(entry->retried));
	Assert(row->n == RELAY_COLUMNS);
}

/* One row per database that has a relay, or is about to. */
Datum
outbox_relay_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OutboxRelayEntry *copy = palloc0(sizeof(OutboxRelayEntry));

	InitMaterializedSRF(fcinfo, 0);
	if (OutboxState == NULL)
		return (Datum) 0;
	for (int i = 0; i < OutboxState->max_databases; i++)
	{
		Row			row = {.n = 0};

		if (!OidIsValid(OutboxState->entries[i].database))
			continue;
		copy_entry(&OutboxState->entries[i], copy);
		put_relay(&row, copy);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values,
							 row.nulls);
	}
	return (Datum) 0;
}

/* Topics of this database's relay, since it was first started. */
Datum
outbox_topic_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OutboxRelayEntry *copy = palloc0(sizeof(OutboxRelayEntry));
	OutboxRelayEntry *entry = outbox_state_find(MyDatabaseId);

	InitMaterializedSRF(fcinfo, 0);
	if (entry == NULL)
		return (Datum) 0;
	copy_entry(entry, copy);
	for (int i = 0; i < OUTBOX_MAX_TOPIC_STATS; i++)
	{
		const OutboxTopicStat *stat = &copy->topics[i];
		Row			row = {.n = 0};

		if (stat->name[0] == '\0')
			continue;
		put(&row, CStringGetTextDatum(stat->name));
		put(&row, Int64GetDatum(stat->events));
		put(&row, Int64GetDatum(stat->bytes));
		put_time(&row, stat->last_at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values,
							 row.nulls);
	}
	return (Datum) 0;
}
