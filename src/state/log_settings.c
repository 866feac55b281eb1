/*-------------------------------------------------------------------------
 *
 * log_settings.c
 *		What the server must be set to for captures with mode log.
 *
 * wal_level = logical, so that WAL says which rows changed; and on servers with
 * the setting output_plugin_libraries (minor versions since CVE-2026-6471: 15.19,
 * 16.15, 17.11, 18.6) our library must be in that list.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "nodes/pg_list.h"
#include "state/log_settings.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#define LIBRARY "outbox"

/* Whether the list is there and does not name us; the match is exact. */
static bool
library_not_listed(void)
{
	const char *setting = GetConfigOption("output_plugin_libraries", true,
										  false);
	List	   *names = NIL;
	ListCell   *lc;
	bool		listed = false;

	if (setting == NULL || !SplitGUCList(pstrdup(setting), ',', &names))
		return setting != NULL;
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), LIBRARY) == 0)
			listed = true;
	}
	list_free(names);
	return !listed;
}

bool
outbox_log_settings_missing(const char **message, const char **hint)
{
	if (wal_level < WAL_LEVEL_LOGICAL)
	{
		*message = "mode \"log\" needs wal_level logical";
		*hint = "Set wal_level = logical and restart the server, or use mode \"trigger\".";
		return true;
	}
	if (library_not_listed())
	{
		*message = "output_plugin_libraries does not list \"" LIBRARY "\"";
		*hint = "Add " LIBRARY " to output_plugin_libraries and reload the server configuration; its output plugin refuses to work for anybody but the relay.";
		return true;
	}
	return false;
}

void
outbox_log_settings_require(void)
{
	const char *message,
			   *hint;

	if (outbox_log_settings_missing(&message, &hint))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", message),
				 errhint("%s", hint)));
}
