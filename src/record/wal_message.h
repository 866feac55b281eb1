/*-------------------------------------------------------------------------
 *
 * wal_message.h
 *		The record that a transaction leaves in WAL, format version 1.
 *
 * Carried as the content of a transactional logical message with prefix
 * OUTBOX_WAL_PREFIX (xl_logical_message, replication/message.h).  Written by
 * emit/ and capture/, read by the relay; it stays readable for as long as WAL
 * and event log live, so fields are only ever added under a new version.
 *
 * Layout, little-endian, no padding:
 *
 *	off len
 *	  0   1	version (1)
 *	  1   1	kind (OutboxMessageKind)
 *	  2   2	flags (OUTBOX_MSG_*)
 *	  4   4	key id: which row of outbox.secret made the MAC
 *	  8   4	ordinal in the top-level transaction, from 1, strictly increasing
 *	 12   4	route id (outbox.route), immutable
 *	 16   4	schema id (outbox.schema), 0 = none (format json)
 *	 20  16	event id (UUID, network byte order)
 *	 36   4	partition, -1 = by key
 *	 40   8	timestamp, ms since 1970-01-01 UTC, 0 = commit time
 *	 48   .	topic    u32 length + bytes; null = the route's topic
 *		 .	key      u32 length + bytes; null = no key
 *		 .	headers  u32 length + header block; null = none
 *		 .	payload  u32 length + bytes; null = tombstone
 *	 end-8 8	MAC
 *
 * Header block: u16 count, then for each: u16 name length, name, u32 value
 * length (OUTBOX_NULL_LENGTH = null), value.  Names are UTF-8.
 *
 * The MAC is SipHash-2-4 over (u64 system identifier, u32 database oid, u64
 * full transaction id of the top-level transaction, then the record without
 * its MAC).  pg_logical_emit_message() is executable by everybody; the MAC
 * tells our records from forged ones, and the transaction id and ordinal in it
 * tell an original from a copy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_WAL_MESSAGE_H
#define OUTBOX_WAL_MESSAGE_H

#include "base/base.h"
#include "base/siphash.h"

#define OUTBOX_WAL_PREFIX			"outbox"
#define OUTBOX_WAL_MESSAGE_VERSION	1
#define OUTBOX_EVENT_ID_SIZE		16
#define OUTBOX_MAC_SIZE				8

typedef enum OutboxMessageKind
{
	OUTBOX_MESSAGE_EVENT = 1,
	OUTBOX_MESSAGE_CHANGE = 2,
	OUTBOX_MESSAGE_TRUNCATE = 3,
	OUTBOX_MESSAGE_SCHEMA = 4,
	OUTBOX_MESSAGE_BARRIER = 5,
	OUTBOX_MESSAGE_RETRY = 6	/* no event: see retry.h */
} OutboxMessageKind;

/*
 * Flags; a reader refuses one that it does not know.
 *
 * TAIL: the payload lacks its end, which only the commit decides; the relay
 * appends it in the way of the route's envelope and format (rowcodec/tail.c).
 * KEY_SCHEMA: the key is u32 little-endian schema id + Avro; the relay puts the
 * wire format's prefix in the place of the id.
 */
#define OUTBOX_MSG_TAIL				0x0001
#define OUTBOX_MSG_KEY_SCHEMA		0x0002
#define OUTBOX_MSG_KNOWN_FLAGS		(OUTBOX_MSG_TAIL | OUTBOX_MSG_KEY_SCHEMA)

typedef struct OutboxWalMessage
{
	uint8		kind;
	uint16		flags;
	uint32		key_id;
	uint32		ordinal;
	uint32		route_id;
	uint32		schema_id;
	uint8		event_id[OUTBOX_EVENT_ID_SIZE];
	int32		partition;
	int64		timestamp_ms;
	/* borrowed, not terminated; length -1 and NULL for null */
	const char *topic;
	int32		topic_len;
	const char *key;
	int32		key_len;
	const char *headers;
	int32		headers_len;
	const char *payload;
	int32		payload_len;
} OutboxWalMessage;

/* What the MAC covers besides the record. */
typedef struct OutboxMacContext
{
	uint64		system_id;
	uint32		database;
	uint64		full_xid;		/* top-level FullTransactionId */
} OutboxMacContext;

typedef enum OutboxWalParse
{
	OUTBOX_WAL_OK,
	OUTBOX_WAL_MALFORMED,		/* not a record of ours: a forgery */
	OUTBOX_WAL_TOO_NEW			/* written by a later version: stop and say so */
} OutboxWalParse;

/* Append the record, MAC included, to buf. */
extern void outbox_wal_message_write(StringInfo buf, const OutboxWalMessage *msg,
									 const uint8 key[OUTBOX_SIPHASH_KEY_SIZE],
									 const OutboxMacContext *context);

/* Parse; the pointers in *msg borrow from data.  The MAC is not checked. */
extern OutboxWalParse outbox_wal_message_read(const char *data, size_t len,
											  OutboxWalMessage *msg);

/* The same without a MAC, as the event log keeps them (log_block.h). */
extern void outbox_wal_message_write_body(StringInfo buf,
										  const OutboxWalMessage *msg);
extern OutboxWalParse outbox_wal_message_read_body(const char *data, size_t len,
												   OutboxWalMessage *msg);

/* Whether the trailing MAC of a record is the one that key and context give. */
extern bool outbox_wal_message_verify(const char *data, size_t len,
									  const uint8 key[OUTBOX_SIPHASH_KEY_SIZE],
									  const OutboxMacContext *context);

/* Header blocks. */
extern void outbox_headers_begin(StringInfo buf);
extern bool outbox_headers_add(StringInfo buf, const char *name, int name_len,
							   const char *value, int value_len);

typedef struct OutboxHeader
{
	const char *name;			/* borrowed, not terminated */
	int			name_len;
	const char *value;			/* NULL for null */
	int32		value_len;		/* -1 for null */
} OutboxHeader;

/* Number of headers in a block; -1 when the block is malformed. */
extern int	outbox_headers_count(const char *block, int32 len);

/* Next header; *offset starts at 0 and is the reader's place.  False at end. */
extern bool outbox_headers_next(const char *block, int32 len, int32 *offset,
								OutboxHeader *header);

#endif							/* OUTBOX_WAL_MESSAGE_H */
