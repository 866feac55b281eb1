/*-------------------------------------------------------------------------
 *
 * messages.c
 *		The messages of one xid: in memory, or only where they are in WAL.
 *
 * Contents lie in chunks that double from half a kilobyte to 64 kB, a larger
 * message in a chunk of its own: a message costs a copy, not an allocation.
 * Spilled, the chunks hold varints of the distance from one message's record to
 * the next, in units of the records' alignment: 1 to 3 bytes each; the first
 * needs none.  Nothing is written to disk: the bytes are in WAL, which the slot
 * holds from the first message of any pending transaction on.
 *
 * Memory is the pool's context's; the pool counts it and keeps some small
 * chunks.  Resetting the context frees everything.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "source/messages.h"

#define CONTENT_CHUNK_MIN	512		/* whole chunk, header included */
#define CONTENT_CHUNK_MAX	(64 * 1024)
#define PLACES_CHUNK_MIN	64
#define PLACES_CHUNK_MAX	(16 * 1024)
#define MAX_VARINT			10
#define MAX_UNUSED			256		/* chunks of CONTENT_CHUNK_MIN kept */

struct OutboxChunk
{
	OutboxChunk *next;
	uint32		size;			/* of data */
	uint32		used;
	char		data[FLEXIBLE_ARRAY_MEMBER];
};

#define CHUNK_HEADER	offsetof(OutboxChunk, data)

/* A message in a content chunk: this, then its bytes, padded to alignment. */
typedef struct ContentHeader
{
	XLogRecPtr	start;
	uint32		span;			/* end - start: a record is about 1 GB at most */
	uint32		len;
} ContentHeader;

static OutboxChunk *
add_chunk(OutboxChunkPool *pool, OutboxMessages *messages, Size total)
{
	OutboxChunk *chunk;

	if (total == CONTENT_CHUNK_MIN && pool->unused != NULL)
	{
		chunk = pool->unused;
		pool->unused = chunk->next;
		pool->nunused--;
	}
	else
		chunk = MemoryContextAllocHuge(pool->context, total);
	chunk->next = NULL;
	chunk->size = total - CHUNK_HEADER;
	chunk->used = 0;
	if (messages->tail != NULL)
		messages->tail->next = chunk;
	else
		messages->head = chunk;
	messages->tail = chunk;
	return chunk;
}

static void
free_chunk(OutboxChunkPool *pool, OutboxChunk *chunk)
{
	if (chunk->size + CHUNK_HEADER == CONTENT_CHUNK_MIN &&
		pool->nunused < MAX_UNUSED)
	{
		chunk->next = pool->unused;
		pool->unused = chunk;
		pool->nunused++;
	}
	else
		pfree(chunk);
}

void
outbox_messages_free(OutboxChunkPool *pool, OutboxMessages *messages)
{
	OutboxChunk *chunk = messages->head;

	while (chunk != NULL)
	{
		OutboxChunk *next = chunk->next;

		if (messages->spilled)
			pool->places -= chunk->size + CHUNK_HEADER;
		free_chunk(pool, chunk);
		chunk = next;
	}
	pool->content -= messages->content;
	memset(messages, 0, sizeof(OutboxMessages));
}

/* Size of the next chunk: twice the last one within bounds, at least need. */
static Size
next_chunk_size(const OutboxMessages *messages, Size need, Size min, Size max)
{
	Size		total = min;

	if (messages->tail != NULL)
		total = Min(Max(min, (messages->tail->size + CHUNK_HEADER) * 2), max);
	return Max(total, MAXALIGN(need + CHUNK_HEADER));
}

Size
outbox_messages_growth(const OutboxMessages *messages, Size len)
{
	Size		need = sizeof(ContentHeader) + MAXALIGN(len);

	if (messages->tail != NULL &&
		messages->tail->size - messages->tail->used >= need)
		return 0;
	return next_chunk_size(messages, need, CONTENT_CHUNK_MIN,
						   CONTENT_CHUNK_MAX);
}

void
outbox_messages_add(OutboxChunkPool *pool, OutboxMessages *messages,
					XLogRecPtr start, XLogRecPtr end,
					const char *data, Size len)
{
	Size		growth = outbox_messages_growth(messages, len);
	OutboxChunk *chunk = messages->tail;
	ContentHeader *header;

	Assert(!messages->spilled);
	if (growth > 0)
	{
		chunk = add_chunk(pool, messages, growth);
		messages->content += growth;
		pool->content += growth;
	}
	header = (ContentHeader *) (chunk->data + chunk->used);
	header->start = start;
	header->span = end - start;
	header->len = len;
	memcpy(header + 1, data, len);
	chunk->used += sizeof(ContentHeader) + MAXALIGN(len);
	if (messages->count == 0)
		messages->first = start;
	messages->last = start;
	messages->count++;
}

void
outbox_messages_add_place(OutboxChunkPool *pool, OutboxMessages *messages,
						  XLogRecPtr start)
{
	OutboxChunk *chunk = messages->tail;

	Assert(messages->spilled);
	if (messages->count == 0)
		messages->first = start;
	else
	{
		uint64		distance = (start - messages->last) / MAXIMUM_ALIGNOF;

		if (chunk == NULL || chunk->size - chunk->used < MAX_VARINT)
		{
			Size		total = next_chunk_size(messages, 0, PLACES_CHUNK_MIN,
												PLACES_CHUNK_MAX);

			chunk = add_chunk(pool, messages, total);
			pool->places += total;
		}
		while (distance >= 0x80)
		{
			chunk->data[chunk->used++] = (char) (distance | 0x80);
			distance >>= 7;
		}
		chunk->data[chunk->used++] = (char) distance;
	}
	messages->last = start;
	messages->count++;
}

void
outbox_messages_spill(OutboxChunkPool *pool, OutboxMessages *messages)
{
	OutboxMessages contents = *messages;
	OutboxMessageCursor cursor;

	memset(messages, 0, sizeof(OutboxMessages));
	messages->spilled = true;
	outbox_messages_open(&cursor, &contents);
	while (outbox_messages_next(&cursor))
	{
		CHECK_FOR_INTERRUPTS();
		outbox_messages_add_place(pool, messages, cursor.message.start);
	}
	outbox_messages_free(pool, &contents);
}

void
outbox_messages_open(OutboxMessageCursor *cursor,
					 const OutboxMessages *messages)
{
	cursor->messages = messages;
	cursor->chunk = messages->head;
	cursor->offset = 0;
	cursor->left = messages->count;
	memset(&cursor->message, 0, sizeof(OutboxMessage));
}

/* Go on to the next chunk when this one is read: "used" says where it ends. */
static void
enter_chunk(OutboxMessageCursor *cursor)
{
	if (cursor->offset == cursor->chunk->used)
	{
		cursor->chunk = cursor->chunk->next;
		cursor->offset = 0;
	}
}

static void
next_place(OutboxMessageCursor *cursor)
{
	uint64		distance = 0;
	int			shift = 0;
	uint8		byte;

	if (cursor->left == cursor->messages->count)
	{
		cursor->message.start = cursor->messages->first;
		return;
	}
	enter_chunk(cursor);
	do
	{
		byte = (uint8) cursor->chunk->data[cursor->offset++];
		distance |= (uint64) (byte & 0x7F) << shift;
		shift += 7;
	} while (byte & 0x80);
	cursor->message.start += distance * MAXIMUM_ALIGNOF;
}

static void
next_content(OutboxMessageCursor *cursor)
{
	const ContentHeader *header;

	enter_chunk(cursor);
	header = (const ContentHeader *) (cursor->chunk->data + cursor->offset);
	cursor->message.start = header->start;
	cursor->message.end = header->start + header->span;
	cursor->message.data = (const char *) (header + 1);
	cursor->message.len = header->len;
	cursor->offset += sizeof(ContentHeader) + MAXALIGN(header->len);
}

bool
outbox_messages_next(OutboxMessageCursor *cursor)
{
	if (cursor->left == 0)
		return false;
	if (cursor->messages->spilled)
		next_place(cursor);
	else
		next_content(cursor);
	cursor->left--;
	return true;
}
