/*-------------------------------------------------------------------------
 *
 * register.c
 *		Bodies of the frames REGISTER and REGISTERED (frame.h).
 *
 * Owns no state.  Readers accept exactly what writers make: all fields there,
 * nothing behind them, no flag or class that is not known.
 *
 *-------------------------------------------------------------------------
 */
#include "record/register.h"

#include "base/cursor.h"

void
outbox_register_write(StringInfo buf, const OutboxRegister *what)
{
	outbox_put_u32(buf, what->schema_id);
	outbox_put_u32(buf, what->external_id);
	outbox_put_u8(buf, what->flags);
	outbox_put_bytes(buf, what->subject, what->subject_len);
	outbox_put_bytes(buf, what->schema, what->schema_len);
	outbox_put_bytes(buf, what->references, what->references_len);
	outbox_put_bytes(buf, what->resolved, what->resolved_len);
}

bool
outbox_register_read(const char *body, size_t len, OutboxRegister *what)
{
	OutboxCursor c;

	outbox_cursor_init(&c, body, len);
	what->schema_id = outbox_get_u32(&c);
	what->external_id = outbox_get_u32(&c);
	what->flags = outbox_get_u8(&c);
	what->subject = outbox_get_bytes(&c, &what->subject_len);
	what->schema = outbox_get_bytes(&c, &what->schema_len);
	what->references = outbox_get_bytes(&c, &what->references_len);
	what->resolved = outbox_get_bytes(&c, &what->resolved_len);
	return !c.failed && outbox_cursor_left(&c) == 0 &&
		(what->flags & ~OUTBOX_REGISTER_FLAGS) == 0 &&
		what->subject_len > 0 && what->schema_len > 0 &&
		(what->references == NULL) == (what->resolved == NULL) &&
		memchr(what->subject, '\0', what->subject_len) == NULL;
}

void
outbox_registered_write(StringInfo buf, const OutboxRegistered *what)
{
	outbox_put_u32(buf, what->schema_id);
	outbox_put_u8(buf, (uint8) what->class);
	outbox_put_u32(buf, (uint32) what->code);
	outbox_put_u32(buf, what->external_id);
	outbox_put_bytes(buf, what->message, what->message_len);
}

bool
outbox_registered_read(const char *body, size_t len, OutboxRegistered *what)
{
	OutboxCursor c;

	outbox_cursor_init(&c, body, len);
	what->schema_id = outbox_get_u32(&c);
	what->class = (OutboxResultClass) outbox_get_u8(&c);
	what->code = (int32) outbox_get_u32(&c);
	what->external_id = outbox_get_u32(&c);
	what->message = outbox_get_bytes(&c, &what->message_len);
	return !c.failed && outbox_cursor_left(&c) == 0 &&
		what->class <= OUTBOX_REFUSED &&
		(what->class == OUTBOX_OK) ==
		(what->external_id > 0 && what->external_id <= PG_INT32_MAX);
}
