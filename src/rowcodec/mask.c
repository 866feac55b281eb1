/*-------------------------------------------------------------------------
 *
 * mask.c
 *		Columns whose values do not leave the server as they are.
 *
 * capture_def.masks is {"column": {"mask": ..., ...}}:
 *
 *	  null				always null
 *	  hash				hexadecimal SHA-256 of the database's salt and the text:
 *						equal values stay equal, the salt is not dumped
 *	  truncate, length	the first characters of the text
 *	  constant, value	always the same text
 *
 * A masked column is text for everybody behind image.c; null stays null, but
 * for a constant.  Owns no state but what a mask is made of.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "rowcodec/codec.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

typedef enum MaskKind
{
	MASK_NULL,
	MASK_HASH,
	MASK_TRUNCATE,
	MASK_CONSTANT
} MaskKind;

struct RowMask
{
	MaskKind	kind;
	int			length;			/* truncate: characters */
	Datum		value;			/* constant */
	bytea	   *salt;			/* hash */
	OutboxAvroTextPlan *text;	/* of the column's type */
};

/* A member of an object, false when it has none of this name. */
static bool
get_member(JsonbContainer *object, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, name, strlen(name),
										value) != NULL;
}

/* The mask of a column, false when it has none. */
static bool
get_mask(const OutboxCapture *capture, const char *column, JsonbValue *mask)
{
	return capture->masks != NULL && JB_ROOT_IS_OBJECT(capture->masks) &&
		get_member(&capture->masks->root, column, mask);
}

bool
rowcodec_masked(const OutboxCapture *capture, const char *column)
{
	JsonbValue	mask;

	return get_mask(capture, column, &mask);
}

pg_noreturn static void
bad_mask(const char *column, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid mask of column \"%s\": %s", column, why),
			 errhint("A mask is {\"mask\": \"null\"}, {\"mask\": \"hash\"}, {\"mask\": \"truncate\", \"length\": 4} or {\"mask\": \"constant\", \"value\": \"x\"}.")));
}

static MaskKind
read_kind(const char *column, JsonbValue *mask)
{
	static const char *const names[] = {"null", "hash", "truncate", "constant"};
	JsonbValue	value;

	if (mask->type != jbvBinary ||
		!JsonContainerIsObject(mask->val.binary.data))
		bad_mask(column, "it is no object");
	if (!get_member(mask->val.binary.data, "mask", &value) ||
		value.type != jbvString)
		bad_mask(column, "member \"mask\" is missing");
	for (int i = 0; i < lengthof(names); i++)
		if (value.val.string.len == strlen(names[i]) &&
			memcmp(value.val.string.val, names[i], strlen(names[i])) == 0)
			return (MaskKind) i;
	bad_mask(column, psprintf("there is no mask \"%s\"",
							  pnstrdup(value.val.string.val,
									   value.val.string.len)));
}

static int
read_length(const char *column, JsonbValue *mask)
{
	JsonbValue	value;
	int			length;
	bool		failed = false;

	if (!get_member(mask->val.binary.data, "length", &value) ||
		value.type != jbvNumeric)
		bad_mask(column, "member \"length\" is missing");
	length = numeric_int4_opt_error(value.val.numeric, &failed);
	if (failed || length < 0)
		bad_mask(column, "member \"length\" is no number of characters");
	return length;
}

static Datum
read_value(const char *column, JsonbValue *mask)
{
	JsonbValue	value;

	if (!get_member(mask->val.binary.data, "value", &value) ||
		value.type != jbvString)
		bad_mask(column, "member \"value\" is missing or no string");
	return PointerGetDatum(cstring_to_text_with_len(value.val.string.val,
													value.val.string.len));
}

RowMask *
rowcodec_mask_make(const OutboxCapture *capture, const char *column, Oid type)
{
	JsonbValue	value;
	RowMask    *mask;

	if (!get_mask(capture, column, &value))
		return NULL;
	mask = palloc0(sizeof(RowMask));
	mask->kind = read_kind(column, &value);
	switch (mask->kind)
	{
		case MASK_NULL:
			break;
		case MASK_HASH:
			mask->salt = outbox_capture_salt();
			mask->text = outbox_avro_plan_text(type);
			break;
		case MASK_TRUNCATE:
			mask->length = read_length(column, &value);
			mask->text = outbox_avro_plan_text(type);
			break;
		case MASK_CONSTANT:
			mask->value = read_value(column, &value);
			break;
	}
	return mask;
}

/* Every mask is of a captured column. */
void
rowcodec_masks_check(const OutboxCapture *capture, TupleDesc image)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (capture->masks == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(capture->masks))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("masks must be a JSON object"),
				 errhint("Its members are columns: {\"email\": {\"mask\": \"hash\"}}.")));
	iterator = JsonbIteratorInit(&capture->masks->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		if (rowcodec_column(image, name) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("masked column \"%s\" is not among the captured columns",
							name)));
	}
}

static Datum
hash(const RowMask *mask, StringInfo plain)
{
	uint8		digest[32];
	text	   *result = palloc(VARHDRSZ + 2 * sizeof(digest));

	outbox_avro_sha256_of(VARDATA_ANY(mask->salt), VARSIZE_ANY_EXHDR(mask->salt),
						  plain->data, plain->len, digest);
	SET_VARSIZE(result, VARHDRSZ + 2 * sizeof(digest));
	(void) hex_encode((const char *) digest, sizeof(digest), VARDATA(result));
	return PointerGetDatum(result);
}

static Datum
truncate_text(const RowMask *mask, StringInfo text)
{
	char	   *s = pg_any_to_server(text->data, text->len, PG_UTF8);
	int			len = strlen(s);

	return PointerGetDatum(cstring_to_text_with_len(s, pg_mbcharcliplen(s, len,
																		mask->length)));
}

Datum
rowcodec_mask_apply(const RowMask *mask, Datum value, bool *isnull)
{
	StringInfoData text;

	if (mask->kind == MASK_CONSTANT)
	{
		*isnull = false;
		return mask->value;
	}
	if (mask->kind == MASK_NULL || *isnull)
	{
		*isnull = true;
		return (Datum) 0;
	}
	initStringInfo(&text);
	outbox_avro_put_text(mask->text, value, &text);
	return mask->kind == MASK_HASH ? hash(mask, &text) :
		truncate_text(mask, &text);
}
