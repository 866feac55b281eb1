/*-------------------------------------------------------------------------
 *
 * worker.c
 *		A thread that does one blocking job after the other.
 *
 * librdkafka's transactional and administrative calls block; the main loop
 * must not, because it answers PING and sees the relay's end.  So they run
 * here: one worker for requests, another for commits.  A job belongs to the
 * thread from submit until it is reaped, and to the main loop otherwise; the
 * mutex is what makes its memory visible on the other side.
 *
 * Threads are never ended: the process leaves by _exit().
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/worker.h"

#include <unistd.h>

static void *
worker_main(void *arg)
{
	OutboxWorker *worker = arg;
	uint64		one = 1;

	pthread_mutex_lock(&worker->lock);
	for (;;)
	{
		OutboxJob  *job;

		while ((job = worker->first) == NULL)
			pthread_cond_wait(&worker->arrived, &worker->lock);
		pthread_mutex_unlock(&worker->lock);

		job->run(job);

		pthread_mutex_lock(&worker->lock);
		worker->first = job->next;
		if (worker->first == NULL)
			worker->last = NULL;
		job->next = NULL;
		if (worker->finished_last != NULL)
			worker->finished_last->next = job;
		else
			worker->finished = job;
		worker->finished_last = job;
		if (write(worker->wake_fd, &one, sizeof(one)) < 0)
		{
			/* the counter is full: the main loop is awake already */
		}
	}
	return NULL;
}

bool
outbox_worker_start(OutboxWorker *worker, int wake_fd)
{
	memset(worker, 0, sizeof(*worker));
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->arrived, NULL);
	worker->wake_fd = wake_fd;
	return pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
}

void
outbox_worker_submit(OutboxWorker *worker, OutboxJob *job)
{
	job->next = NULL;
	pthread_mutex_lock(&worker->lock);
	if (worker->last != NULL)
		worker->last->next = job;
	else
		worker->first = job;
	worker->last = job;
	pthread_cond_signal(&worker->arrived);
	pthread_mutex_unlock(&worker->lock);
}

void
outbox_worker_reap(OutboxWorker *worker)
{
	for (;;)
	{
		OutboxJob  *job;

		pthread_mutex_lock(&worker->lock);
		job = worker->finished;
		if (job != NULL)
		{
			worker->finished = job->next;
			if (worker->finished == NULL)
				worker->finished_last = NULL;
		}
		pthread_mutex_unlock(&worker->lock);
		if (job == NULL)
			return;
		job->done(job);
	}
}

bool
outbox_worker_idle(OutboxWorker *worker)
{
	bool		idle;

	pthread_mutex_lock(&worker->lock);
	idle = worker->first == NULL && worker->finished == NULL;
	pthread_mutex_unlock(&worker->lock);
	return idle;
}
