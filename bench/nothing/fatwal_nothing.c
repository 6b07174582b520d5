/*
 * fatwal_nothing: the floor of logical decoding. It does all that the server asks of an output plugin and writes no message,
 * so the CPU of its walsender is what reading the WAL, reassembling transactions and calling a plugin cost by themselves.
 * No plugin can take less; what another takes above it is its own.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"

PG_MODULE_MAGIC;

#if PG_VERSION_NUM < 160000
extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);
#endif

static void
startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
	if (!is_init && ctx->output_plugin_options != NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown option \"%s\"",
							   ((DefElem *) linitial(ctx->output_plugin_options))->defname),
						errdetail("This plugin has no options.")));
	ctx->output_plugin_private = MemoryContextAllocZero(ctx->context, sizeof(uint32));
}

static void
begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	*(uint32 *) ctx->output_plugin_private = 0;
}

static void
change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *row)
{
#if PG_VERSION_NUM < 160000
	/* Before 16 the server leaves it to the plugin to keep the connection alive through changes that nobody gets. */
	if (++*(uint32 *) ctx->output_plugin_private % 100 == 0)
		OutputPluginUpdateProgress(ctx, false);
#endif
}

static void
commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	OutputPluginUpdateProgress(ctx, true);
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = startup;
	callbacks->begin_cb = begin;
	callbacks->change_cb = change;
	callbacks->commit_cb = commit;
}
