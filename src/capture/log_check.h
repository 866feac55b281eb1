/*-------------------------------------------------------------------------
 *
 * log_check.h
 *		Whether a table can be captured with mode log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOG_CHECK_H
#define OUTBOX_LOG_CHECK_H

/* From _PG_init while preloading: sets outbox_capture_log. */
extern void outbox_log_check_init(void);

#endif							/* OUTBOX_LOG_CHECK_H */
