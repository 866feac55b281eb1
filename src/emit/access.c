/*-------------------------------------------------------------------------
 *
 * access.c
 *		The privileges that come with event types.
 *
 * Whoever owns or may emit any event type needs the schema, the functions and
 * the view; what may be emitted through them is decided per event type.  Runs
 * as the extension's owner (catalog/owner.h).  Owns no state.
 *
 * PostgreSQL knows those privileges, and refuses DROP ROLE because of them; it
 * does not know the rows behind them.  So DROP OWNED takes away what was
 * granted, and DROP ROLE is refused while the role owns event types.  Like
 * privileges, they are seen in the database where the statement runs; grants in
 * another database keep the number of a role that is gone, which nobody gets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "emit/access.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#define EMIT_FUNCTIONS \
	"outbox.emit(text, jsonb, text, jsonb, uuid), " \
	"outbox.emit(text, text, text, jsonb, uuid), " \
	"outbox.emit(text, json, text, jsonb, uuid), " \
	"outbox.emit(text, record, text, jsonb, uuid), " \
	"outbox.emit_avro(text, bytea, text, jsonb, uuid), " \
	"outbox.uuid_v7(), " \
	"outbox.attach_table(regclass, jsonb, text[]), " \
	"outbox.detach_table(regclass), " \
	"outbox.create_outbox_table(text)"

#define MANAGE_FUNCTIONS \
	"outbox.alter_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval), " \
	"outbox.drop_event_type(text), " \
	"outbox.grant_emit(text, name), " \
	"outbox.revoke_emit(text, name), " \
	"outbox.set_compatibility(text, text), " \
	"outbox.plan_ddl(text)"

#define SCHEMA_VIEWS \
	"outbox.subjects, outbox.schemas, outbox.schema_versions"

#define SCHEMA_FUNCTIONS \
	"outbox.schema_diff(text, integer, integer), " \
	"outbox.schema_parts(jsonb, text, text), " \
	"outbox.schema_type_text(jsonb, text)"

#define AVRO_FUNCTIONS \
	"outbox.avro_encode(text, jsonb), " \
	"outbox.avro_encode(text, text), " \
	"outbox.avro_encode(text, record), " \
	"outbox.avro_decode(text, bytea, boolean), " \
	"outbox.decode(bytea), " \
	"outbox.avro_canonical(text), " \
	"outbox.avro_fingerprint(text, text), " \
	"outbox.avro_schema(regtype, text, text), " \
	"outbox.check_compatibility(text, text[], text)"

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

/* Whether role may execute a function of ours, which others grant. */
static bool
may_execute(Oid role, const char *function)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(role), CStringGetTextDatum(function)
	};

	return role != ACL_ID_PUBLIC &&
		outbox_owner_execute("SELECT 1 FROM pg_catalog.pg_proc p"
							 " WHERE p.proname OPERATOR(pg_catalog.=) $2::pg_catalog.name"
							 " AND p.pronamespace OPERATOR(pg_catalog.=)"
							 " 'outbox'::pg_catalog.regnamespace"
							 " AND pg_catalog.has_function_privilege($1, p.oid, 'EXECUTE')",
							 2, types, values, NULL) > 0;
}

static void
open_doors(const char *target, bool owner)
{
	outbox_owner_command("GRANT USAGE ON SCHEMA outbox TO %s", target);
	outbox_owner_command("GRANT INSERT ON outbox.event TO %s", target);
	outbox_owner_command("GRANT SELECT ON outbox.event, outbox.event_types TO %s",
						 target);
	outbox_owner_command("GRANT EXECUTE ON FUNCTION " EMIT_FUNCTIONS ", "
						 AVRO_FUNCTIONS " TO %s", target);
	if (!owner)
		return;
	outbox_owner_command("GRANT EXECUTE ON FUNCTION " MANAGE_FUNCTIONS " TO %s",
						 target);
	outbox_owner_command("GRANT SELECT ON " SCHEMA_VIEWS " TO %s", target);
	outbox_owner_command("GRANT EXECUTE ON FUNCTION " SCHEMA_FUNCTIONS " TO %s",
						 target);
}

/* reader: keeps what grant_registry() gave */
static void
close_owner_doors(const char *target, bool reader)
{
	outbox_owner_command("REVOKE EXECUTE ON FUNCTION " MANAGE_FUNCTIONS " FROM %s",
						 target);
	if (reader)
		return;
	outbox_owner_command("REVOKE SELECT ON " SCHEMA_VIEWS " FROM %s", target);
	outbox_owner_command("REVOKE EXECUTE ON FUNCTION " SCHEMA_FUNCTIONS " FROM %s",
						 target);
}

/* creator: keeps the schema, by a grant or by grant_capture() */
static void
close_emitter_doors(const char *target, bool reader, bool creator)
{
	outbox_owner_command("REVOKE EXECUTE ON FUNCTION " EMIT_FUNCTIONS " FROM %s",
						 target);
	outbox_owner_command("REVOKE INSERT, SELECT ON outbox.event FROM %s",
						 target);
	outbox_owner_command("REVOKE SELECT ON outbox.event_types FROM %s",
						 target);
	if (reader)
		return;
	outbox_owner_command("REVOKE EXECUTE ON FUNCTION " AVRO_FUNCTIONS " FROM %s",
						 target);
	if (!creator)
		outbox_owner_command("REVOKE USAGE ON SCHEMA outbox FROM %s", target);
}

void
outbox_access_sync(Oid role)
{
	const char *target = grant_target(role);
	bool		owner;
	bool		emitter;
	bool		reader;

	if (target == NULL || (OidIsValid(role) && superuser_arg(role)))
		return;
	owner = has_event_types(role, true);
	emitter = owner || has_event_types(role, false);
	if (emitter)
		open_doors(target, owner);

	/* What the predefined roles had to begin with is not ours to take. */
	if (outbox_owner_is_predefined(role))
		return;
	reader = may_execute(role, "registry_version");
	if (!emitter)
		close_emitter_doors(target, reader,
							may_execute(role, "create_event_type") ||
							may_execute(role, "capture"));
	if (!owner)
		close_owner_doors(target, reader);
}

void
outbox_access_forget(Oid role)
{
	OutboxOwnerScope scope;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role)};

	outbox_owner_begin(&scope);
	(void) outbox_owner_execute("DELETE FROM outbox.event_type_grant"
								" WHERE grantee OPERATOR(pg_catalog.=) $1",
								1, types, values, NULL);
	outbox_owner_end(&scope);
}

void
outbox_access_role_dropped(Oid role)
{
	OutboxOwnerScope scope;
	bool		owner;

	outbox_owner_begin(&scope);
	owner = has_event_types(role, true);
	outbox_owner_end(&scope);
	if (owner)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("role \"%s\" cannot be dropped because some objects depend on it",
						GetUserNameFromId(role, false)),
				 errdetail("It owns event types."),
				 errhint("See outbox.event_types; outbox.drop_event_type() drops one.")));
	outbox_access_forget(role);
}
