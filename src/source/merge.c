/*-------------------------------------------------------------------------
 *
 * merge.c
 *		The messages of one committed transaction in the order written.
 *
 * A transaction is its top-level xid and the committed subtransactions' that
 * have messages; each one's messages are in WAL order, and this merges them by
 * WAL place.  A subtransaction's xid writes nothing after it has ended, so
 * their stretches of WAL are nested or apart, never crosswise: with the
 * entries sorted by first message, the ones under way form a stack.  A million
 * subtransactions in a loop therefore cost a sort of pointers and two cursors.
 * (The list is kept sorted whatever the nesting; only its speed relies on it.)
 *
 * Messages of spilled xids are read again from WAL, by a reader of its own: the
 * scanner's keeps its place.  That WAL is held by the slot, whose restart LSN
 * is at or before the first message of every transaction not yet pushed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog_internal.h"
#include "access/rmgr.h"
#include "replication/message.h"

#include "source/merge.h"
#include "source/wal_reader.h"

#define READ_BACK_BUFFER	(4 * XLOG_BLCKSZ)
#define ENTRIES_KEPT		1024	/* array is not kept when larger */

typedef struct MergeCursor
{
	OutboxMessageCursor cursor; /* stands at its next message */
	struct MergeCursor *next;
} MergeCursor;

struct OutboxMerge
{
	MemoryContext context;
	OutboxWalReader *reader;	/* for spilled messages; NULL until needed */
	OutboxPendingXid **entries;
	int			count;
	int			allocated;
	bool		sorted;
	int			next_entry;		/* first one without a cursor yet */
	uint64		messages;
	MergeCursor *active;		/* ascending by place of next message */
	MergeCursor *unused;
};

OutboxMerge *
outbox_merge_open(void)
{
	OutboxMerge *merge = palloc0(sizeof(OutboxMerge));

	merge->context = CurrentMemoryContext;
	return merge;
}

void
outbox_merge_rest(OutboxMerge *merge)
{
	OutboxWalReader *reader = merge->reader;

	merge->reader = NULL;
	if (reader != NULL)
		outbox_wal_reader_close(reader);
}

void
outbox_merge_close(OutboxMerge *merge)
{
	outbox_merge_rest(merge);
}

void
outbox_merge_clear(OutboxMerge *merge)
{
	Assert(merge->active == NULL);
	if (merge->allocated > ENTRIES_KEPT)
	{
		pfree(merge->entries);
		merge->entries = NULL;
		merge->allocated = 0;
	}
	merge->count = 0;
	merge->next_entry = 0;
	merge->messages = 0;
	merge->sorted = true;
}

void
outbox_merge_add(OutboxMerge *merge, OutboxPendingXid *entry)
{
	if (merge->count == merge->allocated)
	{
		int			n = Max(merge->allocated * 2, 64);
		Size		size = (Size) n * sizeof(OutboxPendingXid *);

		if (merge->entries == NULL)
			merge->entries = MemoryContextAlloc(merge->context, size);
		else
			merge->entries = repalloc_huge(merge->entries, size);
		merge->allocated = n;
	}
	if (merge->count > 0 &&
		merge->entries[merge->count - 1]->messages.first > entry->messages.first)
		merge->sorted = false;
	merge->entries[merge->count++] = entry;
	merge->messages += entry->messages.count;
}

uint64
outbox_merge_messages(const OutboxMerge *merge)
{
	return merge->messages;
}

int
outbox_merge_count(const OutboxMerge *merge)
{
	return merge->count;
}

OutboxPendingXid *
outbox_merge_entry(const OutboxMerge *merge, int i)
{
	return merge->entries[i];
}

static int
compare_first(const void *a, const void *b)
{
	XLogRecPtr	left = (*(OutboxPendingXid *const *) a)->messages.first;
	XLogRecPtr	right = (*(OutboxPendingXid *const *) b)->messages.first;

	return left < right ? -1 : left > right;
}

/* Put a cursor where its next message belongs. */
static void
insert_active(OutboxMerge *merge, MergeCursor *item)
{
	MergeCursor **link = &merge->active;

	while (*link != NULL &&
		   (*link)->cursor.message.start < item->cursor.message.start)
		link = &(*link)->next;
	item->next = *link;
	*link = item;
}

/* Start the next entry, if its first message comes before all others. */
static void
open_due_entry(OutboxMerge *merge)
{
	OutboxPendingXid *entry;
	MergeCursor *item;

	if (merge->next_entry == merge->count)
		return;
	entry = merge->entries[merge->next_entry];
	if (merge->active != NULL &&
		merge->active->cursor.message.start < entry->messages.first)
		return;
	merge->next_entry++;

	item = merge->unused;
	if (item != NULL)
		merge->unused = item->next;
	else
		item = MemoryContextAlloc(merge->context, sizeof(MergeCursor));
	outbox_messages_open(&item->cursor, &entry->messages);
	if (!outbox_messages_next(&item->cursor))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("transaction %u was collected without a message",
						entry->xid)));
	insert_active(merge, item);
}

/* Fill in a message of which only the place is known. */
static void
read_back(OutboxMerge *merge, OutboxMessage *message)
{
	DecodedXLogRecord *record;
	xl_logical_message *body;

	if (merge->reader == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(merge->context);

		merge->reader = outbox_wal_reader_open(READ_BACK_BUFFER, false);
		MemoryContextSwitchTo(old);
	}
	outbox_wal_reader_begin(merge->reader, message->start);
	record = outbox_wal_reader_next(merge->reader);
	if (record == NULL || record->lsn != message->start ||
		record->header.xl_rmid != RM_LOGICALMSG_ID)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not read a message at %X/%X again from WAL",
						LSN_FORMAT_ARGS(message->start))));
	body = (xl_logical_message *) record->main_data;
	message->end = record->next_lsn;
	message->data = body->message + body->prefix_size;
	message->len = body->message_size;
}

bool
outbox_merge_next(OutboxMerge *merge, OutboxMessage *message)
{
	MergeCursor *item;

	if (!merge->sorted)
	{
		qsort(merge->entries, merge->count, sizeof(OutboxPendingXid *),
			  compare_first);
		merge->sorted = true;
	}
	open_due_entry(merge);
	item = merge->active;
	if (item == NULL)
		return false;
	*message = item->cursor.message;
	merge->active = item->next;
	if (outbox_messages_next(&item->cursor))
		insert_active(merge, item);
	else
	{
		item->next = merge->unused;
		merge->unused = item;
	}
	if (message->data == NULL)
		read_back(merge, message);
	return true;
}
