/*-------------------------------------------------------------------------
 *
 * ddl_change.c
 *		What a DDL command has touched, as far as row types are concerned.
 *
 * The server tells by pg_event_trigger_ddl_commands() and
 * pg_event_trigger_dropped_objects() which objects a command was about.  A
 * table stands for its row type and those of tables that inherit from it, to
 * which the command may have gone down.  What was renamed, and from what, is in
 * the parse tree alone.
 *
 * A row type is touched when the command was about any type that it is made
 * of.  Nothing is kept between commands.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "capture/ddl_change.h"
#include "catalog/namespace.h"
#include "catalog/owner.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* A relation's row type, and those of its children. */
static void
add_relation(OutboxDdlChange *change, Oid relid)
{
	List	   *relations = list_make1_oid(relid);
	ListCell   *lc;

	if (has_subclass(relid))
		relations = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, relations)
	{
		Oid			type = get_rel_type_id(lfirst_oid(lc));

		if (OidIsValid(type))
			change->types = list_append_unique_oid(change->types, type);
	}
}

static void
add_object(OutboxDdlChange *change, Oid class, Oid object, bool same_types)
{
	if (class == RelationRelationId)
		change->relations = lappend_oid(change->relations, object);
	if (same_types)
		return;
	switch (class)
	{
		case RelationRelationId:
			add_relation(change, object);
			break;
		case TypeRelationId:
			change->types = list_append_unique_oid(change->types, object);
			break;
		case NamespaceRelationId:
			change->namespaces = lappend_oid(change->namespaces, object);
			break;
		default:
			break;
	}
}

static Oid
oid_column(uint64 row, int column)
{
	bool		isnull;

	return DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[row],
										  SPI_tuptable->tupdesc, column,
										  &isnull));
}

static void
read_commands(OutboxDdlChange *change, bool same_types)
{
	uint64		n = outbox_owner_execute("SELECT c.classid, c.objid"
										 " FROM pg_catalog.pg_event_trigger_ddl_commands() c",
										 0, NULL, NULL, NULL);

	for (uint64 i = 0; i < n; i++)
		add_object(change, oid_column(i, 1), oid_column(i, 2), same_types);
}

/* Dropped columns change their table; dropped types are gone. */
static void
read_drops(OutboxDdlChange *change)
{
	uint64		n = outbox_owner_execute("SELECT d.classid, d.objid,"
										 " d.objsubid::pg_catalog.oid"
										 " FROM pg_catalog.pg_event_trigger_dropped_objects() d",
										 0, NULL, NULL, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		Oid			class = oid_column(i, 1);
		Oid			object = oid_column(i, 2);

		if (class == TypeRelationId)
			change->dropped = lappend_oid(change->dropped, object);
		else if (class == RelationRelationId && oid_column(i, 3) != 0)
			add_relation(change, object);
	}
}

static bool
is_cascade(const Node *statement)
{
	if (statement == NULL)
		return false;
	if (IsA(statement, DropStmt))
		return ((const DropStmt *) statement)->behavior == DROP_CASCADE;
	if (IsA(statement, DropOwnedStmt))
		return ((const DropOwnedStmt *) statement)->behavior == DROP_CASCADE;
	return false;
}

static void
read_rename(const RenameStmt *statement, OutboxDdlChange *change)
{
	OutboxAvroRename *rename = &change->rename;

	change->renamed = true;
	switch (statement->renameType)
	{
		case OBJECT_COLUMN:
		case OBJECT_ATTRIBUTE:
			rename->old_column = statement->subname;
			rename->new_column = statement->newname;
			break;
		case OBJECT_TABLE:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_FOREIGN_TABLE:
			rename->old_name = statement->relation->relname;
			break;
		case OBJECT_TYPE:
		case OBJECT_DOMAIN:
			rename->old_name = strVal(llast((List *) statement->object));
			break;
		case OBJECT_SCHEMA:
			rename->old_schema = statement->subname;
			break;
		default:
			change->renamed = false;
			break;
	}
}

/*
 * ALTER TABLE that leaves the row type as it is.  This is the kind that a
 * restored dump ends with; a row type that had slipped past the gate must not
 * be found at fault then, while our tables are being loaded.
 */
static bool
keeps_row_type(const Node *statement)
{
	ListCell   *lc;

	if (statement == NULL || !IsA(statement, AlterTableStmt))
		return false;
	foreach(lc, ((const AlterTableStmt *) statement)->cmds)
	{
		const AlterTableCmd *cmd = lfirst(lc);

		switch (cmd->subtype)
		{
			case AT_AddConstraint:
				if (castNode(Constraint, cmd->def)->contype != CONSTR_CHECK &&
					castNode(Constraint, cmd->def)->contype != CONSTR_UNIQUE &&
					castNode(Constraint, cmd->def)->contype != CONSTR_EXCLUSION &&
					castNode(Constraint, cmd->def)->contype != CONSTR_FOREIGN)
					return false;	/* a primary key is NOT NULL */
				break;
			case AT_ValidateConstraint:
			case AT_ReplicaIdentity:
			case AT_ClusterOn:
			case AT_ChangeOwner:
			case AT_EnableRowSecurity:
			case AT_ForceRowSecurity:
			case AT_EnableTrig:
			case AT_EnableAlwaysTrig:
			case AT_EnableReplicaTrig:
			case AT_DisableTrig:
				break;
			default:
				return false;
		}
	}
	return true;
}

void
outbox_ddl_change_read(const EventTriggerData *trigger,
					   OutboxDdlChange *change)
{
	Node	   *statement = trigger->parsetree;

	memset(change, 0, sizeof(*change));
	if (strcmp(trigger->event, "sql_drop") == 0)
	{
		change->cascade = is_cascade(statement);
		read_drops(change);
		return;
	}
	read_commands(change, keeps_row_type(statement));
	if (statement != NULL && IsA(statement, RenameStmt))
		read_rename((RenameStmt *) statement, change);
	else if (statement != NULL && IsA(statement, AlterObjectSchemaStmt))
		change->renamed = true; /* to the same name elsewhere */
	change->rename.types = change->types;
}

/* ---- what a type is made of ---- */

static void collect_parts(Oid type, List **parts);

/*
 * From the catalogs, not by opening the relation: somebody else may be holding
 * it for DDL of his own, which is nothing to this command.
 */
static void
collect_columns(Oid relation, List **parts)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	int			natts;
	Oid			of_type;

	if (!HeapTupleIsValid(tuple))
		return;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	of_type = ((Form_pg_class) GETSTRUCT(tuple))->reloftype;
	ReleaseSysCache(tuple);

	/* a typed table follows its type */
	if (OidIsValid(of_type))
		*parts = list_append_unique_oid(*parts, of_type);
	for (int i = 1; i <= natts; i++)
	{
		Oid			type = InvalidOid;

		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation),
								Int16GetDatum(i));
		if (!HeapTupleIsValid(tuple))
			continue;
		if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
			type = ((Form_pg_attribute) GETSTRUCT(tuple))->atttypid;
		ReleaseSysCache(tuple);
		if (OidIsValid(type))
			collect_parts(type, parts);
	}
}

static void
collect_parts(Oid type, List **parts)
{
	HeapTuple	tuple;
	FormData_pg_type form;

	check_stack_depth();
	if (list_member_oid(*parts, type))
		return;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return;
	memcpy(&form, GETSTRUCT(tuple), sizeof(form));
	ReleaseSysCache(tuple);
	*parts = lappend_oid(*parts, type);
	if (form.typtype == TYPTYPE_DOMAIN)
		collect_parts(form.typbasetype, parts);
	else if (form.typtype == TYPTYPE_COMPOSITE)
		collect_columns(form.typrelid, parts);
	else if (OidIsValid(get_element_type(type)))
		collect_parts(get_element_type(type), parts);
}

static bool
in_renamed_namespace(const OutboxDdlChange *change, Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = list_member_oid(change->namespaces,
								 ((Form_pg_type) GETSTRUCT(tuple))->typnamespace);
		ReleaseSysCache(tuple);
	}
	return result;
}

bool
outbox_ddl_change_touches(const OutboxDdlChange *change, Oid row_type)
{
	List	   *parts = NIL;
	ListCell   *lc;

	if (change->types == NIL && change->namespaces == NIL)
		return false;
	collect_parts(row_type, &parts);
	foreach(lc, parts)
	{
		if (list_member_oid(change->types, lfirst_oid(lc)) ||
			(change->namespaces != NIL &&
			 in_renamed_namespace(change, lfirst_oid(lc))))
			return true;
	}
	return false;
}
