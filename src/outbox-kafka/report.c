/*-------------------------------------------------------------------------
 *
 * report.c
 *		What librdkafka's threads have to tell, kept for the main loop.
 *
 * Owns a small ring of log lines and the state of the link, both behind one
 * mutex that is never held across a call into librdkafka.  Plain memory only:
 * callbacks run in whichever thread polls a handle.  A flood is cut off here:
 * at most LOG_RATE lines a second pass, the rest is counted and the count is
 * passed on as one line.
 *
 * The link is in trouble from the first report that no broker can be reached,
 * or that one refuses us, until any broker answers a request that needs an
 * authenticated connection.  One broker of several that is away is no trouble
 * of the link; its reason is kept for the case that all are.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/report.h"

#include <pthread.h>
#include <syslog.h>
#include <unistd.h>

#define LOG_SLOTS	32
#define LOG_RATE	10			/* lines a second */

static struct
{
	pthread_mutex_t lock;
	int			wake_fd;
	struct
	{
		int			level;
		char		line[OUTBOX_LOG_LINE_SIZE];
	}			logs[LOG_SLOTS];
	int			first;
	int			count;
	int			dropped;
	int64		window_start;	/* the running second of the rate limit */
	int			window_count;

	OutboxResult trouble;
	OutboxResult told;			/* what the main loop saw last */
	bool		vague;			/* "all are down" is all that trouble says */
	char		last_reason[OUTBOX_RESULT_MESSAGE_SIZE];
}			report = {.lock = PTHREAD_MUTEX_INITIALIZER,.wake_fd = -1};

/* Read without the lock on the hot path of every broker response. */
static _Atomic bool in_trouble;

void
outbox_report_init(int wake_fd)
{
	report.wake_fd = wake_fd;
}

static void
wake(void)
{
	uint64		one = 1;

	if (report.wake_fd >= 0 &&
		write(report.wake_fd, &one, sizeof(one)) < 0)
	{
		/* the counter is full: the main loop is awake already */
	}
}

void
outbox_report_log(int level, const char *facility, const char *text)
{
	int64		now = outbox_now_ms();

	if (level > LOG_INFO)
		return;
	pthread_mutex_lock(&report.lock);
	if (now - report.window_start >= 1000)
	{
		report.window_start = now;
		report.window_count = 0;
	}
	if (report.count == LOG_SLOTS || report.window_count >= LOG_RATE)
		report.dropped++;
	else
	{
		int			slot = (report.first + report.count) % LOG_SLOTS;

		report.logs[slot].level = level;
		snprintf(report.logs[slot].line, OUTBOX_LOG_LINE_SIZE, "%s: %s",
				 facility, text);
		outbox_clean_line(report.logs[slot].line);
		report.count++;
		report.window_count++;
	}
	pthread_mutex_unlock(&report.lock);
	wake();
}

bool
outbox_report_next_log(int *level, char line[OUTBOX_LOG_LINE_SIZE])
{
	bool		found = false;

	pthread_mutex_lock(&report.lock);
	if (report.count > 0)
	{
		*level = report.logs[report.first].level;
		memcpy(line, report.logs[report.first].line, OUTBOX_LOG_LINE_SIZE);
		report.first = (report.first + 1) % LOG_SLOTS;
		report.count--;
		found = true;
	}
	else if (report.dropped > 0 &&
			 outbox_now_ms() - report.window_start >= 1000)
	{
		*level = LOG_NOTICE;
		snprintf(line, OUTBOX_LOG_LINE_SIZE,
				 "%d more lines from librdkafka were left out",
				 report.dropped);
		report.dropped = 0;
		found = true;
	}
	pthread_mutex_unlock(&report.lock);
	return found;
}

/*
 * From librdkafka's error callback.
 */
void
outbox_report_error(rd_kafka_resp_err_t err, const char *reason)
{
	OutboxResultClass class = outbox_error_class(err);

	pthread_mutex_lock(&report.lock);
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
	{
		/* a refusal known already says more than "all are down" */
		if (report.trouble.class != OUTBOX_CONFIG)
		{
			report.vague = report.last_reason[0] == '\0';
			outbox_result_set(&report.trouble, OUTBOX_RETRY, err, "%s",
							  report.vague ? reason : report.last_reason);
		}
	}
	else if (class == OUTBOX_CONFIG)
		outbox_result_set(&report.trouble, class, err, "%s", reason);
	else
	{
		snprintf(report.last_reason, sizeof(report.last_reason), "%s",
				 reason);
		outbox_clean_line(report.last_reason);
		if (report.vague && report.trouble.class == OUTBOX_RETRY)
		{
			report.trouble.code = err;
			memcpy(report.trouble.message, report.last_reason,
				   sizeof(report.trouble.message));
			report.vague = false;
		}
	}
	in_trouble = report.trouble.class != OUTBOX_OK;
	pthread_mutex_unlock(&report.lock);
	wake();
}

/*
 * A broker has answered something of substance.
 */
void
outbox_report_heard(void)
{
	if (!in_trouble)
		return;
	pthread_mutex_lock(&report.lock);
	outbox_result_ok(&report.trouble);
	report.last_reason[0] = '\0';
	in_trouble = false;
	pthread_mutex_unlock(&report.lock);
	wake();
}

bool
outbox_report_status_changed(OutboxResult *status)
{
	bool		changed;

	pthread_mutex_lock(&report.lock);
	changed = report.trouble.class != report.told.class ||
		report.trouble.code != report.told.code;
	report.told = report.trouble;
	*status = report.trouble;
	pthread_mutex_unlock(&report.lock);
	return changed;
}

void
outbox_report_trouble(OutboxResult *status)
{
	pthread_mutex_lock(&report.lock);
	*status = report.trouble;
	pthread_mutex_unlock(&report.lock);
}
