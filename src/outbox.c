/*-------------------------------------------------------------------------
 *
 * outbox.c
 *		Module entry: magic block and the flat list of initialisers.
 *
 * Loaded by shared_preload_libraries everything is set up; loaded later (a
 * function called in a server that lacks the entry) only settings are defined,
 * so that the functions can say what is missing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "admin/admin.h"
#include "capture/capture.h"
#include "capture/log_check.h"
#include "emit/emit.h"
#include "fmgr.h"
#include "guc.h"
#include "jobs/jobs.h"
#include "miscadmin.h"
#include "relay/http.h"
#include "relay/relay.h"
#include "schema/schema.h"
#include "state/state.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	outbox_guc_init();
	outbox_schema_init();
	outbox_emit_init();
	outbox_capture_init();
	outbox_http_init();
	outbox_jobs_guc_init();
	if (process_shared_preload_libraries_in_progress)
	{
		outbox_state_init();
		outbox_state_wake_init();
		outbox_log_check_init();
		outbox_ddl_hooks_init();
		outbox_capture_hooks_init();

		/* pg_upgrade is at work: nobody may write, or keep it from databases */
		if (!IsBinaryUpgrade)
			outbox_launcher_register();
	}
	MarkGUCPrefixReserved("outbox");
}
