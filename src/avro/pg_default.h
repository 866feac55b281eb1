/*-------------------------------------------------------------------------
 *
 * pg_default.h
 *		Inside avro/: a column's DEFAULT as the default of its field.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_PG_DEFAULT_H
#define OUTBOX_AVRO_PG_DEFAULT_H

#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "lib/stringinfo.h"

/* ,"default":... when the column's default is a constant that Avro can say. */
extern void avro_default_put(StringInfo out, Oid relation,
							 Form_pg_attribute att);

#endif							/* OUTBOX_AVRO_PG_DEFAULT_H */
