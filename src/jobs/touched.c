/*-------------------------------------------------------------------------
 *
 * touched.c
 *		The keys that were changed while a chunk was read.
 *
 * Owns one list and one hash for each chunk, in the chunk's memory context.
 * Until the reader's snapshot is known every change is kept with its
 * transaction; then those that it sees are dropped, because the rows of the
 * chunk already are what they made of them.
 *
 * Keys are kept as 128 bits of SipHash under two keys that this process draws:
 * nobody can choose keys that collide, and by chance they do not.
 *
 * MAX_TOUCHED bounds the memory.  Beyond it the chunk is good for nothing and
 * is read again, when less is going on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/siphash.h"
#include "jobs/chunk.h"
#include "jobs/touched.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define MAX_TOUCHED		500000
#define FIRST_SIZE		64

typedef struct KeyHash
{
	uint64		half[2];
} KeyHash;

typedef struct Change
{
	KeyHash		key;
	TransactionId xid;
	bool		all;			/* of no key: may be any row */
	bool		truncate;
} Change;

struct OutboxTouched
{
	MemoryContext context;
	const OutboxSeen *seen;		/* NULL: not known yet */
	Change	   *changes;		/* until then */
	uint32		nchanges;
	uint32		size;
	HTAB	   *keys;			/* from then on; NULL = none */
	bool		all;
	bool		truncated;
};

static int
compare_xids(const void *a, const void *b)
{
	TransactionId left = *(const TransactionId *) a;
	TransactionId right = *(const TransactionId *) b;

	return left < right ? -1 : left > right;
}

/*
 * As XidInMVCCSnapshot() for a top-level xid: those are all in xip, however
 * many subtransactions there were.
 */
bool
outbox_seen_visible(const OutboxSeen *seen, TransactionId xid)
{
	if (TransactionIdPrecedes(xid, seen->xmin))
		return true;
	if (TransactionIdFollowsOrEquals(xid, seen->xmax))
		return false;
	return seen->nxip == 0 ||
		bsearch(&xid, seen->xip, seen->nxip, sizeof(TransactionId),
				compare_xids) == NULL;
}

/* An Avro key's schema may change; the row stays the same. */
static int
schema_bytes(const OutboxWalMessage *msg)
{
	if ((msg->flags & OUTBOX_MSG_KEY_SCHEMA) != 0)
		return sizeof(uint32);
	return (msg->flags & OUTBOX_ROW_WIRE_KEY) != 0 &&
		msg->key_len >= OUTBOX_WIRE_PREFIX ? OUTBOX_WIRE_PREFIX : 0;
}

static KeyHash
hash_of(const OutboxWalMessage *msg)
{
	int			skip = schema_bytes(msg);
	static uint8 secrets[2][OUTBOX_SIPHASH_KEY_SIZE];
	static bool drawn = false;
	KeyHash		hash;

	if (!drawn)
	{
		if (!pg_strong_random(secrets, sizeof(secrets)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random bits")));
		drawn = true;
	}
	for (int i = 0; i < 2; i++)
	{
		OutboxSipHash state;

		outbox_siphash_init(&state, secrets[i]);
		outbox_siphash_update(&state, msg->key + skip, msg->key_len - skip);
		hash.half[i] = outbox_siphash_final(&state);
	}
	return hash;
}

OutboxTouched *
outbox_touched_create(MemoryContext context)
{
	OutboxTouched *touched = MemoryContextAllocZero(context,
													sizeof(OutboxTouched));

	touched->context = context;
	return touched;
}

static void
keep(OutboxTouched *touched, const Change *change)
{
	if (change->all)
		touched->all = true;
	touched->truncated |= change->truncate;
	if (touched->all)
		return;
	if (touched->keys == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(KeyHash),
			.entrysize = sizeof(KeyHash),.hcxt = touched->context};

		touched->keys = hash_create("outbox touched keys", FIRST_SIZE, &ctl,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	(void) hash_search(touched->keys, &change->key, HASH_ENTER, NULL);
	if (hash_get_num_entries(touched->keys) > MAX_TOUCHED)
		touched->all = true;
}

static void
remember(OutboxTouched *touched, const Change *change)
{
	if (touched->nchanges == MAX_TOUCHED)
	{
		touched->all = true;
		touched->truncated |= change->truncate; /* to be on the safe side */
		return;
	}
	if (touched->nchanges == touched->size)
	{
		touched->size = Max(touched->size * 2, FIRST_SIZE);
		touched->changes = touched->changes == NULL ?
			MemoryContextAlloc(touched->context,
							   touched->size * sizeof(Change)) :
			repalloc(touched->changes, touched->size * sizeof(Change));
	}
	touched->changes[touched->nchanges++] = *change;
}

void
outbox_touched_note(OutboxTouched *touched, const OutboxWalMessage *msg,
					TransactionId xid)
{
	Change		change = {.xid = xid};

	change.truncate = msg->kind == OUTBOX_MESSAGE_TRUNCATE;
	if ((touched->all && !change.truncate) ||
		(touched->seen != NULL && outbox_seen_visible(touched->seen, xid)))
		return;
	change.all = msg->kind != OUTBOX_MESSAGE_CHANGE || msg->key == NULL;
	if (!change.all)
		change.key = hash_of(msg);
	if (touched->seen == NULL)
		remember(touched, &change);
	else
		keep(touched, &change);
}

void
outbox_touched_judge(OutboxTouched *touched, const OutboxSeen *seen)
{
	touched->seen = seen;
	for (uint32 i = 0; i < touched->nchanges; i++)
	{
		if (!outbox_seen_visible(seen, touched->changes[i].xid))
			keep(touched, &touched->changes[i]);
	}
	if (touched->changes != NULL)
		pfree(touched->changes);
	touched->changes = NULL;
	touched->nchanges = touched->size = 0;
}

bool
outbox_touched_has(const OutboxTouched *touched, const OutboxWalMessage *msg)
{
	KeyHash		hash;

	if (touched->all)
		return true;
	if (touched->keys == NULL)
		return false;
	if (msg->key == NULL)
		return true;
	hash = hash_of(msg);
	return hash_search(touched->keys, &hash, HASH_FIND, NULL) != NULL;
}

bool
outbox_touched_any(const OutboxTouched *touched)
{
	return touched->all || touched->keys != NULL;
}

bool
outbox_touched_truncated(const OutboxTouched *touched)
{
	return touched->truncated;
}

bool
outbox_touched_all(const OutboxTouched *touched)
{
	return touched->all;
}
