/*-------------------------------------------------------------------------
 *
 * gone_link.h
 *		The reader's end of the program that knows which keys are gone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_GONE_LINK_H
#define OUTBOX_GONE_LINK_H

#include "postgres.h"

#include "jobs/chunk.h"
#include "record/frame.h"

/*
 * Ask outbox-kafka, which is started for the job of this request if it does not
 * run, and wait for the answer, whose body is palloc'd.  Throws
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE when asking again is no use.
 */
extern void outbox_gone_ask(const OutboxChunkRequest *request,
							OutboxFrameType type, const StringInfoData *body,
							OutboxFrameType wanted, OutboxCursor *answer);

#endif							/* OUTBOX_GONE_LINK_H */
