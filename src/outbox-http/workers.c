/*-------------------------------------------------------------------------
 *
 * workers.c
 *		A few threads that ask the database.
 *
 * A job belongs to the queue from submit, then to one worker, which gives it
 * back by its done(); after that call the worker does not touch it.  Threads
 * are never ended: the process leaves by _exit().
 *
 * The queue is bounded, and a job that waited for too long is answered without
 * being run: a database that is slow must not make everybody wait for ever.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/server.h"

#include <errno.h>
#include <pthread.h>

#include "base/clock.h"

#define NWORKERS	4
#define MAX_QUEUE	256
#define MAX_WAIT	20000		/* ms in the queue */
#define REST		10			/* s without a job until connections rest */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static OutboxJob *first,
		  **last = &first;
static int	nqueued;

/* The next job, or NULL after a while without one. */
static OutboxJob *
take(void)
{
	struct timespec until;
	OutboxJob  *job;

	pthread_mutex_lock(&lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += REST;
	while (first == NULL &&
		   pthread_cond_timedwait(&arrived, &lock, &until) != ETIMEDOUT)
		 /* look again */ ;
	job = first;
	if (job != NULL)
	{
		first = job->next;
		if (first == NULL)
			last = &first;
		nqueued--;
	}
	pthread_mutex_unlock(&lock);
	return job;
}

static void *
work(void *arg)
{
	OutboxDb   *db = outbox_db_new();

	for (;;)
	{
		OutboxJob  *job = take();

		if (job == NULL)
			outbox_db_rest(db);
		else
		{
			if (outbox_monotonic_ms() - job->queued_at > MAX_WAIT)
				outbox_answer_error(job->request, 50002,
									"the database did not answer in time");
			else
				job->run(job, db);
			job->done(job);
		}
	}
	return NULL;
}

bool
outbox_workers_start(void)
{
	for (int i = 0; i < NWORKERS; i++)
	{
		pthread_t	thread;

		if (pthread_create(&thread, NULL, work, NULL) != 0)
			return false;
	}
	return true;
}

bool
outbox_workers_submit(OutboxJob *job)
{
	bool		room;

	job->next = NULL;
	job->queued_at = outbox_monotonic_ms();
	pthread_mutex_lock(&lock);
	room = nqueued < MAX_QUEUE;
	if (room)
	{
		*last = job;
		last = &job->next;
		nqueued++;
		pthread_cond_signal(&arrived);
	}
	pthread_mutex_unlock(&lock);
	return room;
}
