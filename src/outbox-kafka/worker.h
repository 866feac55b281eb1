/*-------------------------------------------------------------------------
 *
 * worker.h
 *		A thread that does one blocking job after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_WORKER_H
#define OUTBOX_KAFKA_WORKER_H

#include "base/base.h"
#include "base/result.h"

#include <pthread.h>

/* Embedded as the first member of what a job needs. */
typedef struct OutboxJob
{
	struct OutboxJob *next;
	void		(*run) (struct OutboxJob *job); /* in the thread */
	void		(*done) (struct OutboxJob *job);	/* main loop; frees it */
	OutboxResult result;		/* set by run */
} OutboxJob;

typedef struct OutboxWorker
{
	pthread_t	thread;
	pthread_mutex_t lock;		/* of everything below */
	pthread_cond_t arrived;
	OutboxJob  *first;			/* waiting, the first one perhaps running */
	OutboxJob  *last;
	OutboxJob  *finished;
	OutboxJob  *finished_last;
	int			wake_fd;
} OutboxWorker;

extern bool outbox_worker_start(OutboxWorker *worker, int wake_fd);
extern void outbox_worker_submit(OutboxWorker *worker, OutboxJob *job);

/* Main loop: call done() of every finished job, in order. */
extern void outbox_worker_reap(OutboxWorker *worker);

/* No job waiting, running or unreaped. */
extern bool outbox_worker_idle(OutboxWorker *worker);

#endif							/* OUTBOX_KAFKA_WORKER_H */
