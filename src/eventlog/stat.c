/*-------------------------------------------------------------------------
 *
 * stat.c
 *		What the log writers say of themselves, as rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "state/state.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(outbox_log_rows);
PG_FUNCTION_INFO_V1(outbox_wal_rate);

#define LOG_COLUMNS 16

static void
put_row(ReturnSetInfo *rsinfo, Oid database, const OutboxLogState *log)
{
	const bool	error = log->last_error.message[0] != '\0';
	Datum		values[LOG_COLUMNS] = {
		ObjectIdGetDatum(database), Int32GetDatum(log->pid),
		LSNGetDatum(log->written), LSNGetDatum(log->restart),
		LSNGetDatum(log->scanned), LSNGetDatum(log->releasable),
		Int64GetDatum(log->blocks), Int64GetDatum(log->events),
		Int64GetDatum(log->bytes), Int64GetDatum(log->left_out),
		Int64GetDatum(log->dropped), Int64GetDatum(log->holes),
		TimestampTzGetDatum(log->last_written_at),
		BoolGetDatum(log->failing),
		error ? CStringGetTextDatum(log->last_error.message) : (Datum) 0,
		TimestampTzGetDatum(log->last_error_at)
	};
	bool		nulls[LOG_COLUMNS] = {
		false, log->pid == 0, log->written == InvalidXLogRecPtr,
		log->restart == InvalidXLogRecPtr, log->scanned == InvalidXLogRecPtr,
		log->releasable == InvalidXLogRecPtr, false, false, false, false, false,
		false, log->last_written_at == 0, false, !error, log->last_error_at == 0
	};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* One row per database whose events are logged, or have been. */
Datum
outbox_log_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; OutboxState != NULL && i < OutboxState->max_databases; i++)
	{
		OutboxRelayEntry *entry = &OutboxState->entries[i];
		OutboxLogState log;

		CHECK_FOR_INTERRUPTS();
		SpinLockAcquire(&entry->mutex);
		log = entry->log;
		SpinLockRelease(&entry->mutex);
		if (OidIsValid(entry->database) && log.wanted)
			put_row(rsinfo, entry->database, &log);
	}
	return (Datum) 0;
}

/* Bytes of WAL a second, null when not preloaded. */
Datum
outbox_wal_rate(PG_FUNCTION_ARGS)
{
	if (OutboxState == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) pg_atomic_read_u64(&OutboxState->wal_rate));
}
