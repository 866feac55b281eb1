/*-------------------------------------------------------------------------
 *
 * owner.c
 *		SQL on the extension's tables, as their owner.
 *
 * A SECURITY DEFINER function would hide who called it, so the functions that
 * change our tables run with their caller's rights, check them, and switch to
 * the extension's owner for the writes alone.  An error in between needs no
 * care: abort of the (sub)transaction restores the user.  The functions are
 * declared with SET search_path = pg_catalog, pg_temp, and every name here is
 * qualified.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"

#define OUTBOX_ADMIN	"outbox_admin"

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

bool
outbox_owner_is_predefined(Oid role)
{
	char	   *name = OidIsValid(role) ? GetUserNameFromId(role, true) : NULL;

	return name != NULL && (strcmp(name, OUTBOX_ADMIN) == 0 ||
							strcmp(name, "outbox_emitter") == 0 ||
							strcmp(name, "outbox_monitor") == 0);
}

bool
outbox_owner_is_admin(Oid role)
{
	Oid			admin = get_role_oid(OUTBOX_ADMIN, true);

	return OidIsValid(admin) && has_privs_of_role(role, admin);
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
