/*-------------------------------------------------------------------------
 *
 * pg_type_alias.h
 *		Inside avro/: aliases in schemas of PostgreSQL types.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_PG_TYPE_ALIAS_H
#define OUTBOX_AVRO_PG_TYPE_ALIAS_H

#include "postgres.h"

#include "avro/pg_row.h"

/*
 * What a named type was before, NULL when it is new.  It is now called
 * fullname, which is name in the namespace space.
 */
extern const AvroNode *avro_alias_node(const OutboxAvroSchema *before,
									   const OutboxAvroRename *rename,
									   Oid type, const char *space,
									   const char *name,
									   const char *fullname);

/* The record that an image of table rows was before; NULL: it is new. */
extern const AvroNode *avro_alias_record(const OutboxAvroSchema *before,
										 const char *fullname);

/* ,"aliases":[...] when there are any; before may be NULL. */
extern void avro_alias_put_type(StringInfo out, const AvroNode *before,
								const char *fullname);
extern void avro_alias_put_field(StringInfo out, const AvroNode *before,
								 const OutboxAvroRename *rename, Oid type,
								 TupleDesc desc, const char *column);

#endif							/* OUTBOX_AVRO_PG_TYPE_ALIAS_H */
