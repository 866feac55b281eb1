/*-------------------------------------------------------------------------
 *
 * child.h
 *		The relay's end of its child program: process, socket, frames.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CHILD_H
#define OUTBOX_CHILD_H

#include "postgres.h"

#include "base/cursor.h"
#include "lib/stringinfo.h"
#include "record/frame.h"

/* Called for every frame but PONG and LOG, which child.c keeps to itself. */
typedef void (*OutboxFrameHandler) (void *arg, OutboxFrameType type,
									OutboxCursor *body);

/*
 * Start the program with one end of a socket pair.  Throws
 * ERRCODE_UNDEFINED_FILE when the program cannot be executed.  At most one
 * child per process; it is ended and reaped when the process exits.
 */
extern pid_t outbox_child_start(OutboxFrameHandler handler, void *arg);

/* Frames to send: append to this buffer, then outbox_child_flush(). */
extern StringInfo outbox_child_buffer(void);

/* Bytes not yet taken by the socket. */
extern Size outbox_child_pending(void);

/* Write what the socket takes now. */
extern void outbox_child_flush(void);

/*
 * Sleep until the latch is set, the child says something, it takes more of
 * what is pending, or timeout_ms have passed; then handle what came.  Returns
 * true when the latch was set (and resets it).  Throws
 * ERRCODE_CONNECTION_FAILURE when the child ended, spoke nonsense, or has not
 * answered a ping for OUTBOX_PONG_TIMEOUT.
 */
extern bool outbox_child_wait(int timeout_ms);

#define OUTBOX_PING_INTERVAL	1000	/* ms */
#define OUTBOX_PONG_TIMEOUT		5000	/* ms */

#endif							/* OUTBOX_CHILD_H */
