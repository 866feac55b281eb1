/*-------------------------------------------------------------------------
 *
 * errors.h
 *		From librdkafka's errors to the classes of base/result.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_ERRORS_H
#define OUTBOX_KAFKA_ERRORS_H

#include "base/base.h"
#include "base/result.h"

#include <librdkafka/rdkafka.h>
#include <time.h>

extern OutboxResultClass outbox_error_class(rd_kafka_resp_err_t err);

/* Fill *result; the text is made one printable line and cut to fit. */
extern void outbox_result_set(OutboxResult *result, OutboxResultClass class,
							  int32 code, const char *fmt,...)
			pg_attribute_printf(4, 5);
extern void outbox_result_ok(OutboxResult *result);

/* Replace control characters by spaces and drop them from the end. */
extern void outbox_clean_line(char *text);

/* Monotonic microseconds and milliseconds. */
static inline int64
outbox_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static inline int64
outbox_now_ms(void)
{
	return outbox_now_us() / 1000;
}

#endif							/* OUTBOX_KAFKA_ERRORS_H */
