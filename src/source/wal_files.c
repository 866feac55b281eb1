/*-------------------------------------------------------------------------
 *
 * wal_files.c
 *		Which WAL is still here, and where one can begin to read it.
 *
 * For takeover only: looks at the folder pg_wal, which is slow beside reading
 * a record and exact where the checkpointer's "last removed" is not (it is
 * forgotten at a restart).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "storage/fd.h"

#include "source/source.h"
#include "source/wal_reader.h"

XLogRecPtr
outbox_source_oldest(void)
{
	DIR		   *dir = AllocateDir(XLOGDIR);
	struct dirent *de;
	TimeLineID	ours;
	XLogSegNo	oldest = 0;
	XLogRecPtr	lsn;

	(void) outbox_source_flushed(&ours);
	while ((de = ReadDir(dir, XLOGDIR)) != NULL)
	{
		TimeLineID	tli;
		XLogSegNo	segno;

		if (!IsXLogFileName(de->d_name))
			continue;
		XLogFromFileName(de->d_name, &tli, &segno, wal_segment_size);
		if (tli <= ours && (oldest == 0 || segno < oldest))
			oldest = segno;
	}
	FreeDir(dir);
	XLogSegNoOffsetToRecPtr(oldest, 0, wal_segment_size, lsn);
	return lsn;
}

XLogRecPtr
outbox_source_first_record(XLogRecPtr lsn)
{
	OutboxWalReader *reader;
	XLogRecPtr	first;

	reader = outbox_wal_reader_open(XLOG_BLCKSZ, true);
	first = XLogFindNextRecord(outbox_wal_reader_state(reader), lsn);
	outbox_wal_reader_close(reader);
	return first != InvalidXLogRecPtr ? first : lsn;
}
