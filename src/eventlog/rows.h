/*-------------------------------------------------------------------------
 *
 * rows.h
 *		Reading outbox.log in the order of one of its indexes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOG_ROWS_H
#define OUTBOX_LOG_ROWS_H

#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "eventlog/eventlog.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

/* Columns, in the order of catalog.sql. */
enum
{
	Anum_log_id = 1,
	Anum_log_from_lsn,
	Anum_log_from_part,
	Anum_log_to_lsn,
	Anum_log_to_part,
	Anum_log_restart_lsn,
	Anum_log_commit_lsn,
	Anum_log_commit_crc,
	Anum_log_first_commit,
	Anum_log_last_commit,
	Anum_log_transactions,
	Anum_log_events,
	Anum_log_left_out,
	Anum_log_raw_bytes,
	Anum_log_routes,
	Anum_log_route_events,
	Anum_log_route_bytes,
	Anum_log_expires_at,
	Anum_log_written_at,
	Anum_log_body,
	Natts_log = Anum_log_body
};

#define OUTBOX_LOG_TABLE "log"
#define OUTBOX_LOG_ID_INDEX "log_pkey"
#define OUTBOX_LOG_PLACE_INDEX "log_to_lsn_idx"
#define OUTBOX_LOG_TIME_INDEX "log_last_commit_idx"
#define OUTBOX_LOG_EXPIRY_INDEX "log_expires_at_idx"

/* An ordered scan of the table by one of its indexes. */
typedef struct OutboxLogScan
{
	Relation	rel;
	Relation	index;
	SysScanDesc scan;
} OutboxLogScan;

/* snapshot NULL: the catalog snapshot, all that is committed now. */
extern void outbox_log_scan_begin(OutboxLogScan *s, const char *index,
								  Snapshot snapshot, int nkeys, ScanKey key);

/* The tuple, and its columns but the body; NULL at the end. */
extern HeapTuple outbox_log_scan_next(OutboxLogScan *s, OutboxLogRow *row);

/* The body of such a tuple, palloc'd; wants an active snapshot. */
extern bytea *outbox_log_scan_body(OutboxLogScan *s, HeapTuple tuple);
extern void outbox_log_scan_end(OutboxLogScan *s);

#endif							/* OUTBOX_LOG_ROWS_H */
