// The output plugin's callbacks, from the table of them to the writing of a change.
#include <cstring>

#include "extension/account_column.h"
#include "extension/account_of.h"
#include "extension/options.h"
#include "extension/output.h"
#include "extension/plan_cache.h"
#include "extension/rerouting.h"
#include "extension/server.h"
#include "extension/utf8_database.h"
#include "wire/encoding/change_writer.h"
#include "wire/encoding/logical_message.h"

namespace fatwal::plugin {

namespace {

struct Session {
    Options options;
    PlanCache plans;
    Transaction transaction;
    Rerouting rerouting;
    MemoryContext change_context;  // reset after each change
    std::uint32_t changes;         // of the transaction, also those that nobody gets
    Oid rewritten;  // the last table of the transaction that was seen to be rewritten
};

Session* session_of(LogicalDecodingContext* ctx) {
    return static_cast<Session*>(ctx->output_plugin_private);
}

void forget_session(void*) { set_invalidated_cache(nullptr); }

void startup(LogicalDecodingContext* ctx, OutputPluginOptions* plugin_options, bool is_init) {
    plugin_options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
    plugin_options->receive_rewrites = true;
    ctx->streaming = false;
    ctx->twophase = false;
    require_utf8_database();  // also when the slot is made: it could never be read
    if (is_init) return;

    MemoryContext old = MemoryContextSwitchTo(ctx->context);
    auto* session = static_cast<Session*>(palloc0(sizeof(Session)));
    session->options = parse_options(ctx->output_plugin_options);
    session->plans.init(ctx->context, session->options.publication_names);
    session->transaction.init(
        {AllocSetContextCreate(ctx->context, "fatwal transaction", ALLOCSET_DEFAULT_SIZES)},
        session->options.frame_bytes);
    session->rerouting.init(ctx->context);
    session->change_context =
        AllocSetContextCreate(ctx->context, "fatwal change", ALLOCSET_DEFAULT_SIZES);
    // Decoding by the SQL functions may end in an error, without shutdown(); the callbacks must not
    // see the freed cache.
    auto* callback = static_cast<MemoryContextCallback*>(palloc0(sizeof(MemoryContextCallback)));
    callback->func = forget_session;
    MemoryContextRegisterResetCallback(ctx->context, callback);
    MemoryContextSwitchTo(old);
    ctx->output_plugin_private = session;
    set_invalidated_cache(&session->plans);
}

void shutdown(LogicalDecodingContext*) { set_invalidated_cache(nullptr); }

// Before 16 the server leaves it to the plugin to keep the connection alive through changes that
// nobody gets.
void report_progress(LogicalDecodingContext* ctx, Session* session) {
#if PG_VERSION_NUM < 160000
    constexpr std::uint32_t kChangesPerProgress = 100;
    if (++session->changes % kChangesPerProgress == 0) OutputPluginUpdateProgress(ctx, false);
#else
    (void)ctx;
    (void)session;
#endif
}

void begin(LogicalDecodingContext* ctx, ReorderBufferTXN* txn) {
    Session* session = session_of(ctx);
    session->changes = 0;
    session->rewritten = InvalidOid;
    session->plans.sweep();
    session->transaction.begin(txn->xid, txn->final_lsn, txn->xact_time.commit_time);
    session->rerouting.begin(txn, session->plans);
}

void commit(LogicalDecodingContext* ctx, ReorderBufferTXN* txn, XLogRecPtr) {
    Session* session = session_of(ctx);
    Output output(ctx);
    session->rerouting.commit(output, session->plans, session->transaction);
    const bool written = session->transaction.commit(output, txn->end_lsn);
    OutputPluginUpdateProgress(ctx, !written);
}

void describe_once(Output& output, Plan* plan) {
    if (plan->described) return;
    output.write_message(plan->schema_message);
    plan->described = true;
}

// The log does not say whose row this was: whoever has rows of the table takes a snapshot after the
// transaction.
void resync_unknown_account(Session* session, const Plan& plan, Relation relation) {
    (void)session->transaction.resync(plan.schema, true);
    if (plan.warned.identity) return;
    plan.warned.identity = true;
    ereport(WARNING, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                      errmsg("table %s has a change that does not say whose row it was",
                             qualified_name(relation)),
                      errdetail("Its REPLICA IDENTITY leaves the account column out, so all "
                                "subscribers take a new snapshot after each "
                                "such transaction."),
                      errhint("ALTER TABLE %s REPLICA IDENTITY FULL;", qualified_name(relation))));
}

bool is_published(const Plan& plan, ReorderBufferChangeType action) {
    switch (action) {
        case REORDER_BUFFER_CHANGE_INSERT: return plan.published.insert;
        case REORDER_BUFFER_CHANGE_UPDATE: return plan.published.update;
        case REORDER_BUFFER_CHANGE_DELETE: return plan.published.remove;
        default: return false;
    }
}

wire::UpdateAs as_filtered(ReorderBufferChangeType action) {
    if (action == REORDER_BUFFER_CHANGE_INSERT) return wire::UpdateAs::Insert;
    if (action == REORDER_BUFFER_CHANGE_DELETE) return wire::UpdateAs::Delete;
    return wire::UpdateAs::Update;
}

// `action`: what the row filters leave of a change of this kind.
void write_change(Output& output, Session* session, Plan* plan, ReorderBufferChangeType kind,
                  ReorderBufferChangeType action, const Values& newer, const Values& old) {
    describe_once(output, plan);
    wire::ChangeWriter<Transaction, Output, Plan, Values> writer(session->transaction, output,
                                                                 *plan);
    if (kind == REORDER_BUFFER_CHANGE_INSERT)
        writer.insert(newer);
    else if (kind == REORDER_BUFFER_CHANGE_UPDATE)
        writer.update(newer, old, as_filtered(action));
    else
        writer.remove(old);
}

// An ALTER TABLE that computes values (ALTER TYPE ... USING, ADD ... DEFAULT random()) writes each
// row into a new heap, and no subscriber has those rows: whoever holds rows of the table takes a
// snapshot. VACUUM FULL and CLUSTER, which copy rows as they are, log none for decoding.
void resync_rewritten(Output& output, Session* session, Oid table) {
    if (session->rewritten == table) return;
    session->rewritten = table;
    Relation relation = RelationIdGetRelation(table);
    if (!RelationIsValid(relation)) return;
    Plan* plan = session->plans.find(relation);
    if (plan->published.any()) {
        describe_once(output, plan);
        (void)session->transaction.resync(plan->schema, plan->names_account());
    }
    RelationClose(relation);
}

void change(LogicalDecodingContext* ctx, ReorderBufferTXN*, Relation relation,
            ReorderBufferChange* change) {
    Session* session = session_of(ctx);
    report_progress(ctx, session);
    MemoryContext caller = MemoryContextSwitchTo(session->change_context);
    Output output(ctx);
    if (OidIsValid(relation->rd_rel->relrewrite)) {
        resync_rewritten(output, session, relation->rd_rel->relrewrite);
        MemoryContextSwitchTo(caller);
        MemoryContextReset(session->change_context);
        return;
    }
    Plan* plan = session->plans.find(relation);
    if (is_published(*plan, change->action)) {
        Values newer = deform(changed_tuple(change->data.tp.newtuple), RelationGetDescr(relation));
        const Values old =
            deform(changed_tuple(change->data.tp.oldtuple), RelationGetDescr(relation));
        ReorderBufferChangeType action = change->action;
        if (passes_filter(plan->filter, &action, &newer, old)) {
            write_change(output, session, plan, change->action, action, newer, old);
            // An update too: without the old row it may have moved the row out of another account.
            if (change->action != REORDER_BUFFER_CHANGE_INSERT && !plan->knows_old_account())
                resync_unknown_account(session, *plan, relation);
        }
    } else {
        session->rerouting.unpublished_change(plan->relation);
    }
    MemoryContextSwitchTo(caller);
    MemoryContextReset(session->change_context);
}

bool names_relation(int count, Relation relations[], Oid relation) {
    for (int i = 0; i < count; ++i)
        if (RelationGetRelid(relations[i]) == relation) return true;
    return false;
}

void truncate(LogicalDecodingContext* ctx, ReorderBufferTXN*, int count, Relation relations[],
              ReorderBufferChange* change) {
    Session* session = session_of(ctx);
    report_progress(ctx, session);
    MemoryContext caller = MemoryContextSwitchTo(session->change_context);
    Output output(ctx);
    std::uint8_t flags = 0;
    if (change->data.truncate.cascade) flags |= wire::kCascade;
    if (change->data.truncate.restart_seqs) flags |= wire::kRestartIdentity;
    for (int i = 0; i < count; ++i) {
        Plan* plan = session->plans.find(relations[i]);
        if (!plan->published.truncate) continue;
        describe_once(output, plan);
        Transaction& transaction = session->transaction;
        const bool tenants = plan->names_account();
        if (plan->published.as_relation != plan->relation) {
            // A partition that goes by its ancestor's name is not the whole of that table. When the
            // ancestor itself is truncated the statement names it too, and says all there is to
            // say.
            if (!names_relation(count, relations, plan->published.as_relation))
                (void)transaction.resync(plan->schema, tenants);
            continue;
        }
        transaction.write_for_all(output, tenants, wire::Op::Truncate, flags, plan->schema);
    }
    MemoryContextSwitchTo(caller);
    MemoryContextReset(session->change_context);
}

void message(LogicalDecodingContext* ctx, ReorderBufferTXN*, XLogRecPtr lsn, bool transactional,
             const char* prefix, Size size, const char* content) {
    Session* session = session_of(ctx);
    if (transactional) report_progress(ctx, session);
    if (!session->options.messages) {
        // A message has its ordinal also when nobody gets it: the positions of the rows are the
        // same with either option.
        if (transactional) session->transaction.skip_ordinal();
        return;
    }
    Output output(ctx);
    if (transactional) {
        wire::write_message(session->transaction, output, prefix, {content, size});
        return;
    }
    // It comes between transactions, at the end of its own record: a transaction of its own, in a
    // place that no commit record has.
    session->transaction.begin_message(lsn - 1);
    wire::write_message(session->transaction, output, prefix, {content, size});
    session->transaction.commit(output, lsn);
}

}  // namespace

extern "C" {

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init() { register_account_labels(); }

PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks* callbacks) {
    callbacks->startup_cb = startup;
    callbacks->begin_cb = begin;
    callbacks->change_cb = change;
    callbacks->truncate_cb = truncate;
    callbacks->commit_cb = commit;
    callbacks->message_cb = message;
    callbacks->shutdown_cb = shutdown;
}

}  // extern "C"

}  // namespace fatwal::plugin
