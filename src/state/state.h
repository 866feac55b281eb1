/*-------------------------------------------------------------------------
 *
 * state.h
 *		Shared memory: one entry per database that has the extension.
 *
 * Plain data only.  An entry belongs to a database from outbox_state_claim()
 * to outbox_state_free(); its relay is the only writer of the progress part,
 * everybody may read it under the entry's mutex.  A server restart forgets
 * all of it: what must survive lives in the position topic and in
 * outbox.instance.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_STATE_H
#define OUTBOX_STATE_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "base/latency.h"
#include "base/result.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "record/diagnosis.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

/* What outbox.status() calls "state".  Order is that of state_names. */
typedef enum OutboxRelayState
{
	OUTBOX_STATE_STOPPED,		/* no relay process, will be started */
	OUTBOX_STATE_STARTING,		/* process is up, reads its own catalog */
	OUTBOX_STATE_CONNECTING,	/* child started, waiting for Kafka */
	OUTBOX_STATE_TAKING_OVER,	/* position read, fencing predecessors */
	OUTBOX_STATE_STREAMING,
	OUTBOX_STATE_WAITING_FOR_STANDBY,	/* gate: standby has not flushed */
	OUTBOX_STATE_PAUSED,		/* outbox.pause() */
	OUTBOX_STATE_KAFKA_UNAVAILABLE, /* retried with back-off */
	OUTBOX_STATE_REGISTRY_UNAVAILABLE,	/* the same for a schema without an id */
	OUTBOX_STATE_REGISTRY_CHANGED,	/* an id that was published means
									 * something else there; retried */
	OUTBOX_STATE_MISCONFIGURED, /* retried with back-off; a person must act */
	OUTBOX_STATE_BLOCKED,		/* one event cannot go; retried with back-off */
	/* the rest wait for outbox.adopt() or outbox.restart() */
	OUTBOX_STATE_POSITION_UNREADABLE,
	OUTBOX_STATE_OTHER_INSTANCE,
	OUTBOX_STATE_DIVERGED,
	OUTBOX_STATE_GAP,
	OUTBOX_STATE_KAFKA_LOST,
	OUTBOX_STATE_CLONE,
	OUTBOX_STATE_FENCED
} OutboxRelayState;

#define OUTBOX_FIRST_REFUSING_STATE OUTBOX_STATE_POSITION_UNREADABLE

/* Asked of a relay by other processes; it looks when its latch is set. */
#define OUTBOX_ASK_LEAVE	0x01	/* exit now: the database must be free */
#define OUTBOX_ASK_RELOAD	0x02	/* read outbox.instance again */
#define OUTBOX_ASK_RESTART	0x04	/* exit and be started again at once */
#define OUTBOX_ASK_DIAGNOSE	0x08	/* have a look at Kafka for outbox.check() */

#define OUTBOX_MAX_TOPIC_STATS	64
#define OUTBOX_TOPIC_NAME_SIZE	256

typedef struct OutboxTopicStat
{
	char		name[OUTBOX_TOPIC_NAME_SIZE];	/* "" = unused */
	uint64		events;
	uint64		bytes;			/* keys and values */
	TimestampTz last_at;
} OutboxTopicStat;

/* What Kafka looked like when outbox.check() last had it looked at. */
typedef struct OutboxDiagnosis
{
	TimestampTz at;				/* 0 = never */
	uint32		len;
	char		body[OUTBOX_DIAGNOSIS_SIZE];	/* see record/diagnosis.h */
} OutboxDiagnosis;

/* The event log of a database, and the process that writes it. */
typedef struct OutboxLogState
{
	bool		wanted;			/* the extension is here, and is no copy */
	pid_t		pid;			/* writer, 0 = none */
	int			procno;			/* its PGPROC number while pid != 0 */
	uint32		failures;		/* in a row, for the back-off */
	TimestampTz next_retry_at;
	OutboxResult last_error;	/* kept when it is over */
	TimestampTz last_error_at;
	bool		failing;		/* the last try to write was in vain */
	XLogRecPtr	scanned;		/* how far the writer has read */
	XLogRecPtr	written;		/* every commit <= this is in the log, on disk */
	XLogRecPtr	restart;		/* from there it goes on reading after a crash */
	XLogRecPtr	releasable;		/* the relay can do without WAL before this, as
								 * the log holds what is not published */
	TimestampTz last_written_at;
	uint64		blocks;			/* written, since the server started */
	uint64		events;
	uint64		bytes;			/* of their records */
	uint64		left_out;		/* events of types that are not logged */
	uint64		dropped;		/* blocks, by retention */
	uint64		holes;			/* times that WAL was gone before it was read */
} OutboxLogState;

typedef struct OutboxRelayEntry
{
	/* Under OutboxShared->lock: */
	Oid			database;		/* InvalidOid = free entry */
	FullTransactionId creator;	/* CREATE EXTENSION not known to be over */
	TimestampTz hold_until;		/* do not start a relay before */
	TimestampTz starting_until; /* a start is under way until then */
	TimestampTz log_starting_until; /* the same of the log writer */
	OutboxDiagnosis diagnosis;	/* written by the relay */

	pg_atomic_uint32 asked;		/* OUTBOX_ASK_*, of the relay */
	pg_atomic_uint32 log_asked; /* the same of the log writer */
	pg_atomic_uint64 commit_hint;	/* end of the newest commit that carries
									 * events; the relay flushes to it */
	pg_atomic_uint32 wants_commit;	/* the relay would act on a commit now:
									 * wake it; cleared by who does */
	pg_atomic_uint32 decoding;	/* the relay wants the commits of all, not only
								 * of those that carry events */

	pg_atomic_uint32 written;	/* events were written in this server's life:
								 * see catalog/server.c */

	slock_t		mutex;			/* protects all that follows */
	pid_t		pid;			/* relay, 0 = none */
	int			procno;			/* its PGPROC number while pid != 0 */
	pid_t		child_pid;
	OutboxRelayState state;
	TimestampTz state_since;
	OutboxRelayState refused;	/* the refusing state that is to be got over,
								 * until streaming; else STOPPED */
	OutboxResult last_error;
	TimestampTz last_error_at;
	uint32		failures;		/* in a row, for the back-off */
	TimestampTz next_retry_at;
	uint64		incarnation;	/* last one of ours, 0 = none yet */
	uint32		batch_limit;	/* events in one batch after a refusal, 0 = as
								 * the settings say */
	XLogRecPtr	limit_until;	/* commits up to here keep to batch_limit */
	bool		single_messages;	/* and go one by one, so that a refusal
									 * tells which event it is about */
	XLogRecPtr	condemned_end;	/* the next process parks this event: end of
								 * its commit, 0 = none */
	uint32		condemned_ordinal;
	OutboxResult condemned_why;
	uint64		refused_job;	/* rows of this snapshot (token) were refused: the
								 * next process does not send them at once,
								 * 0 = none */
	OutboxResult refused_job_why;
	XLogRecPtr	published;		/* every commit <= this is in Kafka */
	XLogRecPtr	recorded;		/* P of the last committed position record */
	XLogRecPtr	restart;		/* R of the same */
	XLogRecPtr	scanned;		/* how far WAL has been read */
	TimestampTz caught_up_at;	/* last time nothing was waiting */
	TimestampTz oldest_pending; /* commit time of the oldest event sent but
								 * not committed, 0 = none */
	TimestampTz last_published_at;
	TimestampTz last_commit_time;	/* of the newest published transaction */
	uint64		events;
	uint64		transactions;
	uint64		kafka_transactions;
	uint64		bytes;
	uint64		forged;			/* messages with our prefix, not ours */
	uint64		split_transactions;
	uint64		parked;			/* dead letters and what follows them */
	TimestampTz last_parked_at;
	uint64		retried;		/* of these, published after all */
	uint64		open_transactions;
	uint64		spilled;
	uint64		scanner_memory;
	OutboxLatency latency;		/* commit to published, by transaction */
	TimestampTz latency_reset_at;	/* 0 = never */
	OutboxTopicStat topics[OUTBOX_MAX_TOPIC_STATS];
	OutboxLogState log;

	ConditionVariable progress; /* published or state changed */
} OutboxRelayEntry;

typedef struct OutboxShared
{
	LWLock	   *lock;
	pid_t		launcher_pid;	/* under lock, 0 = none */
	int			launcher_procno;
	int			max_databases;
	pg_atomic_uint32 decoders;	/* entries with decoding set */
	pg_atomic_uint64 wal_rate;	/* bytes of WAL a second, all databases', smoothed
								 * over a minute; by the launcher */
	pg_atomic_uint32 http_serves;	/* outbox-http has said that it is ready */
	OutboxRelayEntry entries[FLEXIBLE_ARRAY_MEMBER];
} OutboxShared;

extern OutboxShared *OutboxState;	/* NULL when not preloaded */

extern void outbox_state_init(void);	/* from _PG_init while preloading */
extern const char *outbox_state_name(OutboxRelayState state);

/* Entry of a database, NULL when it has none. */
extern OutboxRelayEntry *outbox_state_find(Oid database);

/* The same, taking a free one when there is none; NULL when all are taken. */
extern OutboxRelayEntry *outbox_state_claim(Oid database);
extern void outbox_state_free(OutboxRelayEntry *entry);

/* Whether the entry's relay decodes the changes of all. */
extern void outbox_state_set_decoding(OutboxRelayEntry *entry, bool decoding);

/* Wake the relay of an entry, its log writer, or the launcher. */
extern void outbox_state_wake(OutboxRelayEntry *entry);
extern void outbox_state_wake_log(OutboxRelayEntry *entry);
extern void outbox_state_wake_launcher(void);

/*
 * Relay: be woken by the next commit that carries events.  What it would act
 * on (commit_hint, the ProcArray) must be looked at again after this call and
 * before sleeping.
 */
extern void outbox_state_want_commit(OutboxRelayEntry *entry);
extern void outbox_state_ask(OutboxRelayEntry *entry, uint32 what);
extern void outbox_state_ask_log(OutboxRelayEntry *entry, uint32 what);

/*
 * Ask the database's workers to leave and wait up to timeout_ms until they have;
 * none is started again for hold_ms.  outbox_state_unhold() ends the hold.
 */
extern void outbox_state_leave(Oid database, int timeout_ms, int hold_ms);
extern void outbox_state_unhold(Oid database);

/* Relay: set state (and the error that led to it, NULL = keep). */
extern void outbox_state_set(OutboxRelayEntry *entry, OutboxRelayState state,
							 const OutboxResult *error);

/* wake.c */

/* emit/ and capture/ say that this transaction carries a message of ours. */
extern void outbox_state_note_message(void);

/* Whether events are known to have been written in this server's life. */
extern bool outbox_state_written(void);
extern void outbox_state_set_written(void);

/* This transaction creates or drops the extension: tell relay and launcher. */
extern void outbox_state_note_extension(void);

/* This transaction makes a database, which may be a copy of one of ours. */
extern void outbox_state_note_database(Oid database);
extern void outbox_state_wake_init(void);

#endif							/* OUTBOX_STATE_H */
