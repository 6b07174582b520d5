/*
 * An output plugin that writes nothing: what is left of a walsender's CPU is the server's own. With the option bytes_per_change it writes so
 * many zeroes for each change, in one message for each transaction: what sending alone costs.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"

PG_MODULE_MAGIC;

static int	bytes_per_change;
static int	changes;

static void
startup(LogicalDecodingContext *ctx, OutputPluginOptions *opt, bool is_init)
{
	ListCell   *cell;

	opt->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	ctx->streaming = false;
	ctx->twophase = false;
	bytes_per_change = 0;
	foreach(cell, ctx->output_plugin_options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "bytes_per_change") == 0)
			bytes_per_change = atoi(strVal(option->arg));
	}
}

static void
begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	changes = 0;
}

static void
change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	++changes;
}

static void
commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr lsn)
{
	bool		skipped = bytes_per_change == 0 || changes == 0;

	if (!skipped)
	{
		int			length = changes * bytes_per_change;

		OutputPluginPrepareWrite(ctx, true);
		enlargeStringInfo(ctx->out, length);
		memset(ctx->out->data + ctx->out->len, 0, length);
		ctx->out->len += length;
		OutputPluginWrite(ctx, true);
	}
	OutputPluginUpdateProgress(ctx, skipped);
}

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = startup;
	callbacks->begin_cb = begin;
	callbacks->change_cb = change;
	callbacks->commit_cb = commit;
}
