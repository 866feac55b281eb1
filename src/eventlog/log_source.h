/*-------------------------------------------------------------------------
 *
 * log_source.h
 *		The event log in the place of WAL that is gone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOG_SOURCE_H
#define OUTBOX_LOG_SOURCE_H

#include "source/source.h"

#define OUTBOX_LOG_MAX_GAPS 16

typedef struct OutboxLogGap
{
	XLogRecPtr	from;			/* commits in (from, to] */
	XLogRecPtr	to;
} OutboxLogGap;

/* What the event log has behind a position. */
typedef struct OutboxLogCoverage
{
	bool		any;			/* something */
	XLogRecPtr	limit;			/* commits up to here, but for the gaps */
	XLogRecPtr	restart;		/* WAL is to be read from here to go on */
	int			ngaps;			/* what lacks; the last may cover more than it
								 * must, when there are many */
	OutboxLogGap gaps[OUTBOX_LOG_MAX_GAPS];
} OutboxLogCoverage;

/* coverage.c; opens a transaction. */
extern void outbox_log_coverage(XLogRecPtr position,
								OutboxLogCoverage *coverage);

/*
 * A source that pushes, by sink->change(), what the log has of commits behind
 * position up to limit, jumping over gaps; then outbox_log_source_done() is
 * true, and everything up to limit is pushed.  restart is where WAL had to be
 * read from for position.
 */
extern OutboxSource *outbox_log_source_open(XLogRecPtr restart,
											XLogRecPtr position,
											XLogRecPtr limit);
extern bool outbox_log_source_done(const OutboxSource *source);

#endif							/* OUTBOX_LOG_SOURCE_H */
