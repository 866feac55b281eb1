/*-------------------------------------------------------------------------
 *
 * pending.c
 *		Transactions that have neither committed nor aborted, by xid.
 *
 * Owns: one entry for each xid with messages, found by xid (a chained hash;
 * xids come in sequence, so xid modulo size spreads them perfectly), in a list
 * ordered by first message (they arrive in WAL order, so appending keeps it),
 * and, while it holds contents, in one of the lists by size.
 *
 * When contents would exceed the limit, the xid with the most (by power of two)
 * keeps only the places of its messages; spilled once, it stays so.  What large
 * transactions needed is returned as they end, and everything is when nothing
 * is pending.
 *
 * Single process, no locks, nothing survives a crash: reading starts again at
 * the first message of the oldest entry.
 *
 * Does not know about subtransactions, nor read WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "source/pending.h"

#define BUCKETS_MIN			1024
#define BUCKETS_MAX			(UINT32_C(1) << 30)
#define SIZE_CLASSES		64
#define MAX_UNUSED			256		/* entries kept */
#define RESET_ABOVE			(1024 * 1024)	/* bytes held when empty */

struct OutboxPending
{
	OutboxChunkPool pool;		/* its context holds all but this struct */
	Size		limit;
	uint64		count;
	uint64		spilled;		/* xids, since creation */
	uint32		nbuckets;		/* power of two */
	OutboxPendingXid **buckets;
	dlist_head	by_start;
	dlist_head	by_size[SIZE_CLASSES];
	uint64		nonempty;		/* bit i: by_size[i] is not empty */
	OutboxPendingXid *unused;
	int			nunused;
};

static void
make_empty(OutboxPending *pending)
{
	MemoryContext context = pending->pool.context;

	memset(&pending->pool, 0, sizeof(OutboxChunkPool));
	pending->pool.context = context;
	pending->count = 0;
	pending->nbuckets = BUCKETS_MIN;
	pending->buckets = MemoryContextAllocZero(context,
											  BUCKETS_MIN * sizeof(OutboxPendingXid *));
	dlist_init(&pending->by_start);
	for (int i = 0; i < SIZE_CLASSES; i++)
		dlist_init(&pending->by_size[i]);
	pending->nonempty = 0;
	pending->unused = NULL;
	pending->nunused = 0;
}

OutboxPending *
outbox_pending_create(Size limit)
{
	OutboxPending *pending = palloc0(sizeof(OutboxPending));

	pending->pool.context = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox pending transactions",
												  ALLOCSET_DEFAULT_SIZES);
	pending->limit = limit;
	make_empty(pending);
	return pending;
}

uint64
outbox_pending_count(const OutboxPending *pending)
{
	return pending->count;
}

uint64
outbox_pending_spilled(const OutboxPending *pending)
{
	return pending->spilled;
}

Size
outbox_pending_memory(const OutboxPending *pending)
{
	return pending->pool.content + pending->pool.places +
		pending->count * sizeof(OutboxPendingXid);
}

XLogRecPtr
outbox_pending_first(const OutboxPending *pending)
{
	if (pending->count == 0)
		return InvalidXLogRecPtr;
	return dlist_container(OutboxPendingXid, by_start,
						   pending->by_start.head.next)->messages.first;
}

/*
 * Hash of entries.
 */
OutboxPendingXid *
outbox_pending_find(OutboxPending *pending, TransactionId xid)
{
	OutboxPendingXid *entry;

	if (pending->count == 0)
		return NULL;
	entry = pending->buckets[xid & (pending->nbuckets - 1)];
	while (entry != NULL && entry->xid != xid)
		entry = entry->next_in_bucket;
	return entry;
}

static void
grow_buckets(OutboxPending *pending)
{
	uint32		n = pending->nbuckets * 2;
	OutboxPendingXid **buckets;
	dlist_iter	iter;

	buckets = MemoryContextAllocExtended(pending->pool.context,
										 (Size) n * sizeof(OutboxPendingXid *),
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	dlist_foreach(iter, &pending->by_start)
	{
		OutboxPendingXid *entry = dlist_container(OutboxPendingXid, by_start,
												  iter.cur);

		entry->next_in_bucket = buckets[entry->xid & (n - 1)];
		buckets[entry->xid & (n - 1)] = entry;
	}
	pfree(pending->buckets);
	pending->buckets = buckets;
	pending->nbuckets = n;
}

static OutboxPendingXid *
add_entry(OutboxPending *pending, TransactionId xid)
{
	OutboxPendingXid *entry = pending->unused;
	OutboxPendingXid **bucket;

	if (pending->count >= pending->nbuckets && pending->nbuckets < BUCKETS_MAX)
		grow_buckets(pending);
	if (entry != NULL)
	{
		pending->unused = entry->next_in_bucket;
		pending->nunused--;
	}
	else
		entry = MemoryContextAlloc(pending->pool.context,
								   sizeof(OutboxPendingXid));
	memset(entry, 0, sizeof(OutboxPendingXid));
	entry->xid = xid;

	bucket = &pending->buckets[xid & (pending->nbuckets - 1)];
	entry->next_in_bucket = *bucket;
	*bucket = entry;
	dlist_push_tail(&pending->by_start, &entry->by_start);
	pending->count++;
	return entry;
}

/*
 * Lists by size: entries with contents, class = log2 of their bytes.
 */
static void
leave_size_list(OutboxPending *pending, OutboxPendingXid *entry)
{
	if (entry->messages.content == 0)
		return;
	dlist_delete(&entry->by_size);
	if (dlist_is_empty(&pending->by_size[entry->size_class]))
		pending->nonempty &= ~(UINT64CONST(1) << entry->size_class);
}

/* An entry is about to have more contents. */
static void
note_growth(OutboxPending *pending, OutboxPendingXid *entry, Size growth)
{
	int			class = pg_leftmost_one_pos64(entry->messages.content + growth);

	if (entry->messages.content > 0 && class == entry->size_class)
		return;
	leave_size_list(pending, entry);
	dlist_push_tail(&pending->by_size[class], &entry->by_size);
	pending->nonempty |= UINT64CONST(1) << class;
	entry->size_class = class;
}

/* The entry with the most contents, by power of two; NULL if none has any. */
static OutboxPendingXid *
biggest(OutboxPending *pending)
{
	if (pending->nonempty == 0)
		return NULL;
	return dlist_head_element(OutboxPendingXid, by_size,
							  &pending->by_size[pg_leftmost_one_pos64(pending->nonempty)]);
}

static void
spill(OutboxPending *pending, OutboxPendingXid *entry)
{
	leave_size_list(pending, entry);
	outbox_messages_spill(&pending->pool, &entry->messages);
	pending->spilled++;
}

/* Make room for growth of entry; false if entry itself was spilled. */
static bool
make_room(OutboxPending *pending, OutboxPendingXid *entry, Size growth)
{
	while (pending->pool.content + growth > pending->limit)
	{
		OutboxPendingXid *victim = biggest(pending);

		if (victim == NULL ||
			victim->messages.content < entry->messages.content + growth)
			victim = entry;
		spill(pending, victim);
		if (victim == entry)
			return false;
	}
	return true;
}

void
outbox_pending_add(OutboxPending *pending, TransactionId xid,
				   XLogRecPtr start, XLogRecPtr end,
				   const char *data, Size len)
{
	OutboxPendingXid *entry = outbox_pending_find(pending, xid);

	if (entry == NULL)
		entry = add_entry(pending, xid);
	if (!entry->messages.spilled)
	{
		Size		growth = outbox_messages_growth(&entry->messages, len);

		if (growth > 0 && make_room(pending, entry, growth))
			note_growth(pending, entry, growth);
	}
	if (entry->messages.spilled)
		outbox_messages_add_place(&pending->pool, &entry->messages, start);
	else
		outbox_messages_add(&pending->pool, &entry->messages,
							start, end, data, len);
}

void
outbox_pending_forget(OutboxPending *pending, OutboxPendingXid *entry)
{
	OutboxPendingXid **link;

	leave_size_list(pending, entry);
	outbox_messages_free(&pending->pool, &entry->messages);
	link = &pending->buckets[entry->xid & (pending->nbuckets - 1)];
	while (*link != entry)
		link = &(*link)->next_in_bucket;
	*link = entry->next_in_bucket;
	dlist_delete(&entry->by_start);
	pending->count--;

	if (pending->nunused < MAX_UNUSED)
	{
		entry->next_in_bucket = pending->unused;
		pending->unused = entry;
		pending->nunused++;
	}
	else
		pfree(entry);

	if (pending->count == 0 &&
		MemoryContextMemAllocated(pending->pool.context, false) > RESET_ABOVE)
	{
		MemoryContextReset(pending->pool.context);
		make_empty(pending);
	}
}

/*
 * A RUNNING_XACTS record: whatever began before the oldest running transaction
 * is over.  If it is still here it has left neither a commit nor an abort
 * record: the server crashed.  Every ended transaction's record precedes the
 * RUNNING_XACTS that no longer counts it, prepared transactions count as
 * running, and a subtransaction's xid is greater than its top-level
 * transaction's, so none of a running transaction's entries is older than it.
 */
void
outbox_pending_forget_older(OutboxPending *pending,
							TransactionId oldest_running)
{
	dlist_mutable_iter iter;

	if (pending->count == 0)
		return;
	dlist_foreach_modify(iter, &pending->by_start)
	{
		OutboxPendingXid *entry = dlist_container(OutboxPendingXid, by_start,
												  iter.cur);

		CHECK_FOR_INTERRUPTS();
		if (TransactionIdPrecedes(entry->xid, oldest_running))
		{
			bool		last = pending->count == 1;

			outbox_pending_forget(pending, entry);
			if (last)
				break;			/* the list may have been made anew */
		}
	}
}

/*
 * End of recovery, or an orderly shutdown: no transaction runs then, and only
 * prepared ones go on.  PREPARE comes after a transaction's messages, so it
 * was seen for every entry that deserves it.
 */
void
outbox_pending_forget_unprepared(OutboxPending *pending)
{
	dlist_mutable_iter iter;

	if (pending->count == 0)
		return;
	dlist_foreach_modify(iter, &pending->by_start)
	{
		OutboxPendingXid *entry = dlist_container(OutboxPendingXid, by_start,
												  iter.cur);

		CHECK_FOR_INTERRUPTS();
		if (!entry->prepared)
		{
			bool		last = pending->count == 1;

			outbox_pending_forget(pending, entry);
			if (last)
				break;
		}
	}
}
