/*-------------------------------------------------------------------------
 *
 * chunk.h
 *		What the relay and a reader say to each other.
 *
 * One dynamic shared memory segment for each reader, with two shm_mq: requests
 * go one way, chunks the other.  Both processes are of one server version, so
 * the forms below never outlive them.
 *
 * A cursor is u32 oid of the table that is read (a partition, or the table
 * itself), then the bytes of keyset.h or nothing: at its beginning.  That of a
 * rebuild_topic() has something in front of it, see rebuild.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CHUNK_H
#define OUTBOX_CHUNK_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "base/cursor.h"
#include "datatype/timestamp.h"
#include "jobs/touched.h"
#include "record/wal_message.h"

#define OUTBOX_READER_MAGIC		0x6F627872	/* of the shm_toc */
#define OUTBOX_READER_REQUESTS	1	/* its keys */
#define OUTBOX_READER_CHUNKS	2
#define OUTBOX_REQUESTS_SIZE	(32 * 1024)
#define OUTBOX_CHUNKS_SIZE		(2 * 1024 * 1024)

/* In a row's flags: the key is as it is in Kafka, schema id and all. */
#define OUTBOX_ROW_WIRE_KEY		0x8000
#define OUTBOX_WIRE_PREFIX		5	/* bytes of the Confluent wire format */

#define OUTBOX_CHUNK_BYTES		(4 * 1024 * 1024)	/* then it is full */

/* bgw_extra */
typedef struct OutboxReaderArgs
{
	Oid			database;
	uint32		segment;		/* dsm_handle */
} OutboxReaderArgs;

/* Read up to max_rows rows behind a cursor. */
typedef struct OutboxChunkRequest
{
	uint32		number;			/* comes back with the chunk */
	Oid			relation;		/* of the job */
	uint32		max_rows;
	const char *filter;			/* NULL = none; terminated */
	const char *cursor;			/* NULL = the beginning */
	int32		cursor_len;
	const char *topic;			/* to be rebuilt, NULL = a snapshot; terminated */
	uint64		token;			/* of the job */
	XLogRecPtr	place;			/* L: changes are noted from here on */
	int64		replay;			/* number of a job that is one, else 0 */
} OutboxChunkRequest;

/* The answer, without its rows. */
typedef struct OutboxChunkHead
{
	uint32		number;
	int32		sqlstate;		/* 0 = success; else only message is set */
	const char *message;		/* not terminated */
	int32		message_len;

	uint64		capture_stamp;
	Oid			table;			/* that was read */
	uint64		table_stamp;
	OutboxSeen	seen;			/* S; xip is palloc'd */
	XLogRecPtr	until;			/* H: all that S sees was committed before */
	TimestampTz read_at;		/* of S */
	uint32		pass;			/* number, 0 = rows have names; see pass.h */
	bool		identity;		/* equal keys of messages mean the same row */
	bool		finished;		/* nothing is behind it */
	uint64		estimate;		/* rows in the whole job, when it begins */
	uint32		nrows;
	const char *cursor;			/* behind the chunk */
	int32		cursor_len;
	const char *prefix;			/* of the rows' cursors, which lack it */
	int32		prefix_len;
} OutboxChunkHead;

/*
 * One row: what rowcodec made of it, or an event of the event log; and the cursor
 * behind it.
 */
typedef struct OutboxChunkRow
{
	OutboxWalMessage msg;
	const char *cursor;
	int32		cursor_len;
} OutboxChunkRow;

extern void outbox_chunk_put_request(StringInfo out,
									 const OutboxChunkRequest *request);
extern void outbox_chunk_get_request(const char *data, Size len,
									 OutboxChunkRequest *request);
extern void outbox_chunk_put_head(StringInfo out, const OutboxChunkHead *head);
extern void outbox_chunk_put_row(StringInfo out, const OutboxChunkRow *row);

/* Borrow from the bytes; throw when they are not what they should be. */
extern void outbox_chunk_get_head(OutboxCursor *c, OutboxChunkHead *head);
extern void outbox_chunk_get_row(OutboxCursor *c, OutboxChunkRow *row);

/* reader.c */

/* While it waits: leave when the relay is gone, or wants no answer any more. */
extern void outbox_reader_check(void);
extern PGDLLEXPORT void outbox_reader_main(Datum arg);

#endif							/* OUTBOX_CHUNK_H */
