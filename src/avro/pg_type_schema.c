/*-------------------------------------------------------------------------
 *
 * pg_type_schema.c
 *		The Avro schema of a PostgreSQL type.
 *
 *	  boolean -> boolean        smallint, integer -> int    bigint, oid -> long
 *	  real -> float             double precision -> double
 *	  numeric(p,s) -> decimal   numeric -> string           bytea -> bytes
 *	  uuid -> string, uuid      date -> date                time -> time-micros
 *	  timestamp -> local-timestamp-micros     timestamptz -> timestamp-micros
 *	  enum -> enum              T[] -> array of ["null", T]
 *	  composite, table -> record              domain -> as its base type
 *	  anything else -> string
 *
 * A column is ["null", T] with default null, or T when it is NOT NULL (and the
 * domain's or composite's columns never are), with the column's default where
 * that is a constant (pg_default.c).  Comments become doc.
 *
 * Rows of captured tables ("images") differ: money is decimal(19,2); arrays have
 * the dimensions their column was declared with; a type that not every value
 * fits is nullable or a union with string (pg_row_special.c), as is asked for.
 *
 * Names: PostgreSQL's, with every character Avro does not allow replaced by
 * "_" and a leading digit preceded by one.  Types take their schema's name as
 * namespace, or all of them the one that was asked for.  Two columns, labels
 * or types that end up with one name are an error here, at definition time.
 *
 * A type that was renamed keeps its old name as an alias, and aliases of what it
 * was before (pg_type_alias.c).
 *
 * Reads the catalogs with the caller's snapshot; holds no lock afterwards.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "avro/pg_row.h"
#include "avro/pg_default.h"
#include "avro/pg_type_alias.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

typedef struct Named
{
	Oid			type;
	char	   *fullname;
} Named;

typedef struct Writer
{
	StringInfo	out;
	const char *name_space;		/* for all types; NULL: their schema's name */
	List	   *named;			/* of Named: types already written */
	const OutboxAvroSchema *before; /* for aliases; NULL: none */
	const OutboxAvroRename *rename; /* NULL: none */
	const OutboxAvroImage *image;	/* of a captured table; NULL: no */
	int			ndims;			/* the next type's, when it is an array */
} Writer;

static void put_type(Writer *w, Oid type, int32 typmod, const char *name);

char *
outbox_avro_map_name(const char *name)
{
	return avro_map_name(name);
}

char *
avro_map_name(const char *name)
{
	StringInfoData out;

	initStringInfo(&out);
	if (name[0] >= '0' && name[0] <= '9')
		appendStringInfoChar(&out, '_');
	for (const char *p = name; *p != '\0'; p += pg_mblen(p))
		appendStringInfoChar(&out, avro_name_ok(p, 1) ||
							 (*p >= '0' && *p <= '9') ? *p : '_');
	if (out.len == 0)
		appendStringInfoChar(&out, '_');
	return out.data;
}

static void
put_string(StringInfo out, const char *s)
{
	avro_json_quote(out, s, strlen(s));
}

static void
put_doc(StringInfo out, const char *doc)
{
	if (doc == NULL)
		return;
	appendStringInfoString(out, ",\"doc\":");
	put_string(out, doc);
}

/*
 * Begin a named type: {"type":kind,"name":...,"namespace":...  False when it
 * is written already and the reference was put instead.
 */
static bool
begin_named(Writer *w, const char *kind, Oid type, Oid name_space_oid,
			const char *sql_name, const char *name, const AvroNode **before)
{
	char	   *own_space = get_namespace_name(name_space_oid);
	const char *space = w->name_space != NULL ? w->name_space :
		avro_map_name(own_space != NULL ? own_space : "");
	Named	   *entry;
	ListCell   *lc;

	foreach(lc, w->named)
	{
		entry = lfirst(lc);
		if (entry->type == type)
		{
			put_string(w->out, entry->fullname);
			return false;
		}
	}
	*before = NULL;
	entry = palloc(sizeof(Named));
	entry->type = type;
	if (name == NULL)
		name = avro_map_name(sql_name);
	entry->fullname = space[0] == '\0' || strchr(name, '.') != NULL ?
		pstrdup(name) : psprintf("%s.%s", space, name);
	foreach(lc, w->named)
	{
		Named	   *other = lfirst(lc);

		if (strcmp(other->fullname, entry->fullname) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("types %s and %s would both have the Avro name \"%s\"",
							format_type_be(other->type),
							format_type_be(type), entry->fullname),
					 errhint("Rename one of them, or give another name or namespace.")));
	}
	w->named = lappend(w->named, entry);
	appendStringInfo(w->out, "{\"type\":\"%s\",\"name\":", kind);
	put_string(w->out, entry->fullname);

	/* A name without dot would fall into the surrounding type's namespace. */
	if (strchr(entry->fullname, '.') == NULL)
		appendStringInfoString(w->out, ",\"namespace\":\"\"");
	if (w->before != NULL)
	{
		*before = avro_alias_node(w->before, w->rename, type, space, name,
								  entry->fullname);
		avro_alias_put_type(w->out, *before, entry->fullname);
	}
	return true;
}

static void
check_collision(List **seen, char *mapped, const char *name, const char *what)
{
	ListCell   *lc;

	foreach(lc, *seen)
	{
		char	  **pair = lfirst(lc);

		if (strcmp(pair[0], mapped) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("%ss \"%s\" and \"%s\" would both have the Avro name \"%s\"",
							what, pair[1], name, mapped),
					 errhint(
							"Avro names hold letters, digits and underscores "
							"only; rename one of them.")));
	}
	{
		char	  **pair = palloc(2 * sizeof(char *));

		pair[0] = mapped;
		pair[1] = pstrdup(name);
		*seen = lappend(*seen, pair);
	}
}

static void
put_enum(Writer *w, Oid type, Form_pg_type form, const char *name)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	List	   *seen = NIL;
	bool		first = true;
	const AvroNode *before;

	if (!begin_named(w, "enum", type, form->typnamespace,
					 NameStr(form->typname), name, &before))
		return;
	put_doc(w->out, GetComment(type, TypeRelationId, 0));
	appendStringInfoString(w->out, ",\"symbols\":[");
	ScanKeyInit(&key, Anum_pg_enum_enumtypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	rel = table_open(EnumRelationId, AccessShareLock);
	/* by (type, sort order) */
	scan = systable_beginscan(rel, EnumTypIdSortOrderIndexId, true, NULL, 1,
							  &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		char	   *label = NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel);
		char	   *symbol = avro_map_name(label);

		check_collision(&seen, symbol, label, "enum label");
		if (!first)
			appendStringInfoChar(w->out, ',');
		first = false;
		put_string(w->out, symbol);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	appendStringInfoString(w->out, "]}");
}

/* ---- images of table rows: values that a type cannot hold ---- */

static bool
may_be_special(Oid type, int32 typmod)
{
	type = getBaseTypeAndTypmod(type, &typmod);
	if (OidIsValid(get_element_type(type)))
		return true;
	switch (type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		case NUMERICOID:
			return typmod >= (int32) VARHDRSZ;
		default:
			return false;
	}
}

/* Declared dimensions of a column: PostgreSQL does not hold it to them. */
static int
dimensions(Form_pg_attribute att)
{
	HeapTuple	tuple;
	int			ndims = att->attndims;

	if (get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
	{
		tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(att->atttypid));
		if (HeapTupleIsValid(tuple))
		{
			ndims = ((Form_pg_type) GETSTRUCT(tuple))->typndims;
			ReleaseSysCache(tuple);
		}
	}
	return Min(Max(ndims, 1), MAXDIM);
}

static bool
image_nullable(const OutboxAvroImage *image, Form_pg_attribute att)
{
	if (image->required != NULL &&
		bms_is_member(att->attnum, image->required))
		return false;
	return image->all_nullable || !att->attnotnull;
}

/* T, ["null",T], [T,"string"] or ["null",T,"string"]; whether null is first. */
static bool
put_maybe(Writer *w, Oid type, int32 typmod, bool nullable, bool key)
{
	bool		text = false;

	if (w->image != NULL && w->image->special != OUTBOX_AVRO_SPECIAL_ERROR &&
		may_be_special(type, typmod))
	{
		text = w->image->special == OUTBOX_AVRO_SPECIAL_TEXT || key;
		nullable |= !text;
	}
	appendStringInfoString(w->out, nullable ? "[\"null\"," : text ? "[" : "");
	put_type(w, type, typmod, NULL);
	if (text)
		appendStringInfoString(w->out, ",\"string\"");
	if (nullable || text)
		appendStringInfoChar(w->out, ']');
	return nullable;
}

/* ---- records ---- */

static void
put_fields(Writer *w, Oid type, Oid relation, TupleDesc desc,
		   const OutboxAvroImage *image, const AvroNode *before)
{
	List	   *seen = NIL;
	bool		key = image != NULL && image->key;
	bool		first = true;

	appendStringInfoString(w->out, ",\"fields\":[");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *field;
		bool		nullable;

		if (att->attisdropped)
			continue;
		field = avro_map_name(NameStr(att->attname));
		check_collision(&seen, field, NameStr(att->attname), "column");
		appendStringInfoString(w->out, first ? "{\"name\":" : ",{\"name\":");
		first = false;
		put_string(w->out, field);
		appendStringInfoString(w->out, ",\"type\":");
		nullable = image != NULL ? image_nullable(image, att) : !att->attnotnull;
		w->ndims = w->image != NULL ? dimensions(att) : 1;
		nullable = put_maybe(w, att->atttypid, att->atttypmod, nullable, key);
		w->ndims = 1;
		if (nullable)
			appendStringInfoString(w->out, ",\"default\":null");
		else if (!key && att->atthasdef)
			avro_default_put(w->out, relation, att);
		if (!key)
			put_doc(w->out, GetComment(relation, RelationRelationId,
									   att->attnum));
		avro_alias_put_field(w->out, before, w->rename, type, desc,
							 NameStr(att->attname));
		appendStringInfoChar(w->out, '}');
	}
}

static void
put_record(Writer *w, Oid type, Form_pg_type form, const char *name)
{
	TupleDesc	desc;
	bool		table = get_rel_relkind(form->typrelid) !=
		RELKIND_COMPOSITE_TYPE;
	const AvroNode *before;

	check_stack_depth();
	if (!begin_named(w, "record", type, form->typnamespace,
					 NameStr(form->typname), name, &before))
		return;
	put_doc(w->out, table ? GetComment(form->typrelid, RelationRelationId, 0) :
			GetComment(type, TypeRelationId, 0));
	desc = lookup_rowtype_tupdesc_copy(type, -1);
	put_fields(w, type, form->typrelid, desc, NULL, before);
	appendStringInfoString(w->out, "]}");
}

void
outbox_avro_put_image_schema(StringInfo out, const OutboxAvroImage *image)
{
	Writer		w = {.out = out,.before = image->before,
		.rename = image->rename,.image = image,.ndims = 1};
	const AvroNode *before = NULL;
	Named	   *entry = palloc(sizeof(Named));

	entry->type = InvalidOid;
	entry->fullname = pstrdup(image->fullname);
	w.named = list_make1(entry);
	if (image->before != NULL)
		before = avro_alias_record(image->before, image->fullname);
	appendStringInfoString(out, "{\"type\":\"record\",\"name\":");
	put_string(out, image->fullname);
	if (strchr(image->fullname, '.') == NULL)
		appendStringInfoString(out, ",\"namespace\":\"\"");
	if (!image->key)
		put_doc(out, GetComment(image->relation, RelationRelationId, 0));
	avro_alias_put_type(out, before, image->fullname);
	put_fields(&w, get_rel_type_id(image->relation), image->relation,
			   image->desc, image, before);
}

/* precision and scale as numeric.c packs them; scale may be negative */
static void
put_numeric(Writer *w, int32 typmod)
{
	int			precision;
	int			scale;

	if (typmod < (int32) VARHDRSZ)
	{
		appendStringInfoString(w->out, "\"string\"");
		return;
	}
	precision = ((typmod - VARHDRSZ) >> 16) & 0xFFFF;
	scale = (((typmod - VARHDRSZ) & 0x7FF) ^ 1024) - 1024;
	if (scale < 0)
	{
		precision -= scale;
		scale = 0;
	}
	precision = Max(precision, scale);
	if (precision > AVRO_MAX_PRECISION)
	{
		appendStringInfoString(w->out, "\"string\"");
		return;
	}
	appendStringInfo(w->out,
					 "{\"type\":\"bytes\",\"logicalType\":\"decimal\","
					 "\"precision\":%d,\"scale\":%d}",
					 precision, scale);
}

static const char *
simple_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return "\"boolean\"";
		case INT2OID:
		case INT4OID:
			return "\"int\"";
		case INT8OID:
		case OIDOID:
			return "\"long\"";
		case FLOAT4OID:
			return "\"float\"";
		case FLOAT8OID:
			return "\"double\"";
		case BYTEAOID:
			return "\"bytes\"";
		case UUIDOID:
			return "{\"type\":\"string\",\"logicalType\":\"uuid\"}";
		case DATEOID:
			return "{\"type\":\"int\",\"logicalType\":\"date\"}";
		case TIMEOID:
			return "{\"type\":\"long\",\"logicalType\":\"time-micros\"}";
		case TIMESTAMPOID:
			return "{\"type\":\"long\",\"logicalType\":\"local-timestamp-micros\"}";
		case TIMESTAMPTZOID:
			return "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}";
		default:
			return "\"string\"";
	}
}

static void
put_type(Writer *w, Oid type, int32 typmod, const char *name)
{
	HeapTuple	tuple;
	Form_pg_type form;
	Oid			element;

	type = getBaseTypeAndTypmod(type, &typmod);
	element = get_element_type(type);
	if (OidIsValid(element))
	{
		int			ndims = Max(w->ndims, 1);

		w->ndims = 1;
		for (int i = 0; i < ndims; i++)
			appendStringInfoString(w->out, "{\"type\":\"array\",\"items\":");
		if (w->image != NULL)
			(void) put_maybe(w, element, typmod, true, false);
		else
		{
			appendStringInfoString(w->out, "[\"null\",");
			put_type(w, element, typmod, name);
			appendStringInfoChar(w->out, ']');
		}
		for (int i = 0; i < ndims; i++)
			appendStringInfoChar(w->out, '}');
		return;
	}
	if (type == MONEYOID && w->image != NULL)
	{
		appendStringInfoString(w->out, "{\"type\":\"bytes\",\"logicalType\":"
							   "\"decimal\",\"precision\":19,\"scale\":2}");
		return;
	}
	if (type == NUMERICOID)
	{
		put_numeric(w, typmod);
		return;
	}
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	if (form->typtype == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s has no Avro schema", format_type_be(type)),
				 errhint(
						"Create a composite type with CREATE TYPE ... AS and "
						"use that.")));
	if (form->typtype == TYPTYPE_COMPOSITE)
		put_record(w, type, form, name);
	else if (form->typtype == TYPTYPE_ENUM)
		put_enum(w, type, form, name);
	else
		appendStringInfoString(w->out, simple_type(type));
	ReleaseSysCache(tuple);
}

static char *
write_schema(Writer *w, Oid type, int32 typmod, const char *name)
{
	StringInfoData text;
	OutboxAvroSchema *schema;

	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type with oid %u does not exist", type)));
	initStringInfo(&text);
	w->out = &text;
	put_type(w, type, typmod, name);

	/* Parsing checks the names that were given; rendering makes it the one. */
	schema = outbox_avro_parse_or_error(text.data, text.len);
	resetStringInfo(&text);
	outbox_avro_render(schema, &text);
	if (GetDatabaseEncoding() != PG_UTF8)
		return pg_any_to_server(text.data, text.len, PG_UTF8);
	return text.data;
}

char *
outbox_avro_schema_of_type(Oid type, int32 typmod, const char *name,
						   const char *name_space)
{
	Writer		w = {.name_space = name_space};

	return write_schema(&w, type, typmod, name);
}

char *
outbox_avro_schema_of_changed_type(Oid type, const OutboxAvroSchema *before,
								   const OutboxAvroRename *rename)
{
	Writer		w = {.before = before, .rename = rename};

	return write_schema(&w, type, -1, NULL);
}
