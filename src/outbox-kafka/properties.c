/*-------------------------------------------------------------------------
 *
 * properties.c
 *		Read a properties file into the configuration.
 *
 * What the file must be like is in base/properties.c.
 *
 *-------------------------------------------------------------------------
 */
#include "base/properties.h"
#include "outbox-kafka/config.h"

static const char *
take(void *arg, const char *name, const char *value)
{
	OutboxResult ignored;

	return outbox_config_set(arg, OUTBOX_CONFIG_FILE, name, value, &ignored) ?
		NULL : "cannot be set there";
}

bool
outbox_config_load(OutboxKafkaConfig *config, const char *path,
				   OutboxResult *result)
{
	char		error[OUTBOX_RESULT_MESSAGE_SIZE];

	if (outbox_properties_read(path, take, config, error, sizeof(error)))
		return true;
	outbox_result_set(result, OUTBOX_CONFIG, 0, "%s", error);
	return false;
}
