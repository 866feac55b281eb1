/*-------------------------------------------------------------------------
 *
 * position.h
 *		The relay's record in its position topic, format versions 1 and 2.
 *
 * One single-partition compacted topic per instance holds three kinds of
 * record, told apart by the Kafka key:
 *
 *	"position"	written inside every Kafka transaction (at_least_once: after
 *				the acknowledgements), also as a position-only transaction;
 *	"claim"		written before init_transactions, not transactional;
 *	"standby-<host identity in hex>"	announcement of a streaming standby.
 *
 * All are the same struct.  Letters P, E, C, R are those of the design: every
 * commit <= P is handled; E is the last commit that carried events; C is the
 * last commit record of any kind <= P; reading starts again at R.
 *
 * Serialised little-endian in the order of the struct, with a leading magic
 * and a trailing CRC-32C over everything before it.  The marks of jobs
 * (job_mark.h) make it version 2, with their length in front; a record without
 * any stays version 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_POSITION_H
#define OUTBOX_POSITION_H

#include "base/base.h"

#define OUTBOX_POSITION_MAGIC		0x5058424FU /* "OBXP" */
#define OUTBOX_POSITION_VERSION		2
#define OUTBOX_POSITION_PLAIN		1	/* version of one without marks */
#define OUTBOX_MAX_MARKS			16384	/* bytes of marks in one record */
#define OUTBOX_IDENTITY_SIZE		16

#define OUTBOX_POSITION_KEY			"position"
#define OUTBOX_CLAIM_KEY			"claim"

/* A place in WAL; the programs know no XLogRecPtr. */
typedef uint64 OutboxLsn;

typedef struct OutboxPosition
{
	uint8		instance[16];	/* uuid of outbox.instance */
	uint64		system_id;
	uint8		host[OUTBOX_IDENTITY_SIZE]; /* host identity, hashed */
	uint32		timeline;
	uint64		incarnation;	/* +1 at every takeover */
	uint16		ring;			/* transactional ids 0..ring-1 were used */
	int64		written_ms;		/* ms since 1970, informational */
	OutboxLsn	scanned;		/* P */
	uint32		split_ordinal;	/* events of the transaction after P that are
								 * already published; 0 when none */
	OutboxLsn	event_end;		/* E: end of its commit record, 0 = never */
	uint32		event_crc;		/* E: that record's xl_crc */
	OutboxLsn	commit_start;	/* C: start of the record, 0 = none seen */
	uint32		commit_crc;		/* C: that record's xl_crc */
	OutboxLsn	restart;		/* R */
	OutboxLsn	parked_lsn;		/* highest parked dead letter: commit end */
	uint32		parked_ordinal;
	uint32		marks_len;
	char		marks[OUTBOX_MAX_MARKS];	/* how far jobs are, see job_mark.h */
} OutboxPosition;

typedef enum OutboxPositionParse
{
	OUTBOX_POSITION_OK,
	OUTBOX_POSITION_MALFORMED,
	OUTBOX_POSITION_TOO_NEW
} OutboxPositionParse;

extern void outbox_position_write(StringInfo buf, const OutboxPosition *pos);
extern OutboxPositionParse outbox_position_read(const char *data, size_t len,
												OutboxPosition *pos);

#endif							/* OUTBOX_POSITION_H */
