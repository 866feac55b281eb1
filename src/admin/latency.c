/*-------------------------------------------------------------------------
 *
 * latency.c
 *		How long commits take to be published, as rows.
 *
 * Copies a histogram under its entry's mutex and shows the copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "state/state.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(outbox_latency_rows);
PG_FUNCTION_INFO_V1(outbox_latency_bucket_rows);
PG_FUNCTION_INFO_V1(outbox_reset_latency);

#define LATENCY_COLUMNS	7
#define BUCKET_COLUMNS	4

/* Called for each database that has a relay. */
typedef void (*LatencyHandler) (ReturnSetInfo *rsinfo, Oid database,
								const OutboxLatency *latency,
								TimestampTz reset_at);

static void
for_each(FunctionCallInfo fcinfo, LatencyHandler handler)
{
	InitMaterializedSRF(fcinfo, 0);
	if (OutboxState == NULL)
		return;
	for (int i = 0; i < OutboxState->max_databases; i++)
	{
		OutboxRelayEntry *entry = &OutboxState->entries[i];
		Oid			database = entry->database;
		OutboxLatency latency;
		TimestampTz reset_at;

		if (!OidIsValid(database))
			continue;
		SpinLockAcquire(&entry->mutex);
		latency = entry->latency;
		reset_at = entry->latency_reset_at;
		SpinLockRelease(&entry->mutex);
		handler((ReturnSetInfo *) fcinfo->resultinfo, database, &latency,
				reset_at);
	}
}

static void
put_latency(ReturnSetInfo *rsinfo, Oid database, const OutboxLatency *latency,
			TimestampTz reset_at)
{
	static const double shares[] = {0.5, 0.95, 0.99};
	Datum		values[LATENCY_COLUMNS];
	bool		nulls[LATENCY_COLUMNS] = {false};
	uint64		total = outbox_latency_total(latency);
	int			n = 0;

	values[n++] = ObjectIdGetDatum(database);
	values[n++] = Int64GetDatum(total);
	nulls[n] = total == 0;
	values[n++] = Float8GetDatum(latency->sum_us / 1000.0 / Max(total, 1));
	for (int i = 0; i < lengthof(shares); i++)
	{
		nulls[n] = total == 0;
		values[n++] = Float8GetDatum(outbox_latency_quantile(latency,
															 shares[i]));
	}
	nulls[n] = reset_at == 0;
	values[n++] = TimestampTzGetDatum(reset_at);
	Assert(n == LATENCY_COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
outbox_latency_rows(PG_FUNCTION_ARGS)
{
	for_each(fcinfo, put_latency);
	return (Datum) 0;
}

static void
put_buckets(ReturnSetInfo *rsinfo, Oid database, const OutboxLatency *latency,
			TimestampTz reset_at)
{
	uint64		total = 0;

	for (int i = 0; i <= OUTBOX_LATENCY_BOUNDS; i++)
	{
		Datum		values[BUCKET_COLUMNS];
		bool		nulls[BUCKET_COLUMNS] = {false};

		total += latency->counts[i];
		values[0] = ObjectIdGetDatum(database);
		values[1] = Float8GetDatum(outbox_latency_bound(i) / 1000);
		values[2] = Int64GetDatum(total);
		values[3] = Float8GetDatum(latency->sum_us / 1000000.0);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
}

/* Counts up to each bound, as Prometheus wants them. */
Datum
outbox_latency_bucket_rows(PG_FUNCTION_ARGS)
{
	for_each(fcinfo, put_buckets);
	return (Datum) 0;
}

/* Of this database.  What is being published at this moment counts anew. */
Datum
outbox_reset_latency(PG_FUNCTION_ARGS)
{
	OutboxRelayEntry *entry = outbox_state_find(MyDatabaseId);
	TimestampTz now = GetCurrentTimestamp();

	if (entry == NULL)
		PG_RETURN_VOID();
	SpinLockAcquire(&entry->mutex);
	memset(&entry->latency, 0, sizeof(entry->latency));
	entry->latency_reset_at = now;
	SpinLockRelease(&entry->mutex);
	PG_RETURN_VOID();
}
