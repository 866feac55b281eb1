/*-------------------------------------------------------------------------
 *
 * parked_columns.h
 *		Columns and indexes of outbox.parked_event, for the files that read it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PARKED_COLUMNS_H
#define OUTBOX_PARKED_COLUMNS_H

/* Columns, in the order of catalog.sql. */
enum
{
	Anum_parked_id = 1,
	Anum_parked_commit_lsn = 2,
	Anum_parked_ordinal = 3,
	Anum_parked_commit_time = 4,
	Anum_parked_route_id = 5,
	Anum_parked_schema_id = 6,
	Anum_parked_event_id = 7,
	Anum_parked_topic = 8,
	Anum_parked_partition = 9,
	Anum_parked_timestamp = 10,
	Anum_parked_key = 11,
	Anum_parked_headers = 12,
	Anum_parked_value = 13,
	Anum_parked_lane = 14,
	Anum_parked_blocked_by = 15,
	Anum_parked_reason = 16,
	Anum_parked_code = 17,
	Anum_parked_parked_at = 18,
	Anum_parked_discarded_at = 19,
	Anum_parked_discard_reason = 21,
	Anum_parked_key_schema = 22,
	Anum_parked_retry_lsn = 23,
	Anum_parked_retry_ordinal = 24,
	Anum_parked_refused_lsn = 25,
	Anum_parked_retries = 26,
	Anum_parked_published_at = 27,
	Anum_parked_copy_reduced = 28,
	Natts_parked = 28
};

#define OUTBOX_PARKED_TABLE "parked_event"
#define OUTBOX_PARKED_ID_INDEX "parked_event_pkey"
#define OUTBOX_PARKED_PLACE_INDEX "parked_event_commit_lsn_ordinal_key"
#define OUTBOX_PARKED_LANE_INDEX "parked_event_lane_idx"
#define OUTBOX_PARKED_RETRY_INDEX "parked_event_retry_idx"
#define OUTBOX_PARKED_UNCONFIRMED_INDEX "parked_event_unconfirmed_idx"

#endif							/* OUTBOX_PARKED_COLUMNS_H */
