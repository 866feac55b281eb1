/*-------------------------------------------------------------------------
 *
 * topic.c
 *		Topic names: what is allowed, and the one template.
 *
 * Pure functions.  Part of a name may come from data (aggregatetype), so the
 * result is held against an allow-list each time: Kafka's own rule
 * ([a-zA-Z0-9._-]{1,249}, not "." or ".."), and never a topic of the broker
 * ("__...") or of the relay ("outbox.position...").
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "emit/emit.h"

#define RELAY_TOPICS "outbox.position."

static bool
begins_with(const char *s, int len, const char *prefix)
{
	int			n = strlen(prefix);

	return len >= n && memcmp(s, prefix, n) == 0;
}

static bool
is_topic_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

const char *
outbox_topic_problem(const char *topic, int len)
{
	if (len == 0)
		return "is empty";
	if (len > OUTBOX_MAX_TOPIC)
		return "is longer than 249 characters";
	for (int i = 0; i < len; i++)
	{
		if (!is_topic_character(topic[i]))
			return "has a character other than letters, digits, \".\", \"_\" and \"-\"";
	}
	if ((len == 1 && topic[0] == '.') ||
		(len == 2 && topic[0] == '.' && topic[1] == '.'))
		return "is \".\" or \"..\"";
	if (begins_with(topic, len, "__"))
		return "begins like an internal topic of the broker";
	if (begins_with(topic, len, RELAY_TOPICS))
		return "begins like the relay's own topic";
	return NULL;
}

bool
outbox_topic_is_template(const char *topic)
{
	return strstr(topic, OUTBOX_TOPIC_PLACEHOLDER) != NULL;
}

/* Replace the placeholder; -1 when the result would be too long. */
static int
substitute(const char *template, const char *value, int len,
		   char out[OUTBOX_MAX_TOPIC + 1])
{
	const char *place = strstr(template, OUTBOX_TOPIC_PLACEHOLDER);
	size_t		before;
	const char *after;
	size_t		total;

	if (place == NULL)
	{
		before = strlen(template);
		after = "";
		len = 0;
	}
	else
	{
		before = place - template;
		after = place + strlen(OUTBOX_TOPIC_PLACEHOLDER);
	}
	total = before + len + strlen(after);
	if (total > OUTBOX_MAX_TOPIC)
		return -1;
	memcpy(out, template, before);
	memcpy(out + before, value, len);
	strcpy(out + before + len, after);
	return (int) total;
}

const char *
outbox_topic_template_problem(const char *topic)
{
	char		sample[OUTBOX_MAX_TOPIC + 1];
	int			len;

	if (!outbox_topic_is_template(topic))
		return outbox_topic_problem(topic, strlen(topic));
	len = substitute(topic, "x", 1, sample);
	if (len < 0)
		return "is longer than 249 characters";
	return outbox_topic_problem(sample, len);
}

int
outbox_topic_expand(const char *template, const char *aggregatetype, int len,
					char out[OUTBOX_MAX_TOPIC + 1])
{
	int			total = substitute(template, aggregatetype, len, out);
	const char *problem;

	if (len == 0)
		problem = "lacks the aggregate type";
	else if (total < 0)
		problem = "is longer than 249 characters";
	else
		problem = outbox_topic_problem(out, total);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("aggregate type \"%.*s\" gives no legal topic name",
						Min(len, OUTBOX_MAX_TOPIC), aggregatetype),
				 errdetail("With the topic template \"%s\" the name %s.",
						   template, problem),
				 errhint("Pass another aggregate type, or give the event type a fixed topic.")));
	return total;
}
