/*-------------------------------------------------------------------------
 *
 * event_type_grant.c
 *		grant_emit() and revoke_emit().
 *
 * The right itself is a row of outbox.event_type_grant; the privileges on
 * schema, functions and view that go with it (access.c) are only the doors.
 * "public" means everybody.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "emit/event_type_ddl.h"
#include "catalog/owner.h"
#include "emit/access.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(outbox_grant_emit);
PG_FUNCTION_INFO_V1(outbox_revoke_emit);

static void
change_grant(FunctionCallInfo fcinfo, const char *sql)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *role = NameStr(*PG_GETARG_NAME(1));
	Oid			grantee = strcmp(role, "public") == 0 ?
		ACL_ID_PUBLIC : get_role_oid(role, false);
	OutboxOwnerScope scope;
	Oid			owner;
	Oid			types[] = {INT4OID, OIDOID};
	Datum		values[2];

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	values[0] = Int32GetDatum(outbox_event_type_require_owner(name,
															  scope.caller,
															  &owner));
	values[1] = ObjectIdGetDatum(grantee);
	(void) outbox_owner_execute(sql, 2, types, values, NULL);
	outbox_access_sync(grantee);
	outbox_owner_end(&scope);
}

/* grant_emit(event_type, role) */
Datum
outbox_grant_emit(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo,
				 "INSERT INTO outbox.event_type_grant (event_type_id, grantee)"
				 " VALUES ($1, $2) ON CONFLICT DO NOTHING");
	PG_RETURN_VOID();
}

/* revoke_emit(event_type, role) */
Datum
outbox_revoke_emit(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo,
				 "DELETE FROM outbox.event_type_grant"
				 " WHERE event_type_id OPERATOR(pg_catalog.=) $1"
				 " AND grantee OPERATOR(pg_catalog.=) $2");
	PG_RETURN_VOID();
}
