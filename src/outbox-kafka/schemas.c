/*-------------------------------------------------------------------------
 *
 * schemas.c
 *		Schemas by id, from files exported from the database or a registry.
 *
 * A line is {"id": 1, "schema": "..."}, the schema as a string or as JSON
 * itself.  What psql's COPY ... TO STDOUT writes is accepted as it is: COPY
 * doubles backslashes, so a line that is no JSON is tried again with COPY's
 * escapes resolved.
 *
 * Loaded once, at the start of the one mode that decodes, and never freed; a
 * schema that does not parse is an error then, not at its first event.
 *
 * What files do not have a registry is asked for, once by id.  That an id does
 * not exist is remembered like a schema; when the registry does not answer, it
 * is left alone for a while, so that a topic full of events is not read at one
 * event per timeout.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/schemas.h"

#include "outbox-kafka/errors.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

typedef struct Entry
{
	uint32		id;
	OutboxAvroSchema *schema;	/* NULL: known to be none */
	char	   *why;			/* then */
} Entry;

#define LEAVE_ALONE 5000		/* ms */

struct OutboxSchemas
{
	Entry	   *entries;
	int			count;
	int			space;
	OutboxRegistry *registry;	/* NULL: none */
	int64		silent_until_ms;
	char		problem[OUTBOX_RESULT_MESSAGE_SIZE];
};

static void
add_entry(OutboxSchemas *all, uint32 id, OutboxAvroSchema *schema)
{
	if (all->count == all->space)
	{
		all->space = Max(16, all->space * 2);
		all->entries = all->entries == NULL ?
			palloc(all->space * sizeof(Entry)) :
			repalloc(all->entries, all->space * sizeof(Entry));
	}
	all->entries[all->count].why = NULL;
	all->entries[all->count].id = id;
	all->entries[all->count++].schema = schema;
}

static void
ask_registry(OutboxSchemas *all, uint32 id)
{
	OutboxRegistrySchema found;
	OutboxAvroSchema *parsed;
	OutboxAvroError error = {0};
	OutboxResult result;

	if (!outbox_registry_get_schema(all->registry, id, NULL, &found, &result))
	{
		snprintf(all->problem, sizeof(all->problem), "%s", result.message);
		if (result.class == OUTBOX_REFUSED)
			add_entry(all, id, NULL);
		else
			all->silent_until_ms = outbox_now_ms() + LEAVE_ALONE;
	}
	else
	{
		parsed = outbox_avro_parse(found.text, strlen(found.text), &error);
		if (parsed == NULL)
			snprintf(all->problem, sizeof(all->problem),
					 "the registry's text%s: %s at %s",
					 found.references ? ", which refers to others" : "",
					 error.message, error.path);
		add_entry(all, id, parsed);
		pfree(found.text);
	}
	if (all->count > 0 && all->entries[all->count - 1].id == id)
		all->entries[all->count - 1].why = pstrdup(all->problem);
}

static const Entry *
find_entry(const OutboxSchemas *all, uint32 id)
{
	/* the newest line for an id counts */
	for (int i = all->count - 1; i >= 0; i--)
		if (all->entries[i].id == id)
			return &all->entries[i];
	return NULL;
}

const OutboxAvroSchema *
outbox_schemas_find(OutboxSchemas *all, uint32 id, const char **why)
{
	const Entry *entry = all == NULL ? NULL : find_entry(all, id);

	if (entry == NULL && all != NULL && all->registry != NULL)
	{
		if (outbox_now_ms() >= all->silent_until_ms)
			ask_registry(all, id);
		entry = find_entry(all, id);
		*why = all->problem;
	}
	else
		*why = all == NULL ?
			"it is not known here (see --schemas and --registry)" :
			"it is not known here";
	if (entry == NULL)
		return NULL;
	if (entry->schema == NULL)
		*why = entry->why;
	return entry->schema;
}

OutboxSchemas *
outbox_schemas_from_registry(OutboxSchemas *files, OutboxRegistry *registry)
{
	OutboxSchemas *all = files != NULL ? files : palloc0(sizeof(OutboxSchemas));

	all->registry = registry;
	return all;
}

/*
 * Resolve the escapes of COPY's text format, in place.
 */
static void
undo_copy_escapes(char *line)
{
	char	   *to = line;

	for (char *from = line; *from != '\0'; from++)
	{
		if (*from == '\\' && from[1] != '\0')
		{
			from++;
			*to++ = *from == 'n' ? '\n' : *from == 't' ? '\t' :
				*from == 'r' ? '\r' : *from == 'b' ? '\b' :
				*from == 'f' ? '\f' : *from == 'v' ? '\v' : *from;
		}
		else
			*to++ = *from;
	}
	*to = '\0';
}

static bool
load_line(OutboxSchemas *all, char *line, const char *path, int number)
{
	json_error_t ignored;
	json_t	   *object = json_loads(line, 0, &ignored);
	json_t	   *id,
			   *schema;
	char	   *text = NULL;
	OutboxAvroSchema *parsed = NULL;
	OutboxAvroError error = {0};

	if (object == NULL)
	{
		undo_copy_escapes(line);
		object = json_loads(line, 0, &ignored);
	}
	id = json_object_get(object, "id");
	schema = json_object_get(object, "schema");
	if (!json_is_integer(id) || schema == NULL ||
		json_integer_value(id) < 0 || json_integer_value(id) > PG_UINT32_MAX)
		snprintf(error.message, sizeof(error.message),
				 "not a line {\"id\": N, \"schema\": ...}");
	else
	{
		text = json_is_string(schema) ? strdup(json_string_value(schema)) :
			json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
		if (text != NULL)
			parsed = outbox_avro_parse(text, strlen(text), &error);
	}
	if (parsed != NULL)
		add_entry(all, (uint32) json_integer_value(id), parsed);
	else
		fprintf(stderr, "outbox-kafka: %s, line %d: %s%s%s\n", path, number,
				error.message, error.path[0] != '\0' ? " at " : "",
				error.path);
	free(text);
	json_decref(object);
	return parsed != NULL;
}

static bool
load_file(OutboxSchemas *all, const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	int			number = 0;
	bool		ok = true;

	if (file == NULL)
	{
		fprintf(stderr, "outbox-kafka: could not open \"%s\": %s\n", path,
				strerror(errno));
		return false;
	}
	while (ok && getline(&line, &size, file) >= 0)
	{
		number++;
		if (line[strspn(line, " \t\r\n")] != '\0')
			ok = load_line(all, line, path, number);
	}
	free(line);
	fclose(file);
	return ok;
}

static bool
has_suffix(const char *name, const char *suffix)
{
	size_t		n = strlen(name),
				s = strlen(suffix);

	return n > s && strcmp(name + n - s, suffix) == 0;
}

static bool
load_folder(OutboxSchemas *all, const char *path)
{
	struct dirent **names;
	int			n = scandir(path, &names, NULL, alphasort);
	bool		ok = n >= 0;

	if (n < 0)
		fprintf(stderr, "outbox-kafka: could not read folder \"%s\": %s\n",
				path, strerror(errno));
	for (int i = 0; i < n; i++)
	{
		if (ok && (has_suffix(names[i]->d_name, ".json") ||
				   has_suffix(names[i]->d_name, ".jsonl")))
		{
			char	   *file = psprintf("%s/%s", path, names[i]->d_name);

			ok = load_file(all, file);
			pfree(file);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return ok;
}

OutboxSchemas *
outbox_schemas_load(const char *path)
{
	OutboxSchemas *all = palloc0(sizeof(OutboxSchemas));
	struct stat st;
	bool		folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

	return (folder ? load_folder(all, path) : load_file(all, path)) ?
		all : NULL;
}
