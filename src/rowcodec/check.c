/*-------------------------------------------------------------------------
 *
 * check.c
 *		What a capture says about its table, looked at before it is believed.
 *
 * Throws; owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "rowcodec/codec.h"
#include "utils/lsyscache.h"

static void
check_columns(const OutboxCapture *capture, TupleDesc image)
{
	ListCell   *lc;

	foreach(lc, capture->columns)
	{
		if (rowcodec_column(image, lfirst(lc)) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist",
							(char *) lfirst(lc),
							get_rel_name(capture->relation))));
	}
}

/* Two rows whose masked keys are equal would be one to every consumer. */
static void
check_key(const OutboxCapture *capture, Relation rel, TupleDesc image)
{
	List	   *names = outbox_rowcodec_key_columns(capture, rel);
	AttrNumber *attnums;
	ListCell   *lc;

	(void) rowcodec_key_desc(names, image, &attnums);
	foreach(lc, names)
	{
		if (rowcodec_masked(capture, lfirst(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key column \"%s\" cannot be masked",
							(char *) lfirst(lc)),
					 errhint("Name other key columns, or none with key_format => 'none'.")));
	}
}

static void
check_masks(const OutboxCapture *capture, Relation rel, TupleDesc image)
{
	rowcodec_masks_check(capture, image);
	for (int i = 0; i < image->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!TupleDescAttr(image, i)->attisdropped)
			(void) rowcodec_mask_make(capture, NameStr(att->attname),
									  att->atttypid);
	}
}

void
outbox_rowcodec_check(const OutboxCapture *capture, Relation rel)
{
	TupleDesc	image;

	/* masks must be an object before anybody asks for a member */
	image = rowcodec_image_desc(capture, rel);
	check_columns(capture, image);
	check_masks(capture, rel, image);
	check_key(capture, rel, image);
	(void) outbox_rowcodec_filter_columns(capture, rel);
	(void) outbox_rowcodec_value_schema(capture, rel, NULL, NULL);
}
