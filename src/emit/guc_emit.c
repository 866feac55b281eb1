/*-------------------------------------------------------------------------
 *
 * guc_emit.c
 *		Settings of the caller's side.
 *
 * Owns the variables; nothing here reaches the network.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "emit/emit.h"
#include "utils/guc.h"

#define DEFAULT_MAX_EVENT_SIZE	1000000
#define MIN_MAX_EVENT_SIZE		1024
#define MAX_MAX_EVENT_SIZE		(32 * 1024 * 1024)

/* W3C Trace Context: version-traceid-parentid-flags; later ones may be longer */
#define MIN_TRACEPARENT			55
#define MAX_TRACEPARENT			255

int			outbox_max_event_size = DEFAULT_MAX_EVENT_SIZE;
char	   *outbox_traceparent = NULL;
char	   *outbox_topic_prefix = NULL;

static bool
check_traceparent(char **newval, void **extra, GucSource source)
{
	size_t		len = *newval == NULL ? 0 : strlen(*newval);

	if (len == 0)
		return true;
	if (len < MIN_TRACEPARENT || len > MAX_TRACEPARENT ||
		strspn(*newval, "0123456789abcdef-") != len ||
		(*newval)[2] != '-' || (*newval)[35] != '-' || (*newval)[52] != '-')
	{
		GUC_check_errdetail("A traceparent looks like \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\".");
		return false;
	}
	return true;
}

bool
outbox_check_topic_prefix(char **newval, void **extra, GucSource source)
{
	const char *problem;

	if (*newval == NULL || **newval == '\0')
		return true;
	problem = outbox_topic_problem(*newval, strlen(*newval));
	if (problem == NULL)
		return true;
	GUC_check_errdetail("A topic name that begins so %s.", problem);
	return false;
}

void
outbox_emit_init(void)
{
	DefineCustomIntVariable("outbox.max_event_size",
							"Largest event that may be written.",
							"Key, headers and encoded value together.",
							&outbox_max_event_size,
							DEFAULT_MAX_EVENT_SIZE,
							MIN_MAX_EVENT_SIZE, MAX_MAX_EVENT_SIZE,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomStringVariable("outbox.traceparent",
							   "W3C trace context of this session.",
							   "Becomes header \"traceparent\" of every event written.",
							   &outbox_traceparent, "",
							   PGC_USERSET, 0,
							   check_traceparent, NULL, NULL);
	DefineCustomStringVariable("outbox.topic_prefix",
							   "Prefix of the default topic of new event types.",
							   NULL,
							   &outbox_topic_prefix, "",
							   PGC_SIGHUP, 0,
							   outbox_check_topic_prefix, NULL, NULL);
}
