/*-------------------------------------------------------------------------
 *
 * guc_schema.c
 *		Settings of schemas and their change.
 *
 * Owns the variables.  The default level protects consumers of everybody's
 * events, so a superuser sets it.  The override anybody may set: it counts only
 * for subjects whose level the same role could set to NONE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/compat.h"
#include "schema/schema.h"
#include "utils/guc.h"

static const struct config_enum_entry level_options[] = {
	{"NONE", OUTBOX_COMPAT_NONE, false},
	{"BACKWARD", OUTBOX_COMPAT_BACKWARD, false},
	{"BACKWARD_TRANSITIVE", OUTBOX_COMPAT_BACKWARD_TRANSITIVE, false},
	{"FORWARD", OUTBOX_COMPAT_FORWARD, false},
	{"FORWARD_TRANSITIVE", OUTBOX_COMPAT_FORWARD_TRANSITIVE, false},
	{"FULL", OUTBOX_COMPAT_FULL, false},
	{"FULL_TRANSITIVE", OUTBOX_COMPAT_FULL_TRANSITIVE, false},
	{NULL, 0, false}
};

int			outbox_compatibility = OUTBOX_COMPAT_BACKWARD;
bool		outbox_allow_incompatible_schema = false;

void
outbox_schema_init(void)
{
	DefineCustomEnumVariable("outbox.compatibility",
							 "Compatibility level of subjects that have none of their own.",
							 "A schema that breaks the level of its subject is refused.",
							 &outbox_compatibility, OUTBOX_COMPAT_BACKWARD,
							 level_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("outbox.allow_incompatible_schema",
							 "Accept schemas that break the level of their subject.",
							 "Counts for subjects whose event types the role owns.",
							 &outbox_allow_incompatible_schema, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}
