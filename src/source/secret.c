/*-------------------------------------------------------------------------
 *
 * secret.c
 *		Which messages with our prefix are ours.
 *
 * pg_logical_emit_message() is executable by everybody: what fails the MAC, or
 * repeats an ordinal, is a forgery or a copy.
 *
 * Rows of outbox.secret are immutable, so what was read once is right for the
 * life of the process.  A miss opens a short transaction; the message is of a
 * committed transaction, and so is the key that made it, if it is ours.  A key
 * id that is not there is remembered too, for all that had committed before it
 * was looked for: a flood of forgeries must not become a flood of catalog
 * reads, and a forgery must not hide a key that is made right after it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/cursor.h"
#include "catalog/catalog.h"
#include "miscadmin.h"
#include "source/source.h"

/* The one key that is remembered, and the id last looked for in vain. */
static struct
{
	bool		known;
	uint32		id;
	uint8		key[OUTBOX_SIPHASH_KEY_SIZE];
	uint32		missed_id;
	XLogRecPtr	missed_at;		/* 0 = none */
}			secret;

static bool
missed_before(uint32 key_id, XLogRecPtr commit_end)
{
	return secret.missed_id == key_id && commit_end <= secret.missed_at;
}

bool
outbox_secret_known(uint32 key_id, XLogRecPtr commit_end)
{
	return (secret.known && secret.id == key_id) ||
		missed_before(key_id, commit_end);
}

/* Have that key in secret.key. */
static bool
find_key(uint32 key_id, XLogRecPtr commit_end)
{
	uint8		key[OUTBOX_SIPHASH_KEY_SIZE];
	MemoryContext old = CurrentMemoryContext;
	XLogRecPtr	now;
	bool		found;

	if (secret.known && secret.id == key_id)
		return true;
	if (missed_before(key_id, commit_end))
		return false;
	now = GetXLogInsertRecPtr();
	outbox_decoder_leave_history();
	StartTransactionCommand();
	found = outbox_catalog_secret(key_id, key);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	if (!found)
	{
		secret.missed_id = key_id;
		secret.missed_at = now;
		return false;
	}
	secret.known = true;
	secret.id = key_id;
	memcpy(secret.key, key, sizeof(secret.key));
	return true;
}

bool
outbox_secret_authentic(FullTransactionId xid, XLogRecPtr commit_end,
						const char *data, Size len, uint32 *last_ordinal)
{
	OutboxMacContext context;
	OutboxCursor c;
	uint32		key_id,
				ordinal;

	/* These two stay where they are in every version of the record. */
	outbox_cursor_init(&c, data, len);
	(void) outbox_get_u32(&c);
	key_id = outbox_get_u32(&c);
	ordinal = outbox_get_u32(&c);
	if (c.failed || ordinal <= *last_ordinal || !find_key(key_id, commit_end))
		return false;
	context.system_id = GetSystemIdentifier();
	context.database = MyDatabaseId;
	context.full_xid = U64FromFullTransactionId(xid);
	if (!outbox_wal_message_verify(data, len, secret.key, &context))
		return false;
	*last_ordinal = ordinal;
	return true;
}
