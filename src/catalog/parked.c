/*-------------------------------------------------------------------------
 *
 * parked.c
 *		Rows of outbox.parked_event: dead letters and what follows them.
 *
 * Owns no state.  Rows are added by the relay alone, one process per database;
 * what is changed of them is that they are given up (SQL) or sent again
 * (parked_retry.c).  Written without SQL, so that nothing of the database's
 * runs in the relay; no constraint is checked but the unique ones.
 *
 * Keys may be too long for an index, so a lane (topic and key) is found by its
 * hash and then compared.  The hash is stored: it is SipHash with a key of
 * zeros, the same on every machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/siphash.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "base/cursor.h"
#include "catalog/parked.h"
#include "catalog/parked_columns.h"
#include "commands/sequence.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* An Avro key's schema may change; the row stays the same. */
static bool
has_key_schema(const OutboxWalMessage *msg)
{
	return msg->key != NULL && (msg->flags & OUTBOX_MSG_KEY_SCHEMA) != 0;
}

static const char *
key_of(const OutboxWalMessage *msg, int *len)
{
	int			skip = has_key_schema(msg) ? sizeof(uint32) : 0;

	*len = msg->key_len - skip;
	return msg->key == NULL ? NULL : msg->key + skip;
}

static uint32
key_schema_of(const OutboxWalMessage *msg)
{
	OutboxCursor c;

	outbox_cursor_init(&c, msg->key, msg->key_len);
	return outbox_get_u32(&c);
}

/*
 * Without a key nothing is ordered, unless the event chose its partition: then
 * all without a key in that partition.
 */
void
outbox_lane_of(OutboxLane *lane, const OutboxWalMessage *msg,
			   const char *topic, int topic_len)
{
	static const uint8 zeros[OUTBOX_SIPHASH_KEY_SIZE];
	OutboxSipHash hash;
	uint8		start[5] = {0};

	lane->ordered = msg->key != NULL || msg->partition >= 0;
	lane->topic = topic;
	lane->topic_len = topic_len;
	lane->key = key_of(msg, &lane->key_len);
	lane->partition = msg->partition;

	start[0] = msg->key != NULL;
	if (msg->key == NULL)
	{
		for (int i = 0; i < 4; i++)
			start[1 + i] = (uint8) ((uint32) msg->partition >> (8 * i));
	}
	outbox_siphash_init(&hash, zeros);
	outbox_siphash_update(&hash, start, sizeof(start));
	outbox_siphash_update(&hash, topic, topic_len);
	outbox_siphash_update(&hash, "", 1);
	if (msg->key != NULL)
		outbox_siphash_update(&hash, lane->key, lane->key_len);
	lane->hash = (int64) outbox_siphash_final(&hash);
}

/* ---- writing ---------------------------------------------------------- */

static void
set_bytes(Datum *values, bool *nulls, int attnum, const char *data, int32 len)
{
	bytea	   *value;

	nulls[attnum - 1] = data == NULL;
	if (data == NULL)
		return;
	value = palloc(VARHDRSZ + len);
	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), data, len);
	values[attnum - 1] = PointerGetDatum(value);
}

/*
 * What broker and registry say may be anything, and is cut off anywhere.
 */
Datum
outbox_parked_reason(const char *message)
{
	char	   *copy = pstrdup(message);

	if (!pg_verifymbstr(copy, strlen(copy), true))
	{
		for (char *p = copy; *p != '\0'; p++)
		{
			if (IS_HIGHBIT_SET(*p))
				*p = '?';
		}
	}
	return CStringGetTextDatum(copy);
}

static void
set_message(Datum *values, bool *nulls, const OutboxWalMessage *msg)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	const char *key;
	int			key_len;

	memcpy(id->data, msg->event_id, UUID_LEN);
	values[Anum_parked_event_id - 1] = UUIDPGetDatum(id);
	values[Anum_parked_route_id - 1] = Int32GetDatum((int32) msg->route_id);
	values[Anum_parked_schema_id - 1] = Int32GetDatum((int32) msg->schema_id);
	nulls[Anum_parked_schema_id - 1] = msg->schema_id == 0;
	values[Anum_parked_partition - 1] = Int32GetDatum(msg->partition);
	nulls[Anum_parked_partition - 1] = msg->partition < 0;
	values[Anum_parked_timestamp - 1] =
		TimestampTzGetDatum((msg->timestamp_ms - OUTBOX_UNIX_EPOCH_MS) * 1000);
	nulls[Anum_parked_timestamp - 1] = msg->timestamp_ms == 0;
	key = key_of(msg, &key_len);
	set_bytes(values, nulls, Anum_parked_key, key, key_len);
	nulls[Anum_parked_key_schema - 1] = !has_key_schema(msg);
	if (has_key_schema(msg))
		values[Anum_parked_key_schema - 1] =
			Int32GetDatum((int32) key_schema_of(msg));
	set_bytes(values, nulls, Anum_parked_headers, msg->headers,
			  msg->headers_len);
	set_bytes(values, nulls, Anum_parked_value, msg->payload,
			  msg->payload_len);
}

void
outbox_parked_add(const OutboxParkedPlace *place, TimestampTz commit_time,
				  const OutboxWalMessage *msg, const OutboxLane *lane,
				  int64 blocked_by, const OutboxResult *why)
{
	Relation	rel = table_open(outbox_catalog_relation(OUTBOX_PARKED_TABLE),
								 RowExclusiveLock);
	Oid			sequence = get_relname_relid("parked_event_id_seq",
											 RelationGetNamespace(rel));
	Datum		values[Natts_parked] = {0};
	bool		nulls[Natts_parked] = {0};

	values[Anum_parked_id - 1] = Int64GetDatum(nextval_internal(sequence, false));
	values[Anum_parked_commit_lsn - 1] = LSNGetDatum(place->commit_end);
	values[Anum_parked_ordinal - 1] = Int64GetDatum((int64) place->ordinal);
	values[Anum_parked_commit_time - 1] = TimestampTzGetDatum(commit_time);
	set_message(values, nulls, msg);
	values[Anum_parked_topic - 1] =
		PointerGetDatum(cstring_to_text_with_len(lane->topic, lane->topic_len));
	values[Anum_parked_lane - 1] = Int64GetDatum(lane->hash);
	nulls[Anum_parked_lane - 1] = !lane->ordered;
	values[Anum_parked_blocked_by - 1] = Int64GetDatum(blocked_by);
	nulls[Anum_parked_blocked_by - 1] = blocked_by == 0;
	if (why != NULL)
	{
		values[Anum_parked_reason - 1] = outbox_parked_reason(why->message);
		values[Anum_parked_code - 1] = Int32GetDatum(why->code);
	}
	nulls[Anum_parked_reason - 1] = why == NULL;
	nulls[Anum_parked_code - 1] = why == NULL || why->code == 0;
	values[Anum_parked_parked_at - 1] =
		TimestampTzGetDatum(GetCurrentTimestamp());
	for (int i = Anum_parked_discarded_at - 1; i < Anum_parked_discard_reason; i++)
		nulls[i] = true;
	for (int i = Anum_parked_retry_lsn - 1; i < Anum_parked_published_at; i++)
		nulls[i] = i != Anum_parked_retries - 1;	/* 0 */
	values[Anum_parked_copy_reduced - 1] = BoolGetDatum(false);

	PushActiveSnapshot(GetTransactionSnapshot());	/* for large values */
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values,
											nulls));
	PopActiveSnapshot();
	table_close(rel, NoLock);	/* to the end of the transaction */
}

/* ---- reading ---------------------------------------------------------- */

bool
outbox_parked_has(const OutboxParkedPlace *place,
				  const uint8 event_id[OUTBOX_EVENT_ID_SIZE])
{
	OutboxCatalogScan scan;
	ScanKeyData keys[2];
	HeapTuple	tuple;
	bool		same = false;

	ScanKeyInit(&keys[0], Anum_parked_commit_lsn, BTEqualStrategyNumber,
				F_PG_LSN_EQ, LSNGetDatum(place->commit_end));
	ScanKeyInit(&keys[1], Anum_parked_ordinal, BTEqualStrategyNumber,
				F_INT8EQ, Int64GetDatum((int64) place->ordinal));
	outbox_catalog_scan_begin(&scan, OUTBOX_PARKED_TABLE,
							  OUTBOX_PARKED_PLACE_INDEX, lengthof(keys), keys);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		id = outbox_catalog_attr(&scan, tuple, Anum_parked_event_id,
											 &isnull);

		same = memcmp(DatumGetUUIDP(id)->data, event_id, UUID_LEN) == 0;
	}
	outbox_catalog_scan_end(&scan);
	return same;
}

OutboxParkedPlace
outbox_parked_place(HeapTuple tuple, TupleDesc desc, int lsn, int ordinal)
{
	OutboxParkedPlace place = {0};
	bool		isnull;
	Datum		value = heap_getattr(tuple, lsn, desc, &isnull);

	if (isnull)
		return place;
	place.commit_end = DatumGetLSN(value);
	place.ordinal = (uint32) DatumGetInt64(heap_getattr(tuple, ordinal, desc,
														&isnull));
	return place;
}

bool
outbox_parked_after(const OutboxParkedPlace *a, const OutboxParkedPlace *b)
{
	return a->commit_end > b->commit_end ||
		(a->commit_end == b->commit_end && a->ordinal > b->ordinal);
}

/* The highest place in two columns, which the index begins with. */
static OutboxParkedPlace
last_of(const char *index_name, int lsn, int ordinal)
{
	Relation	rel = table_open(outbox_catalog_relation(OUTBOX_PARKED_TABLE),
								 AccessShareLock);
	Relation	index = index_open(get_relname_relid(index_name,
													 RelationGetNamespace(rel)),
								   AccessShareLock);
	OutboxParkedPlace place = {0};
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, lsn, BTGreaterEqualStrategyNumber, F_PG_LSN_GE,
				LSNGetDatum(0));	/* nulls come last */
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &key);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		place = outbox_parked_place(tuple, RelationGetDescr(rel), lsn, ordinal);
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return place;
}

OutboxParkedPlace
outbox_parked_last(void)
{
	OutboxParkedPlace event = last_of(OUTBOX_PARKED_PLACE_INDEX,
									  Anum_parked_commit_lsn,
									  Anum_parked_ordinal);
	OutboxParkedPlace retry = last_of(OUTBOX_PARKED_RETRY_INDEX,
									  Anum_parked_retry_lsn,
									  Anum_parked_retry_ordinal);

	return outbox_parked_after(&retry, &event) ? retry : event;
}

static bool
same_bytes(Datum value, const char *data, int len)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	return VARSIZE_ANY_EXHDR(bytes) == len &&
		memcmp(VARDATA_ANY(bytes), data, len) == 0;
}

bool
outbox_parked_is_of(OutboxCatalogScan *scan, HeapTuple tuple,
					const OutboxLane *lane)
{
	bool		isnull;
	Datum		value;

	value = outbox_catalog_attr(scan, tuple, Anum_parked_topic, &isnull);
	if (!same_bytes(value, lane->topic, lane->topic_len))
		return false;
	value = outbox_catalog_attr(scan, tuple, Anum_parked_key, &isnull);
	if (isnull != (lane->key == NULL))
		return false;
	if (!isnull)
		return same_bytes(value, lane->key, lane->key_len);
	value = outbox_catalog_attr(scan, tuple, Anum_parked_partition, &isnull);
	return !isnull && DatumGetInt32(value) == lane->partition;
}

/*
 * Neither given up nor sent again before that place, nor at it.
 */
static bool
waits_at(OutboxCatalogScan *scan, HeapTuple tuple, const OutboxParkedPlace *at)
{
	OutboxParkedPlace retry;
	bool		isnull;

	(void) outbox_catalog_attr(scan, tuple, Anum_parked_discarded_at, &isnull);
	if (!isnull)
		return false;
	retry = outbox_parked_place(tuple, RelationGetDescr(scan->rel),
								Anum_parked_retry_lsn,
								Anum_parked_retry_ordinal);
	return retry.commit_end == InvalidXLogRecPtr ||
		outbox_parked_after(&retry, at);
}

int64
outbox_parked_holder(const OutboxLane *lane, const OutboxParkedPlace *at,
					 bool *lasting)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	int64		id = 0;

	*lasting = false;
	ScanKeyInit(&key, Anum_parked_lane, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(lane->hash));
	outbox_catalog_scan_begin(&scan, OUTBOX_PARKED_TABLE,
							  OUTBOX_PARKED_LANE_INDEX, 1, &key);
	while (id == 0 &&
		   HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		OutboxParkedPlace place;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (!waits_at(&scan, tuple, at))
			continue;
		*lasting = true;
		place = outbox_parked_place(tuple, RelationGetDescr(scan.rel),
									Anum_parked_commit_lsn,
									Anum_parked_ordinal);
		if (outbox_parked_after(at, &place) &&
			outbox_parked_is_of(&scan, tuple, lane))
			id = DatumGetInt64(outbox_catalog_attr(&scan, tuple,
												   Anum_parked_id, &isnull));
	}
	outbox_catalog_scan_end(&scan);
	return id;
}

bool
outbox_parked_next_lane(int64 *hash, bool first)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyInit(&key, Anum_parked_lane,
				first ? BTGreaterEqualStrategyNumber : BTGreaterStrategyNumber,
				first ? F_INT8GE : F_INT8GT,
				Int64GetDatum(first ? PG_INT64_MIN : *hash));
	outbox_catalog_scan_begin(&scan, OUTBOX_PARKED_TABLE,
							  OUTBOX_PARKED_LANE_INDEX, 1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
		*hash = DatumGetInt64(outbox_catalog_attr(&scan, tuple,
												  Anum_parked_lane, &isnull));
	outbox_catalog_scan_end(&scan);
	return HeapTupleIsValid(tuple);
}
