/*-------------------------------------------------------------------------
 *
 * catalog.h
 *		Typed access to the extension's own tables.
 *
 * Reads go through the relation and index scan functions, not SPI, and check
 * no privilege: these are the extension's own rows.  The caller is in a
 * transaction.  Results are palloc'd in CurrentMemoryContext.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CATALOG_H
#define OUTBOX_CATALOG_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "base/siphash.h"
#include "utils/uuid.h"

typedef enum OutboxFormat
{
	OUTBOX_FORMAT_AVRO,
	OUTBOX_FORMAT_JSON
} OutboxFormat;

/* One row of outbox.route: immutable, never deleted. */
typedef struct OutboxRoute
{
	uint32		id;
	char	   *topic;			/* may hold ${aggregatetype} */
	OutboxFormat format;
	bool		dead_letter;	/* on_error */
	int32		partitions;		/* for creating the topic, -1 = setting */
	char	   *event_type;		/* name, for messages */
} OutboxRoute;

/* The one row of outbox.instance. */
typedef struct OutboxInstance
{
	pg_uuid_t	id;
	Oid			database;		/* other than MyDatabaseId: a copied database */
	bool		paused;
	bool		has_floor;
	XLogRecPtr	floor;			/* published up to here, lazily updated */
	uint64		adopt;			/* counter: +1 by outbox.adopt() */
} OutboxInstance;

/* Whether the extension is installed in this database. */
extern bool outbox_catalog_present(void);

/* Oid of one of our relations by name; error when missing. */
extern Oid	outbox_catalog_relation(const char *name);

extern bool outbox_catalog_route(uint32 id, OutboxRoute *route);
extern bool outbox_catalog_secret(uint32 key_id,
								  uint8 key[OUTBOX_SIPHASH_KEY_SIZE]);

/* The secret new messages are signed with: the highest key id. */
extern uint32 outbox_catalog_current_secret(uint8 key[OUTBOX_SIPHASH_KEY_SIZE]);
extern bool outbox_catalog_instance(OutboxInstance *instance);

#endif							/* OUTBOX_CATALOG_H */
