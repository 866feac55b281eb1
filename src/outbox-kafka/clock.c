/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The broker's clock against ours.
 *
 * Kafka's protocol does not tell the time, but a topic with
 * message.timestamp.type=LogAppendTime, as we make the position topic, has each
 * message stamped by the broker, and the delivery report brings the stamp.  It
 * was set between sending and the report, so a difference is known only as far
 * as it lies outside of that.
 *
 * Why it matters: events carry the time of their commit, retention goes by it,
 * and Kafka 4 refuses by default what is an hour ahead of it.
 *
 * Owns two numbers, written by the thread that polls and read by another.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/diagnose.h"

#define SLACK		1000		/* ms that a report may wait for being read */
#define WORTH_IT	2000		/* ms */

static _Atomic bool known = false;
static _Atomic int64 last_skew = 0; /* ms */

int64
outbox_clock_skew(int64 stamped, int64 sent, int64 now)
{
	if (stamped > now)
		return stamped - now;
	return stamped < sent ? stamped - sent : 0;
}

static int64
real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
outbox_clock_note(const rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type;
	int64		stamped = rd_kafka_message_timestamp(message, &type);
	int64		now = real_ms();

	if (type != RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME || stamped < 0)
		return;
	last_skew = outbox_clock_skew(stamped,
								  now - rd_kafka_message_latency(message) / 1000 -
								  SLACK, now);
	known = true;
}

void
outbox_diagnose_clock(OutboxDiagnose *diagnose)
{
	int64		skew = last_skew;

	if (!known)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, "clock",
							"Set message.timestamp.type = LogAppendTime on the position topic to have it known.",
							"the broker's clock is not known");
	else if (skew > WORTH_IT || skew < -WORTH_IT)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, "clock",
							"Have both synchronised: events carry the time of their commit, retention goes by it, and brokers refuse what is far ahead of them.",
							"the broker's clock is %lld ms %s this server's",
							(long long) (skew > 0 ? skew : -skew),
							skew > 0 ? "ahead of" : "behind");
	else
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_OK, "clock", NULL,
							"the broker's clock agrees with this server's");
}
