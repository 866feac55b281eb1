/*-------------------------------------------------------------------------
 *
 * server.c
 *		The row of outbox.server, and the count beside it.
 *
 * pg_upgrade makes a server with another system identifier, without the WAL and
 * the slots of the old one, and with the rows of its tables.  From these the new
 * server's relay must be able to tell whether the old one had published
 * everything; see relay/upgrade.c for how.  Here are the means:
 *
 *	outbox.server_writes	a sequence, so never rolled back, counted up by the
 *							first event of a server's life in this database: in
 *							WAL before the event, so there if that is
 *	outbox.server			closed_writes is its value when the relay found, with
 *							nobody else left, that all was published
 *
 * So the two are equal only if nothing was written since.  After a crash the
 * sequence may be up to 32 ahead: then they differ without need, never the other
 * way round.
 *
 * Owns no state.  Writing waits for the relay in one case only, the first
 * moments of an upgraded server, and needs no Kafka then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "catalog/pg_type.h"
#include "catalog/server.h"
#include "commands/sequence.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "state/state.h"
#include "storage/latch.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"

#define RECEIVE_TIMEOUT	10000	/* ms that the first writer waits */
#define RECEIVE_POLL	50		/* ms */

/* Column numbers of outbox.server, in the order of catalog.sql. */
enum
{
	Anum_server_system_id = 2,
	Anum_server_closed_lsn = 3,
	Anum_server_former_system = 5,
	Anum_server_former_closed = 6,
	Anum_server_begins_at = 7
};

bool
outbox_server_read(OutboxServer *server)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	bool		isnull;

	memset(server, 0, sizeof(*server));
	outbox_catalog_scan_begin(&scan, "server", NULL, 0, NULL);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		Datum		value;

		server->system_id = (uint64)
			DatumGetInt64(outbox_catalog_attr(&scan, tuple,
											  Anum_server_system_id, &isnull));
		value = outbox_catalog_attr(&scan, tuple, Anum_server_former_system,
									&isnull);
		server->former_system = isnull ? 0 : (uint64) DatumGetInt64(value);
		value = outbox_catalog_attr(&scan, tuple, Anum_server_former_closed,
									&isnull);
		server->former_closed = !isnull && DatumGetBool(value);
		value = outbox_catalog_attr(&scan, tuple, Anum_server_closed_lsn,
									&isnull);
		server->closed = isnull ? InvalidXLogRecPtr : DatumGetLSN(value);
		value = outbox_catalog_attr(&scan, tuple, Anum_server_begins_at,
									&isnull);
		server->begins = isnull ? InvalidXLogRecPtr : DatumGetLSN(value);
	}
	outbox_catalog_scan_end(&scan);
	return HeapTupleIsValid(tuple);
}

/*
 * The row is read anew each time: no invalidations are sent for tables like
 * ours, so a catalog scan takes a new snapshot (GetCatalogSnapshot,
 * utils/time/snapmgr.c).
 */
static void
await_reception(void)
{
	static uint32 wait_event = 0;
	int64		begun = outbox_monotonic_ms();
	OutboxServer server;

	while (outbox_server_read(&server) &&
		   server.system_id != GetSystemIdentifier())
	{
		if (outbox_monotonic_ms() - begun > RECEIVE_TIMEOUT)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("events cannot be written yet: this server was made by pg_upgrade, and no relay has started in it"),
					 errhint("See outbox.status(), max_worker_processes and the server log.")));
		outbox_state_wake_launcher();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 RECEIVE_POLL,
						 outbox_compat_wait_event(&wait_event,
												  "OutboxUpgrade"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
outbox_server_note_writing(void)
{
	await_reception();
	(void) nextval_internal(outbox_catalog_relation("server_writes"), false);
	outbox_state_set_written();
}

/* ---- the relay ------------------------------------------------------------ */

static int64
execute(const char *sql, int nargs, Oid *types, Datum *values, bool result)
{
	int64		value = 0;
	bool		isnull;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0) < 0 ||
		SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"outbox.server\" has not exactly one row"),
				 errhint("Run SELECT outbox.new_identity() as the extension's owner.")));
	if (result)
		value = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
											SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PopActiveSnapshot();
	return value;
}

#define WRITES "(SELECT CASE WHEN w.is_called THEN w.last_value ELSE 0 END FROM outbox.server_writes w)"

int64
outbox_server_writes(void)
{
	return execute("SELECT " WRITES, 0, NULL, NULL, true);
}

/* Rows of log captures are not counted: then nobody can know. */
void
outbox_server_receive(XLogRecPtr begins)
{
	Oid			types[] = {INT8OID, PG_LSNOID};
	Datum		values[] = {Int64GetDatum((int64) GetSystemIdentifier()),
	LSNGetDatum(begins)};

	(void) execute("UPDATE outbox.server SET system_id = $1, begins_at = $2,"
				   " former_system = system_id,"
				   " former_closed = closed_writes OPERATOR(pg_catalog.=) " WRITES
				   " AND NOT EXISTS (SELECT FROM outbox.capture_def c"
				   "  WHERE c.mode OPERATOR(pg_catalog.=) 'log')"
				   " AND NOT EXISTS (SELECT FROM outbox.instance i"
				   "  WHERE i.log_from IS NOT NULL)",
				   2, types, values, false);
}

void
outbox_server_close(XLogRecPtr closed, int64 writes)
{
	Oid			types[] = {PG_LSNOID, INT8OID};
	Datum		values[] = {LSNGetDatum(closed), Int64GetDatum(writes)};

	(void) execute("UPDATE outbox.server SET closed_lsn = $1, closed_writes = $2",
				   2, types, values, false);
}

void
outbox_server_settle(void)
{
	(void) execute("UPDATE outbox.server SET former_system = NULL,"
				   " former_closed = NULL", 0, NULL, NULL, false);
}
