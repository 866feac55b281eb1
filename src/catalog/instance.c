/*-------------------------------------------------------------------------
 *
 * instance.c
 *		Fresh key material for outbox.secret.
 *
 * Owns no state.  The bytes come from the operating system's generator and
 * are returned to SQL once, to be stored in a table that nobody but its owner
 * reads; instance.sql keeps the function from everybody else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "compat.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(outbox_new_secret);

Datum
outbox_new_secret(PG_FUNCTION_ARGS)
{
	bytea	   *key = palloc(VARHDRSZ + OUTBOX_SIPHASH_KEY_SIZE);

	SET_VARSIZE(key, VARHDRSZ + OUTBOX_SIPHASH_KEY_SIZE);
	if (!pg_strong_random(VARDATA(key), OUTBOX_SIPHASH_KEY_SIZE))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes for a signing key")));
	PG_RETURN_BYTEA_P(key);
}
