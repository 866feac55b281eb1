/*-------------------------------------------------------------------------
 *
 * logical.c
 *		Logical types: which annotations count (spec, "Logical Types").
 *
 * One that does not fit its type or parameters is ignored: it stays among the
 * node's other attributes and the values are those of the plain type.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include <math.h>

#include "avro/model.h"

/* Decimal digits that always fit a two's complement number of that size. */
int
avro_decimal_max_precision(size_t size)
{
	if (size == 0)
		return 0;
	if (size > AVRO_MAX_PRECISION)
		return AVRO_MAX_PRECISION;
	return (int) floor((8.0 * size - 1) * log10(2.0));
}

static AvroJson *
find_attr(const AvroNode *node, const char *key)
{
	for (int i = 0; i < node->attrs.count; i++)
		if (strcmp(node->attrs.keys[i], key) == 0)
			return node->attrs.values[i];
	return NULL;
}

static void
drop_attr(AvroNode *node, const char *key)
{
	AvroAttrs  *a = &node->attrs;

	for (int i = 0; i < a->count; i++)
	{
		if (strcmp(a->keys[i], key) != 0)
			continue;
		a->count--;
		for (; i < a->count; i++)
		{
			a->keys[i] = a->keys[i + 1];
			a->values[i] = a->values[i + 1];
		}
	}
}

/* A small non-negative integer, else -1. */
static int
small_int(const AvroJson *json)
{
	int			value = 0;

	if (json == NULL || json->kind != JSON_KIND_NUMBER || json->len > 6)
		return -1;
	for (size_t i = 0; i < json->len; i++)
	{
		if (json->text[i] < '0' || json->text[i] > '9')
			return -1;
		value = value * 10 + (json->text[i] - '0');
	}
	return value;
}

static bool
resolve_decimal(AvroNode *node)
{
	AvroJson   *scale_json = find_attr(node, "scale");
	int			precision = small_int(find_attr(node, "precision"));
	int			scale = scale_json == NULL ? 0 : small_int(scale_json);

	if (precision < 1 || precision > AVRO_MAX_PRECISION ||
		scale < 0 || scale > precision)
		return false;
	if (node->type == AVRO_TYPE_FIXED &&
		precision > avro_decimal_max_precision(node->size))
		return false;
	node->precision = precision;
	node->scale = scale;
	drop_attr(node, "precision");
	drop_attr(node, "scale");
	return true;
}

static bool
fits_type(AvroNode *node, AvroLogical logical)
{
	switch (logical)
	{
		case AVRO_LOGICAL_DECIMAL:
			return (node->type == AVRO_TYPE_BYTES ||
					node->type == AVRO_TYPE_FIXED) && resolve_decimal(node);
		case AVRO_LOGICAL_UUID:
			return node->type == AVRO_TYPE_STRING ||
				(node->type == AVRO_TYPE_FIXED && node->size == 16);
		case AVRO_LOGICAL_DATE:
		case AVRO_LOGICAL_TIME_MILLIS:
			return node->type == AVRO_TYPE_INT;
		case AVRO_LOGICAL_DURATION:
			return node->type == AVRO_TYPE_FIXED && node->size == 12;
		default:
			return node->type == AVRO_TYPE_LONG;
	}
}

void
avro_logical_resolve(AvroNode *node)
{
	AvroJson   *value = find_attr(node, "logicalType");

	if (value == NULL || value->kind != JSON_KIND_STRING)
		return;
	for (int i = AVRO_LOGICAL_DECIMAL; i <= AVRO_LOGICAL_DURATION; i++)
	{
		if (strcmp(value->text, avro_logical_name((AvroLogical) i)) != 0)
			continue;
		if (fits_type(node, (AvroLogical) i))
		{
			node->logical = (AvroLogical) i;
			drop_attr(node, "logicalType");
		}
		return;
	}
}
