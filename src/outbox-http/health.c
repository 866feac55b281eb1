/*-------------------------------------------------------------------------
 *
 * health.c
 *		/health: whether the database answers, for load balancers and people.
 *
 * 200 when it does, 503 when it does not.  Says no more than that and needs no
 * password: how publishing is, /metrics and outbox.status() say.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/routes.h"

bool
outbox_health(OutboxRequest *request, OutboxDb *db)
{
	OutboxRows *rows;

	if (db == NULL)
		return false;
	request->media = OUTBOX_MEDIA_JSON;
	rows = outbox_db_query(db, request,
						   "SELECT count(*) FROM outbox.schemas s WHERE s.id = 0",
						   0, NULL);
	if (rows == NULL)
	{
		outbox_answer_text(request, 503, "{\"status\":\"down\"}", 17);
		return true;
	}
	outbox_rows_free(rows);
	outbox_answer_text(request, 200, "{\"status\":\"up\"}", 15);
	return true;
}
