/*-------------------------------------------------------------------------
 *
 * job_table.h
 *		Rows of outbox.snapshot_job and outbox.snapshot_progress.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JOB_TABLE_H
#define OUTBOX_JOB_TABLE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

typedef enum OutboxJobWanted
{
	OUTBOX_JOB_RUN,
	OUTBOX_JOB_PAUSE,
	OUTBOX_JOB_CANCEL
} OutboxJobWanted;

typedef struct OutboxJob
{
	int64		id;
	uint64		token;
	Oid			relation;		/* invalid: a replay */
	char	   *filter;			/* NULL = none */
	uint32		chunk_rows;
	uint32		rate;			/* rows/s, 0 = as fast as it goes */
	OutboxJobWanted wanted;
	char	   *topic;			/* to be rebuilt, NULL = a snapshot */
} OutboxJob;

typedef struct OutboxJobProgress
{
	const char *state;
	const char *reason;			/* NULL = none */
	uint64		rows;
	uint64		superseded;
	uint64		reread;
	uint64		removed;
	uint32		pass;			/* 0 = none */
	uint64		estimate;		/* 0 = not known */
	double		rate;			/* rows/s, 0 = not known */
	TimestampTz started_at;
	bool		finished;
} OutboxJobProgress;

/* In a transaction of the caller, who is the relay.  Jobs not finished. */
extern List *outbox_job_list(void);
extern void outbox_job_save(int64 id, const OutboxJobProgress *progress);

#endif							/* OUTBOX_JOB_TABLE_H */
