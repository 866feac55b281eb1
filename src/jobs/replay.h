/*-------------------------------------------------------------------------
 *
 * replay.h
 *		Events of the event log, to be published again.
 *
 * The cursor of such a job is u64 block, u32 messages of it, u64 commit LSN of
 * the last event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REPLAY_H
#define OUTBOX_REPLAY_H

#include "jobs/chunk.h"

/* Reader, in a transaction; as outbox_read_chunk(). */
extern void outbox_replay_read(const OutboxChunkRequest *request,
							   OutboxChunkHead *head, StringInfo rows);

#endif							/* OUTBOX_REPLAY_H */
