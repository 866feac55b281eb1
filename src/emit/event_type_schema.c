/*-------------------------------------------------------------------------
 *
 * event_type_schema.c
 *		Schemas of event types: one rendering, one row of outbox.schema.
 *
 * A schema is stored as avro/ renders it, so that equal schemas are equal text
 * and get the same id, by the SHA-256 of that text.  Rows are never changed or
 * deleted.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "emit/emit.h"
#include "emit/event_type_ddl.h"
#include "emit/owner.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

char *
outbox_schema_render(const char *schema)
{
	int			len;
	const char *utf8 = outbox_to_utf8(schema, strlen(schema), &len);
	OutboxAvroSchema *parsed = outbox_avro_parse_or_error(utf8, len);
	StringInfoData out;

	if (!outbox_avro_is_record(parsed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema of an event type must be an Avro record"),
				 errhint("Make the value a field of a record.")));
	initStringInfo(&out);
	outbox_avro_render(parsed, &out);
	return pg_any_to_server(out.data, out.len, PG_UTF8);
}

char *
outbox_schema_of_row_type(Oid row_type)
{
	if (get_typtype(getBaseType(row_type)) != TYPTYPE_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not a row type",
						format_type_be(row_type)),
				 errhint("Pass a table or a composite type.")));
	return outbox_schema_render(outbox_avro_schema_of_type(row_type, -1, NULL, NULL));
}

int32
outbox_schema_id(const char *schema, const char *caller)
{
	Oid			types[] = {TEXTOID, BYTEAOID, TEXTOID};
	Datum		values[3];
	bytea	   *fingerprint = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) schema, strlen(schema)) < 0 ||
		pg_cryptohash_final(hash, (uint8 *) VARDATA(fingerprint),
							PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the fingerprint of a schema")));
	pg_cryptohash_free(hash);
	SET_VARSIZE(fingerprint, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	values[0] = CStringGetTextDatum(schema);
	values[1] = PointerGetDatum(fingerprint);
	values[2] = CStringGetTextDatum(caller);
	if (outbox_owner_execute("SELECT s.id FROM outbox.schema s"
							 " WHERE s.fingerprint OPERATOR(pg_catalog.=) $2"
							 " AND $1 IS NOT NULL AND $3 IS NOT NULL",
							 3, types, values, NULL) == 0)
		(void) outbox_owner_execute("INSERT INTO outbox.schema"
									" (definition, fingerprint, created_by)"
									" VALUES ($1, $2, $3) RETURNING id",
									3, types, values, NULL);
	return outbox_owner_result_int();
}
