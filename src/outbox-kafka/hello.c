/*-------------------------------------------------------------------------
 *
 * hello.c
 *		What all HELLO frames have: strings, and properties for librdkafka.
 *
 * Owns no state.  A frame that is damaged ends the process.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/hello.h"

#include "outbox-kafka/link.h"

char *
outbox_hello_string(OutboxCursor *c)
{
	int32		len;
	const char *s = outbox_get_bytes(c, &len);

	if (s == NULL)
		return NULL;
	if (memchr(s, '\0', len) != NULL)
		outbox_link_leave();
	return pnstrdup(s, len);
}

OutboxKafkaConfig *
outbox_hello_config(OutboxCursor *c, const char *path, OutboxResult *result)
{
	OutboxKafkaConfig *config = outbox_config_new();
	uint32		n = outbox_get_u32(c);

	if (path != NULL && !outbox_config_load(config, path, result))
		return NULL;
	for (uint32 i = 0; i < n; i++)
	{
		char	   *name = outbox_hello_string(c);
		char	   *value = outbox_hello_string(c);

		if (c->failed || name == NULL || value == NULL)
			outbox_link_leave();
		if (!outbox_config_set(config, OUTBOX_CONFIG_CALLER, name, value,
							   result))
			return NULL;
		pfree(name);
		pfree(value);
	}
	if (outbox_cursor_left(c) != 0)
		outbox_link_leave();
	return outbox_config_check(config, result) ? config : NULL;
}
