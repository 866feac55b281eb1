/*-------------------------------------------------------------------------
 *
 * event_fields.h
 *		Checks of the columns that the view and outbox tables have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EVENT_FIELDS_H
#define OUTBOX_EVENT_FIELDS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/timestamp.h"

static inline void
outbox_field_require(bool present, const char *column)
{
	if (!present)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" of an event must not be null", column)));
}

static inline int32
outbox_field_partition(int64 partition)
{
	if (partition < 0 || partition > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("event partition %lld is out of range",
						(long long) partition)));
	return (int32) partition;
}

/* As milliseconds since 1970; Kafka knows nothing before. */
static inline int64
outbox_field_timestamp(TimestampTz timestamp)
{
	int64		epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
		USECS_PER_DAY;

	if (TIMESTAMP_NOT_FINITE(timestamp) || timestamp < -epoch)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("event timestamp is infinite or before 1970")));
	if (timestamp > PG_INT64_MAX - epoch)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("event timestamp is out of range")));
	return (timestamp + epoch) / 1000;
}

#endif							/* OUTBOX_EVENT_FIELDS_H */
