/*-------------------------------------------------------------------------
 *
 * registry.c
 *		Client of an external schema registry (Confluent's HTTP API).
 *
 * One request of the relay is one or a few of the API's:
 *
 *	register	a second opinion (second_opinion.c), POST subjects/S/versions,
 *				then GET schemas/ids/N: what consumers will find under the id
 *				must have the values that we write
 *	look up		POST subjects/S, then the same
 *	latest		GET subjects/S/versions/latest, the same comparison
 *	keep id		PUT mode/S IMPORT, POST with the id, PUT mode/S back
 *	check		GET schemas/ids/N of an id given before
 *	ping		GET config, which all of them have
 *
 * Each of them may be repeated at any time: registering what is there gives
 * its id again.  A process that dies in mode IMPORT leaves the subject in that
 * mode, until the next one that keeps ids for it, or a person, ends it; nothing
 * but registering is different in that mode.
 *
 * A schema with references is registered with them; what they stand for is
 * compared by the registry alone.
 *
 * Owns the HTTP handle; lives as long as the process; one thread at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/registry.h"

#include "outbox-kafka/registry_http.h"
#include "outbox-kafka/second_opinion.h"

#include <jansson.h>

#define NO_SUBJECT		40401
#define NO_VERSION		40402
#define NO_SCHEMA		40403
#define SHOWN			200		/* characters of a registry's own message */

struct OutboxRegistry
{
	OutboxRegistryHttp *http;
	uint32		agreed_id;		/* schema that avro-c agreed on last */

	/* schemas compared last: each comparison costs memory for good */
	char	   *one;
	char	   *other;
	bool		same;
};

OutboxRegistry *
outbox_registry_new(const OutboxKafkaConfig *config, OutboxResult *result)
{
	OutboxRegistryHttp *http = outbox_registry_http_new(config, result);
	OutboxRegistry *registry;

	if (http == NULL)
		return NULL;
	registry = palloc0(sizeof(OutboxRegistry));
	registry->http = http;
	return registry;
}

/* ---- requests --------------------------------------------------------- */

/* Percent-encoded, palloc'd (RFC 3986, section 2.3). */
static char *
encode(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
	{
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= '0' && *p <= '9') || strchr("-._~", *p) != NULL)
			appendStringInfoChar(&out, (char) *p);
		else
			appendStringInfo(&out, "%%%02X", *p);
	}
	return out.data;
}

/*
 * An answer that is not a success, in words.
 */
static void
judge_error(OutboxRegistry *registry, const OutboxRegistryAnswer *answer,
			const char *doing, OutboxResult *result)
{
	char		message[512];
	int			code = outbox_registry_read_error(answer->body.data,
												  answer->body.len, message,
												  sizeof(message));
	OutboxResultClass class = OUTBOX_CONFIG;

	outbox_registry_http_mask(registry->http, message);
	if (answer->status == 409 || answer->status == 422 ||
		code == NO_SUBJECT || code == NO_VERSION || code == NO_SCHEMA)
		class = OUTBOX_REFUSED;
	outbox_result_set(result, class, code != 0 ? code : answer->status,
					  "schema registry %s does not %s: status %d%s%.*s",
					  answer->server, doing, answer->status,
					  message[0] != '\0' ? ", " : "", SHOWN, message);
}

/*
 * Ask, and accept success alone.  The caller frees the answer's body when true
 * is returned.
 */
static bool
ask(OutboxRegistry *registry, const char *method, const char *path,
	const char *body, const char *doing, OutboxRegistryAnswer *answer,
	OutboxResult *result)
{
	if (outbox_registry_http_ask(registry->http, method, path, body, answer,
								 result))
	{
		if (answer->status <= 299)
			return true;
		judge_error(registry, answer, doing, result);
	}
	pfree(answer->body.data);
	return false;
}

static void
nonsense(const OutboxRegistryAnswer *answer, OutboxResult *result)
{
	outbox_result_set(result, OUTBOX_RETRY, 0,
					  "schema registry %s gives an answer that is none "
					  "of a schema registry", answer->server);
}

/*
 * {"schema": ..., "references": ..., "id": ...}; malloc'd, NULL when a text is
 * no UTF-8 or the references are no JSON.
 */
static char *
make_body(const OutboxRegister *what)
{
	json_t	   *json = json_object();
	json_error_t ignored;
	char	   *text;
	bool		bad;

	bad = json_object_set_new(json, "schema",
							  json_stringn(what->schema, what->schema_len)) != 0;
	if (what->references != NULL)
		bad |= json_object_set_new(json, "references",
								   json_loadb(what->references,
											  what->references_len, 0,
											  &ignored)) != 0;
	if ((what->flags & OUTBOX_REGISTER_KEEP_ID) != 0)
		bad |= json_object_set_new(json, "id",
								   json_integer(what->schema_id)) != 0;
	text = bad ? NULL : json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

/* ---- is it the same schema? ------------------------------------------- */

static void
remember(char **where, const char *text)
{
	if (*where != NULL)
		pfree(*where);
	*where = pstrdup(text);
}

static bool
same_values(OutboxRegistry *registry, const char *one, const char *other)
{
	if (registry->one == NULL || strcmp(registry->one, one) != 0 ||
		strcmp(registry->other, other) != 0)
	{
		registry->same = outbox_registry_same_values(one, other);
		remember(&registry->one, one);
		remember(&registry->other, other);
	}
	return registry->same;
}

bool
outbox_registry_get_schema(OutboxRegistry *registry, uint32 id,
						   const char *subject, OutboxRegistrySchema *schema,
						   OutboxResult *result)
{
	OutboxRegistryAnswer answer;
	char	   *encoded = subject == NULL ? NULL : encode(subject);
	char	   *path = psprintf("/schemas/ids/%u%s%s", id,
								encoded == NULL ? "" : "?subject=",
								encoded == NULL ? "" : encoded);
	bool		good;

	if (encoded != NULL)
		pfree(encoded);
	good = ask(registry, "GET", path, NULL, "give a schema by its id",
			   &answer, result);
	pfree(path);
	if (!good)
		return false;
	good = outbox_registry_read_schema(answer.body.data, answer.body.len,
									   schema);
	if (!good)
		nonsense(&answer, result);
	pfree(answer.body.data);
	return good;
}

/* Contexts have ids of their own, and need the subject to find them. */
static const char *
context_subject(const char *subject)
{
	return strncmp(subject, ":.", 2) == 0 ? subject : NULL;
}

/*
 * Whether the id means what we write.
 */
static bool
check_id(OutboxRegistry *registry, const OutboxRegister *what,
		 const char *subject, uint32 id, OutboxResult *result)
{
	OutboxRegistrySchema schema;
	char	   *ours;
	bool		same;

	if (!outbox_registry_get_schema(registry, id, context_subject(subject),
									&schema, result))
		return false;
	ours = pnstrdup(what->schema, what->schema_len);
	same = what->references != NULL || schema.references ||
		same_values(registry, ours, schema.text);
	pfree(ours);
	pfree(schema.text);
	if (!same)
		outbox_result_set(result, OUTBOX_REFUSED, 0,
						  "id %u of the schema registry means another schema "
						  "than the one of subject \"%s\"", id, subject);
	return same;
}

/* The same right after registering: not every server may know it at once. */
static bool
check_new_id(OutboxRegistry *registry, const OutboxRegister *what,
			 const char *subject, uint32 id, OutboxResult *result)
{
	if (check_id(registry, what, subject, id, result))
		return true;
	if (result->code == NO_SCHEMA)
		result->class = OUTBOX_RETRY;
	return false;
}

/* ---- what the relay asks for ------------------------------------------ */

static bool
agree(OutboxRegistry *registry, const OutboxRegister *what,
	  const char *subject, OutboxResult *result)
{
	const char *text = what->resolved != NULL ? what->resolved : what->schema;
	int32		len = what->resolved != NULL ? what->resolved_len :
		what->schema_len;
	char		why[200];

	if (registry->agreed_id == what->schema_id)
		return true;
	if (!outbox_second_opinion(text, len, why, sizeof(why)))
	{
		outbox_result_set(result, OUTBOX_REFUSED, 0,
						  "schema %u of subject \"%s\" is not registered: "
						  "avro-c does not agree that it is one: %s",
						  what->schema_id, subject, why);
		return false;
	}
	registry->agreed_id = what->schema_id;
	return true;
}

/* POST to the subject: look up, or make a version. */
static bool
post_schema(OutboxRegistry *registry, const OutboxRegister *what,
			const char *subject, bool create, uint32 *id,
			OutboxResult *result)
{
	char	   *encoded = encode(subject);
	char	   *path = psprintf("/subjects/%s%s%s", encoded,
								create ? "/versions" : "",
								(what->flags & OUTBOX_REGISTER_NORMALIZE) ?
								"?normalize=true" : "");
	char	   *body = make_body(what);
	OutboxRegistryAnswer answer;
	bool		good = false;

	if (body == NULL)
		outbox_result_set(result, OUTBOX_REFUSED, 0,
						  "schema %u of subject \"%s\" cannot be sent as JSON",
						  what->schema_id, subject);
	else if (ask(registry, "POST", path, body,
				 create ? "register the schema" : "have the schema",
				 &answer, result))
	{
		good = outbox_registry_read_id(answer.body.data, answer.body.len, id);
		if (!good)
			nonsense(&answer, result);
		pfree(answer.body.data);
	}
	free(body);
	pfree(path);
	pfree(encoded);
	return good;
}

static bool
set_mode(OutboxRegistry *registry, const char *subject, const char *mode,
		 OutboxResult *result)
{
	char	   *encoded = encode(subject);
	char	   *path = psprintf("/mode/%s?force=true", encoded);
	char	   *body = psprintf("{\"mode\":\"%s\"}", mode);
	OutboxRegistryAnswer answer;
	bool		good = ask(registry, "PUT", path, body,
						   "change a subject's mode, so no id can be kept",
						   &answer, result);

	if (good)
		pfree(answer.body.data);
	else if (result->class == OUTBOX_REFUSED)
		result->class = OUTBOX_CONFIG;	/* not this schema's fault */
	pfree(body);
	pfree(path);
	pfree(encoded);
	return good;
}

static bool
keep_id(OutboxRegistry *registry, const OutboxRegister *what,
		const char *subject, uint32 *id, OutboxResult *result)
{
	OutboxResult ignored;
	bool		good;

	if (!set_mode(registry, subject, "IMPORT", result))
		return false;
	good = post_schema(registry, what, subject, true, id, result);
	if (!set_mode(registry, subject, "READWRITE", good ? result : &ignored))
		return false;
	if (good && *id != what->schema_id)
	{
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "the schema registry did not keep id %u of subject "
						  "\"%s\" but gave %u", what->schema_id, subject, *id);
		return false;
	}
	return good;
}

static bool
get_latest(OutboxRegistry *registry, const OutboxRegister *what,
		   const char *subject, uint32 *id, OutboxResult *result)
{
	char	   *encoded = encode(subject);
	char	   *path = psprintf("/subjects/%s/versions/latest", encoded);
	OutboxRegistryAnswer answer;
	OutboxRegistrySchema schema;
	bool		good;

	good = ask(registry, "GET", path, NULL, "have a version of the subject",
			   &answer, result);
	pfree(path);
	pfree(encoded);
	if (!good)
		return false;
	good = outbox_registry_read_schema(answer.body.data, answer.body.len,
									   &schema) && schema.id != 0;
	*id = schema.id;
	if (!good)
		nonsense(&answer, result);
	else
	{
		char	   *ours = pnstrdup(what->schema, what->schema_len);

		good = what->references != NULL || schema.references ||
			same_values(registry, ours, schema.text);
		pfree(ours);
		if (!good)
			outbox_result_set(result, OUTBOX_REFUSED, 0,
							  "the latest version of subject \"%s\" in the "
							  "schema registry does not have the values of "
							  "schema %u", subject, what->schema_id);
	}
	if (schema.text != NULL)
		pfree(schema.text);
	pfree(answer.body.data);
	return good;
}

bool
outbox_registry_get_id(OutboxRegistry *registry, const OutboxRegister *what,
					   uint32 *id, OutboxResult *result)
{
	char	   *subject = pnstrdup(what->subject, what->subject_len);
	bool		good;

	outbox_result_ok(result);
	*id = what->external_id;
	if (what->external_id != 0)
		good = check_id(registry, what, subject, *id, result);
	else if ((what->flags & OUTBOX_REGISTER_LATEST) != 0)
		good = get_latest(registry, what, subject, id, result);
	else if ((what->flags & OUTBOX_REGISTER_CREATE) == 0)
	{
		good = post_schema(registry, what, subject, false, id, result);
		if (!good && result->class == OUTBOX_REFUSED)
			outbox_result_set(result, OUTBOX_REFUSED, result->code,
							  "schema %u is not registered under subject "
							  "\"%s\", and outbox.registry_auto_register is "
							  "off", what->schema_id, subject);
		good = good && check_id(registry, what, subject, *id, result);
	}
	else
		good = agree(registry, what, subject, result) &&
			((what->flags & OUTBOX_REGISTER_KEEP_ID) != 0 ?
			 keep_id(registry, what, subject, id, result) :
			 post_schema(registry, what, subject, true, id, result)) &&
			check_new_id(registry, what, subject, *id, result);
	pfree(subject);
	return good;
}

bool
outbox_registry_ping(OutboxRegistry *registry, OutboxResult *result)
{
	OutboxRegistryAnswer answer;

	if (!ask(registry, NULL, "/config", NULL, "answer", &answer, result))
		return false;
	pfree(answer.body.data);
	return true;
}
