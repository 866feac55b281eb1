/*-------------------------------------------------------------------------
 *
 * readable.c
 *		What a reader of the event log must know of a route, and whether he may
 *		read its events.
 *
 * Administrators read all; others what they own: events of their event types,
 * rows of their captures as these are now.  Owns nothing: the table hangs below
 * the context it was made in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "catalog/pg_collation.h"
#include "eventlog/reader.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

struct OutboxReadable
{
	HTAB	   *routes;
	Oid			role;
	bool		all;			/* role is an administrator */
};

OutboxReadable *
outbox_readable_create(Oid role)
{
	OutboxReadable *readable = palloc(sizeof(OutboxReadable));
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(OutboxReadableRoute);
	ctl.hcxt = CurrentMemoryContext;
	readable->routes = hash_create("outbox readable routes", 32, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	readable->role = role;
	readable->all = superuser_arg(role) || outbox_owner_is_admin(role);
	return readable;
}

/* The owner in the one row of a table whose column has this value. */
static Oid
find_owner(const char *table, const char *column, RegProcedure equal,
		   Datum value, Oid collation)
{
	Oid			relid = outbox_catalog_relation(table);
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyEntryInitialize(&key, 0, get_attnum(relid, column),
						   BTEqualStrategyNumber, InvalidOid, collation, equal,
						   value);
	outbox_catalog_scan_begin(&scan, table, NULL, 1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		owner = DatumGetObjectId(outbox_catalog_attr(&scan, tuple,
													 get_attnum(relid, "owner"),
													 &isnull));
	}
	outbox_catalog_scan_end(&scan);
	return owner;
}

static bool
may_read(const OutboxReadable *readable, const OutboxRoute *route)
{
	Oid			owner;

	if (readable->all)
		return true;
	if (route->envelope == OUTBOX_ENVELOPE_NONE)
		owner = find_owner("event_type_def", "name", F_TEXTEQ,
						   CStringGetTextDatum(route->event_type),
						   C_COLLATION_OID);
	else
		owner = find_owner("capture_def", "route_id", F_INT4EQ,
						   Int32GetDatum((int32) route->id), InvalidOid);
	return OidIsValid(owner) && has_privs_of_role(readable->role, owner);
}

OutboxReadableRoute *
outbox_readable_find(OutboxReadable *readable, uint32 route_id)
{
	OutboxReadableRoute *entry;
	OutboxRoute route;
	bool		found;

	entry = hash_search(readable->routes, &route_id, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;
	memset(&route, 0, sizeof(route));
	found = outbox_catalog_route(route_id, &route);
	entry = hash_search(readable->routes, &route_id, HASH_ENTER, NULL);
	entry->route = route;
	entry->allowed = found && may_read(readable, &route);
	return entry;
}
