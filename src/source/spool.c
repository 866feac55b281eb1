/*-------------------------------------------------------------------------
 *
 * spool.c
 *		Messages of one transaction that wait for its replay to be over.
 *
 * Small in memory, beyond that in a temporary file, which is deleted when it
 * is read, closed, or the process ends in any way.  The file belongs to no
 * transaction: it outlives the one of the replay.  Used rarely: when something
 * has to be looked up or stored for the first time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "storage/buffile.h"
#include "utils/resowner.h"

#include "compat.h"
#include "source/spool.h"

#define IN_MEMORY	(1024 * 1024)	/* bytes; a larger message stays alone */

typedef struct SpoolHeader
{
	XLogRecPtr	lsn;
	uint32		len;
	bool		change;
} SpoolHeader;

struct OutboxSpool
{
	MemoryContext context;
	ResourceOwner owner;		/* of the file's descriptor */
	StringInfoData buffer;		/* the newest; while reading one message */
	int			read_at;		/* in buffer, when there is no file */
	BufFile    *file;			/* what came before, NULL = nothing */
	bool		reading;
};

OutboxSpool *
outbox_spool_open(void)
{
	OutboxSpool *spool = palloc0(sizeof(OutboxSpool));

	spool->context = CurrentMemoryContext;
	spool->owner = ResourceOwnerCreate(NULL, "outbox spool");
	initStringInfo(&spool->buffer);
	return spool;
}

static void
close_file(OutboxSpool *spool)
{
	BufFile    *file = spool->file;

	spool->file = NULL;
	if (file != NULL)
		BufFileClose(file);
}

void
outbox_spool_close(OutboxSpool *spool)
{
	close_file(spool);
	ResourceOwnerDelete(spool->owner);
	pfree(spool->buffer.data);
	pfree(spool);
}

bool
outbox_spool_is_empty(const OutboxSpool *spool)
{
	return spool->file == NULL && spool->buffer.len == 0;
}

/* To the file with what is in memory. */
static void
flush_buffer(OutboxSpool *spool)
{
	if (spool->file == NULL)
	{
		ResourceOwner old_owner = CurrentResourceOwner;
		MemoryContext old = MemoryContextSwitchTo(spool->context);

		CurrentResourceOwner = spool->owner;
		spool->file = BufFileCreateTemp(true);
		CurrentResourceOwner = old_owner;
		MemoryContextSwitchTo(old);
	}
	BufFileWrite(spool->file, spool->buffer.data, spool->buffer.len);
	resetStringInfo(&spool->buffer);
}

void
outbox_spool_add(OutboxSpool *spool, const OutboxSpooled *item)
{
	SpoolHeader header;

	Assert(!spool->reading);
	memset(&header, 0, sizeof(header));
	header.lsn = item->lsn;
	header.len = item->len;
	header.change = item->change;
	if (spool->buffer.len > 0 &&
		spool->buffer.len + sizeof(header) + item->len > IN_MEMORY)
		flush_buffer(spool);
	appendBinaryStringInfo(&spool->buffer, (char *) &header, sizeof(header));
	appendBinaryStringInfo(&spool->buffer, item->data, item->len);
}

/* Return to the state in which something can be added. */
static void
finish(OutboxSpool *spool)
{
	close_file(spool);
	spool->reading = false;
	spool->read_at = 0;
	if (spool->buffer.maxlen > IN_MEMORY * 2)
	{
		pfree(spool->buffer.data);
		spool->buffer.data = MemoryContextAlloc(spool->context, 1024);
		spool->buffer.maxlen = 1024;
	}
	resetStringInfo(&spool->buffer);
}

pg_noreturn static void
raise_short(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_IO_ERROR),
			 errmsg("could not read a temporary file of the outbox relay: it is too short")));
}

static bool
next_from_file(OutboxSpool *spool, OutboxSpooled *item, SpoolHeader *header)
{
	size_t		n = BufFileRead(spool->file, header, sizeof(*header));

	if (n == 0)
		return false;
	if (n != sizeof(*header))
		raise_short();
	resetStringInfo(&spool->buffer);
	enlargeStringInfo(&spool->buffer, header->len);
	if (BufFileRead(spool->file, spool->buffer.data, header->len) != header->len)
		raise_short();
	item->data = spool->buffer.data;
	return true;
}

static bool
next_from_memory(OutboxSpool *spool, OutboxSpooled *item, SpoolHeader *header)
{
	if (spool->read_at == spool->buffer.len)
		return false;
	memcpy(header, spool->buffer.data + spool->read_at, sizeof(*header));
	item->data = spool->buffer.data + spool->read_at + sizeof(*header);
	spool->read_at += sizeof(*header) + header->len;
	return true;
}

static void
start_reading(OutboxSpool *spool)
{
	spool->reading = true;
	if (spool->file == NULL)
		return;
	flush_buffer(spool);
	if (BufFileSeek(spool->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rewind a temporary file of the outbox relay")));
}

bool
outbox_spool_next(OutboxSpool *spool, OutboxSpooled *item)
{
	SpoolHeader header;

	if (!spool->reading)
		start_reading(spool);
	if (!(spool->file != NULL ? next_from_file(spool, item, &header) :
		  next_from_memory(spool, item, &header)))
	{
		finish(spool);
		return false;
	}
	item->lsn = header.lsn;
	item->len = header.len;
	item->change = header.change;
	return true;
}
