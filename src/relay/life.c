/*-------------------------------------------------------------------------
 *
 * life.c
 *		How a relay begins, what it obeys, and how it leaves.
 *
 * Owns the relay's hold on its entry in shared memory, from
 * outbox_life_begin() to the exit callback, and the only function in which a
 * relay sleeps, outbox_relay_wait().
 *
 * Leaving is the same for every reason: what status() shall say is written to
 * the entry, with the time of the next start; then the process exits.  Its exit
 * callbacks end the child, release the slot, and last of all give the entry
 * free and wake the launcher.  A process that dies without them (kill -9, crash)
 * takes the whole of shared memory with it.
 *
 * The entry of a database that has no extension is given up together with the
 * slot, under the lock that CREATE EXTENSION takes to announce itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/instance.h"
#include "compat.h"
#include "guc.h"
#include "jobs/jobs.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "relay/budget.h"
#include "relay/child.h"
#include "relay/relay.h"
#include "relay/switch.h"
#include "relay/upgrade.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"

#define FIRST_BACKOFF	100		/* ms */

static OutboxRelayEntry *own_entry;
static char *settings_at_start;

static void
show_state(OutboxRelay *relay)
{
	static OutboxRelayState shown = (OutboxRelayState) -1;
	OutboxRelayState state = relay->entry->state;

	if (state == shown)
		return;
	shown = state;
	set_ps_display(outbox_state_name(state));
	pgstat_report_activity(state == OUTBOX_STATE_STREAMING ?
						   STATE_RUNNING : STATE_IDLE,
						   psprintf("outbox relay: %s",
									outbox_state_name(state)));
}

/* ---- leaving --------------------------------------------------------- */

static void
leave_entry(int code, Datum arg)
{
	OutboxRelayEntry *entry = own_entry;

	SpinLockAcquire(&entry->mutex);
	if (entry->pid == MyProcPid)
	{
		entry->pid = 0;
		entry->child_pid = 0;
		entry->oldest_pending = 0;
		if (entry->state < OUTBOX_STATE_KAFKA_UNAVAILABLE)
			entry->state = OUTBOX_STATE_STOPPED;
	}
	SpinLockRelease(&entry->mutex);
	outbox_state_set_decoding(entry, false);
	ConditionVariableBroadcast(&entry->progress);
	if (!LWLockHeldByMe(OutboxState->lock))
		outbox_state_wake_launcher();
}

/* Back-off for the next start; under the entry's mutex. */
static void
schedule_retry(OutboxRelayEntry *entry)
{
	int			delay = FIRST_BACKOFF << Min(entry->failures, 10);

	entry->failures++;
	entry->next_retry_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									Min(delay, outbox_retry_max));
}

void
outbox_relay_stop(OutboxRelay *relay, OutboxRelayState state,
				  const OutboxResult *why)
{
	OutboxRelayEntry *entry = relay->entry;
	bool		news;

	if (state == OUTBOX_STATE_BLOCKED)
		outbox_batch_narrow(relay);
	SpinLockAcquire(&entry->mutex);
	news = strcmp(entry->last_error.message, why->message) != 0 ||
		entry->failures == 0;
	if (state < OUTBOX_FIRST_REFUSING_STATE)
		schedule_retry(entry);
	else if ((pg_atomic_read_u32(&entry->asked) & ~OUTBOX_ASK_DIAGNOSE) != 0)
		entry->next_retry_at = 0;	/* adopt(), perhaps: look again */
	else
		entry->next_retry_at = DT_NOEND;
	SpinLockRelease(&entry->mutex);
	outbox_state_set(entry, state, why);

	ereport(news ? LOG : DEBUG1,
			(errmsg("outbox relay stops in state \"%s\": %s",
					outbox_state_name(state), why->message)));
	proc_exit(0);
}

void
outbox_relay_refuse(OutboxRelay *relay, OutboxRelayState state,
					const char *fmt,...)
{
	OutboxResult why = {.class = OUTBOX_CONFIG};
	va_list		args;

	va_start(args, fmt);
	vsnprintf(why.message, sizeof(why.message), fmt, args);
	va_end(args);
	outbox_relay_stop(relay, state, &why);
}

/*
 * The extension is not (or no longer) in this database: drop the slot.  Not
 * while somebody creates the extension, or has just done so: that slot is
 * theirs, and the next relay will see.
 */
static void
leave_for_good(OutboxRelay *relay)
{
	OutboxRelayEntry *entry = relay->entry;
	bool		writing;

	outbox_switch_end_builder();
	outbox_log_slot_release();
	outbox_slot_release();
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	SpinLockAcquire(&entry->mutex);
	entry->log.wanted = false;
	writing = entry->log.pid != 0;
	SpinLockRelease(&entry->mutex);
	if (!FullTransactionIdIsValid(entry->creator) && !writing &&
		outbox_slot_drop(OUTBOX_SLOT_EVENT_LOG, MyDatabaseId) &&
		outbox_log_slot_drop(MyDatabaseId) &&
		outbox_slot_drop(OUTBOX_SLOT_RELAY, MyDatabaseId))
	{
		leave_entry(0, 0);
		entry->database = InvalidOid;
	}
	else
	{
		SpinLockAcquire(&entry->mutex);
		schedule_retry(entry);
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(OutboxState->lock);
	if (writing)
		outbox_state_ask_log(entry, OUTBOX_ASK_LEAVE);
	proc_exit(0);
}

void
outbox_relay_begin_transaction(void)
{
	outbox_closing_act();
	outbox_decoder_leave_history();
	StartTransactionCommand();
}

/* ---- what others ask for --------------------------------------------- */

/* Read outbox.instance; does not return when the extension is not there. */
static void
load_instance(OutboxRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;
	bool		present;
	bool		found = false;

	outbox_relay_begin_transaction();
	present = outbox_catalog_present();
	if (present)
		found = outbox_catalog_instance(&relay->instance);
	if (found)
		outbox_switch_read_captures(relay);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	if (!present)
		leave_for_good(relay);
	if (!found)
		outbox_relay_refuse(relay, OUTBOX_STATE_MISCONFIGURED,
							"outbox.instance is empty; run SELECT outbox.new_identity()");
}

static char *
link_settings(void)
{
	return psprintf("%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d\n%d",
					outbox_bootstrap_servers, outbox_schema_registry_url,
					outbox_schema_registry_name, outbox_registry_context,
					outbox_kafka_config_file, outbox_kafka_program,
					outbox_host_identity, outbox_delivery, outbox_ring_size);
}

static void
reload_configuration(OutboxRelay *relay)
{
	char	   *now;

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	now = link_settings();
	if (strcmp(now, settings_at_start) != 0)
	{
		SpinLockAcquire(&relay->entry->mutex);
		relay->entry->failures = 0;
		relay->entry->next_retry_at = 0;
		SpinLockRelease(&relay->entry->mutex);
		proc_exit(0);
	}
	pfree(now);
}

static void
obey(OutboxRelay *relay)
{
	uint32		asked = pg_atomic_exchange_u32(&relay->entry->asked, 0);

	if (asked & OUTBOX_ASK_LEAVE)
	{
		outbox_state_set(relay->entry, OUTBOX_STATE_STOPPED, NULL);
		outbox_switch_end_builder();
		proc_exit(0);
	}
	if (asked & OUTBOX_ASK_RESTART)
	{
		SpinLockAcquire(&relay->entry->mutex);
		relay->entry->failures = 0;
		relay->entry->next_retry_at = 0;
		SpinLockRelease(&relay->entry->mutex);
		proc_exit(0);
	}

	/*
	 * The decoder waits inside a transaction of its own: later then.  Nobody
	 * else does: routes.c never waits.
	 */
	if ((asked & OUTBOX_ASK_RELOAD) && IsTransactionState())
		pg_atomic_fetch_or_u32(&relay->entry->asked, OUTBOX_ASK_RELOAD);
	else if (asked & OUTBOX_ASK_RELOAD)
	{
		pg_uuid_t	before = relay->instance.id;

		outbox_jobs_reload();
		outbox_routes_reload();
		load_instance(relay);
		if (memcmp(&before, &relay->instance.id, sizeof(before)) != 0)
			proc_exit(0);		/* dropped and created again */
	}
	if ((asked & OUTBOX_ASK_DIAGNOSE) && IsTransactionState())
		pg_atomic_fetch_or_u32(&relay->entry->asked, OUTBOX_ASK_DIAGNOSE);
	else if (asked & OUTBOX_ASK_DIAGNOSE)
		outbox_diagnosis_ask(relay);
}

/* After every sleep. */
static void
look_around(OutboxRelay *relay)
{
	outbox_closing_begin(relay);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
		reload_configuration(relay);
	outbox_budget_look(relay);
	if (pg_atomic_read_u32(&relay->entry->asked) != 0)
		obey(relay);
}

void
outbox_relay_wait(OutboxRelay *relay, int timeout_ms)
{
	show_state(relay);
	(void) outbox_child_wait(timeout_ms);
	look_around(relay);
}

/* ---- start ----------------------------------------------------------- */

void
outbox_life_begin(OutboxRelay *relay, Oid database)
{
	OutboxRelayEntry *entry = outbox_state_claim(database);
	bool		held;

	if (entry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("more databases have the extension \"outbox\" than outbox.max_databases"),
				 errhint("Raise outbox.max_databases, now %d.",
						 OutboxState->max_databases)));
	SpinLockAcquire(&entry->mutex);
	if (entry->pid != 0 && entry->pid != MyProcPid)
	{
		SpinLockRelease(&entry->mutex);
		proc_exit(0);			/* another relay is at work */
	}
	entry->pid = MyProcPid;
	entry->procno = outbox_compat_my_procno();
	SpinLockRelease(&entry->mutex);
	relay->entry = own_entry = entry;
	/* After the callbacks that release the slot: the next one needs it. */
	on_shmem_exit(leave_entry, 0);
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry->starting_until = 0;
	held = entry->hold_until > GetCurrentTimestamp();
	LWLockRelease(OutboxState->lock);
	pg_atomic_write_u32(&entry->asked, 0);

	/* Started just before somebody wanted the database for himself. */
	if (held)
		proc_exit(0);
	settings_at_start = MemoryContextStrdup(TopMemoryContext, link_settings());
	outbox_state_set(entry, OUTBOX_STATE_STARTING, NULL);
}

/*
 * A copy made by CREATE DATABASE ... TEMPLATE is somebody new.  The slot comes
 * first, so that a death in between leaves somebody who will be renewed again,
 * not somebody new without a beginning; and it stays where it is then.
 */
void
outbox_life_check_instance(OutboxRelay *relay)
{
	load_instance(relay);
	if (relay->instance.database != MyDatabaseId)
	{
		XLogRecPtr	restart;

		if (outbox_slot_acquire(OUTBOX_SLOT_RELAY, MyDatabaseId,
								&restart) != OUTBOX_SLOT_OK)
			outbox_slot_create(OUTBOX_SLOT_RELAY, MyDatabaseId);
		outbox_slot_release();
		StartTransactionCommand();
		outbox_instance_renew();
		CommitTransactionCommand();
		load_instance(relay);
	}
	outbox_upgrade_look(relay);
	SpinLockAcquire(&relay->entry->mutex);
	relay->entry->log.wanted = true;
	SpinLockRelease(&relay->entry->mutex);
	outbox_state_wake_launcher();
}

void
outbox_life_wait_for_settings(OutboxRelay *relay)
{
	static uint32 wait_event = 0;
	OutboxResult why = {.class = OUTBOX_CONFIG};

	if (outbox_bootstrap_servers[0] != '\0')
		return;
	strlcpy(why.message, "outbox.bootstrap_servers is not set",
			sizeof(why.message));
	outbox_state_set(relay->entry, OUTBOX_STATE_MISCONFIGURED, &why);
	show_state(relay);
	for (;;)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0,
						 outbox_compat_wait_event(&wait_event,
												  "OutboxRelaySettings"));
		ResetLatch(MyLatch);
		look_around(relay);
	}
}

static OutboxRelayState
state_of_error(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_UNDEFINED_FILE:
			return OUTBOX_STATE_GAP;
		case ERRCODE_CONFIG_FILE_ERROR:
			return OUTBOX_STATE_MISCONFIGURED;
		case OUTBOX_ERRCODE_BLOCKED:
			return OUTBOX_STATE_BLOCKED;
		default:
			return OUTBOX_STATE_STOPPED;
	}
}

/*
 * Note an error for status(); the caller lets it end the process.  Returns
 * whether it is another one than the last time: only that is worth the log.
 */
bool
outbox_life_record_error(OutboxRelay *relay, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	ErrorData  *error = CopyErrorData();
	OutboxRelayState state = state_of_error(error->sqlerrcode);
	OutboxResult why = {.class = OUTBOX_UNKNOWN};
	bool		news;

	snprintf(why.message, sizeof(why.message), error->hint ? "%s (%s)" : "%s",
			 error->message, error->hint);
	SpinLockAcquire(&relay->entry->mutex);
	news = strcmp(relay->entry->last_error.message, why.message) != 0 ||
		relay->entry->failures == 0;
	if (state >= OUTBOX_FIRST_REFUSING_STATE)
		relay->entry->next_retry_at = DT_NOEND;
	else
		schedule_retry(relay->entry);
	SpinLockRelease(&relay->entry->mutex);
	outbox_state_set(relay->entry, state, &why);
	MemoryContextSwitchTo(old);
	return news;
}
