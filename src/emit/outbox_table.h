/*-------------------------------------------------------------------------
 *
 * outbox_table.h
 *		How the columns of an attached table become an event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_OUTBOX_TABLE_H
#define OUTBOX_OUTBOX_TABLE_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* What a column is for; the names are the keys of attach_table(columns). */
typedef enum OutboxColumnRole
{
	OUTBOX_COLUMN_ID,
	OUTBOX_COLUMN_AGGREGATETYPE,
	OUTBOX_COLUMN_AGGREGATEID,
	OUTBOX_COLUMN_TYPE,
	OUTBOX_COLUMN_PAYLOAD,
	OUTBOX_COLUMN_HEADERS,
	OUTBOX_COLUMN_TIMESTAMP,
	OUTBOX_COLUMN_PARTITION,
	OUTBOX_COLUMN_ROLES
} OutboxColumnRole;

extern const char *const outbox_column_roles[OUTBOX_COLUMN_ROLES];

typedef struct OutboxTableColumn
{
	AttrNumber	attnum;			/* 0 = there is no such column */
	Oid			type;			/* as declared */
	Oid			base_type;		/* below domains */
	NameData	name;
	FmgrInfo	output;
} OutboxTableColumn;

typedef struct OutboxTableHeader
{
	char	   *name;
	OutboxTableColumn column;
} OutboxTableHeader;

/* One relation that rows are inserted into (a partition: the leaf). */
typedef struct OutboxTableMap
{
	Oid			relation;		/* hash key */
	Oid			root;			/* the attached table itself or its ancestor */
	OutboxTableColumn columns[OUTBOX_COLUMN_ROLES];
	int			nheaders;
	OutboxTableHeader *headers;
	MemoryContext context;
} OutboxTableMap;

/*
 * The map of a relation, by the row of outbox.attached_table for it or for a
 * table it is a partition of; error when there is none or a column is gone.
 * Valid to the end of the transaction.
 */
extern OutboxTableMap *outbox_table_map(Relation rel);

/* Build one, unstored, for checking: columns and headers as given. */
extern void outbox_table_resolve(OutboxTableMap *map, Relation rel,
								 Jsonb *columns, List *headers);

#endif							/* OUTBOX_OUTBOX_TABLE_H */
