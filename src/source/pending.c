/*-------------------------------------------------------------------------
 *
 * pending.c
 *		Messages of transactions that have neither committed nor aborted.
 *
 * Owns: one entry for each xid with messages, found by xid (a chained hash;
 * xids come in sequence, so xid modulo size spreads them perfectly), in a list
 * ordered by first message (they arrive in WAL order, so appending keeps it),
 * and, while it holds contents, in one of the lists by size.
 *
 * Memory: contents lie in chunks that double from a few hundred bytes to 64 kB,
 * so a message costs a copy and a transaction of one message two allocations
 * out of free lists.  When contents would exceed the limit, the xid with the
 * most (by power of two) keeps only the places of its messages, as varints of
 * their distance: 1 to 3 bytes each.  Spilled once, it stays so.  Nothing is
 * written to disk: the bytes are in WAL, which the slot holds from the first
 * message on.  What large transactions needed is returned as they end, and
 * everything is when nothing is pending.
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

#define CONTENT_CHUNK_MIN	512		/* whole chunk, header included */
#define CONTENT_CHUNK_MAX	(64 * 1024)
#define PLACES_CHUNK_MIN	64
#define PLACES_CHUNK_MAX	(16 * 1024)
#define MAX_VARINT			10
#define BUCKETS_MIN			1024
#define SIZE_CLASSES		64
#define MAX_FREE			256		/* entries and small chunks kept */
#define RESET_ABOVE			(1024 * 1024)	/* when empty */

struct OutboxPendingChunk
{
	OutboxPendingChunk *next;
	uint32		size;			/* of data */
	uint32		used;
	char		data[FLEXIBLE_ARRAY_MEMBER];
};

#define CHUNK_HEADER	offsetof(OutboxPendingChunk, data)

/* A message in a content chunk: this, then its bytes, padded to 8. */
typedef struct ContentHeader
{
	XLogRecPtr	start;
	uint32		span;			/* end - start: a record is below 1 GB */
	uint32		len;
} ContentHeader;

struct OutboxPending
{
	MemoryContext context;		/* holds entries, chunks and buckets only */
	Size		limit;
	Size		content;		/* chunks with contents */
	Size		places;			/* chunks with places */
	uint64		count;
	uint64		spilled;		/* xids, since creation */
	uint32		nbuckets;		/* power of two */
	OutboxPendingXid **buckets;
	dlist_head	by_start;
	dlist_head	by_size[SIZE_CLASSES];
	uint64		nonempty;		/* bit i: by_size[i] is not empty */
	OutboxPendingXid *free_entries;
	OutboxPendingChunk *free_chunks;	/* of CONTENT_CHUNK_MIN */
	int			nfree_entries;
	int			nfree_chunks;
};

static void
make_empty(OutboxPending *pending)
{
	pending->content = pending->places = 0;
	pending->count = 0;
	pending->nbuckets = BUCKETS_MIN;
	pending->buckets = MemoryContextAllocZero(pending->context,
											  BUCKETS_MIN * sizeof(OutboxPendingXid *));
	dlist_init(&pending->by_start);
	for (int i = 0; i < SIZE_CLASSES; i++)
		dlist_init(&pending->by_size[i]);
	pending->nonempty = 0;
	pending->free_entries = NULL;
	pending->free_chunks = NULL;
	pending->nfree_entries = pending->nfree_chunks = 0;
}

OutboxPending *
outbox_pending_create(Size limit)
{
	OutboxPending *pending = palloc0(sizeof(OutboxPending));

	pending->context = AllocSetContextCreate(CurrentMemoryContext,
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
	return pending->content + pending->places +
		pending->count * sizeof(OutboxPendingXid);
}

XLogRecPtr
outbox_pending_first(const OutboxPending *pending)
{
	if (pending->count == 0)
		return InvalidXLogRecPtr;
	return dlist_container(OutboxPendingXid, by_start,
						   pending->by_start.head.next)->first;
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

	buckets = MemoryContextAllocExtended(pending->context,
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
add_entry(OutboxPending *pending, TransactionId xid, XLogRecPtr start)
{
	OutboxPendingXid *entry = pending->free_entries;
	OutboxPendingXid **bucket;

	if (pending->count >= pending->nbuckets &&
		pending->nbuckets < (UINT32_C(1) << 30))
		grow_buckets(pending);
	if (entry != NULL)
	{
		pending->free_entries = entry->next_in_bucket;
		pending->nfree_entries--;
	}
	else
		entry = MemoryContextAlloc(pending->context, sizeof(OutboxPendingXid));
	memset(entry, 0, sizeof(OutboxPendingXid));
	entry->xid = xid;
	entry->first = start;

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
	if (entry->content == 0)
		return;
	dlist_delete(&entry->by_size);
	if (dlist_is_empty(&pending->by_size[entry->size_class]))
		pending->nonempty &= ~(UINT64CONST(1) << entry->size_class);
}

static void
add_content(OutboxPending *pending, OutboxPendingXid *entry, Size bytes)
{
	int			class = pg_leftmost_one_pos64(entry->content + bytes);

	if (entry->content == 0 || class != entry->size_class)
	{
		leave_size_list(pending, entry);
		dlist_push_tail(&pending->by_size[class], &entry->by_size);
		pending->nonempty |= UINT64CONST(1) << class;
		entry->size_class = class;
	}
	entry->content += bytes;
	pending->content += bytes;
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

/*
 * Chunks.
 */
static OutboxPendingChunk *
add_chunk(OutboxPending *pending, OutboxPendingXid *entry, Size total)
{
	OutboxPendingChunk *chunk;

	if (total == CONTENT_CHUNK_MIN && pending->free_chunks != NULL)
	{
		chunk = pending->free_chunks;
		pending->free_chunks = chunk->next;
		pending->nfree_chunks--;
	}
	else
		chunk = MemoryContextAllocHuge(pending->context, total);
	chunk->next = NULL;
	chunk->size = total - CHUNK_HEADER;
	chunk->used = 0;
	if (entry->tail != NULL)
		entry->tail->next = chunk;
	else
		entry->head = chunk;
	entry->tail = chunk;
	return chunk;
}

static void
free_chunks(OutboxPending *pending, OutboxPendingXid *entry)
{
	OutboxPendingChunk *chunk = entry->head;

	if (entry->spilled)
	{
		for (OutboxPendingChunk *c = chunk; c != NULL; c = c->next)
			pending->places -= c->size + CHUNK_HEADER;
	}
	else
	{
		leave_size_list(pending, entry);
		pending->content -= entry->content;
		entry->content = 0;
	}
	while (chunk != NULL)
	{
		OutboxPendingChunk *next = chunk->next;

		if (chunk->size + CHUNK_HEADER == CONTENT_CHUNK_MIN &&
			pending->nfree_chunks < MAX_FREE)
		{
			chunk->next = pending->free_chunks;
			pending->free_chunks = chunk;
			pending->nfree_chunks++;
		}
		else
			pfree(chunk);
		chunk = next;
	}
	entry->head = entry->tail = NULL;
}

/* Size of the next chunk: twice the last one within bounds, at least need. */
static Size
next_chunk_size(const OutboxPendingXid *entry, Size need, Size min, Size max)
{
	Size		total = min;

	if (entry->tail != NULL)
		total = Min(Max(min, (entry->tail->size + CHUNK_HEADER) * 2), max);
	return Max(total, MAXALIGN(need + CHUNK_HEADER));
}

/* Note the place of one more message of a spilled entry. */
static void
add_place(OutboxPending *pending, OutboxPendingXid *entry, XLogRecPtr start)
{
	OutboxPendingChunk *chunk = entry->tail;

	if (entry->messages > 0)	/* the first is entry->first */
	{
		uint64		distance = (start - entry->last) / MAXIMUM_ALIGNOF;

		if (chunk == NULL || chunk->size - chunk->used < MAX_VARINT)
		{
			Size		total = next_chunk_size(entry, 0, PLACES_CHUNK_MIN,
												PLACES_CHUNK_MAX);

			chunk = add_chunk(pending, entry, total);
			pending->places += total;
		}
		while (distance >= 0x80)
		{
			chunk->data[chunk->used++] = (char) (distance | 0x80);
			distance >>= 7;
		}
		chunk->data[chunk->used++] = (char) distance;
	}
	entry->last = start;
	entry->messages++;
}

/* Give up an entry's contents, keep the places of its messages. */
static void
spill(OutboxPending *pending, OutboxPendingXid *entry)
{
	OutboxPendingXid contents = *entry;
	OutboxPendingCursor cursor;

	outbox_pending_open_cursor(&cursor, &contents);
	leave_size_list(pending, entry);
	entry->head = entry->tail = NULL;
	entry->content = 0;
	entry->messages = 0;
	entry->spilled = true;
	pending->spilled++;
	while (outbox_pending_next(&cursor))
	{
		CHECK_FOR_INTERRUPTS();
		add_place(pending, entry, cursor.message.start);
	}

	/* free_chunks() for the copy, which is in no list */
	pending->content -= contents.content;
	contents.content = 0;
	free_chunks(pending, &contents);
}

/* Make room for bytes more in entry; false if entry itself was spilled. */
static bool
make_room(OutboxPending *pending, OutboxPendingXid *entry, Size bytes)
{
	while (pending->content + bytes > pending->limit)
	{
		OutboxPendingXid *victim = biggest(pending);

		if (victim == NULL || victim->content < entry->content + bytes)
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
	Size		need = sizeof(ContentHeader) + MAXALIGN(len);
	OutboxPendingChunk *chunk;
	ContentHeader *header;

	if (entry == NULL)
		entry = add_entry(pending, xid, start);
	if (entry->spilled)
	{
		add_place(pending, entry, start);
		return;
	}

	chunk = entry->tail;
	if (chunk == NULL || chunk->size - chunk->used < need)
	{
		Size		total = next_chunk_size(entry, need, CONTENT_CHUNK_MIN,
											CONTENT_CHUNK_MAX);

		if (!make_room(pending, entry, total))
		{
			add_place(pending, entry, start);
			return;
		}
		chunk = add_chunk(pending, entry, total);
		add_content(pending, entry, total);
	}
	header = (ContentHeader *) (chunk->data + chunk->used);
	header->start = start;
	header->span = end - start;
	header->len = len;
	memcpy(header + 1, data, len);
	chunk->used += need;
	entry->last = start;
	entry->messages++;
}

void
outbox_pending_forget(OutboxPending *pending, OutboxPendingXid *entry)
{
	OutboxPendingXid **link;

	free_chunks(pending, entry);
	link = &pending->buckets[entry->xid & (pending->nbuckets - 1)];
	while (*link != entry)
		link = &(*link)->next_in_bucket;
	*link = entry->next_in_bucket;
	dlist_delete(&entry->by_start);
	pending->count--;

	if (pending->nfree_entries < MAX_FREE)
	{
		entry->next_in_bucket = pending->free_entries;
		pending->free_entries = entry;
		pending->nfree_entries++;
	}
	else
		pfree(entry);

	if (pending->count == 0 &&
		MemoryContextMemAllocated(pending->context, false) > RESET_ABOVE)
	{
		MemoryContextReset(pending->context);
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

void
outbox_pending_open_cursor(OutboxPendingCursor *cursor,
						   const OutboxPendingXid *entry)
{
	cursor->owner = entry;
	cursor->chunk = entry->head;
	cursor->offset = 0;
	cursor->left = entry->messages;
	memset(&cursor->message, 0, sizeof(OutboxPendingMessage));
}

/* Spilled: the next place. */
static void
next_place(OutboxPendingCursor *cursor)
{
	uint64		distance = 0;
	int			shift = 0;
	uint8		byte;

	if (cursor->left == cursor->owner->messages)
	{
		cursor->message.start = cursor->owner->first;
		return;
	}
	if (cursor->offset == cursor->chunk->used)
	{
		cursor->chunk = cursor->chunk->next;
		cursor->offset = 0;
	}
	do
	{
		byte = (uint8) cursor->chunk->data[cursor->offset++];
		distance |= (uint64) (byte & 0x7F) << shift;
		shift += 7;
	} while (byte & 0x80);
	cursor->message.start += distance * MAXIMUM_ALIGNOF;
}

bool
outbox_pending_next(OutboxPendingCursor *cursor)
{
	const ContentHeader *header;

	if (cursor->left == 0)
		return false;
	if (cursor->owner->spilled)
	{
		next_place(cursor);
		cursor->left--;
		return true;
	}

	/*
	 * A chunk's rest is skipped when the next message did not fit into it,
	 * and "used" says where it ends.
	 */
	if (cursor->offset == cursor->chunk->used)
	{
		cursor->chunk = cursor->chunk->next;
		cursor->offset = 0;
	}
	header = (const ContentHeader *) (cursor->chunk->data + cursor->offset);
	cursor->message.start = header->start;
	cursor->message.end = header->start + header->span;
	cursor->message.data = (const char *) (header + 1);
	cursor->message.len = header->len;
	cursor->offset += sizeof(ContentHeader) + MAXALIGN(header->len);
	cursor->left--;
	return true;
}
