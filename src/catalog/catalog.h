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

#include "access/genam.h"
#include "access/xlogdefs.h"
#include "base/siphash.h"
#include "datatype/timestamp.h"
#include "utils/rel.h"
#include "utils/uuid.h"

typedef enum OutboxFormat
{
	OUTBOX_FORMAT_AVRO,
	OUTBOX_FORMAT_JSON
} OutboxFormat;

/* What a captured row travels in; see rowcodec/. */
typedef enum OutboxEnvelope
{
	OUTBOX_ENVELOPE_NONE,		/* an event type's route */
	OUTBOX_ENVELOPE_DEBEZIUM,
	OUTBOX_ENVELOPE_FLAT
} OutboxEnvelope;

/* By name; NULL = none. */
extern OutboxEnvelope outbox_catalog_envelope(const char *name);

/* One row of outbox.route: immutable, never deleted. */
typedef struct OutboxRoute
{
	uint32		id;
	char	   *topic;			/* may hold ${aggregatetype} */
	OutboxFormat format;
	bool		dead_letter;	/* on_error */
	int32		partitions;		/* for creating the topic, -1 = setting */
	char	   *event_type;		/* name, for messages */
	char	   *subject;		/* of its schemas, NULL = none (json) */
	OutboxEnvelope envelope;	/* of captured rows */
	char	   *collection;		/* schema.table, NULL = no transaction metadata */
	char	   *key_subject;	/* NULL = keys are no Avro records */
	char	   *transaction_topic;	/* NULL = no records about transactions */
	int64		retention_us;	/* in the event log, 0 = not logged, -1 = setting */
} OutboxRoute;

/* The one row of outbox.instance. */
typedef struct OutboxInstance
{
	pg_uuid_t	id;
	Oid			database;		/* other than MyDatabaseId: a copied database */
	bool		paused;
	bool		has_floor;
	XLogRecPtr	floor;			/* published up to here, lazily updated */
	bool		adopt_pending;	/* outbox.adopt() was called */
	XLogRecPtr	log_from;		/* commits after it are decoded, 0 = scanned */
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

/* Commits in (from, to] were given up; the caller is in a transaction. */
extern void outbox_catalog_note_gap(XLogRecPtr from, XLogRecPtr to);

/* Definition of a schema, or NULL when there is none of that id. */
extern char *outbox_catalog_schema(uint32 id);

/*
 * Counts up whenever one of our tables has changed (and now and then without
 * reason).  What a backend derives from them is valid while this stands.
 * Changes by others arrive where invalidation messages are accepted.
 */
extern uint64 outbox_catalog_generation(void);

/* The role that owns the extension's tables. */
extern Oid	outbox_catalog_owner(void);

/* A scan of one of our tables; index may be NULL.  No privilege is checked. */
typedef struct OutboxCatalogScan
{
	Relation	rel;
	SysScanDesc scan;
} OutboxCatalogScan;

extern void outbox_catalog_scan_begin(OutboxCatalogScan *scan,
									  const char *table, const char *index,
									  int nkeys, ScanKey keys);
extern HeapTuple outbox_catalog_scan_next(OutboxCatalogScan *scan);
extern void outbox_catalog_scan_end(OutboxCatalogScan *scan);

/* Microseconds, at most some million years. */
extern int64 outbox_catalog_interval_us(const Interval *interval);

/* A column of a scan's tuple; the text one is palloc'd, NULL for null. */
extern Datum outbox_catalog_attr(OutboxCatalogScan *scan, HeapTuple tuple,
								 int attnum, bool *isnull);
extern char *outbox_catalog_text(OutboxCatalogScan *scan, HeapTuple tuple,
								 int attnum);

#endif							/* OUTBOX_CATALOG_H */
