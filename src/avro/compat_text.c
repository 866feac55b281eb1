/*-------------------------------------------------------------------------
 *
 * compat_text.c
 *		A part of a schema in a few words, for people who read a violation:
 *		"int", "bytes (decimal(10,2))", "[null, record shop.Address]".
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/compat_model.h"

/* A union says no more when it is that long. */
#define LONG_ENOUGH 200
#define DEEP_ENOUGH 8

/*
 * The logical type as readers tell them apart, or NULL: one we know and that
 * fits its type, or any unknown name, which means something to somebody.
 */
const char *
avro_compat_logical(const AvroNode *node)
{
	if (node->logical != AVRO_LOGICAL_NONE)
		return avro_logical_name(node->logical);
	for (int i = 0; i < node->attrs.count; i++)
	{
		const AvroJson *value = node->attrs.values[i];

		if (strcmp(node->attrs.keys[i], "logicalType") != 0)
			continue;
		if (value->kind != JSON_KIND_STRING)
			return NULL;
		/* known but does not fit: ignored, as the specification asks */
		for (int l = AVRO_LOGICAL_DECIMAL; l <= AVRO_LOGICAL_DURATION; l++)
			if (strcmp(value->text, avro_logical_name((AvroLogical) l)) == 0)
				return NULL;
		return value->text;
	}
	return NULL;
}

static void
put_part(StringInfo out, const AvroNode *node, int depth)
{
	const char *logical = avro_compat_logical(node);

	if (depth > DEEP_ENOUGH)
	{
		appendStringInfoString(out, "...");
		return;
	}
	switch (node->type)
	{
		case AVRO_TYPE_UNION:
			for (int i = 0; i < node->branch_count; i++)
			{
				appendStringInfoString(out, i == 0 ? "[" : ", ");
				if (out->len > LONG_ENOUGH)
				{
					appendStringInfoString(out, "...");
					break;
				}
				put_part(out, node->branches[i], depth + 1);
			}
			appendStringInfoChar(out, ']');
			break;
		case AVRO_TYPE_ARRAY:
		case AVRO_TYPE_MAP:
			appendStringInfo(out, "%s of ", avro_type_name(node->type));
			put_part(out, node->items, depth + 1);
			break;
		case AVRO_TYPE_FIXED:
			appendStringInfo(out, "fixed %s(%zu)", node->fullname,
							 node->size);
			break;
		default:
			appendStringInfoString(out, avro_type_name(node->type));
			if (node->fullname != NULL)
				appendStringInfo(out, " %s", node->fullname);
	}
	if (node->logical == AVRO_LOGICAL_DECIMAL)
		appendStringInfo(out, " (decimal(%d,%d))", node->precision,
						 node->scale);
	else if (logical != NULL)
		appendStringInfo(out, " (%s)", logical);
}

char *
avro_compat_part(const AvroNode *node)
{
	StringInfoData out;

	initStringInfo(&out);
	put_part(&out, node, 0);
	return out.data;
}

char *
avro_compat_field_part(const AvroField *field)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "%s: ", field->name);
	put_part(&out, field->type, 0);
	if (field->default_json != NULL)
	{
		int			before;

		appendStringInfoString(&out, " = ");
		before = out.len;
		avro_json_render(field->default_json, &out);
		if (out.len - before > LONG_ENOUGH)
		{
			out.len = before;
			appendStringInfoString(&out, "...");
		}
	}
	return out.data;
}
