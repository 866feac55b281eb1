/*-------------------------------------------------------------------------
 *
 * diagnosis.c
 *		What outbox.check() cannot find out in SQL.
 *
 * No session speaks to the network: outbox.kafka_findings() asks the database's
 * relay to have Kafka looked at, waits a moment for what it finds, and shows
 * what there is then, with its time.  A relay that cannot look now, or not
 * within that moment, costs nothing but the wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "schema/schema.h"
#include "state/state.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(outbox_kafka_findings);
PG_FUNCTION_INFO_V1(outbox_server_facts);
PG_FUNCTION_INFO_V1(outbox_row_type_drifted);

#define FINDING_COLUMNS	5
#define FACT_COLUMNS	4

/* Streaming, or at least done with its takeover. */
static bool
can_look(OutboxRelayEntry *entry)
{
	bool		can;

	SpinLockAcquire(&entry->mutex);
	can = entry->pid != 0 && entry->child_pid != 0 &&
		entry->state >= OUTBOX_STATE_STREAMING &&
		entry->state <= OUTBOX_STATE_PAUSED;
	SpinLockRelease(&entry->mutex);
	return can;
}

static TimestampTz
looked_at(OutboxRelayEntry *entry)
{
	TimestampTz at;

	LWLockAcquire(OutboxState->lock, LW_SHARED);
	at = entry->diagnosis.at;
	LWLockRelease(OutboxState->lock);
	return at;
}

/* Until what is known is younger than this call, or time is over. */
static void
have_a_look(OutboxRelayEntry *entry, Interval *wait)
{
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
															  TimestampTzGetDatum(now),
															  IntervalPGetDatum(wait)));

	if (end <= now || !can_look(entry))
		return;
	outbox_state_ask(entry, OUTBOX_ASK_DIAGNOSE);
	ConditionVariablePrepareToSleep(&entry->progress);
	while (looked_at(entry) < now && can_look(entry))
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
														   end);

		if (left <= 0)
			break;
		(void) ConditionVariableTimedSleep(&entry->progress, Min(left, 1000),
										   outbox_compat_wait_event(&wait_event,
																	"OutboxDiagnosis"));
	}
	ConditionVariableCancelSleep();
}

/* Texts of outbox-kafka: in whatever encoding, so only ASCII is let through. */
static Datum
text_of(const char *data, int32 len)
{
	char	   *copy = pnstrdup(data, len);

	for (char *p = copy; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || (unsigned char) *p >= 127)
			*p = '?';
	}
	return CStringGetTextDatum(copy);
}

static void
show(ReturnSetInfo *rsinfo, const OutboxFinding *finding, TimestampTz at)
{
	Datum		values[FINDING_COLUMNS] = {0};
	bool		nulls[FINDING_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(outbox_severity_name(finding->severity));
	values[1] = text_of(finding->object, finding->object_len);
	values[2] = text_of(finding->problem, finding->problem_len);
	nulls[3] = finding->hint == NULL;
	if (!nulls[3])
		values[3] = text_of(finding->hint, finding->hint_len);
	values[4] = TimestampTzGetDatum(at);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
outbox_kafka_findings(PG_FUNCTION_ARGS)
{
	OutboxRelayEntry *entry = outbox_state_find(MyDatabaseId);
	OutboxDiagnosis *copy;
	OutboxFinding *findings;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (entry == NULL)
		return (Datum) 0;
	if (!PG_ARGISNULL(0))
		have_a_look(entry, PG_GETARG_INTERVAL_P(0));

	copy = palloc(sizeof(OutboxDiagnosis));
	LWLockAcquire(OutboxState->lock, LW_SHARED);
	memcpy(copy, &entry->diagnosis, sizeof(OutboxDiagnosis));
	LWLockRelease(OutboxState->lock);
	if (copy->at == 0)
		return (Datum) 0;
	findings = palloc_array(OutboxFinding, OUTBOX_DIAGNOSIS_SIZE);
	n = outbox_diagnosis_read(copy->body, copy->len, findings);
	for (int i = 0; i < n; i++)
		show((ReturnSetInfo *) fcinfo->resultinfo, &findings[i], copy->at);
	return (Datum) 0;
}

/* One row, also in a server that has not preloaded us. */
Datum
outbox_server_facts(PG_FUNCTION_ARGS)
{
	Datum		values[FACT_COLUMNS];
	bool		nulls[FACT_COLUMNS] = {false};
	TupleDesc	desc;
	int			used = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; OutboxState != NULL && i < OutboxState->max_databases; i++)
		used += OidIsValid(OutboxState->entries[i].database);
	values[0] = BoolGetDatum(OutboxState != NULL);
	values[1] = Int32GetDatum(used);
	values[2] = Int32GetDatum(OutboxState == NULL ? 0 :
							  OutboxState->max_databases);
	values[3] = BoolGetDatum(OutboxState != NULL &&
							 pg_atomic_read_u32(&OutboxState->http_serves) != 0);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Whether a row type has become another one than this schema describes. */
Datum
outbox_row_type_drifted(PG_FUNCTION_ARGS)
{
	char	   *before = outbox_catalog_schema(PG_GETARG_INT32(1));

	if (before == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(strcmp(before, outbox_schema_of_row_type(PG_GETARG_OID(0),
															before, NULL)) != 0);
}
