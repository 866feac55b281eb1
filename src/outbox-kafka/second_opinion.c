/*-------------------------------------------------------------------------
 *
 * second_opinion.c
 *		Whether avro-c too takes a text for a schema.
 *
 * A mistake of our parser would become a schema in a registry that others use
 * and that nobody can take back.  So a second implementation is asked before
 * one is registered.  It only judges: avro-c drops defaults, docs, aliases and
 * logical types, so its rendering must never be registered.  It is given
 * nothing that our parser has not accepted before (avro-c's own checks of
 * hostile input are weak), and only one thread uses it (its error text is
 * global).
 *
 * Compared beyond "it parses": type and full name of the top level and the
 * names of a record's fields.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/second_opinion.h"

#include "avro/avro.h"
#include "outbox-kafka/errors.h"

#include <avro.h>
#include <jansson.h>

static const char *
last_part(const char *fullname)
{
	const char *dot = strrchr(fullname, '.');

	return dot == NULL ? fullname : dot + 1;
}

/* NULL when both see the same. */
static const char *
compare_record(const OutboxAvroSchema *ours, const avro_schema_t theirs)
{
	StringInfoData text;
	json_error_t ignored;
	json_t	   *json,
			   *fields;
	const char *wrong = NULL;

	initStringInfo(&text);
	outbox_avro_canonical(ours, &text);
	json = json_loadb(text.data, text.len, JSON_DECODE_ANY, &ignored);
	fields = json_object_get(json, "fields");
	if (strcmp(last_part(outbox_avro_fullname(ours)),
			   avro_schema_name(theirs)) != 0)
		wrong = "another name";
	else if (avro_schema_record_size(theirs) != json_array_size(fields))
		wrong = "another number of fields";
	for (size_t i = 0; wrong == NULL && i < json_array_size(fields); i++)
	{
		const char *name = json_string_value(json_object_get(json_array_get(fields, i),
															 "name"));
		const char *their_name = avro_schema_record_field_name(theirs, (int) i);

		if (name == NULL || their_name == NULL ||
			strcmp(name, their_name) != 0)
			wrong = "another name of a field";
	}
	json_decref(json);
	pfree(text.data);
	return wrong;
}

/*
 * avro-c lets jansson refuse the escape of a zero byte, which a default of
 * type bytes may well hold.  It looks at no default, so another one will do.
 */
static char *
without_zero_escapes(const char *schema, size_t len)
{
	char	   *copy = pnstrdup(schema, len);

	for (char *p = copy; *p != '\0'; p++)
	{
		if (*p != '\\' || p[1] == '\0')
			continue;
		p++;					/* what is escaped is no escape itself */
		if (strncmp(p, "u0000", 5) == 0)
			p[4] = '1';
	}
	return copy;
}

bool
outbox_second_opinion(const char *schema, size_t len, char *why, size_t size)
{
	OutboxAvroError error;
	OutboxAvroSchema *ours = outbox_avro_parse(schema, len, &error);
	avro_schema_t theirs = NULL;
	const char *wrong = NULL;
	char	   *copy;
	bool		failed;

	if (ours == NULL)
	{
		snprintf(why, size, "%s at %s", error.message, error.path);
		return false;
	}
	copy = without_zero_escapes(schema, len);
	failed = avro_schema_from_json_length(copy, strlen(copy), &theirs) != 0;
	pfree(copy);
	if (failed)
	{
		snprintf(why, size, "%s", avro_strerror());
		outbox_clean_line(why);
		return false;
	}
	if (outbox_avro_is_record(ours))
		wrong = is_avro_record(theirs) ? compare_record(ours, theirs) :
			"no record";
	else if (is_avro_record(theirs))
		wrong = "a record";
	avro_schema_decref(theirs);
	if (wrong != NULL)
		snprintf(why, size, "it sees %s", wrong);
	return wrong == NULL;
}
