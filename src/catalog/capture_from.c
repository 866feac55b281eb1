/*-------------------------------------------------------------------------
 *
 * capture_from.c
 *		From which place in WAL on the changes of a table are published.
 *
 * Owns no state: rows of outbox.capture_from, which capture() and
 * alter_capture() write and the relay reads when it meets a route.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/capture_def.h"
#include "catalog/capture_from.h"
#include "catalog/catalog.h"
#include "utils/fmgroids.h"
#include "utils/pg_lsn.h"

/* Columns, in the order of catalog.sql. */
enum
{
	Anum_from_capture = 1,
	Anum_from_lsn = 3
};

static XLogRecPtr
read_row(int32 capture)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	XLogRecPtr	from = InvalidXLogRecPtr;

	ScanKeyInit(&key, Anum_from_capture, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(capture));
	outbox_catalog_scan_begin(&scan, "capture_from", "capture_from_pkey", 1,
							  &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = outbox_catalog_attr(&scan, tuple, Anum_from_lsn,
												&isnull);

		if (!isnull)
			from = DatumGetLSN(value);
	}
	outbox_catalog_scan_end(&scan);
	return from;
}

/* Routes of one capture have one name, whichever it was altered to. */
XLogRecPtr
outbox_capture_from(const char *event_type)
{
	ListCell   *lc;

	foreach(lc, outbox_capture_list())
	{
		OutboxCapture *capture = lfirst(lc);

		if (strcmp(capture->route.event_type, event_type) == 0)
			return read_row(capture->id);
	}
	return InvalidXLogRecPtr;
}
