/*-------------------------------------------------------------------------
 *
 * names.c
 *		Avro's names: of types, branches and logical types, and what a valid
 *		name is (spec, "Names").
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/model.h"

static const char *const type_names[] = {
	"null", "boolean", "int", "long", "float", "double", "bytes", "string",
	"record", "enum", "array", "map", "fixed", "union"
};

static const char *const logical_names[] = {
	NULL, "decimal", "uuid", "date", "time-millis", "time-micros",
	"timestamp-millis", "timestamp-micros", "local-timestamp-millis",
	"local-timestamp-micros", "duration"
};

bool
avro_name_ok(const char *s, size_t len)
{
	if (len == 0 || (s[0] >= '0' && s[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			  (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

/* A dot-separated sequence of names. */
bool
avro_fullname_ok(const char *s)
{
	for (;;)
	{
		const char *dot = strchr(s, '.');

		if (dot == NULL)
			return avro_name_ok(s, strlen(s));
		if (!avro_name_ok(s, dot - s))
			return false;
		s = dot + 1;
	}
}

/* The primitive type of that name, or -1. */
int
avro_primitive_by_name(const char *name)
{
	for (int i = 0; i <= AVRO_LAST_PRIMITIVE; i++)
		if (strcmp(name, type_names[i]) == 0)
			return i;
	return -1;
}

const char *
avro_type_name(AvroType type)
{
	return type_names[type];
}

/* How a union names this branch in Avro's JSON encoding. */
const char *
avro_branch_name(const AvroNode *node)
{
	return node->fullname != NULL ? node->fullname : type_names[node->type];
}

const char *
avro_logical_name(AvroLogical logical)
{
	return logical_names[logical];
}
