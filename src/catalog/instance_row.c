/*-------------------------------------------------------------------------
 *
 * instance_row.c
 *		Changes of the one row of outbox.instance that the relay makes itself.
 *
 * Owns no state.  The floor is written without SQL; a new identity is made by
 * the extension's own SQL function, the one that CREATE EXTENSION used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/instance.h"
#include "executor/spi.h"
#include "utils/inval.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Replace columns of the one row, as "replace" says. */
static void
update_row(Datum *values, bool *nulls, bool *replace)
{
	Relation	rel = table_open(outbox_catalog_relation("instance"),
								 RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple	tuple = systable_getnext(scan);

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"outbox.instance\" is empty"),
				 errhint("Run SELECT outbox.new_identity() as the extension's owner.")));
	tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls,
							  replace);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
}

void
outbox_instance_set_floor(XLogRecPtr floor, bool adopted)
{
	Datum		values[Natts_instance] = {0};
	bool		nulls[Natts_instance] = {0};
	bool		replace[Natts_instance] = {0};

	values[Anum_instance_floor - 1] = LSNGetDatum(floor);
	replace[Anum_instance_floor - 1] = true;
	if (adopted)
	{
		values[Anum_instance_adopt_pending - 1] = BoolGetDatum(false);
		replace[Anum_instance_adopt_pending - 1] = true;
		values[Anum_instance_adopted_at - 1] =
			TimestampTzGetDatum(GetCurrentTimestamp());
		replace[Anum_instance_adopted_at - 1] = true;
	}
	update_row(values, nulls, replace);
}

void
outbox_instance_set_log_from(XLogRecPtr log_from)
{
	Datum		values[Natts_instance] = {0};
	bool		nulls[Natts_instance] = {0};
	bool		replace[Natts_instance] = {0};

	values[Anum_instance_log_from - 1] = LSNGetDatum(log_from);
	nulls[Anum_instance_log_from - 1] = log_from == InvalidXLogRecPtr;
	replace[Anum_instance_log_from - 1] = true;
	update_row(values, nulls, replace);
}

uint32
outbox_instance_id_block(void)
{
	uint32		block = 0;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT s.last_value OPERATOR(pg_catalog.>>) 10"
					" FROM outbox.schema_id_seq s", true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		bool		isnull;

		block = (uint32) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
													 SPI_tuptable->tupdesc, 1,
													 &isnull));
	}
	SPI_finish();
	PopActiveSnapshot();
	return block;
}

void
outbox_instance_renew(void)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT outbox.new_identity()", false, 1) != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a new identity for a copied database")));
	SPI_finish();
	PopActiveSnapshot();
}
