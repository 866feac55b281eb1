/*-------------------------------------------------------------------------
 *
 * closing.c
 *		A relay's last moments when the server is shut down.
 *
 * At a shutdown the postmaster tells all processes to leave at once, and what was
 * committed just before is published after the next start.  No next start of
 * this server comes after pg_upgrade, so a relay that streams stays a little
 * longer: until nobody else is connected to the database, all is published, and
 * that is noted in outbox.server (upgrade.c says what for).  It leaves without
 * the note when that takes more than CLOSING_TIME, and at once when it is not
 * the server that ends, not everything is its to know (paused, log captures), or
 * somebody stays for longer than we may.
 *
 * The order makes the note true, or seen to be out of date:
 *
 *	1 nobody else is here			who comes later can only be a process that
 *									does not obey the postmaster
 *	2 entry->written = false		... and its first event counts up
 *	3 the count is read
 *	4 nobody else is here			who came between 1 and 2 has committed, or we
 *									give up
 *	5 published up to the end of WAL as of now
 *	6 the note, with the count of 3
 *
 * What if the process dies here?  Before 6 there is no note, or an old one whose
 * count does not fit.  After it, the next start of this server writes its first
 * event with a higher count.
 *
 * SIGTERM is what it always is, die(): every wait and loop ends with it.  Only
 * where a streaming relay looks around it may be taken back, once, with a timer
 * that does the same after CLOSING_TIME wherever we are then.  From there on
 * SIGTERM is ignored: the postmaster sends each twice, to the process and to its
 * group (signal_child, postmaster.c).  While the source reads WAL, outside of
 * transactions, the signal is kept until the next look, some milliseconds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "miscadmin.h"
#include "relay/upgrade.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/pidfile.h"
#include "utils/timeout.h"

#define CLOSING_TIME	5000	/* ms for all of it */
#define PID_FILE		"postmaster.pid"

typedef enum ClosingStep
{
	CLOSING_NOT,
	CLOSING_OTHERS_LEAVE,		/* before 1 */
	CLOSING_DRAIN				/* before 5 */
} ClosingStep;

static volatile sig_atomic_t reading = false;
static volatile sig_atomic_t kept = false;	/* a SIGTERM */
static ClosingStep step = CLOSING_NOT;
static XLogRecPtr target;
static int64 writes;

/* What die() does; also as a timer's handler. */
static void
have_it_end(void)
{
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

void
outbox_closing_signal(SIGNAL_ARGS)
{
	if (!reading || kept || IsTransactionState())
		die(postgres_signal_arg);
	else
	{
		kept = true;
		SetLatch(MyLatch);
	}
}

void
outbox_closing_act(void)
{
	if (kept)
		have_it_end();
	kept = false;
}

void
outbox_closing_reads(bool now)
{
	reading = now;
	if (!now)
		outbox_closing_act();
}

static void
leave(void)
{
	have_it_end();
	CHECK_FOR_INTERRUPTS();
	proc_exit(1);				/* interrupts were held */
}

/* The postmaster writes what it is doing into its pid file. */
static bool
server_ends(void)
{
	FILE	   *file = AllocateFile(PID_FILE, "r");
	char		line[MAXPGPATH];
	bool		ends = false;

	if (file == NULL)
		return false;
	for (int n = 1; fgets(line, sizeof(line), file) != NULL; n++)
	{
		if (n == LOCK_FILE_LINE_PM_STATUS)
			ends = strncmp(line, PM_STATUS_STOPPING,
						   strlen(PM_STATUS_STOPPING)) == 0;
	}
	FreeFile(file);
	return ends;
}

static bool
alone(void)
{
	return CountDBBackends(MyDatabaseId) <= 1;
}

/*
 * Logical walsenders stay until the shutdown checkpoint, so until after us, and
 * might run SQL.
 */
static bool
only_walsenders_stay(void)
{
	int			n = 0;

	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *walsnd = &WalSndCtl->walsnds[i];
		PGPROC	   *proc;
		pid_t		pid;

		SpinLockAcquire(&walsnd->mutex);
		pid = walsnd->pid;
		SpinLockRelease(&walsnd->mutex);
		proc = pid == 0 ? NULL : BackendPidGetProc(pid);
		n += proc != NULL && proc->databaseId == MyDatabaseId;
	}
	return n > 0 && CountDBBackends(MyDatabaseId) - 1 == n;
}

/*
 * A commit of ours, for WAL up to it is flushed then: the WAL writer has left, and
 * may have flushed to the middle of a record of somebody's asynchronous commit.
 */
static XLogRecPtr
flush_all(void)
{
	outbox_relay_begin_transaction();
	(void) set_config_option("synchronous_commit", "local", PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	(void) GetTopTransactionId();
	ForceSyncCommit();
	CommitTransactionCommand();
	return XactLastCommitEnd;
}

/* Steps 2 to 4, and where 5 ends. */
static void
count(OutboxRelay *relay)
{
	pg_atomic_write_u32(&relay->entry->written, 0);
	pg_memory_barrier();
	outbox_relay_begin_transaction();
	writes = outbox_server_writes();
	CommitTransactionCommand();
	if (!alone())
		leave();
	target = flush_all();
	step = CLOSING_DRAIN;
}

static void
note(OutboxRelay *relay)
{
	outbox_relay_begin_transaction();
	(void) set_config_option("synchronous_commit", "local", PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	outbox_server_close(relay->recorded, writes);
	CommitTransactionCommand();
	ereport(LOG,
			(errmsg("outbox has published everything, up to %X/%X",
					LSN_FORMAT_ARGS(relay->recorded))));
	leave();
}

void
outbox_closing_begin(OutboxRelay *relay)
{
	static bool asked = false;

	outbox_closing_act();
	if (!ProcDiePending || asked)
		return;
	asked = true;
	if (relay->entry->state != OUTBOX_STATE_STREAMING || !server_ends() ||
		relay->log_captures || relay->decoding ||
		relay->instance.log_from != InvalidXLogRecPtr)
		return;
	(void) enable_timeout_after(RegisterTimeout(USER_TIMEOUT, have_it_end),
								CLOSING_TIME);
	pqsignal(SIGTERM, SIG_IGN);
	ProcDiePending = false;
	step = CLOSING_OTHERS_LEAVE;
}

bool
outbox_closing_look(OutboxRelay *relay, const OutboxSourceProgress *progress,
					bool more)
{
	if (step == CLOSING_NOT)
		return false;
	if (step == CLOSING_OTHERS_LEAVE && only_walsenders_stay())
		leave();
	if (step == CLOSING_OTHERS_LEAVE && alone())
		count(relay);
	if (step == CLOSING_DRAIN && !more && progress->scanned >= target &&
		progress->open_txns == 0 && relay->nflying == 0 &&
		relay->open->events == 0)
		note(relay);
	return true;
}
