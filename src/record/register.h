/*-------------------------------------------------------------------------
 *
 * register.h
 *		Bodies of the frames REGISTER and REGISTERED (frame.h).
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REGISTER_H
#define OUTBOX_REGISTER_H

#include "base/base.h"
#include "base/result.h"

/* What REGISTER may do, as bits. */
#define OUTBOX_REGISTER_CREATE		0x01	/* else only look it up */
#define OUTBOX_REGISTER_NORMALIZE	0x02	/* let the registry normalize */
#define OUTBOX_REGISTER_LATEST		0x04	/* take the subject's latest version,
											 * if its values look the same */
#define OUTBOX_REGISTER_KEEP_ID		0x08	/* register under schema_id itself,
											 * by the registry's mode IMPORT */
#define OUTBOX_REGISTER_FLAGS		0x0F	/* all that are known */

/* Of the two, texts borrow from the buffer and are not terminated. */
typedef struct OutboxRegister
{
	uint32		schema_id;		/* ours */
	uint32		external_id;	/* given before: see whether it still means
								 * this schema; 0: none, get one */
	uint8		flags;
	const char *subject;
	int32		subject_len;
	const char *schema;			/* the text to register */
	int32		schema_len;
	const char *references;		/* JSON array [{name, subject, version}] */
	int32		references_len; /* -1: none */
	const char *resolved;		/* with references: the text without any */
	int32		resolved_len;	/* -1: none */
} OutboxRegister;

typedef struct OutboxRegistered
{
	uint32		schema_id;
	OutboxResultClass class;
	int32		code;			/* the registry's error code or HTTP status */
	uint32		external_id;	/* when class is OUTBOX_OK */
	const char *message;
	int32		message_len;
} OutboxRegistered;

extern void outbox_register_write(StringInfo buf, const OutboxRegister *what);
extern bool outbox_register_read(const char *body, size_t len,
								 OutboxRegister *what);
extern void outbox_registered_write(StringInfo buf,
									const OutboxRegistered *what);
extern bool outbox_registered_read(const char *body, size_t len,
								   OutboxRegistered *what);

#endif							/* OUTBOX_REGISTER_H */
