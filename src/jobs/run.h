/*-------------------------------------------------------------------------
 *
 * run.h
 *		A job at work, inside the relay: shared by the files of jobs/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RUN_H
#define OUTBOX_RUN_H

#include "postgres.h"

#include "jobs/chunk.h"
#include "jobs/job_table.h"
#include "jobs/touched.h"
#include "relay/relay.h"

#define OUTBOX_REFUSED_WAIT	60000	/* ms between tries of rows that the broker
									 * has refused */

typedef struct OutboxReaderLink OutboxReaderLink;

/* One piece of a table, from the request until it is sent or thrown away. */
typedef struct OutboxChunk
{
	MemoryContext context;		/* of all this */
	OutboxTouched *touched;
	uint64		capture_stamp;	/* when recording began */
	bool		complete;		/* the rest is set */
	bool		dead;			/* to be thrown away when it comes */
	OutboxChunkHead head;
	OutboxCursor rows;
	uint32		rows_left;
} OutboxChunk;

typedef enum OutboxRunState
{
	OUTBOX_RUN_WAITING,			/* not begun, or to be tried again */
	OUTBOX_RUN_RUNNING,
	OUTBOX_RUN_PAUSED,
	OUTBOX_RUN_BLOCKED,			/* a row cannot go; tried again */
	OUTBOX_RUN_DONE,
	OUTBOX_RUN_FAILED,
	OUTBOX_RUN_CANCELLED
} OutboxRunState;

typedef struct OutboxRun
{
	OutboxJob	job;
	bool		listed;			/* found by the present reload */
	OutboxRunState state;
	char		reason[OUTBOX_RESULT_MESSAGE_SIZE];
	TimestampTz started_at;

	/* as of what was appended to batches: what the position says */
	bool		begun;			/* has a mark there */
	bool		done;
	uint64		rows;
	StringInfoData cursor;		/* empty = at the beginning */

	/* as of what is in Kafka */
	bool		recorded_done;
	uint64		recorded_rows;

	uint64		superseded;
	uint64		reread;
	uint64		removed;
	uint32		pass;			/* of a table without a key, from 1 */
	uint64		estimate;

	/* reading ahead */
	OutboxReaderLink *link;		/* NULL = no reader */
	OutboxChunk *reading;		/* asked for, or soon */
	bool		asked;			/* it is */
	XLogRecPtr	place;			/* its L */
	OutboxChunk *ready;			/* here, to be sent */
	StringInfoData next_cursor; /* of the next request */
	uint32		next_number;
	uint32		max_rows;		/* of the next request */
	bool		exhausted;		/* nothing is left to be asked for */
	char	   *event_type;		/* of the table's routes; what is noted */
	int64		due_ms;			/* nothing is asked for before */
	uint32		failures;		/* in a row */

	/* what outbox.snapshot_progress says */
	int64		saved_ms;
	uint64		saved_rows;
	double		rate;
	bool		unsaved;
} OutboxRun;

/* reader_link.c */
extern OutboxReaderLink *outbox_reader_start(void);
extern void outbox_reader_stop(OutboxReaderLink *link);
extern bool outbox_reader_ask(OutboxReaderLink *link, StringInfo request);

typedef enum OutboxReaderAnswer
{
	OUTBOX_READER_NOTHING,		/* yet */
	OUTBOX_READER_CHUNK,		/* data is borrowed until the next call */
	OUTBOX_READER_GONE
} OutboxReaderAnswer;

extern OutboxReaderAnswer outbox_reader_listen(OutboxReaderLink *link,
											   const char **data, Size *len);

/* run.c */
extern void outbox_run_step(OutboxRelay *relay, OutboxRun *run,
							const OutboxSourceProgress *progress);
extern void outbox_run_rest(OutboxRun *run);	/* give everything up but the
												 * place */
extern void outbox_run_hurry(OutboxRelay *relay);
extern void outbox_run_discard(OutboxRun *run);
extern void outbox_run_set(OutboxRun *run, OutboxRunState state,
						   const char *reason);
extern const char *outbox_run_state_name(OutboxRunState state);

/* send.c */
typedef enum OutboxSendResult
{
	OUTBOX_SEND_LATER,			/* not yet: call again */
	OUTBOX_SEND_DONE,
	OUTBOX_SEND_PART,			/* up to a row that was changed meanwhile, or
								 * none: what follows is to be read again */
	OUTBOX_SEND_STALE,			/* the chunk is worth nothing */
	OUTBOX_SEND_BLOCKED			/* up to a row that cannot go; reason is set */
} OutboxSendResult;

extern OutboxSendResult outbox_send_chunk(OutboxRelay *relay, OutboxRun *run,
										  const OutboxSourceProgress *progress);

/* jobs.c: the place of a run has moved */
extern void outbox_jobs_put_marks(OutboxRelay *relay);

/* For tests: chunks stay ready; those that a rebuild ends with */
extern bool outbox_snapshot_hold;
extern bool outbox_rebuild_hold;

#endif							/* OUTBOX_RUN_H */
