/*-------------------------------------------------------------------------
 *
 * link.h
 *		The child's end of the socket to the relay.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_LINK_H
#define OUTBOX_KAFKA_LINK_H

#include "base/base.h"
#include "compat.h"
#include "record/frame.h"

typedef struct OutboxLink
{
	int			fd;
	StringInfoData in;			/* bytes received; [start, len) not consumed */
	int			start;
	int			scanned;		/* frames before this offset were looked at
								 * for PING */
	int			whole;			/* end of the last whole frame */
	StringInfoData out;			/* bytes to send; [out_start, len) */
	int			out_start;
	bool		pinged;
	uint64		last_token;		/* of the last PING */
	int64		last_pong_ms;
} OutboxLink;

extern void outbox_link_init(OutboxLink *link, int fd);

/*
 * Read what there is, up to the bound, and answer every PING in it.  Ends the
 * process on end of file, error or a damaged frame.
 */
extern void outbox_link_read(OutboxLink *link);

/* Whether the bound is reached: whole frames are waiting to be consumed. */
extern bool outbox_link_full(const OutboxLink *link);

/* The first frame not consumed (PINGs left out); false when there is none. */
extern bool outbox_link_next(OutboxLink *link, OutboxFrameType *type,
							 const char **body, size_t *len);
extern void outbox_link_consume(OutboxLink *link);

/* Send what can be sent now; true when all is gone. */
extern bool outbox_link_flush(OutboxLink *link);
extern int	outbox_link_unsent(const OutboxLink *link);

/*
 * Say again, at most once a second, that the main loop lives, while PINGs may
 * wait in the socket.
 */
extern void outbox_link_still_here(OutboxLink *link);

/* Any thread: end the process if the relay has closed its end. */
extern void outbox_link_check_open(int fd);

/* The one way out. */
pg_noreturn extern void outbox_link_leave(void);

#endif							/* OUTBOX_KAFKA_LINK_H */
