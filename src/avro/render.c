/*-------------------------------------------------------------------------
 *
 * render.c
 *		Schema to JSON text: the one normalised rendering, and the Parsing
 *		Canonical Form (spec, "Transforming into Parsing Canonical Form").
 *
 * The rendering keeps everything that carries meaning or was said by the
 * author: order of attributes fixed, unknown ones sorted last, no whitespace,
 * defaults of the specification ("order": "ascending", scale 0) left out,
 * a name as short as its surroundings allow.  Parsing it gives the same model.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/model.h"

typedef struct Renderer
{
	StringInfo	out;
	bool	   *defined;		/* by node id: named type already written */
	bool		canonical;
} Renderer;

static void render_node(Renderer *r, const AvroNode *node,
						const char *enclosing);

static void
put_string(StringInfo out, const char *s)
{
	avro_json_quote(out, s, strlen(s));
}

static void
put_key(StringInfo out, const char *key)
{
	appendStringInfo(out, ",\"%s\":", key);
}

/* A full name as seen from inside a namespace. */
static const char *
short_name(const char *fullname, const char *enclosing)
{
	size_t		len = strlen(enclosing);

	if (len > 0 && strncmp(fullname, enclosing, len) == 0 &&
		fullname[len] == '.' && strchr(fullname + len + 1, '.') == NULL)
		return fullname + len + 1;
	return fullname;
}

static void
put_names(Renderer *r, const char *key, const char *const *names, int count,
		  const char *enclosing)
{
	put_key(r->out, key);
	for (int i = 0; i < count; i++)
	{
		appendStringInfoChar(r->out, i == 0 ? '[' : ',');
		put_string(r->out, short_name(names[i], enclosing));
	}
	appendStringInfoString(r->out, count == 0 ? "[]" : "]");
}

static void
put_attrs(Renderer *r, const AvroAttrs *attrs)
{
	for (int i = 0; i < attrs->count; i++)
	{
		appendStringInfoChar(r->out, ',');
		put_string(r->out, attrs->keys[i]);
		appendStringInfoChar(r->out, ':');
		avro_json_render(attrs->values[i], r->out);
	}
}

static void
put_logical(Renderer *r, const AvroNode *node)
{
	if (node->logical == AVRO_LOGICAL_NONE)
		return;
	put_key(r->out, "logicalType");
	put_string(r->out, avro_logical_name(node->logical));
	if (node->logical == AVRO_LOGICAL_DECIMAL)
	{
		appendStringInfo(r->out, ",\"precision\":%d", node->precision);
		if (node->scale != 0)
			appendStringInfo(r->out, ",\"scale\":%d", node->scale);
	}
}

static void
render_field(Renderer *r, const AvroField *field, const char *name_space)
{
	appendStringInfoString(r->out, "{\"name\":");
	put_string(r->out, field->name);
	put_key(r->out, "type");
	render_node(r, field->type, name_space);
	if (!r->canonical)
	{
		if (field->default_json != NULL)
		{
			put_key(r->out, "default");
			avro_json_render(field->default_json, r->out);
		}
		if (field->doc != NULL)
		{
			put_key(r->out, "doc");
			put_string(r->out, field->doc);
		}
		if (field->alias_count > 0)
			put_names(r, "aliases", field->aliases, field->alias_count, "");
		if (field->order != NULL)
		{
			put_key(r->out, "order");
			put_string(r->out, field->order);
		}
		put_attrs(r, &field->attrs);
	}
	appendStringInfoChar(r->out, '}');
}

static void
render_named(Renderer *r, const AvroNode *node, const char *enclosing)
{
	StringInfo	out = r->out;

	if (r->defined[node->id])
	{
		put_string(out, r->canonical ? node->fullname :
				   short_name(node->fullname, enclosing));
		return;
	}
	r->defined[node->id] = true;
	if (r->canonical)
	{
		appendStringInfoString(out, "{\"name\":");
		put_string(out, node->fullname);
		put_key(out, "type");
		put_string(out, avro_type_name(node->type));
	}
	else
	{
		appendStringInfoString(out, "{\"type\":");
		put_string(out, avro_type_name(node->type));
		put_key(out, "name");
		put_string(out, node->name);
		if (strcmp(node->name_space, enclosing) != 0)
		{
			put_key(out, "namespace");
			put_string(out, node->name_space);
		}
		if (node->doc != NULL)
		{
			put_key(out, "doc");
			put_string(out, node->doc);
		}
		if (node->alias_count > 0)
			put_names(r, "aliases", node->aliases, node->alias_count,
					  node->name_space);
	}
	if (node->type == AVRO_TYPE_RECORD)
	{
		put_key(out, "fields");
		appendStringInfoChar(out, '[');
		for (int i = 0; i < node->field_count; i++)
		{
			if (i > 0)
				appendStringInfoChar(out, ',');
			render_field(r, &node->fields[i], node->name_space);
		}
		appendStringInfoChar(out, ']');
	}
	else if (node->type == AVRO_TYPE_ENUM)
		put_names(r, "symbols", node->symbols, node->symbol_count, "");
	else
		appendStringInfo(out, ",\"size\":%zu", node->size);
	if (!r->canonical)
	{
		if (node->symbol_default != NULL)
		{
			put_key(out, "default");
			put_string(out, node->symbol_default);
		}
		put_logical(r, node);
		put_attrs(r, &node->attrs);
	}
	appendStringInfoChar(out, '}');
}

static void
render_node(Renderer *r, const AvroNode *node, const char *enclosing)
{
	bool		plain = r->canonical ||
		(node->logical == AVRO_LOGICAL_NONE && node->attrs.count == 0);

	if (node->fullname != NULL)
	{
		render_named(r, node, enclosing);
		return;
	}
	if (node->type == AVRO_TYPE_UNION)
	{
		for (int i = 0; i < node->branch_count; i++)
		{
			appendStringInfoChar(r->out, i == 0 ? '[' : ',');
			render_node(r, node->branches[i], enclosing);
		}
		appendStringInfoChar(r->out, ']');
		return;
	}
	if (plain && node->items == NULL)
	{
		put_string(r->out, avro_type_name(node->type));
		return;
	}
	appendStringInfoString(r->out, "{\"type\":");
	put_string(r->out, avro_type_name(node->type));
	if (node->items != NULL)
	{
		put_key(r->out, node->type == AVRO_TYPE_ARRAY ? "items" : "values");
		render_node(r, node->items, enclosing);
	}
	if (!r->canonical)
	{
		put_logical(r, node);
		put_attrs(r, &node->attrs);
	}
	appendStringInfoChar(r->out, '}');
}

static void
render(const OutboxAvroSchema *schema, StringInfo out, bool canonical,
	   int first_own)
{
	Renderer	r = {out, palloc0(schema->node_count), canonical};

	memset(r.defined, true, first_own);
	render_node(&r, schema->root, "");
	pfree(r.defined);
}

void
outbox_avro_render(const OutboxAvroSchema *schema, StringInfo out)
{
	render(schema, out, false, 0);
}

void
outbox_avro_render_referring(const OutboxAvroSchema *schema, StringInfo out)
{
	render(schema, out, false, schema->first_own);
}

void
outbox_avro_canonical(const OutboxAvroSchema *schema, StringInfo out)
{
	render(schema, out, true, 0);
}
