// The output plugin's callbacks, from the table of them to the writing of a change.
#include <cstring>

#include "extension/account_column.h"
#include "extension/account_of.h"
#include "extension/logical_message.h"
#include "extension/options.h"
#include "extension/plan_cache.h"
#include "extension/rerouting.h"
#include "extension/row_encoder.h"
#include "extension/server.h"
#include "extension/transaction.h"
#include "extension/utf8_database.h"

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
    session->transaction.init(ctx->context, session->options.frame_bytes);
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
    session->rerouting.commit(ctx, session->plans, session->transaction);
    const bool written = session->transaction.commit(ctx, txn->end_lsn);
    OutputPluginUpdateProgress(ctx, !written);
}

void describe_once(LogicalDecodingContext* ctx, Plan* plan) {
    if (plan->described) return;
    write_message(ctx, plan->schema_message);
    plan->described = true;
}

struct Change {
    LogicalDecodingContext* ctx;
    Session* session;
    Plan* plan;
};

// The log does not say whose row this was: whoever has rows of the table takes a snapshot after the
// transaction.
void resync_unknown_account(const Change& change, Relation relation) {
    Plan& plan = *change.plan;
    (void)change.session->transaction.resync(plan.schema, true);
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

// A change of a table whose column list hides the account goes to the operators, and says so.
std::uint8_t marked(const Change& change, std::uint8_t flags) {
    return change.plan->unrouted ? static_cast<std::uint8_t>(flags | wire::kUnrouted) : flags;
}

void write_new(const Change& change, wire::AccountView account, std::uint8_t flags,
               const Values& newer, const Values& whole_old) {
    Transaction& transaction = change.session->transaction;
    const auto record = transaction.start_record(change.ctx, account, wire::Op::Insert,
                                                 marked(change, flags), change.plan->schema);
    encode_new_row(record.part->frame.buffer, record.start + kMaxRecordBytes, *change.plan, newer,
                   whole_old);
    transaction.finish_record(change.ctx, record);
}

void write_old(const Change& change, wire::AccountView account, std::uint8_t flags,
               const Values& old) {
    Transaction& transaction = change.session->transaction;
    const auto record = transaction.start_record(change.ctx, account, wire::Op::Delete,
                                                 marked(change, flags), change.plan->schema);
    transaction.set_old_offset(record);
    encode_old_row(record.part->frame.buffer, record.start + kMaxRecordBytes, *change.plan, old);
    transaction.finish_record(change.ctx, record);
}

struct UpdateAccounts {
    wire::AccountBuffer newer_buffer, old_buffer;
    wire::AccountView newer, old;
};

void find_accounts(const Plan& plan, const Values& newer, const Values& old,
                   UpdateAccounts& accounts) {
    const Values whole_old = plan.full_identity() ? old : Values{};
    const bool unlogged_key =
        plan.names_account() && newer.is_unlogged_toast(plan.column[plan.account_column]);
    accounts.newer = account_of(plan, unlogged_key ? whole_old : newer, accounts.newer_buffer);
    accounts.old = old.present() && plan.old_rows_name_account()
                       ? account_of(plan, old, accounts.old_buffer)
                       : accounts.newer;
}

// `action`: what the row filters leave of the update.
void write_update(const Change& change, ReorderBufferChangeType action, const Values& newer,
                  const Values& old) {
    const Plan& plan = *change.plan;
    const Values whole_old = plan.full_identity() ? old : Values{};
    UpdateAccounts accounts;
    find_accounts(plan, newer, old, accounts);
    if (action == REORDER_BUFFER_CHANGE_INSERT) {
        write_new(change, accounts.newer, 0, newer, whole_old);
        return;
    }
    if (action == REORDER_BUFFER_CHANGE_DELETE) {
        write_old(change, accounts.old, 0, old);
        return;
    }
    if (!(accounts.old == accounts.newer)) {
        write_old(change, accounts.old, wire::kMoved, old);
        write_new(change, accounts.newer, wire::kMoved, newer, whole_old);
        return;
    }
    Transaction& transaction = change.session->transaction;
    const auto record = transaction.start_record(change.ctx, accounts.newer, wire::Op::Update,
                                                 marked(change, 0), plan.schema);
    encode_new_row(record.part->frame.buffer, record.start + kMaxRecordBytes, plan, newer,
                   whole_old);
    transaction.set_old_offset(record);
    encode_old_delta(record.part->frame.buffer, record.start + kMaxRecordBytes, plan, newer, old);
    transaction.finish_record(change.ctx, record);
}

bool is_published(const Plan& plan, ReorderBufferChangeType action) {
    switch (action) {
        case REORDER_BUFFER_CHANGE_INSERT: return plan.published.insert;
        case REORDER_BUFFER_CHANGE_UPDATE: return plan.published.update;
        case REORDER_BUFFER_CHANGE_DELETE: return plan.published.remove;
        default: return false;
    }
}

void write_change(const Change& change, ReorderBufferChangeType kind,
                  ReorderBufferChangeType action, const Values& newer, const Values& old) {
    Plan& plan = *change.plan;
    describe_once(change.ctx, &plan);
    change.session->transaction.flush_everyone(change.ctx);
    wire::AccountBuffer buffer;
    if (kind == REORDER_BUFFER_CHANGE_INSERT)
        write_new(change, account_of(plan, newer, buffer), 0, newer, Values{});
    else if (kind == REORDER_BUFFER_CHANGE_UPDATE)
        write_update(change, action, newer, old);
    else if (plan.knows_old_account())
        write_old(change, account_of(plan, old, buffer), 0, old);
    else
        write_old(change, {}, wire::kUnrouted, old);
}

// An ALTER TABLE that computes values (ALTER TYPE ... USING, ADD ... DEFAULT random()) writes each
// row into a new heap, and no subscriber has those rows: whoever holds rows of the table takes a
// snapshot. VACUUM FULL and CLUSTER, which copy rows as they are, log none for decoding.
void resync_rewritten(LogicalDecodingContext* ctx, Session* session, Oid table) {
    if (session->rewritten == table) return;
    session->rewritten = table;
    Relation relation = RelationIdGetRelation(table);
    if (!RelationIsValid(relation)) return;
    Plan* plan = session->plans.find(relation);
    if (plan->published.any()) {
        describe_once(ctx, plan);
        (void)session->transaction.resync(plan->schema, plan->names_account());
    }
    RelationClose(relation);
}

void change(LogicalDecodingContext* ctx, ReorderBufferTXN*, Relation relation,
            ReorderBufferChange* change) {
    Session* session = session_of(ctx);
    report_progress(ctx, session);
    MemoryContext caller = MemoryContextSwitchTo(session->change_context);
    if (OidIsValid(relation->rd_rel->relrewrite)) {
        resync_rewritten(ctx, session, relation->rd_rel->relrewrite);
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
            const Change described = {ctx, session, plan};
            write_change(described, change->action, action, newer, old);
            // An update too: without the old row it may have moved the row out of another account.
            if (change->action != REORDER_BUFFER_CHANGE_INSERT && !plan->knows_old_account())
                resync_unknown_account(described, relation);
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
    std::uint8_t flags = 0;
    if (change->data.truncate.cascade) flags |= wire::kCascade;
    if (change->data.truncate.restart_seqs) flags |= wire::kRestartIdentity;
    for (int i = 0; i < count; ++i) {
        Plan* plan = session->plans.find(relations[i]);
        if (!plan->published.truncate) continue;
        describe_once(ctx, plan);
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
        transaction.write_for_all(ctx, tenants, wire::Op::Truncate, flags, plan->schema);
    }
    MemoryContextSwitchTo(caller);
    MemoryContextReset(session->change_context);
}

void write_logical_message(LogicalDecodingContext* ctx, Transaction& transaction,
                           const char* prefix, std::string_view content) {
    wire::AccountBuffer buffer;
    const LogicalMessage message = understand(prefix, content, buffer);
    transaction.flush_everyone(ctx);
    const auto record =
        transaction.start_record(ctx, message.account, wire::Op::Message, message.flags, {});
    Buffer& out = record.part->frame.buffer;
    out.append(static_cast<std::uint32_t>(message.prefix.size()));
    out.append(static_cast<std::uint32_t>(message.content.size()));
    out.append(message.prefix.data(), message.prefix.size());
    out.append(message.content.data(), message.content.size());
    transaction.finish_record(ctx, record);
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
    if (transactional) {
        write_logical_message(ctx, session->transaction, prefix, {content, size});
        return;
    }
    // It comes between transactions, at the end of its own record: a transaction of its own, in a
    // place that no commit record has.
    session->transaction.begin_message(lsn - 1);
    write_logical_message(ctx, session->transaction, prefix, {content, size});
    session->transaction.commit(ctx, lsn);
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
