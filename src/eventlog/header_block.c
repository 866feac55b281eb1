/*-------------------------------------------------------------------------
 *
 * header_block.c
 *		The headers of an event, as emit() takes them.
 *
 * Owns nothing.  A block comes from tables of ours alone; one that is damaged
 * is an error, not a guess.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "record/wal_message.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(outbox_header_block_json);

/* Header texts are UTF-8. */
static void
set_text(JsonbValue *to, const char *text, int len)
{
	char	   *copy = pnstrdup(text, len);
	char	   *own = pg_any_to_server(copy, len, PG_UTF8);

	to->type = jbvString;
	to->val.string.val = own;
	to->val.string.len = strlen(own);
}

/* outbox.header_block_json(bytea) */
Datum
outbox_header_block_json(PG_FUNCTION_ARGS)
{
	bytea	   *block = PG_GETARG_BYTEA_PP(0);
	const char *data = VARDATA_ANY(block);
	int32		len = VARSIZE_ANY_EXHDR(block);
	JsonbParseState *state = NULL;
	JsonbValue *result;
	int32		offset = 0;
	OutboxHeader header;

	if (outbox_headers_count(data, len) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("header block is damaged")));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (outbox_headers_next(data, len, &offset, &header))
	{
		JsonbValue	name;
		JsonbValue	value = {.type = jbvNull};

		set_text(&name, header.name, header.name_len);
		if (header.value != NULL)
			set_text(&value, header.value, header.value_len);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(result));
}
