/*-------------------------------------------------------------------------
 *
 * report.h
 *		What librdkafka's threads have to tell, kept for the main loop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_REPORT_H
#define OUTBOX_KAFKA_REPORT_H

#include "outbox-kafka/errors.h"

#define OUTBOX_LOG_LINE_SIZE 512

/* Once, before any handle: the eventfd that wakes the main loop, or -1. */
extern void outbox_report_init(int wake_fd);

/* Any thread. */
extern void outbox_report_log(int level, const char *facility,
							  const char *text);
extern void outbox_report_error(rd_kafka_resp_err_t err, const char *reason);
extern void outbox_report_heard(void);

/* Main loop: next log line to pass on, false when there is none now. */
extern bool outbox_report_next_log(int *level,
								   char line[OUTBOX_LOG_LINE_SIZE]);

/* Main loop: true when the link's state is another than last time. */
extern bool outbox_report_status_changed(OutboxResult *status);

/* The link's present trouble; class OUTBOX_OK when there is none. */
extern void outbox_report_trouble(OutboxResult *status);

#endif							/* OUTBOX_KAFKA_REPORT_H */
