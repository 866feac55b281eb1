/*-------------------------------------------------------------------------
 *
 * decoder.h
 *		What the files of the decoder share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DECODER_H
#define OUTBOX_DECODER_H

#include "postgres.h"

#include "compat.h"
#include "replication/logical.h"
#include "rowcodec/rowcodec.h"
#include "utils/rel.h"

#include "source/source.h"
#include "source/spool.h"
#include "source/wal_reader.h"

typedef struct OutboxDecodedTables OutboxDecodedTables;

typedef struct OutboxDecoder
{
	OutboxSource source;		/* first: what callers hold */
	MemoryContext context;
	MemoryContext record_context;	/* reset after each record */
	MemoryContext change_context;	/* reset after each message and change */
	OutboxWalReader *reader;
	LogicalDecodingContext *logical;
	OutboxDecodedTables *tables;
	OutboxSpool *spool;
	Oid			database;
	char	   *prefix;

	OutboxSink *sink;			/* of the present step */
	OutboxTxn	txn;			/* the one being replayed */
	FullTransactionId full_xid; /* its */
	bool		replaying;		/* inside logical decoding of a commit */
	bool		pushing;		/* which has begun for the sink */
	bool		with_changes;	/* its changes are pushed too */
	uint32		changes;		/* made of it so far */

	XLogRecPtr	position;		/* commits <= this are not pushed */
	XLogRecPtr	log_from;		/* of those, changes neither */
	XLogRecPtr	floor;			/* no message of a commit after position lies
								 * before */
	XLogRecPtr	reached;		/* end of the last record dealt with */
	XLogRecPtr	commit_start;	/* last commit record <= reached */
	uint32		commit_crc;
	uint64		spilled;
	uint64		foreign;		/* messages with our prefix, not transactional */
} OutboxDecoder;

/* decoder.c: what the callbacks hand on */
extern void outbox_decoder_message(OutboxDecoder *decoder, XLogRecPtr lsn,
								   bool transactional, const char *prefix,
								   Size len, const char *data);
extern void outbox_decoder_change(OutboxDecoder *decoder,
								  OutboxWalMessage *msg, XLogRecPtr lsn);

/* decoder_tables.c: captured tables as they are at the place being decoded */
typedef struct OutboxDecodedTable
{
	Oid			relid;			/* hash key */
	bool		valid;			/* else to be looked up again */
	MemoryContext context;		/* of codec and capture */
	OutboxCapture *capture;		/* NULL = not captured by the log */
	OutboxRowCodec *codec;
	List	   *ancestors;		/* of a partition: oids */
} OutboxDecodedTable;

extern OutboxDecodedTables *outbox_decoded_tables_create(MemoryContext context);
extern OutboxDecodedTable *outbox_decoded_tables_find(OutboxDecodedTables *tables,
													  Relation rel);

/*
 * Files of tables that are not captured, until any table or capture changes:
 * what is in there says nothing to us.
 */
extern void outbox_decoded_tables_ignore(OutboxDecodedTables *tables,
										 const OutboxLocator *locator);
extern bool outbox_decoded_tables_ignored(OutboxDecodedTables *tables,
										  const OutboxLocator *locator);
extern void outbox_decoded_tables_close(OutboxDecodedTables *tables);

/* decoder_rows.c: rows of the reorder buffer to the codec */
extern void outbox_decoder_row(OutboxDecoder *decoder, Relation rel,
							   ReorderBufferChange *change);
extern void outbox_decoder_truncate(OutboxDecoder *decoder, int nrelations,
									Relation *relations,
									ReorderBufferChange *change);

/* plugin.c: whether our output plugin may be loaded */
extern void outbox_plugin_permit(bool permit);

#endif							/* OUTBOX_DECODER_H */
