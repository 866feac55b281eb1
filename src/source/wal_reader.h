/*-------------------------------------------------------------------------
 *
 * wal_reader.h
 *		Sequential and random reads of flushed WAL that never wait.
 *
 * Owned by one process; lives in the memory context it was opened in, but its
 * file descriptor does not: outbox_wal_reader_close() is needed also after an
 * error, and is safe then.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_WAL_READER_H
#define OUTBOX_WAL_READER_H

#include "postgres.h"

#include "access/xlogreader.h"

typedef struct OutboxWalReader OutboxWalReader;

/*
 * missing_ok: WAL that is not here ends the reading like the end of WAL does,
 * instead of raising ERRCODE_UNDEFINED_FILE; records that cannot be parsed do
 * so too.  buffer_size is the size of a read, a multiple of XLOG_BLCKSZ.
 */
extern OutboxWalReader *outbox_wal_reader_open(Size buffer_size,
											   bool missing_ok);
extern void outbox_wal_reader_close(OutboxWalReader *reader);

/*
 * The same over the XLogReader of a logical decoding context, which it makes
 * itself: prepare fills in the routine it is made with, attach names it before
 * the first read.  One in a process.  Close before the context is freed.
 */
extern OutboxWalReader *outbox_wal_reader_prepare(Size buffer_size,
												  XLogReaderRoutine *routine);
extern void outbox_wal_reader_attach(OutboxWalReader *reader,
									 XLogReaderState *state);

/* Read next from lsn: the start of a record or the end of one. */
extern void outbox_wal_reader_begin(OutboxWalReader *reader, XLogRecPtr lsn);

/*
 * The next record, or NULL at the end of flushed WAL; then the next call tries
 * the same record again.  Valid until the next call; record->lsn and
 * record->next_lsn are its start and end.
 */
extern DecodedXLogRecord *outbox_wal_reader_next(OutboxWalReader *reader);

/* For the XLogRec* and Parse*Record functions. */
extern XLogReaderState *outbox_wal_reader_state(OutboxWalReader *reader);

#endif							/* OUTBOX_WAL_READER_H */
