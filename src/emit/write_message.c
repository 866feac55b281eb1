/*-------------------------------------------------------------------------
 *
 * write_message.c
 *		One message into the current transaction.
 *
 * The one place that gives ordinals and signs: a transactional logical WAL
 * message with the record of record/wal_message.h, for events (emit.c) and for
 * changes of captured tables (capture/) alike.
 *
 * Owned per backend: the ordinal of the last message in the current top-level
 * transaction, the signing key, and one buffer for the record.  The ordinal
 * only rises, also over rolled-back savepoints; a new top-level transaction is
 * told by its full transaction id, so nothing needs resetting at commit, abort
 * or PREPARE.  The buffer is used only between begin and end of write_record(),
 * which runs no code of a user's: nested calls (an output function that emits)
 * cannot meet there.
 *
 * What if the process dies here?  Before the commit record is flushed the
 * transaction, and with it the message, never was.  After it the message is in
 * WAL before it (same stream), and the relay finds it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/uuid7.h"
#include "catalog/catalog.h"
#include "catalog/server.h"
#include "compat.h"
#include "emit/write_message.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "state/state.h"
#include "utils/memutils.h"

/* A buffer that one large message has grown beyond this is given back. */
#define KEEP_BUFFER_SIZE (256 * 1024)

/* The current top-level transaction's id and number of messages. */
static FullTransactionId current_xid;
static uint32 current_ordinal = 0;

/* What records are signed with; valid for one catalog generation. */
static uint8 secret[OUTBOX_SIPHASH_KEY_SIZE];
static uint32 secret_id = 0;
static uint64 secret_generation = 0;

void
outbox_message_check_server(const char *what)
{
	PreventCommandDuringRecovery(what);
	PreventCommandIfReadOnly(what);
	PreventCommandIfParallelMode(what);
	if (!XLogIsNeeded())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("events cannot be written with wal_level \"minimal\""),
				 errhint("Set wal_level to \"replica\" or higher and restart the server.")));
}

void
outbox_message_new_id(uint8 id[OUTBOX_EVENT_ID_SIZE])
{
	if (!outbox_uuid7(id))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes for an event id")));
}

/* Ordinal and MAC context: the place in the top-level transaction. */
static void
set_place(OutboxWalMessage *msg, OutboxMacContext *context)
{
	FullTransactionId xid = GetTopFullTransactionId();

	if (!FullTransactionIdEquals(xid, current_xid))
	{
		current_xid = xid;
		current_ordinal = 0;
	}
	if (current_ordinal == PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many events in one transaction")));
	msg->ordinal = ++current_ordinal;
	context->system_id = GetSystemIdentifier();
	context->database = MyDatabaseId;
	context->full_xid = U64FromFullTransactionId(xid);
}

/* After a lookup in our tables, which has accepted invalidations. */
static void
refresh_secret(void)
{
	uint64		generation = outbox_catalog_generation();

	if (secret_generation == generation)
		return;
	secret_generation = 0;
	secret_id = outbox_catalog_current_secret(secret);
	secret_generation = generation;
}

static void
write_record(const OutboxWalMessage *msg, const OutboxMacContext *context)
{
	static StringInfoData buffer;

	if (buffer.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&buffer);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&buffer);
	outbox_wal_message_write(&buffer, msg, secret, context);
	(void) outbox_compat_log_message(OUTBOX_WAL_PREFIX, buffer.data, buffer.len);
	if (buffer.maxlen > KEEP_BUFFER_SIZE)
	{
		pfree(buffer.data);
		buffer.data = NULL;
	}
}

void
outbox_message_write(OutboxWalMessage *msg)
{
	OutboxMacContext context;

	if (!outbox_state_written())
		outbox_server_note_writing();
	refresh_secret();
	msg->key_id = secret_id;
	set_place(msg, &context);
	write_record(msg, &context);
	outbox_state_note_message();
}
