/*-------------------------------------------------------------------------
 *
 * parse.c
 *		JSON to schema model: every rule of the specification about what a
 *		schema is, each failure with the place in the schema.
 *
 * Named types are registered before their contents are read, so that they can
 * refer to themselves.  The whole result is palloc'd in one go and never
 * freed piecemeal.
 *
 * Stricter than some readers, so that what passes here passes everywhere: the
 * default of a union fits its first branch, keys do not repeat, a union has at
 * least one branch.  A logical type that does not fit is ignored, as the
 * specification asks, and kept as a plain attribute.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/model.h"

typedef struct Parser
{
	OutboxAvroError *error;
	int			node_count;
	int			named_count;
	int			named_space;
	AvroNode  **named;
	int			depth;
} Parser;

static AvroNode *parse_node(Parser *p, const AvroJson *json,
							const char *name_space, const AvroPath *path);

#define BAD(path, hint, ...) \
	avro_fail(p->error, OUTBOX_AVRO_BAD_SCHEMA, path, hint, __VA_ARGS__)

static AvroNode *
new_node(Parser *p, AvroType type)
{
	AvroNode   *node = palloc0(sizeof(AvroNode));

	node->type = type;
	node->id = p->node_count++;
	return node;
}

static AvroPath
member(const AvroPath *parent, const char *name)
{
	AvroPath	path = {parent, name, (int) strlen(name), 0};

	return path;
}

static AvroPath
element(const AvroPath *parent, int index)
{
	AvroPath	path = {parent, NULL, 0, index};

	return path;
}

/* A C string of a JSON string, or NULL when it is none or holds NUL. */
static const char *
string_value(const AvroJson *json)
{
	if (json == NULL || json->kind != JSON_KIND_STRING ||
		strlen(json->text) != json->len)
		return NULL;
	return json->text;
}

static const char *
full_name(const char *name, const char *name_space)
{
	if (strchr(name, '.') != NULL || name_space[0] == '\0')
		return name;
	return psprintf("%s.%s", name_space, name);
}

static AvroNode *
find_named(Parser *p, const char *fullname)
{
	for (int i = 0; i < p->named_count; i++)
		if (strcmp(p->named[i]->fullname, fullname) == 0)
			return p->named[i];
	return NULL;
}

static AvroNode *
parse_reference(Parser *p, const char *name, const char *name_space,
				const AvroPath *path)
{
	int			primitive = avro_primitive_by_name(name);
	AvroNode   *found;

	if (primitive >= 0)
		return new_node(p, (AvroType) primitive);
	found = find_named(p, full_name(name, name_space));
	if (found == NULL)
		BAD(path,
				"Types are primitive, or the name of a record, enum or fixed "
				"defined earlier in the schema.",
			"unknown type \"%s\"", name);
	return found;
}

/* Everything not named in "known" (NULL-terminated) is kept as it is. */
static void
collect_attrs(const AvroJson *json, const char *const *known,
			  AvroAttrs *attrs)
{
	attrs->count = 0;
	if (json->count == 0)
		return;
	attrs->keys = palloc(json->count * sizeof(char *));
	attrs->values = palloc(json->count * sizeof(AvroJson *));
	for (int i = 0; i < json->count; i++)
	{
		bool		is_known = false;

		for (const char *const *k = known; *k != NULL && !is_known; k++)
			is_known = strcmp(*k, json->keys[i]) == 0;
		if (is_known)
			continue;
		attrs->keys[attrs->count] = json->keys[i];
		attrs->values[attrs->count++] = json->items[i];
	}
}

static bool
parse_doc(Parser *p, const AvroJson *json, const AvroPath *path,
		  const char **doc)
{
	AvroJson   *value = avro_json_member(json, "doc");
	AvroPath	here = member(path, "doc");

	*doc = NULL;
	if (value == NULL || value->kind == JSON_KIND_NULL)
		return true;
	if ((*doc = string_value(value)) == NULL)
		return BAD(&here, NULL, "doc must be a string");
	return true;
}

/* Aliases; for types relative to name_space, for fields (NULL) plain. */
static bool
parse_aliases(Parser *p, const AvroJson *json, const char *name_space,
			  const AvroPath *path, int *count, const char ***aliases)
{
	AvroJson   *list = avro_json_member(json, "aliases");
	AvroPath	here = member(path, "aliases");

	if (list == NULL || list->kind == JSON_KIND_NULL)
		return true;
	if (list->kind != JSON_KIND_ARRAY)
		return BAD(&here, NULL, "aliases must be an array of names");
	*aliases = palloc((list->count + 1) * sizeof(char *));
	for (int i = 0; i < list->count; i++)
	{
		const char *alias = string_value(list->items[i]);
		AvroPath	item = element(&here, i);

		if (alias == NULL)
			return BAD(&item, NULL, "an alias must be a string");
		if (name_space == NULL ? !avro_name_ok(alias, strlen(alias)) :
			!avro_fullname_ok(alias))
			return BAD(&item,
					"Names start with a letter or underscore and hold "
					"letters, digits and underscores only.",
					   "invalid alias \"%s\"", alias);
		(*aliases)[(*count)++] = name_space == NULL ? alias :
			full_name(alias, name_space);
	}
	return true;
}

static bool
check_name(Parser *p, const char *name, const AvroPath *path, bool dots)
{
	if (dots ? !avro_fullname_ok(name) : !avro_name_ok(name, strlen(name)))
		return BAD(path,
				"Names start with a letter or underscore and hold letters, "
				"digits and underscores only.",
				   "invalid name \"%s\"", name);
	return true;
}

/* name, namespace, doc, aliases of a record, enum or fixed; register it. */
static bool
parse_names(Parser *p, AvroNode *node, const AvroJson *json,
			const char *enclosing, const AvroPath *path)
{
	AvroPath	name_path = member(path, "name");
	AvroPath	space_path = member(path, "namespace");
	AvroJson   *space_json = avro_json_member(json, "namespace");
	const char *name = string_value(avro_json_member(json, "name"));
	const char *space = enclosing;
	const char *dot;

	if (name == NULL)
		return BAD(&name_path, NULL, "%s needs a name, a string",
				   avro_type_name(node->type));
	if (!check_name(p, name, &name_path, true))
		return false;
	if (space_json != NULL && space_json->kind != JSON_KIND_NULL)
	{
		space = string_value(space_json);
		if (space == NULL)
			return BAD(&space_path, NULL, "namespace must be a string");
		if (space[0] != '\0' && !check_name(p, space, &space_path, true))
			return false;
	}
	dot = strrchr(name, '.');
	if (dot != NULL)
	{
		space = pnstrdup(name, dot - name);
		name = dot + 1;
	}
	if (avro_primitive_by_name(name) >= 0)
		return BAD(&name_path, NULL,
				   "\"%s\" is the name of a primitive type", name);
	node->name = name;
	node->name_space = space;
	node->fullname = full_name(name, space);
	if (find_named(p, node->fullname) != NULL)
		return BAD(&name_path, "A type is defined once and referred to by its name.",
				   "type \"%s\" is defined twice", node->fullname);
	if (p->named_count == p->named_space)
	{
		p->named_space = p->named_space == 0 ? 16 : p->named_space * 2;
		p->named = p->named == NULL ? palloc(p->named_space * sizeof(void *)) :
			repalloc(p->named, p->named_space * sizeof(void *));
	}
	p->named[p->named_count++] = node;

	return parse_doc(p, json, path, &node->doc) &&
		parse_aliases(p, json, space, path, &node->alias_count,
					  &node->aliases);
}

static bool
parse_order(Parser *p, AvroField *field, const AvroJson *json,
			const AvroPath *path)
{
	AvroJson   *value = avro_json_member(json, "order");
	AvroPath	here = member(path, "order");
	const char *order = string_value(value);

	if (value == NULL || (order != NULL && strcmp(order, "ascending") == 0))
		return true;
	if (order == NULL || (strcmp(order, "descending") != 0 &&
						  strcmp(order, "ignore") != 0))
		return BAD(&here, NULL,
				   "order must be \"ascending\", \"descending\" or \"ignore\"");
	field->order = order;
	return true;
}

static bool
parse_field(Parser *p, AvroField *field, const AvroJson *json,
			const char *name_space, const AvroPath *path)
{
	static const char *const known[] = {"name", "type", "doc", "aliases",
	"order", "default", NULL};
	AvroPath	name_path = member(path, "name");
	AvroPath	type_path = member(path, "type");
	AvroJson   *type;

	if (json->kind != JSON_KIND_OBJECT)
		return BAD(path, NULL, "a field must be an object, not %s",
				   avro_json_kind_name(json->kind));
	field->name = string_value(avro_json_member(json, "name"));
	if (field->name == NULL)
		return BAD(&name_path, NULL, "field needs a name, a string");
	if (!check_name(p, field->name, &name_path, false))
		return false;
	field->name_len = (int) strlen(field->name);
	type = avro_json_member(json, "type");
	if (type == NULL)
		return BAD(&type_path, NULL, "field \"%s\" has no type", field->name);
	field->type = parse_node(p, type, name_space, &type_path);
	if (field->type == NULL)
		return false;
	field->default_json = avro_json_member(json, "default");
	collect_attrs(json, known, &field->attrs);
	return parse_doc(p, json, path, &field->doc) &&
		parse_aliases(p, json, NULL, path, &field->alias_count,
					  &field->aliases) &&
		parse_order(p, field, json, path);
}

typedef struct NameAt
{
	const char *name;
	int			at;
} NameAt;

static int
compare_names(const void *a, const void *b)
{
	const NameAt *x = a;
	const NameAt *y = b;
	int			order = strcmp(x->name, y->name);

	return order != 0 ? order : x->at - y->at;
}

/* Index of a name that occurred before, or -1. */
static int
find_repeated(NameAt *names, int count)
{
	qsort(names, count, sizeof(NameAt), compare_names);
	for (int i = 1; i < count; i++)
		if (strcmp(names[i - 1].name, names[i].name) == 0)
			return names[i].at;
	return -1;
}

static bool
parse_record(Parser *p, AvroNode *node, const AvroJson *json,
			 const AvroPath *path)
{
	AvroJson   *fields = avro_json_member(json, "fields");
	AvroPath	here = member(path, "fields");
	NameAt	   *names;
	int			repeated;

	if (fields == NULL || fields->kind != JSON_KIND_ARRAY)
		return BAD(&here, NULL, "record \"%s\" needs an array of fields",
				   node->fullname);
	node->fields = palloc0((fields->count + 1) * sizeof(AvroField));
	names = palloc((fields->count + 1) * sizeof(NameAt));
	for (int i = 0; i < fields->count; i++)
	{
		AvroPath	item = element(&here, i);

		if (!parse_field(p, &node->fields[i], fields->items[i],
						 node->name_space, &item))
			return false;
		names[i].name = node->fields[i].name;
		names[i].at = i;
	}
	node->field_count = fields->count;
	repeated = find_repeated(names, node->field_count);
	if (repeated >= 0)
	{
		AvroPath	item = element(&here, repeated);

		return BAD(&item, NULL, "field \"%s\" occurs twice",
				   node->fields[repeated].name);
	}
	pfree(names);
	return true;
}

static bool
parse_enum(Parser *p, AvroNode *node, const AvroJson *json,
		   const AvroPath *path)
{
	AvroJson   *symbols = avro_json_member(json, "symbols");
	AvroJson   *fallback = avro_json_member(json, "default");
	AvroPath	here = member(path, "symbols");
	AvroPath	default_path = member(path, "default");
	NameAt	   *names;
	int			repeated;

	if (symbols == NULL || symbols->kind != JSON_KIND_ARRAY)
		return BAD(&here, NULL, "enum \"%s\" needs an array of symbols",
				   node->fullname);
	node->symbols = palloc((symbols->count + 1) * sizeof(char *));
	names = palloc((symbols->count + 1) * sizeof(NameAt));
	for (int i = 0; i < symbols->count; i++)
	{
		AvroPath	item = element(&here, i);
		const char *symbol = string_value(symbols->items[i]);

		if (symbol == NULL)
			return BAD(&item, NULL, "a symbol must be a string");
		if (!check_name(p, symbol, &item, false))
			return false;
		node->symbols[i] = names[i].name = symbol;
		names[i].at = i;
	}
	node->symbol_count = symbols->count;
	repeated = find_repeated(names, node->symbol_count);
	if (repeated >= 0)
	{
		AvroPath	item = element(&here, repeated);

		return BAD(&item, NULL, "symbol \"%s\" occurs twice",
				   node->symbols[repeated]);
	}
	pfree(names);
	if (fallback == NULL)
		return true;
	node->symbol_default = string_value(fallback);
	for (int i = 0; node->symbol_default != NULL && i < node->symbol_count; i++)
		if (strcmp(node->symbols[i], node->symbol_default) == 0)
			return true;
	return BAD(&default_path, NULL,
			   "the default of an enum must be one of its symbols");
}

static bool
parse_fixed(Parser *p, AvroNode *node, const AvroJson *json,
			const AvroPath *path)
{
	AvroJson   *size = avro_json_member(json, "size");
	AvroPath	here = member(path, "size");
	uint64		value = 0;

	/* [INTEGERS]: digits only, perhaps quoted */
	if (size != NULL && (size->kind == JSON_KIND_NUMBER ||
						 size->kind == JSON_KIND_STRING) &&
		size->len > 0 && size->len <= 10)
	{
		size_t		i = 0;

		for (; i < size->len && size->text[i] >= '0' && size->text[i] <= '9'; i++)
			value = value * 10 + (size->text[i] - '0');
		if (i == size->len && value <= PG_INT32_MAX)
		{
			node->size = value;
			return true;
		}
	}
	return BAD(&here, NULL,
			   "fixed \"%s\" needs a size, an integer from 0 to %d",
			   node->fullname, PG_INT32_MAX);
}

static bool
parse_items(Parser *p, AvroNode *node, const AvroJson *json,
			const char *name_space, const AvroPath *path)
{
	const char *key = node->type == AVRO_TYPE_ARRAY ? "items" : "values";
	AvroJson   *items = avro_json_member(json, key);
	AvroPath	here = member(path, key);

	if (items == NULL)
		return BAD(&here, NULL, "%s needs \"%s\", a schema",
				   avro_type_name(node->type), key);
	node->items = parse_node(p, items, name_space, &here);
	return node->items != NULL;
}

static AvroNode *
parse_union(Parser *p, const AvroJson *json, const char *name_space,
			const AvroPath *path)
{
	AvroNode   *node = new_node(p, AVRO_TYPE_UNION);
	NameAt	   *names = palloc((json->count + 1) * sizeof(NameAt));
	int			repeated;

	node->branches = palloc((json->count + 1) * sizeof(AvroNode *));
	for (int i = 0; i < json->count; i++)
	{
		AvroPath	item = element(path, i);
		AvroNode   *branch = parse_node(p, json->items[i], name_space, &item);

		if (branch == NULL)
			return NULL;
		if (branch->type == AVRO_TYPE_UNION)
		{
			BAD(&item, "List the inner union's branches in the outer one.",
				"a union cannot directly hold a union");
			return NULL;
		}
		node->branches[i] = branch;
		names[i].name = avro_branch_name(branch);
		names[i].at = i;
	}
	node->branch_count = json->count;
	if (node->branch_count == 0)
	{
		BAD(path, NULL, "a union needs at least one branch");
		return NULL;
	}
	repeated = find_repeated(names, node->branch_count);
	if (repeated >= 0)
	{
		AvroPath	item = element(path, repeated);

		BAD(&item,
				"Only records, enums and fixed types of different names may "
				"occur more than once.",
			"the union has type \"%s\" twice",
			avro_branch_name(node->branches[repeated]));
		return NULL;
	}
	pfree(names);
	return node;
}

static AvroNode *
parse_object(Parser *p, const AvroJson *json, const char *name_space,
			 const AvroPath *path)
{
	static const char *const known_plain[] = {"type", NULL};
	static const char *const known_array[] = {"type", "items", NULL};
	static const char *const known_map[] = {"type", "values", NULL};
	static const char *const known_record[] = {"type", "name", "namespace",
	"doc", "aliases", "fields", NULL};
	static const char *const known_enum[] = {"type", "name", "namespace",
	"doc", "aliases", "symbols", "default", NULL};
	static const char *const known_fixed[] = {"type", "name", "namespace",
	"doc", "aliases", "size", NULL};
	const char *const *known = known_plain;
	AvroPath	here = member(path, "type");
	const char *type = string_value(avro_json_member(json, "type"));
	AvroNode   *node;
	bool		ok = true;
	int			primitive;

	if (type == NULL)
	{
		BAD(&here, "A union or another schema stands in the place of the whole object.",
			"a schema object needs \"type\", the name of a type");
		return NULL;
	}
	if ((primitive = avro_primitive_by_name(type)) >= 0)
		node = new_node(p, (AvroType) primitive);
	else if (strcmp(type, "record") == 0 || strcmp(type, "error") == 0)
	{
		node = new_node(p, AVRO_TYPE_RECORD);
		known = known_record;
		ok = parse_names(p, node, json, name_space, path) &&
			parse_record(p, node, json, path);
	}
	else if (strcmp(type, "enum") == 0)
	{
		node = new_node(p, AVRO_TYPE_ENUM);
		known = known_enum;
		ok = parse_names(p, node, json, name_space, path) &&
			parse_enum(p, node, json, path);
	}
	else if (strcmp(type, "fixed") == 0)
	{
		node = new_node(p, AVRO_TYPE_FIXED);
		known = known_fixed;
		ok = parse_names(p, node, json, name_space, path) &&
			parse_fixed(p, node, json, path);
	}
	else if (strcmp(type, "array") == 0 || strcmp(type, "map") == 0)
	{
		bool		array = type[0] == 'a';

		node = new_node(p, array ? AVRO_TYPE_ARRAY : AVRO_TYPE_MAP);
		known = array ? known_array : known_map;
		ok = parse_items(p, node, json, name_space, path);
	}
	else
		return parse_reference(p, type, name_space, &here);

	if (!ok)
		return NULL;
	collect_attrs(json, known, &node->attrs);
	avro_logical_resolve(node);
	return node;
}

static AvroNode *
parse_node(Parser *p, const AvroJson *json, const char *name_space,
		   const AvroPath *path)
{
	AvroNode   *node = NULL;
	const char *name;

	if (++p->depth > OUTBOX_AVRO_MAX_DEPTH)
	{
		avro_fail(p->error, OUTBOX_AVRO_TOO_DEEP, path, NULL,
				  "nested more than %d levels deep", OUTBOX_AVRO_MAX_DEPTH);
		return NULL;
	}
	switch (json->kind)
	{
		case JSON_KIND_STRING:
			name = string_value(json);
			if (name == NULL)
				BAD(path, NULL, "a type name cannot hold \\u0000");
			else
				node = parse_reference(p, name, name_space, path);
			break;
		case JSON_KIND_ARRAY:
			node = parse_union(p, json, name_space, path);
			break;
		case JSON_KIND_OBJECT:
			node = parse_object(p, json, name_space, path);
			break;
		default:
			BAD(path, NULL, "a schema must be a string, object or array, not %s",
				avro_json_kind_name(json->kind));
			break;
	}
	p->depth--;
	return node;
}

/* Whether values take no bytes; a cycle without union or array never ends. */
static bool
resolve_zero_size(AvroNode *node)
{
	if (node->type == AVRO_TYPE_NULL ||
		(node->type == AVRO_TYPE_FIXED && node->size == 0))
		node->zero_size = true;
	else if (node->type == AVRO_TYPE_RECORD && !node->in_progress)
	{
		bool		zero = true;

		node->in_progress = true;
		for (int i = 0; i < node->field_count; i++)
			zero = zero && node->fields[i].type->zero_size;
		node->zero_size = zero;
		node->in_progress = false;
	}
	return node->zero_size;
}

/*
 * Visit the definitions in the tree once, children first, references not
 * followed ("seen" is by id).
 */
static bool
finish_node(Parser *p, AvroNode *node, bool *seen, const AvroPath *path)
{
	AvroPath	fields = member(path, "fields");
	AvroPath	items = member(path, node->type == AVRO_TYPE_ARRAY ?
							   "items" : "values");

	if (seen[node->id])
		return true;
	seen[node->id] = true;
	for (int i = 0; i < node->field_count; i++)
	{
		AvroPath	field = element(&fields, i);
		AvroPath	type = member(&field, "type");

		if (!finish_node(p, node->fields[i].type, seen, &type))
			return false;
	}
	for (int i = 0; i < node->branch_count; i++)
	{
		AvroPath	branch = element(path, i);

		if (!finish_node(p, node->branches[i], seen, &branch))
			return false;
	}
	if (node->items != NULL && !finish_node(p, node->items, seen, &items))
		return false;
	resolve_zero_size(node);
	if (node->type == AVRO_TYPE_RECORD)
		return avro_defaults_resolve(node, &fields, p->error);
	return true;
}

/* One more text, which may refer to types of those before it. */
static AvroNode *
parse_text(Parser *p, const char *text, size_t len)
{
	static const AvroPath root = {0};
	int			first = p->node_count;
	AvroJson   *json = avro_json_parse(text, len, p->error);
	AvroNode   *node;
	bool	   *seen;
	bool		ok;

	if (json == NULL)
		return NULL;
	node = parse_node(p, json, "", &root);
	if (node == NULL)
		return NULL;
	seen = palloc0(p->node_count);
	memset(seen, true, first);	/* done with those texts */
	ok = finish_node(p, node, seen, &root);
	pfree(seen);
	return ok ? node : NULL;
}

OutboxAvroSchema *
outbox_avro_parse_referring(const char *const *texts, int n,
							OutboxAvroError *error)
{
	Parser		p = {0};
	OutboxAvroSchema *schema = palloc0(sizeof(OutboxAvroSchema));

	p.error = error;
	for (int i = 0; i < n; i++)
	{
		schema->first_own = p.node_count;
		schema->root = parse_text(&p, texts[i], strlen(texts[i]));
		if (schema->root == NULL)
			return NULL;
	}
	schema->node_count = p.node_count;
	return schema;
}

OutboxAvroSchema *
outbox_avro_parse(const char *text, size_t len, OutboxAvroError *error)
{
	Parser		p = {0};
	OutboxAvroSchema *schema = palloc0(sizeof(OutboxAvroSchema));

	p.error = error;
	schema->root = parse_text(&p, text, len);
	if (schema->root == NULL)
		return NULL;
	schema->node_count = p.node_count;
	return schema;
}

bool
outbox_avro_is_record(const OutboxAvroSchema *schema)
{
	return schema->root->type == AVRO_TYPE_RECORD;
}

const char *
outbox_avro_fullname(const OutboxAvroSchema *schema)
{
	return schema->root->fullname;
}
