/*-------------------------------------------------------------------------
 *
 * plugin.c
 *		Our logical decoding output plugin: hands on to the decoder.
 *
 * It writes nothing anywhere: its callbacks end in a sink of this process.
 * So it works in the relay alone, and in the process that builds the relay's
 * slot; a walsender and the SQL functions get an error.  That makes it safe
 * to list in output_plugin_libraries.
 *
 * Neither streaming of transactions in progress nor decoding at PREPARE is
 * asked for: a transaction comes as a whole, at its commit.  Changes of every
 * replication origin are taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "replication/logical.h"
#include "replication/output_plugin.h"

#include "source/decoder.h"

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *cb);

/* Only while a decoding context of the relay's is being made. */
static bool permitted = false;

void
outbox_plugin_permit(bool permit)
{
	permitted = permit;
}

static OutboxDecoder *
decoder_of(struct LogicalDecodingContext *logical)
{
	return logical->output_writer_private;
}

static void
plugin_startup(struct LogicalDecodingContext *logical,
			   OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
}

static void
plugin_begin(struct LogicalDecodingContext *logical, ReorderBufferTXN *txn)
{
	if (rbtxn_is_serialized(txn) || rbtxn_is_serialized_clear(txn))
		decoder_of(logical)->spilled++;
}

static void
plugin_change(struct LogicalDecodingContext *logical, ReorderBufferTXN *txn,
			  Relation relation, ReorderBufferChange *change)
{
	outbox_decoder_row(decoder_of(logical), relation, change);
}

static void
plugin_truncate(struct LogicalDecodingContext *logical, ReorderBufferTXN *txn,
				int nrelations, Relation relations[],
				ReorderBufferChange *change)
{
	outbox_decoder_truncate(decoder_of(logical), nrelations, relations,
							change);
}

static void
plugin_message(struct LogicalDecodingContext *logical, ReorderBufferTXN *txn,
			   XLogRecPtr lsn, bool transactional, const char *prefix,
			   Size len, const char *data)
{
	outbox_decoder_message(decoder_of(logical), lsn, transactional, prefix,
						   len, data);
}

/* The sink's commit comes when the replay is over. */
static void
plugin_commit(struct LogicalDecodingContext *logical, ReorderBufferTXN *txn,
			  XLogRecPtr commit_lsn)
{
}

void
_PG_output_plugin_init(OutputPluginCallbacks *cb)
{
	if (!permitted)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output plugin \"%s\" works only inside the relay of the extension \"outbox\"",
						OUTBOX_PLUGIN),
				 errhint("Capture a table with outbox.capture(..., mode => 'log'), or use another output plugin.")));
	cb->startup_cb = plugin_startup;
	cb->begin_cb = plugin_begin;
	cb->change_cb = plugin_change;
	cb->truncate_cb = plugin_truncate;
	cb->message_cb = plugin_message;
	cb->commit_cb = plugin_commit;
}
