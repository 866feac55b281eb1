/*-------------------------------------------------------------------------
 *
 * fake_sink.c
 *		The WAL scanner and the slot as SQL functions, for tests.
 *
 * The sink checks the contract of source.h as it goes (order, counts, what
 * progress says inside the callbacks) and raises an error when it is broken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "source/source.h"

PG_MODULE_MAGIC;

typedef struct FakeSink
{
	OutboxSink	sink;
	OutboxSource *source;
	ReturnSetInfo *rows;		/* NULL: count only */
	int64		keep;
	int64		fail_at;
	uint64		ordinal;		/* in the transaction */
	uint64		txns;
	uint64		messages;
	uint64		bytes;
	uint64		peak_memory;
	int64		peak_kb;
	XLogRecPtr	last_commit;
	XLogRecPtr	last_lsn;
	bool		open;
} FakeSink;

/* Progress seen by this session's last scan. */
static OutboxSourceProgress *seen = NULL;
static int	nseen = 0;
static int	allocated = 0;

/* This process's private memory, kB. */
static int64
private_kb(void)
{
	FILE	   *file = AllocateFile("/proc/self/status", "r");
	char		line[256];
	long long	kb = 0;

	if (file == NULL)
		elog(ERROR, "could not open /proc/self/status");
	while (fgets(line, sizeof(line), file) != NULL)
	{
		if (sscanf(line, "RssAnon: %lld", &kb) == 1)
			break;
	}
	FreeFile(file);
	return kb;
}

static void
note_progress(FakeSink *fake)
{
	OutboxSourceProgress now;

	fake->source->progress(fake->source, &now);
	fake->peak_memory = Max(fake->peak_memory, now.memory);
	if (fake->rows == NULL)
		return;
	if (nseen > 0 && now.restart < seen[nseen - 1].restart)
		elog(ERROR, "restart went back");
	if (nseen > 0 && now.scanned < seen[nseen - 1].scanned)
		elog(ERROR, "scanned went back");
	if (now.restart > now.scanned)
		elog(ERROR, "restart is beyond scanned");
	if (nseen == allocated)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		allocated = Max(allocated * 2, 1024);
		seen = seen == NULL ? palloc(allocated * sizeof(*seen)) :
			repalloc_huge(seen, allocated * sizeof(*seen));
		MemoryContextSwitchTo(old);
	}
	seen[nseen++] = now;
}

static void
fake_begin(OutboxSink *sink, const OutboxTxn *txn)
{
	FakeSink   *fake = (FakeSink *) sink;
	OutboxSourceProgress now;

	if (fake->open || txn->messages == 0)
		elog(ERROR, "begin inside a transaction or of an empty one");
	if (txn->commit_end <= fake->last_commit ||
		txn->commit_start >= txn->commit_end)
		elog(ERROR, "commit out of order");
	fake->source->progress(fake->source, &now);
	if (now.scanned >= txn->commit_end)
		elog(ERROR, "counted as pushed in begin");
	fake->peak_memory = Max(fake->peak_memory, now.memory);
	fake->open = true;
	fake->ordinal = 0;
	fake->last_lsn = 0;
}

static void
fake_message(OutboxSink *sink, const OutboxTxn *txn,
			 const char *data, Size len, XLogRecPtr lsn)
{
	FakeSink   *fake = (FakeSink *) sink;
	Datum		values[8];
	bool		nulls[8] = {false};

	fake->ordinal++;
	fake->messages++;
	fake->bytes += len;
	if (fake->rows == NULL && (fake->messages % 50000 == 0 || len > 1000000))
		fake->peak_kb = Max(fake->peak_kb, private_kb());
	if (fake->messages == fake->fail_at)
		elog(ERROR, "fake sink fails at message %lld",
			 (long long) fake->fail_at);
	if (!fake->open || lsn <= fake->last_lsn || lsn > txn->commit_start)
		elog(ERROR, "message out of order");
	fake->last_lsn = lsn;
	if (fake->rows == NULL)
		return;
	if (fake->ordinal == 1)
	{
		OutboxSourceProgress now;

		fake->source->progress(fake->source, &now);
		if (now.scanned >= txn->commit_end || now.restart > lsn)
			elog(ERROR, "progress does not cover the open transaction");
		note_progress(fake);
	}
	values[0] = LSNGetDatum(txn->commit_end);
	values[1] = Int64GetDatum(fake->ordinal);
	values[2] = TransactionIdGetDatum(txn->xid);
	values[3] = LSNGetDatum(lsn);
	values[4] = BoolGetDatum(txn->prepared);
	values[5] = Int64GetDatum(len);
	values[6] = Int64GetDatum(hash_bytes_extended((const unsigned char *) data,
												  len, 0));
	nulls[7] = len > fake->keep;
	if (!nulls[7])
		values[7] = PointerGetDatum(cstring_to_text_with_len(data, len));
	tuplestore_putvalues(fake->rows->setResult, fake->rows->setDesc,
						 values, nulls);
	if (!nulls[7])
		pfree(DatumGetPointer(values[7]));
}

static void
fake_commit(OutboxSink *sink, const OutboxTxn *txn)
{
	FakeSink   *fake = (FakeSink *) sink;
	OutboxSourceProgress now;

	if (!fake->open || fake->ordinal != txn->messages)
		elog(ERROR, "announced %llu messages, got %llu",
			 (unsigned long long) txn->messages,
			 (unsigned long long) fake->ordinal);
	fake->source->progress(fake->source, &now);
	if (now.scanned != txn->commit_end ||
		now.commit_start != txn->commit_start ||
		now.commit_crc != txn->commit_crc)
		elog(ERROR, "not counted as pushed in commit");
	fake->open = false;
	fake->txns++;
	fake->last_commit = txn->commit_end;
	note_progress(fake);
}

static void
init_sink(FakeSink *fake)
{
	memset(fake, 0, sizeof(FakeSink));
	fake->sink.begin = fake_begin;
	fake->sink.message = fake_message;
	fake->sink.commit = fake_commit;
}

static void
scan(FakeSink *fake, int max_records, int follow_ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  follow_ms);

	note_progress(fake);
	for (;;)
	{
		bool		late = GetCurrentTimestamp() >= end;
		bool		more = fake->source->step(fake->source, &fake->sink,
											  max_records);

		note_progress(fake);
		if (more)
			continue;
		if (late)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

PG_FUNCTION_INFO_V1(fake_scan);
Datum
fake_scan(PG_FUNCTION_ARGS)
{
	FakeSink	fake;
	OutboxSource *volatile source = NULL;

	InitMaterializedSRF(fcinfo, 0);
	init_sink(&fake);
	fake.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	fake.fail_at = PG_GETARG_INT64(5);
	fake.keep = PG_GETARG_INT32(6);
	nseen = 0;
	PG_TRY();
	{
		source = outbox_scanner_open(PG_GETARG_LSN(0), PG_GETARG_LSN(1),
									 MyDatabaseId,
									 text_to_cstring(PG_GETARG_TEXT_PP(7)),
									 (Size) PG_GETARG_INT32(2) * 1024);
		fake.source = source;
		scan(&fake, PG_GETARG_INT32(3), PG_GETARG_INT32(4));
	}
	PG_FINALLY();
	{
		if (source != NULL)
			source->close(source);
	}
	PG_END_TRY();
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(fake_progress);
Datum
fake_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < nseen; i++)
	{
		bool		nulls[8] = {false};
		Datum		values[8] = {
			Int64GetDatum(i + 1),
			LSNGetDatum(seen[i].scanned),
			LSNGetDatum(seen[i].restart),
			LSNGetDatum(seen[i].commit_start),
			Int64GetDatum(seen[i].commit_crc),
			Int64GetDatum(seen[i].open_txns),
			Int64GetDatum(seen[i].memory),
			Int64GetDatum(seen[i].spilled)
		};

		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(fake_bench);
Datum
fake_bench(PG_FUNCTION_ARGS)
{
	FakeSink	fake;
	OutboxSource *source;
	OutboxSourceProgress last;
	int64		steps = 0;
	int64		before = private_kb();
	instr_time	start;
	instr_time	end;
	TupleDesc	desc;
	Datum		values[9];
	bool		nulls[9] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	init_sink(&fake);
	INSTR_TIME_SET_CURRENT(start);
	source = outbox_scanner_open(PG_GETARG_LSN(0), PG_GETARG_LSN(1),
								 MyDatabaseId, "outbox",
								 (Size) PG_GETARG_INT32(2) * 1024);
	fake.source = source;
	while (source->step(source, &fake.sink, 1000))
	{
		note_progress(&fake);
		if (++steps % 50 == 0)
			fake.peak_kb = Max(fake.peak_kb, private_kb());
	}
	source->progress(source, &last);
	values[8] = Int64GetDatum(Max(private_kb() - before, 0));
	source->close(source);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);

	values[0] = Int64GetDatum(steps);
	values[1] = Int64GetDatum(fake.txns);
	values[2] = Int64GetDatum(fake.messages);
	values[3] = Int64GetDatum(fake.bytes);
	values[4] = Int64GetDatum(fake.peak_memory);
	values[5] = Int64GetDatum(last.spilled);
	values[6] = Float8GetDatum(INSTR_TIME_GET_MILLISEC(end));
	values[7] = Int64GetDatum(Max(fake.peak_kb - before, 0));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

PG_FUNCTION_INFO_V1(fake_commit_crc);
Datum
fake_commit_crc(PG_FUNCTION_ARGS)
{
	uint32		crc;

	if (!outbox_scanner_commit_crc(PG_GETARG_LSN(0), &crc))
		PG_RETURN_NULL();
	PG_RETURN_INT64(crc);
}

PG_FUNCTION_INFO_V1(fake_flushed);
Datum
fake_flushed(PG_FUNCTION_ARGS)
{
	TimeLineID	timeline;
	Datum		values[2];
	bool		nulls[2] = {false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = LSNGetDatum(outbox_source_flushed(&timeline));
	values[1] = Int32GetDatum(timeline);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

PG_FUNCTION_INFO_V1(fake_hash);
Datum
fake_hash(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_INT64(hash_bytes_extended((const unsigned char *) VARDATA_ANY(data),
										VARSIZE_ANY_EXHDR(data), 0));
}

/* Open descriptors of this backend. */
PG_FUNCTION_INFO_V1(fake_descriptors);
Datum
fake_descriptors(PG_FUNCTION_ARGS)
{
	DIR		   *dir = AllocateDir("/proc/self/fd");
	int			n = 0;

	while (ReadDir(dir, "/proc/self/fd") != NULL)
		n++;
	FreeDir(dir);
	PG_RETURN_INT32(n);
}

PG_FUNCTION_INFO_V1(fake_slot_create);
Datum
fake_slot_create(PG_FUNCTION_ARGS)
{
	PG_RETURN_LSN(outbox_slot_create(OUTBOX_SLOT_RELAY, PG_GETARG_OID(0)));
}

PG_FUNCTION_INFO_V1(fake_slot_acquire);
Datum
fake_slot_acquire(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"ok", "missing", "not physical", "invalid"};
	XLogRecPtr	restart;
	Datum		values[2];
	bool		nulls[2] = {false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(names[outbox_slot_acquire(OUTBOX_SLOT_RELAY,
															  PG_GETARG_OID(0),
															  &restart)]);
	values[1] = LSNGetDatum(restart);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

PG_FUNCTION_INFO_V1(fake_slot_advance);
Datum
fake_slot_advance(PG_FUNCTION_ARGS)
{
	outbox_slot_advance(PG_GETARG_LSN(0));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(fake_slot_release);
Datum
fake_slot_release(PG_FUNCTION_ARGS)
{
	outbox_slot_release();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(fake_slot_drop);
Datum
fake_slot_drop(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(outbox_slot_drop(OUTBOX_SLOT_RELAY, PG_GETARG_OID(0)));
}

PG_FUNCTION_INFO_V1(fake_slot_databases);
Datum
fake_slot_databases(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			databases[64];
	int			n;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	n = outbox_slot_databases(databases, Min(PG_GETARG_INT32(0), 64));
	for (int i = 0; i < n; i++)
	{
		Datum		value = ObjectIdGetDatum(databases[i]);
		bool		null = false;

		tuplestore_putvalues(rows->setResult, rows->setDesc, &value, &null);
	}
	return (Datum) 0;
}
