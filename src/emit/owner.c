/*-------------------------------------------------------------------------
 *
 * owner.c
 *		SQL as the extension's owner, and the privileges that come with
 *		event types.
 *
 * A SECURITY DEFINER function would hide who called it, so the functions that
 * manage event types run with their caller's rights, check them, and switch to
 * the extension's owner for the writes alone.  An error in between needs no
 * care: abort of the (sub)transaction restores the user.  The functions are
 * declared with SET search_path = pg_catalog, pg_temp, and every name here is
 * qualified.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/pg_type.h"
#include "emit/owner.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#define EMIT_FUNCTIONS \
	"outbox.emit(text, jsonb, text, jsonb, uuid), " \
	"outbox.emit(text, text, text, jsonb, uuid), " \
	"outbox.emit(text, json, text, jsonb, uuid), " \
	"outbox.emit(text, record, text, jsonb, uuid), " \
	"outbox.emit_avro(text, bytea, text, jsonb, uuid), " \
	"outbox.attach_table(regclass, jsonb, text[]), " \
	"outbox.detach_table(regclass), " \
	"outbox.create_outbox_table(text)"

#define MANAGE_FUNCTIONS \
	"outbox.alter_event_type(text, text, regtype, text, text, text, text, integer), " \
	"outbox.drop_event_type(text), " \
	"outbox.grant_emit(text, name), " \
	"outbox.revoke_emit(text, name)"

void
outbox_owner_begin(OutboxOwnerScope *scope)
{
	GetUserIdAndSecContext(&scope->caller, &scope->context);
	SetUserIdAndSecContext(outbox_catalog_owner(),
						   scope->context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not connect to the SPI manager")));
}

void
outbox_owner_end(const OutboxOwnerScope *scope)
{
	SPI_finish();
	SetUserIdAndSecContext(scope->caller, scope->context);
}

void
outbox_owner_lock(void)
{
	LockRelationOid(outbox_catalog_relation("event_type_def"),
					ShareRowExclusiveLock);
}

uint64
outbox_owner_execute(const char *sql, int nargs, const Oid *types,
					 const Datum *values, const char *nulls)
{
	int			rc = SPI_execute_with_args(sql, nargs,
										   unconstify(Oid *, types),
										   unconstify(Datum *, values),
										   nulls, false, 0);

	if (rc < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not change outbox tables: %s",
						SPI_result_code_string(rc))));
	return SPI_processed;
}

int32
outbox_owner_result_int(void)
{
	bool		isnull;

	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
}

char *
outbox_owner_result_text(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

void
outbox_owner_command(const char *format,...)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&sql, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&sql, needed);
	}
	(void) outbox_owner_execute(sql.data, 0, NULL, NULL, NULL);
}

/* "role", or PUBLIC; NULL when there is no such role (any more). */
static const char *
grant_target(Oid role)
{
	char	   *name;

	if (role == ACL_ID_PUBLIC)
		return "PUBLIC";
	name = GetUserNameFromId(role, true);
	return name == NULL ? NULL : quote_identifier(name);
}

static bool
has_event_types(Oid role, bool as_owner)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role)};

	return outbox_owner_execute(as_owner ?
								"SELECT 1 FROM outbox.event_type_def d"
								" WHERE d.owner OPERATOR(pg_catalog.=) $1 LIMIT 1" :
								"SELECT 1 FROM outbox.event_type_grant g"
								" WHERE g.grantee OPERATOR(pg_catalog.=) $1 LIMIT 1",
								1, types, values, NULL) > 0;
}

/* Whoever may create event types keeps the door to the schema. */
static bool
may_create_types(Oid role)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role)};

	return role != ACL_ID_PUBLIC &&
		outbox_owner_execute("SELECT 1 FROM pg_catalog.pg_proc p"
							 " WHERE p.proname OPERATOR(pg_catalog.=) 'create_event_type'"
							 " AND p.pronamespace OPERATOR(pg_catalog.=)"
							 " 'outbox'::pg_catalog.regnamespace"
							 " AND pg_catalog.has_function_privilege($1, p.oid, 'EXECUTE')",
							 1, types, values, NULL) > 0;
}

void
outbox_owner_sync_access(Oid role)
{
	const char *target = grant_target(role);
	bool		owner;
	bool		emitter;

	if (target == NULL || (OidIsValid(role) && superuser_arg(role)))
		return;
	owner = has_event_types(role, true);
	emitter = owner || has_event_types(role, false);
	if (emitter)
	{
		outbox_owner_command("GRANT USAGE ON SCHEMA outbox TO %s", target);
		outbox_owner_command("GRANT INSERT ON outbox.event TO %s", target);
		outbox_owner_command("GRANT SELECT ON outbox.event, outbox.event_types TO %s",
							 target);
		outbox_owner_command("GRANT EXECUTE ON FUNCTION " EMIT_FUNCTIONS " TO %s",
							 target);
	}
	else
	{
		outbox_owner_command("REVOKE EXECUTE ON FUNCTION " EMIT_FUNCTIONS " FROM %s",
							 target);
		outbox_owner_command("REVOKE INSERT, SELECT ON outbox.event FROM %s",
							 target);
		outbox_owner_command("REVOKE SELECT ON outbox.event_types FROM %s",
							 target);
		if (!may_create_types(role))
			outbox_owner_command("REVOKE USAGE ON SCHEMA outbox FROM %s",
								 target);
	}
	if (owner)
		outbox_owner_command("GRANT EXECUTE ON FUNCTION " MANAGE_FUNCTIONS " TO %s",
							 target);
	else
		outbox_owner_command("REVOKE EXECUTE ON FUNCTION " MANAGE_FUNCTIONS " FROM %s",
							 target);
}
