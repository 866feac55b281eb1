/*-------------------------------------------------------------------------
 *
 * wal_reader.c
 *		XLogReader with a page reader of our own.
 *
 * Core's read_local_xlog_page() polls, and its no-wait variant writes into
 * somebody's private data; so the callback is ours.  It gives out flushed WAL
 * only (replayed WAL on a standby), returns at once when there is no more, and
 * follows timeline switches through XLogReadDetermineTimeline().
 *
 * WAL is read from disk in pieces of some pages, never across the end of a
 * segment, and copied out page by page: a pread() per page would be the larger
 * part of a scan's cost.  Bytes below the flush pointer never change, so the
 * piece stays valid whatever happens to the server.
 *
 * End of WAL: the callback fails without a message, XLogReader keeps its place
 * (NextRecPtr) and drops its page.  The next call starts again at the same
 * record.  A record may straddle many pages of which only some are flushed; to
 * assemble a large one from its beginning for every flush would be quadratic,
 * so "wanted" remembers where it must reach at least, and nothing is tried
 * before that is flushed.  That cannot stall: a record of which the server has
 * flushed a part ends up flushed as a whole, or the server crashes and we with
 * it; on a standby the replay pointer is never inside a record.
 *
 * WAL that is gone: ERRCODE_UNDEFINED_FILE, whether the segment is missing or
 * was removed or recycled while we read it (then the bytes are not used).
 *
 * Logical decoding makes an XLogReader of its own, whose private_data is the
 * decoding context.  Such a reader is attached after it was made: one in a
 * process, found by the static "attached".
 *
 * Interrupts: the reader holds no lock; callers check.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "access/xlogutils.h"
#include "compat.h"
#include "storage/fd.h"

#include "source/source.h"
#include "source/trim.h"
#include "source/wal_reader.h"

/*
 * XLogReader keeps its assembly buffer at the size of the largest record it
 * has seen; above this it is made anew once the reader has caught up.
 */
#define MAX_IDLE_RECORD_BUFFER	(256 * 1024)

struct OutboxWalReader
{
	XLogReaderState *state;
	MemoryContext context;		/* owns everything here but the descriptor */
	bool		missing_ok;
	bool		foreign;		/* state is logical decoding's */

	XLogRecPtr	flushed;		/* flush pointer when last asked */
	TimeLineID	timeline;		/* and its timeline */
	XLogRecPtr	wanted;			/* hit the end: no use before this is flushed */
	XLogSegNo	open_segno;		/* what state->seg.ws_file is, when open */

	char	   *buffer;			/* one piece of one segment */
	Size		buffer_size;
	XLogRecPtr	buffer_start;	/* page boundary */
	XLogRecPtr	buffer_end;		/* = start when empty; may be inside a page */
};

/* Whose state is not ours, see outbox_wal_reader_prepare(). */
static OutboxWalReader *attached = NULL;

static int	read_page(XLogReaderState *state, XLogRecPtr page, int wanted,
					  XLogRecPtr record, char *out);
static void open_segment(XLogReaderState *state, XLogSegNo segno,
						 TimeLineID *tli);

static OutboxWalReader *
reader_of(XLogReaderState *state)
{
	return attached != NULL && attached->state == state ?
		attached : state->private_data;
}

/* See source.h. */
XLogRecPtr
outbox_source_flushed(TimeLineID *tli)
{
	/* Once over, recovery never comes back: no race between the two calls. */
	if (RecoveryInProgress())
		return GetXLogReplayRecPtr(tli);
	return GetFlushRecPtr(tli);
}

static void
allocate_state(OutboxWalReader *reader)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);

	reader->state = XLogReaderAllocate(wal_segment_size, NULL,
									   XL_ROUTINE(.page_read = read_page,
												  .segment_open = open_segment,
												  .segment_close = wal_segment_close),
									   reader);
	MemoryContextSwitchTo(old);
	if (reader->state == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while allocating a WAL reader.")));
}

static OutboxWalReader *
make_reader(Size buffer_size, bool missing_ok)
{
	OutboxWalReader *reader = palloc0(sizeof(OutboxWalReader));

	Assert(buffer_size % XLOG_BLCKSZ == 0);
	reader->context = CurrentMemoryContext;
	reader->missing_ok = missing_ok;
	reader->buffer = palloc(buffer_size);
	reader->buffer_size = buffer_size;
	return reader;
}

OutboxWalReader *
outbox_wal_reader_open(Size buffer_size, bool missing_ok)
{
	OutboxWalReader *reader = make_reader(buffer_size, missing_ok);

	allocate_state(reader);
	return reader;
}

OutboxWalReader *
outbox_wal_reader_prepare(Size buffer_size, XLogReaderRoutine *routine)
{
	Assert(attached == NULL);
	attached = make_reader(buffer_size, false);
	attached->foreign = true;
	routine->page_read = read_page;
	routine->segment_open = open_segment;
	routine->segment_close = wal_segment_close;
	return attached;
}

void
outbox_wal_reader_attach(OutboxWalReader *reader, XLogReaderState *state)
{
	Assert(reader == attached);
	reader->state = state;
}

/*
 * XLogReaderFree() leaves a decoded record that was too large for the decode
 * buffer; and the C library keeps large blocks, unless told.
 */
static void
free_state(OutboxWalReader *reader)
{
	XLogReaderState *state = reader->state;
	bool		large;

	reader->state = NULL;
	if (state == NULL)
		return;
	large = state->readRecordBufSize > MAX_IDLE_RECORD_BUFFER;
	XLogReleasePreviousRecord(state);
	XLogReaderFree(state);		/* closes the segment */
	if (large)
		outbox_source_trim();
}

void
outbox_wal_reader_close(OutboxWalReader *reader)
{
	if (reader->foreign)
		attached = NULL;		/* the state is its owner's */
	else
		free_state(reader);
	pfree(reader->buffer);
	pfree(reader);
}

XLogReaderState *
outbox_wal_reader_state(OutboxWalReader *reader)
{
	return reader->state;
}

void
outbox_wal_reader_begin(OutboxWalReader *reader, XLogRecPtr lsn)
{
	/*
	 * The end of a record that fills its page is the next page's address; the
	 * record to be read there starts behind the page header, and XLogReader
	 * insists on that.  Only a segment's first page has the long header.
	 */
	if (lsn % XLOG_BLCKSZ == 0)
		lsn += XLogSegmentOffset(lsn, wal_segment_size) == 0 ?
			SizeOfXLogLongPHD : SizeOfXLogShortPHD;
	Assert(XRecOffIsValid(lsn));
	reader->wanted = InvalidXLogRecPtr;
	XLogBeginRead(reader->state, lsn);
}

/* Caught up: give back the memory that a large record took. */
static void
shrink(OutboxWalReader *reader)
{
	XLogRecPtr	next = reader->state->EndRecPtr;
	XLogRecPtr	wanted = reader->wanted;

	if (reader->foreign ||
		reader->state->readRecordBufSize <= MAX_IDLE_RECORD_BUFFER)
		return;
	free_state(reader);
	allocate_state(reader);
	outbox_wal_reader_begin(reader, next);
	reader->wanted = wanted;
}

DecodedXLogRecord *
outbox_wal_reader_next(OutboxWalReader *reader)
{
	MemoryContext old;
	XLogRecord *record;
	char	   *message = NULL;

	if (reader->wanted != InvalidXLogRecPtr)
	{
		if (reader->flushed < reader->wanted)
			reader->flushed = outbox_source_flushed(&reader->timeline);
		if (reader->flushed < reader->wanted)
			return NULL;
		reader->wanted = InvalidXLogRecPtr;
	}

	/* XLogReader allocates for large records */
	old = MemoryContextSwitchTo(reader->context);
	record = XLogReadRecord(reader->state, &message);
	MemoryContextSwitchTo(old);

	if (record != NULL)
		return reader->state->record;
	if (message != NULL && !reader->missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not read WAL record after %X/%X: %s",
						LSN_FORMAT_ARGS(reader->state->EndRecPtr), message)));
	shrink(reader);
	return NULL;
}

/* Remember how far WAL must be flushed before another try makes sense. */
static void
note_end(OutboxWalReader *reader, XLogRecPtr page, int wanted)
{
	XLogReaderState *state = reader->state;
	XLogRecPtr	start = state->currRecPtr;

	reader->wanted = page + wanted;

	/*
	 * Beyond the record's first page its length is known: it is the first
	 * thing in the assembly buffer, and never itself split.  Page headers on
	 * the way make the true end lie further still.
	 */
	if (start != InvalidXLogRecPtr && page > start &&
		state->readRecordBuf != NULL)
	{
		uint32		length = ((XLogRecord *) state->readRecordBuf)->xl_tot_len;

		if (start + length > reader->wanted)
			reader->wanted = start + length;
	}
}

pg_noreturn static void
raise_removed(XLogSegNo segno, TimeLineID tli, XLogRecPtr lsn)
{
	char		name[MAXFNAMELEN];

	XLogFileName(name, tli, segno, wal_segment_size);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("WAL segment %s has already been removed", name),
			 errdetail("It is needed to read from %X/%X.",
					   LSN_FORMAT_ARGS(lsn))));
}

/* Whether the segment can be opened, for a reader that tolerates its absence */
static bool
segment_present(XLogReaderState *state, XLogSegNo segno)
{
	char		path[MAXPGPATH];

	if (segno <= XLogGetLastRemovedSegno())
		return false;
	XLogFilePath(path, state->currTLI, segno, wal_segment_size);
	return access(path, R_OK) == 0;
}

/*
 * Read [start, start + len), which lies in one segment, from disk.  False if
 * it is not there and that is tolerated.
 */
static bool
read_piece(OutboxWalReader *reader, XLogRecPtr start, Size len, char *out)
{
	XLogReaderState *state = reader->state;
	XLogSegNo	segno;
	WALReadError failure;

	XLByteToSeg(start, segno, wal_segment_size);
	if (reader->missing_ok && !segment_present(state, segno))
		return false;

	/*
	 * A page given out of the buffer moves XLogReader's idea of the current
	 * segment, but not the open file: never let WALRead() take it for that.
	 */
	if (state->seg.ws_file >= 0 && reader->open_segno != segno)
		wal_segment_close(state);
	if (!WALRead(state, out, start, len, state->currTLI, &failure))
		WALReadRaiseError(&failure);

	/*
	 * The checkpointer publishes what it is about to remove before it does:
	 * not removed now means that the bytes were still WAL when read.
	 */
	if (segno <= XLogGetLastRemovedSegno())
	{
		if (reader->missing_ok)
			return false;
		raise_removed(segno, state->currTLI, start);
	}
	return true;
}

/* Fill the buffer from page on; at least "wanted" bytes are flushed. */
static bool
fill_buffer(OutboxWalReader *reader, XLogRecPtr page)
{
	XLogReaderState *state = reader->state;
	XLogRecPtr	end = page + reader->buffer_size;
	XLogRecPtr	segment_end = page - XLogSegmentOffset(page, wal_segment_size) +
		wal_segment_size;
	XLogRecPtr	readable = reader->flushed;

	/*
	 * On a past timeline: the one valid at the end of this segment was chosen,
	 * so all of the segment belongs to it.
	 */
	if (state->currTLI != reader->timeline)
		readable = state->currTLIValidUntil;

	end = Min(end, Min(segment_end, readable));
	reader->buffer_start = reader->buffer_end = page;
	if (!read_piece(reader, page, end - page, reader->buffer))
		return false;
	reader->buffer_end = end;
	return true;
}

/*
 * XLogReader's page_read: at least "wanted" bytes of the page into out.
 * Returns how many, or -1 when they are not flushed yet.
 */
static int
read_page(XLogReaderState *state, XLogRecPtr page, int wanted,
		  XLogRecPtr record, char *out)
{
	OutboxWalReader *reader = reader_of(state);
	int			have;

	if (page < reader->buffer_start || page + wanted > reader->buffer_end)
	{
		/* Going to disk: also the moment to notice a new timeline. */
		reader->flushed = outbox_source_flushed(&reader->timeline);
		if (reader->flushed < page + wanted)
		{
			note_end(reader, page, wanted);
			return -1;
		}
		XLogReadDetermineTimeline(state, page, wanted, reader->timeline);

		/*
		 * Entering a segment in the middle, XLogReader first looks at the
		 * segment's first page: not worth the buffer.
		 */
		if (XLogSegmentOffset(page, wal_segment_size) == 0 &&
			wanted == XLOG_BLCKSZ && record - page >= XLOG_BLCKSZ)
			return read_piece(reader, page, XLOG_BLCKSZ, out) ?
				XLOG_BLCKSZ : -1;
		if (!fill_buffer(reader, page))
			return -1;
	}

	have = Min(reader->buffer_end - page, XLOG_BLCKSZ);
	memcpy(out, reader->buffer + (page - reader->buffer_start), have);
	return have;
}

/* XLogReader's segment_open: does not return without an open segment. */
static void
open_segment(XLogReaderState *state, XLogSegNo segno, TimeLineID *tli)
{
	OutboxWalReader *reader = reader_of(state);
	char		path[MAXPGPATH];

	XLogFilePath(path, *tli, segno, wal_segment_size);
	state->seg.ws_file = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	if (state->seg.ws_file < 0 && errno == ENOENT)
	{
		TimeLineID	now;

		/* A promotion renames the segment it happened in: look again. */
		(void) outbox_source_flushed(&now);
		if (now != reader->timeline)
		{
			reader->timeline = now;
			XLogReadDetermineTimeline(state, segno * wal_segment_size,
									  XLOG_BLCKSZ, now);
			*tli = state->currTLI;
			XLogFilePath(path, *tli, segno, wal_segment_size);
			state->seg.ws_file = BasicOpenFile(path, O_RDONLY | PG_BINARY);
		}
	}
	reader->open_segno = segno;
	if (state->seg.ws_file >= 0)
		return;
	if (errno == ENOENT)
		raise_removed(segno, *tli, segno * wal_segment_size);
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not open file \"%s\": %m", path)));
}
