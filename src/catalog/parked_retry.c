/*-------------------------------------------------------------------------
 *
 * parked_retry.c
 *		Rows of outbox.parked_event that are sent again.
 *
 *	waiting			retry_lsn null
 *	being sent		retry_lsn and retry_ordinal: the retry's place.  Committed,
 *					and flushed, before Kafka's position may reach it
 *	published		and published_at, once Kafka has said so; its lane is null,
 *					so that it costs the events of its key nothing any more
 *	refused again	waiting, with another reason, refused_lsn, and a higher
 *					count in retries
 *
 * What counts is the place: with Kafka's position P, a row that is being sent
 * at a place <= P is published.  At one > P it was not, and its marker is read
 * again.
 *
 * Owns no state.  In a transaction of the caller, who is the relay; rows that
 * an open transaction has locked (who gives one up, say) are not waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/cursor.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/parked.h"
#include "catalog/parked_columns.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* ---- finding them ------------------------------------------------------ */

static Datum
attr(OutboxCatalogScan *scan, HeapTuple tuple, int attnum, bool *isnull)
{
	return outbox_catalog_attr(scan, tuple, attnum, isnull);
}

static uint32
id_or_zero(OutboxCatalogScan *scan, HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = attr(scan, tuple, attnum, &isnull);

	return isnull ? 0 : (uint32) DatumGetInt32(value);
}

/* Whether it waits at that place, and what it is. */
static bool
read_row(OutboxCatalogScan *scan, HeapTuple tuple,
		 const OutboxParkedPlace *at, OutboxParkedRow *row)
{
	TupleDesc	desc = RelationGetDescr(scan->rel);
	OutboxParkedPlace retry = outbox_parked_place(tuple, desc,
												  Anum_parked_retry_lsn,
												  Anum_parked_retry_ordinal);
	bool		isnull;
	Datum		value;

	row->place = outbox_parked_place(tuple, desc, Anum_parked_commit_lsn,
									 Anum_parked_ordinal);
	(void) attr(scan, tuple, Anum_parked_discarded_at, &isnull);
	if (!isnull || !outbox_parked_after(at, &row->place) ||
		(retry.commit_end != InvalidXLogRecPtr &&
		 outbox_parked_after(at, &retry)))
		return false;
	row->id = DatumGetInt64(attr(scan, tuple, Anum_parked_id, &isnull));
	row->route_id = id_or_zero(scan, tuple, Anum_parked_route_id);
	row->schema_id = id_or_zero(scan, tuple, Anum_parked_schema_id);
	row->key_schema_id = id_or_zero(scan, tuple, Anum_parked_key_schema);
	value = attr(scan, tuple, Anum_parked_value, &isnull);
	row->has_value = !isnull;
	row->bytes = isnull ? 0 : toast_raw_datum_size(value);
	value = attr(scan, tuple, Anum_parked_refused_lsn, &isnull);
	row->noted = retry.commit_end != InvalidXLogRecPtr;
	row->refused = !isnull && DatumGetLSN(value) == at->commit_end;
	return true;
}

static int
compare_places(const void *a, const void *b)
{
	const OutboxParkedRow *left = a;
	const OutboxParkedRow *right = b;

	if (outbox_parked_after(&left->place, &right->place))
		return 1;
	return outbox_parked_after(&right->place, &left->place) ? -1 : 0;
}

static void
add_row(OutboxParkedRows *out, uint32 *size, const OutboxParkedRow *row,
		MemoryContext context)
{
	if (out->n == *size)
	{
		*size = Max(*size * 2, 16);
		out->rows = out->rows == NULL ?
			MemoryContextAllocHuge(context, *size * sizeof(*row)) :
			repalloc_huge(out->rows, *size * sizeof(*row));
	}
	out->rows[out->n++] = *row;
}

/* Those in front that fit; one always does. */
static void
cut(OutboxParkedRows *out, uint32 max_rows, uint64 max_bytes)
{
	uint64		bytes = 0;
	uint32		n = 0;

	while (n < out->n && n < max_rows &&
		   (n == 0 || bytes + out->rows[n].bytes <= max_bytes))
		bytes += out->rows[n++].bytes;
	out->all = out->n;
	out->n = n;
}

void
outbox_parked_waiting(const OutboxLane *lane, const OutboxParkedPlace *at,
					  const OutboxParkedPlace *last, uint32 max_rows,
					  uint64 max_bytes, MemoryContext context,
					  OutboxParkedRows *out)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	OutboxParkedRow row;
	uint32		size = 0;

	memset(out, 0, sizeof(*out));
	ScanKeyInit(&key, Anum_parked_lane, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(lane->hash));
	outbox_catalog_scan_begin(&scan, OUTBOX_PARKED_TABLE,
							  OUTBOX_PARKED_LANE_INDEX, 1, &key);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		CHECK_FOR_INTERRUPTS();
		if (outbox_parked_is_of(&scan, tuple, lane) &&
			read_row(&scan, tuple, at, &row) &&
			(last == NULL || !outbox_parked_after(&row.place, last)))
			add_row(out, &size, &row, context);
	}
	outbox_catalog_scan_end(&scan);
	qsort(out->rows, out->n, sizeof(row), compare_places);
	cut(out, max_rows, max_bytes);
}

/* The row of an id; the caller ends the scan. */
static HeapTuple
find(OutboxCatalogScan *scan, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_parked_id, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(id));
	outbox_catalog_scan_begin(scan, OUTBOX_PARKED_TABLE,
							  OUTBOX_PARKED_ID_INDEX, 1, &key);
	return outbox_catalog_scan_next(scan);
}

bool
outbox_parked_waits(int64 id, const OutboxParkedPlace *at,
					OutboxParkedRow *row)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple = find(&scan, id);
	bool		waits = HeapTupleIsValid(tuple) &&
		read_row(&scan, tuple, at, row);

	outbox_catalog_scan_end(&scan);
	return waits;
}

/* ---- changing them ----------------------------------------------------- */

typedef struct Change
{
	Datum		values[Natts_parked];
	bool		nulls[Natts_parked];
	bool		replace[Natts_parked];
} Change;

static void
set(Change *change, int attnum, Datum value)
{
	change->values[attnum - 1] = value;
	change->nulls[attnum - 1] = false;
	change->replace[attnum - 1] = true;
}

static void
set_null(Change *change, int attnum)
{
	change->nulls[attnum - 1] = true;
	change->replace[attnum - 1] = true;
}

static void
set_retry(Change *change, const OutboxParkedPlace *at)
{
	set(change, Anum_parked_retry_lsn, LSNGetDatum(at->commit_end));
	set(change, Anum_parked_retry_ordinal, Int64GetDatum((int64) at->ordinal));
}

static void
clear_retry(Change *change)
{
	set_null(change, Anum_parked_retry_lsn);
	set_null(change, Anum_parked_retry_ordinal);
	set_null(change, Anum_parked_published_at);
}

/*
 * Whether the version that was read is the last one, and ours to change.  Who
 * has locked it, or has just changed it, is not waited for.
 */
static bool
lock(Relation rel, HeapTuple tuple)
{
	HeapTupleData copy = *tuple;
	TM_FailureData failure;
	Buffer		buffer;
	TM_Result	result = heap_lock_tuple(rel, &copy,
										 GetCurrentCommandId(true),
										 LockTupleNoKeyExclusive,
										 LockWaitSkip, false, &buffer,
										 &failure);

	ReleaseBuffer(buffer);
	return result == TM_Ok;
}

/* Locked, so nobody is in the way. */
static bool
apply(Relation rel, HeapTuple tuple, Change *change)
{
	HeapTuple	changed;

	if (!lock(rel, tuple))
		return false;
	changed = heap_modify_tuple(tuple, RelationGetDescr(rel), change->values,
								change->nulls, change->replace);
	PushActiveSnapshot(GetTransactionSnapshot());
	CatalogTupleUpdate(rel, &tuple->t_self, changed);
	PopActiveSnapshot();
	heap_freetuple(changed);
	return true;
}

/* The caller's transaction holds the lock that writing needs to its end. */
static Relation
open_for_change(void)
{
	return table_open(outbox_catalog_relation(OUTBOX_PARKED_TABLE),
					  RowExclusiveLock);
}

static OutboxParkedChange
change_row(int64 id, const OutboxParkedPlace *at, Change *change)
{
	Relation	rel = open_for_change();
	OutboxCatalogScan scan;
	HeapTuple	tuple = find(&scan, id);
	OutboxParkedChange result = OUTBOX_PARKED_GONE;
	OutboxParkedRow row;

	if (HeapTupleIsValid(tuple) && read_row(&scan, tuple, at, &row))
	{
		int32		retries = id_or_zero(&scan, tuple, Anum_parked_retries);

		if (change->replace[Anum_parked_retries - 1])
			set(change, Anum_parked_retries, Int32GetDatum(retries + 1));
		result = apply(rel, tuple, change) ? OUTBOX_PARKED_CHANGED :
			OUTBOX_PARKED_LOCKED;
	}
	outbox_catalog_scan_end(&scan);
	table_close(rel, NoLock);
	return result;
}

OutboxParkedChange
outbox_parked_note(int64 id, const OutboxParkedPlace *at)
{
	Change		change = {0};

	set_retry(&change, at);
	return change_row(id, at, &change);
}

OutboxParkedChange
outbox_parked_withdraw(int64 id, const OutboxParkedPlace *at)
{
	Change		change = {0};

	clear_retry(&change);
	return change_row(id, at, &change);
}

OutboxParkedChange
outbox_parked_refused(int64 id, const OutboxParkedPlace *at,
					  const OutboxResult *why)
{
	Change		change = {0};

	clear_retry(&change);
	set_null(&change, Anum_parked_blocked_by);
	set(&change, Anum_parked_reason, outbox_parked_reason(why->message));
	if (why->code != 0)
		set(&change, Anum_parked_code, Int32GetDatum(why->code));
	else
		set_null(&change, Anum_parked_code);
	set(&change, Anum_parked_refused_lsn, LSNGetDatum(at->commit_end));
	set(&change, Anum_parked_retries, Int32GetDatum(0));	/* counted up */
	return change_row(id, at, &change);
}

/* ---- reading one whole ------------------------------------------------- */

static const char *
get_bytes(OutboxCatalogScan *scan, HeapTuple tuple, int attnum, int32 *len)
{
	bool		isnull;
	Datum		value = attr(scan, tuple, attnum, &isnull);
	struct varlena *bytes;
	char	   *copy;

	*len = -1;
	if (isnull)
		return NULL;
	bytes = PG_DETOAST_DATUM_PACKED(value);
	*len = VARSIZE_ANY_EXHDR(bytes);
	copy = palloc(*len + 1);
	memcpy(copy, VARDATA_ANY(bytes), *len);
	if ((Pointer) bytes != DatumGetPointer(value))
		pfree(bytes);
	return copy;
}

/* As it was in the message: an Avro key's schema stands in front of it. */
static void
get_key(OutboxCatalogScan *scan, HeapTuple tuple, OutboxWalMessage *msg)
{
	uint32		schema = id_or_zero(scan, tuple, Anum_parked_key_schema);
	int32		len;
	const char *key = get_bytes(scan, tuple, Anum_parked_key, &len);
	StringInfoData whole;

	msg->key = key;
	msg->key_len = len;
	if (key == NULL || schema == 0)
		return;
	initStringInfo(&whole);
	outbox_put_u32(&whole, schema);
	appendBinaryStringInfo(&whole, key, len);
	msg->flags |= OUTBOX_MSG_KEY_SCHEMA;
	msg->key = whole.data;
	msg->key_len = whole.len;
}

bool
outbox_parked_load(int64 id, OutboxWalMessage *msg, TimestampTz *commit_time)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple = find(&scan, id);
	bool		found = HeapTupleIsValid(tuple);
	bool		isnull;
	Datum		value;

	memset(msg, 0, sizeof(*msg));
	if (found)
	{
		msg->kind = OUTBOX_MESSAGE_EVENT;
		msg->route_id = id_or_zero(&scan, tuple, Anum_parked_route_id);
		msg->schema_id = id_or_zero(&scan, tuple, Anum_parked_schema_id);
		value = attr(&scan, tuple, Anum_parked_event_id, &isnull);
		memcpy(msg->event_id, DatumGetUUIDP(value)->data, UUID_LEN);
		value = attr(&scan, tuple, Anum_parked_partition, &isnull);
		msg->partition = isnull ? -1 : DatumGetInt32(value);
		value = attr(&scan, tuple, Anum_parked_timestamp, &isnull);
		msg->timestamp_ms = isnull ? 0 :
			DatumGetTimestampTz(value) / 1000 + OUTBOX_UNIX_EPOCH_MS;
		msg->topic = get_bytes(&scan, tuple, Anum_parked_topic,
							   &msg->topic_len);
		get_key(&scan, tuple, msg);
		msg->headers = get_bytes(&scan, tuple, Anum_parked_headers,
								 &msg->headers_len);
		msg->payload = get_bytes(&scan, tuple, Anum_parked_value,
								 &msg->payload_len);
		*commit_time = DatumGetTimestampTz(attr(&scan, tuple,
												Anum_parked_commit_time,
												&isnull));
	}
	outbox_catalog_scan_end(&scan);
	return found;
}

/* ---- Kafka's word ------------------------------------------------------ */

/* Those that are being sent, by place. */
static SysScanDesc
scan_unconfirmed(Relation rel, Relation index)
{
	ScanKeyData keys[2];

	ScanKeyEntryInitialize(&keys[0], SK_ISNULL | SK_SEARCHNULL,
						   Anum_parked_published_at, InvalidStrategy,
						   InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	ScanKeyInit(&keys[1], Anum_parked_retry_lsn, BTGreaterEqualStrategyNumber,
				F_PG_LSN_GE, LSNGetDatum(0));
	return systable_beginscan_ordered(rel, index, NULL, lengthof(keys), keys);
}

static Relation
open_index(Relation rel, const char *name)
{
	return index_open(get_relname_relid(name, RelationGetNamespace(rel)),
					  AccessShareLock);
}

uint64
outbox_parked_confirm(XLogRecPtr until, uint32 max, XLogRecPtr *next)
{
	Relation	rel = open_for_change();
	Relation	index = open_index(rel, OUTBOX_PARKED_UNCONFIRMED_INDEX);
	SysScanDesc scan = scan_unconfirmed(rel, index);
	Change		change = {0};
	HeapTuple	tuple;
	uint64		done = 0;

	*next = InvalidXLogRecPtr;
	set(&change, Anum_parked_published_at,
		TimestampTzGetDatum(GetCurrentTimestamp()));
	set_null(&change, Anum_parked_lane);
	while (HeapTupleIsValid(tuple =
							systable_getnext_ordered(scan,
													 ForwardScanDirection)))
	{
		XLogRecPtr	lsn = outbox_parked_place(tuple, RelationGetDescr(rel),
											  Anum_parked_retry_lsn,
											  Anum_parked_retry_ordinal).commit_end;

		if (lsn <= until && done < max && apply(rel, tuple, &change))
		{
			done++;
			continue;
		}
		if (*next == InvalidXLogRecPtr)
			*next = lsn;
		if (lsn > until || done == max)
			break;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, NoLock);
	return done;
}

/* It holds its lane again. */
static void
restore_lane(Change *change, Relation rel, HeapTuple tuple)
{
	OutboxCatalogScan row = {.rel = rel};
	OutboxWalMessage msg = {.partition = -1};
	OutboxLane	lane;
	bool		isnull;
	Datum		partition = attr(&row, tuple, Anum_parked_partition, &isnull);
	int32		topic_len;
	const char *topic = get_bytes(&row, tuple, Anum_parked_topic, &topic_len);

	if (!isnull)
		msg.partition = DatumGetInt32(partition);
	msg.key = get_bytes(&row, tuple, Anum_parked_key, &msg.key_len);
	outbox_lane_of(&lane, &msg, topic, topic_len);
	if (lane.ordered)
		set(change, Anum_parked_lane, Int64GetDatum(lane.hash));
}

/* published: only those that were confirmed. */
static void
reopen(Relation rel, SysScanDesc scan, bool published)
{
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple =
							systable_getnext_ordered(scan,
													 ForwardScanDirection)))
	{
		Change		change = {0};
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		(void) heap_getattr(tuple, Anum_parked_published_at,
							RelationGetDescr(rel), &isnull);
		if (published && isnull)
			continue;
		clear_retry(&change);
		restore_lane(&change, rel, tuple);
		(void) apply(rel, tuple, &change);
	}
	systable_endscan_ordered(scan);
}

void
outbox_parked_reopen(XLogRecPtr until, bool doubt)
{
	Relation	rel = open_for_change();
	Relation	retries = open_index(rel, OUTBOX_PARKED_RETRY_INDEX);
	Relation	unconfirmed = open_index(rel, OUTBOX_PARKED_UNCONFIRMED_INDEX);
	ScanKeyData keys[1];

	ScanKeyInit(&keys[0], Anum_parked_retry_lsn, BTGreaterStrategyNumber,
				F_PG_LSN_GT, LSNGetDatum(until));
	reopen(rel, systable_beginscan_ordered(rel, retries, NULL, 1, keys),
		   true);
	CommandCounterIncrement();
	if (doubt)
		reopen(rel, scan_unconfirmed(rel, unconfirmed), false);
	index_close(unconfirmed, AccessShareLock);
	index_close(retries, AccessShareLock);
	table_close(rel, NoLock);
}
