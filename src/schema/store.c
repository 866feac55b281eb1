/*-------------------------------------------------------------------------
 *
 * store.c
 *		Rows of outbox.schema: one text, one id, for ever.
 *
 * A schema is found by the SHA-256 of its text in UTF-8 (and of its references
 * where it has some).  Rows are never changed or deleted.
 *
 * Ids come from a sequence that begins at a random place for each identity of
 * a database (new_identity); a place that is taken, by rows restored from a
 * dump or by a neighbouring block, is stepped over.  A copy of a database that
 * has not got its identity yet takes a random place each time: its sequence is
 * still where the original's was.  Two sessions that add the same schema wait
 * for each other at the fingerprint.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "schema/errors.h"
#include "schema/schema.h"
#include "schema/store.h"
#include "utils/builtins.h"

static void
hash_text(pg_cryptohash_ctx *hash, const char *text)
{
	const char *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);

	if (pg_cryptohash_update(hash, (const uint8 *) utf8, strlen(utf8)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the fingerprint of a schema")));
}

static Datum
fingerprint(const OutboxSchemaText *text)
{
	bytea	   *result = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL || pg_cryptohash_init(hash) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the fingerprint of a schema")));
	hash_text(hash, text->definition);
	if (text->refs != NULL)
		hash_text(hash, text->refs);
	if (pg_cryptohash_final(hash, (uint8 *) VARDATA(result),
							PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the fingerprint of a schema")));
	pg_cryptohash_free(hash);
	SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	return PointerGetDatum(result);
}

uint32
outbox_store_find(const OutboxSchemaText *text)
{
	Oid			types[] = {BYTEAOID};
	Datum		values[] = {fingerprint(text)};

	if (outbox_owner_execute("SELECT s.id FROM outbox.schema s"
							 " WHERE s.fingerprint OPERATOR(pg_catalog.=) $1",
							 1, types, values, NULL) == 0)
		return 0;
	return outbox_owner_result_int();
}

/* A copied database goes on from another place than its original. */
static void
check_identity(void)
{
	OutboxInstance instance;

	if (outbox_catalog_instance(&instance) &&
		instance.database != MyDatabaseId)
		outbox_owner_command("SELECT outbox.new_schema_ids()");
}

/* False when the id or the fingerprint exists. */
static bool
insert(const OutboxSchemaText *text, Oid role, uint32 *id)
{
	Oid			types[] = {TEXTOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID,
	INT4OID};
	Datum		values[] = {
		CStringGetTextDatum(text->definition), fingerprint(text),
		text->refs ? CStringGetTextDatum(text->refs) : (Datum) 0,
		text->resolved ? CStringGetTextDatum(text->resolved) : (Datum) 0,
		CStringGetTextDatum(GetUserNameFromId(role, false)),
		Int32GetDatum((int32) *id)
	};
	char		nulls[] = "      ";

	if (text->refs == NULL)
		nulls[2] = 'n';
	if (text->resolved == NULL)
		nulls[3] = 'n';
	if (*id == 0)
		nulls[5] = 'n';
	if (outbox_owner_execute("INSERT INTO outbox.schema"
							 " (id, definition, fingerprint, refs, resolved, created_by)"
							 " VALUES (coalesce($6, pg_catalog.nextval('outbox.schema_id_seq')::pg_catalog.int4),"
							 " $1, $2, $3::pg_catalog.jsonb, $4, $5)"
							 " ON CONFLICT DO NOTHING RETURNING id",
							 6, types, values, nulls) == 0)
		return false;
	*id = outbox_owner_result_int();
	return true;
}

uint32
outbox_store_add(const OutboxSchemaText *text, Oid role, uint32 id)
{
	uint32		wanted = id;
	uint32		found;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		found = outbox_store_find(text);
		if (found != 0 && (wanted == 0 || wanted == found))
			return found;
		if (found != 0)
			ereport(ERROR,
					(errcode(OUTBOX_ERRCODE_NOT_PERMITTED),
					 errmsg("this schema has id %u already, it cannot get id %u",
							found, wanted)));
		if (wanted == 0)
			check_identity();
		id = wanted;
		if (insert(text, role, &id))
			return id;
		if (wanted != 0 && outbox_store_find(text) == 0)
			ereport(ERROR,
					(errcode(OUTBOX_ERRCODE_NOT_PERMITTED),
					 errmsg("id %u belongs to another schema", wanted),
					 errdetail("A schema is never overwritten: consumers may know it by its id.")));
	}
}

uint32
outbox_schema_store(const char *definition, Oid role)
{
	OutboxSchemaText text = {.definition = definition};

	return outbox_store_add(&text, role, 0);
}
