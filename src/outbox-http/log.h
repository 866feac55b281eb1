/*-------------------------------------------------------------------------
 *
 * log.h
 *		Lines for the server's log, through the launcher.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_LOG_H
#define OUTBOX_HTTP_LOG_H

#include "base/base.h"

typedef enum OutboxLogKind
{
	OUTBOX_LOG_READY = 'R',		/* it serves */
	OUTBOX_LOG_INFO = 'L',
	OUTBOX_LOG_WARNING = 'W',
	OUTBOX_LOG_ERROR = 'E'
} OutboxLogKind;

/* Where lines go; before that, and with -1, to standard error. */
extern void outbox_log_open(int fd);

/*
 * One line, of any thread.  Never blocks: what the launcher does not take is
 * dropped.  Secrets have no business here.
 */
extern void outbox_log(OutboxLogKind kind, const char *fmt,...)
			pg_attribute_printf(2, 3);

#endif							/* OUTBOX_HTTP_LOG_H */
