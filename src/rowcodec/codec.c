/*-------------------------------------------------------------------------
 *
 * codec.c
 *		One change of a captured table -> its messages.
 *
 *	  insert, snapshot	the row
 *	  update			the row; where the key changes: delete and tombstone of
 *						the old key, then create with the new one, linked by
 *						headers as Debezium has them
 *	  delete			the row, then a tombstone (key, null value) if wanted and
 *						there is a key
 *	  truncate			one message without key
 *
 * A row filter decides for each image: a row that enters is a create, one that
 * leaves a delete, one that stays outside nothing.  Where an update's row before
 * is not known, its key is unchanged (replica identity), and the filter reads
 * columns of the replica identity alone, so it passes as the row after does.
 *
 * A codec owns a scratch context, reset by each change, and buffers that it
 * grows and keeps.  An error half way leaves them to the next change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "rowcodec/codec.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define NEW_KEY_HEADER "__debezium.newkey"
#define OLD_KEY_HEADER "__debezium.oldkey"
#define SPECIAL_HEADER "outbox.special"

/* A buffer that one large row has grown beyond this is given back. */
#define KEEP_BUFFER_SIZE (256 * 1024)

/* ---- making one ---- */

static void
make_masks(OutboxRowCodec *codec, Relation rel)
{
	int			natts = codec->source->natts;

	if (codec->capture->masks == NULL)
		return;
	codec->masks = palloc0(Max(natts, 1) * sizeof(RowMask *));
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(codec->source, i);

		if (!TupleDescAttr(codec->image, i)->attisdropped)
			codec->masks[i] = rowcodec_mask_make(codec->capture,
												 NameStr(att->attname),
												 att->atttypid);
	}
}

static void
make_plan(OutboxRowCodec *codec)
{
	const OutboxCapture *capture = codec->capture;
	int			trailing = 0;
	char	   *definition;

	codec->lists_unchanged = outbox_capture_partial(capture);
	if (capture->schema_id == 0)
	{
		codec->json = rowcodec_json_make(codec->image);
		return;
	}
	definition = outbox_catalog_schema(capture->schema_id);
	if (definition == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("schema %u of the capture of table \"%s\" is missing",
						capture->schema_id, get_rel_name(capture->relation))));
	if (capture->envelope == OUTBOX_ENVELOPE_FLAT)
		trailing = codec->lists_unchanged ? 6 : 5;
	codec->plan = outbox_avro_plan_image(outbox_avro_parse_or_error(definition,
																	strlen(definition)),
										 rowcodec_record_name(capture, "Value"),
										 trailing, codec->image,
										 capture->special, &codec->notes);
}

/* Say whose columns do not fit; what does not is in the error itself. */
static void
describe_table(void *arg)
{
	errcontext("capture of table \"%s\"", get_rel_name(*(Oid *) arg));
}

OutboxRowCodec *
outbox_rowcodec_make(const OutboxCapture *capture, Relation rel)
{
	OutboxRowCodec *codec = palloc0(sizeof(OutboxRowCodec));
	Oid			relid = capture->relation;
	Relation	root = rel;
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = describe_table,
		.arg = &relid
	};

	error_context_stack = &callback;
	codec->capture = capture;
	codec->scratch = AllocSetContextCreate(CurrentMemoryContext,
										   "outbox captured row",
										   ALLOCSET_DEFAULT_SIZES);
	codec->source = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	codec->image = rowcodec_image_desc(capture, rel);
	initStringInfo(&codec->notes);
	initStringInfo(&codec->payload);
	initStringInfo(&codec->old_key);
	initStringInfo(&codec->new_key);
	initStringInfo(&codec->headers);
	rowcodec_image_init(codec, &codec->before);
	rowcodec_image_init(codec, &codec->after);
	make_masks(codec, rel);
	make_plan(codec);
	codec->filter = rowcodec_filter_make(capture, rel);
	codec->key = rowcodec_key_make(codec, rel);
	if (RelationGetRelid(rel) != capture->relation)
		root = RelationIdGetRelation(capture->relation);
	if (!RelationIsValid(root))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("captured table with oid %u does not exist",
						capture->relation)));
	rowcodec_value_init(codec, root);
	if (root != rel)
		RelationClose(root);
	error_context_stack = callback.previous;
	return codec;
}

/* ---- one change ---- */

/* Where the messages of a change go, and what they have in common. */
typedef struct Output
{
	OutboxRowCodec *codec;
	const OutboxChange *change;
	OutboxChangeSink sink;
	void	   *arg;
} Output;

static void
add_header(OutboxRowCodec *codec, const char *name, const char *value, int len)
{
	if (codec->headers.len == 0)
		outbox_headers_begin(&codec->headers);
	(void) outbox_headers_add(&codec->headers, name, strlen(name), value, len);
}

/* Hand over one message; payload NULL is a tombstone. */
static void
send(Output *out, StringInfo key, StringInfo payload)
{
	OutboxRowCodec *codec = out->codec;
	const OutboxCapture *capture = codec->capture;
	bool		truncate = out->change->op == OUTBOX_OP_TRUNCATE;
	OutboxWalMessage msg = {
		.kind = truncate ? OUTBOX_MESSAGE_TRUNCATE : OUTBOX_MESSAGE_CHANGE,
		.route_id = capture->route.id,
		.partition = -1,
		.topic_len = -1,
		.key_len = -1,
		.headers_len = -1,
		.payload_len = -1
	};

	if (payload != NULL)
	{
		msg.flags |= OUTBOX_MSG_TAIL;
		msg.schema_id = capture->schema_id;
		msg.payload = payload->data;
		msg.payload_len = payload->len;
	}
	if (key != NULL)
	{
		if (capture->key_schema_id != 0)
			msg.flags |= OUTBOX_MSG_KEY_SCHEMA;
		msg.key = key->data;
		msg.key_len = key->len;
	}
	if (codec->headers.len > 0)
	{
		msg.headers = codec->headers.data;
		msg.headers_len = codec->headers.len;
	}
	out->sink(out->arg, &msg);
	resetStringInfo(&codec->headers);
}

/* Encode and hand over a row's message. */
static void
send_row(Output *out, OutboxChangeOp op, StringInfo key,
		 const RowImage *before, const RowImage *after)
{
	OutboxRowCodec *codec = out->codec;

	resetStringInfo(&codec->notes);
	rowcodec_value_put(codec, op,
					   U64FromFullTransactionId(out->change->xid),
					   before, after, after->known ? out->change->unchanged : NULL,
					   &codec->payload);
	if (codec->notes.len > 0)
	{
		codec->notes.data[0] = '{'; /* in the place of a comma */
		appendStringInfoChar(&codec->notes, '}');
		add_header(codec, SPECIAL_HEADER, codec->notes.data, codec->notes.len);
	}
	send(out, key, &codec->payload);
}

static void
send_delete(Output *out, StringInfo key, const RowImage *before)
{
	static const RowImage none = {0};

	send_row(out, OUTBOX_OP_DELETE, key, before, &none);
	if (out->codec->capture->tombstones && key != NULL)
		send(out, key, NULL);
}

static void
add_key_header(OutboxRowCodec *codec, const char *name, const RowImage *image)
{
	StringInfoData text;

	initStringInfo(&text);
	rowcodec_key_put_header(codec->key, image, &text);
	add_header(codec, name, text.data, text.len);
}

/* A row under another key: gone here, new there. */
static void
send_moved(Output *out)
{
	OutboxRowCodec *codec = out->codec;
	static const RowImage none = {0};

	add_key_header(codec, NEW_KEY_HEADER, &codec->after);
	send_delete(out, &codec->old_key, &codec->before);
	add_key_header(codec, OLD_KEY_HEADER, &codec->before);
	send_row(out, OUTBOX_OP_CREATE, &codec->new_key, &none, &codec->after);
}

static bool
passes(OutboxRowCodec *codec, const RowImage *image)
{
	return image->known && (codec->filter == NULL ||
							rowcodec_filter_pass(codec->filter, image->tuple));
}

static bool
same_key(const OutboxRowCodec *codec)
{
	return codec->old_key.len == codec->new_key.len &&
		memcmp(codec->old_key.data, codec->new_key.data,
			   codec->new_key.len) == 0;
}

static void
send_update(Output *out)
{
	OutboxRowCodec *codec = out->codec;
	static const RowImage none = {0};
	bool		is = passes(codec, &codec->after);
	bool		was = codec->before.known ? passes(codec, &codec->before) : is;
	StringInfo	key = codec->key != NULL ? &codec->new_key : NULL;
	StringInfo	old_key = codec->key != NULL ? &codec->old_key : NULL;

	if (!is && !was)
		return;
	if (key != NULL)
		rowcodec_key_put(codec->key, &codec->after, key);
	if (key != NULL && codec->before.known)
		rowcodec_key_put(codec->key, &codec->before, old_key);
	if (!was)
		send_row(out, OUTBOX_OP_CREATE, key, &none, &codec->after);
	else if (!is)
		send_delete(out, codec->before.known ? old_key : key, &codec->before);
	else if (key != NULL && codec->before.known && !same_key(codec))
		send_moved(out);
	else
		send_row(out, OUTBOX_OP_UPDATE, key, &codec->before, &codec->after);
}

static void
send_one(Output *out)
{
	OutboxRowCodec *codec = out->codec;
	OutboxChangeOp op = out->change->op;
	bool		gone = op == OUTBOX_OP_DELETE;
	RowImage   *image = gone ? &codec->before : &codec->after;
	StringInfo	key = codec->key != NULL ? &codec->new_key : NULL;

	if (op == OUTBOX_OP_TRUNCATE)
	{
		send_row(out, op, NULL, &codec->before, &codec->after);
		return;
	}
	if (!image->known)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("change '%c' of table \"%s\" comes without its row",
						(char) op, codec->table_name)));
	if (!passes(codec, image))
		return;
	if (key != NULL)
		rowcodec_key_put(codec->key, image, key);
	if (gone)
		send_delete(out, key, image);
	else
		send_row(out, op, key, &codec->before, image);
}

static void
shrink(OutboxRowCodec *codec)
{
	if (codec->payload.maxlen <= KEEP_BUFFER_SIZE)
		return;
	codec->payload.data = repalloc(codec->payload.data, 1024);
	codec->payload.maxlen = 1024;
	resetStringInfo(&codec->payload);
}

void
outbox_rowcodec_change(OutboxRowCodec *codec, const OutboxChange *change,
					   OutboxChangeSink sink, void *arg)
{
	Output		out = {codec, change, sink, arg};
	MemoryContext old;

	MemoryContextReset(codec->scratch);
	old = MemoryContextSwitchTo(codec->scratch);
	resetStringInfo(&codec->headers);
	rowcodec_image_load(codec, &codec->before, change->before, NULL);
	codec->before.key_only = change->before_key_only;
	rowcodec_image_load(codec, &codec->after, change->after, change->unchanged);
	if (change->op == OUTBOX_OP_UPDATE)
		send_update(&out);
	else
		send_one(&out);
	MemoryContextSwitchTo(old);
	shrink(codec);
}
