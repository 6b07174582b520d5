#include "sidecar/delivery/snapshot_job.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>

#include "fatwal/wire/frame.h"
#include "sidecar/postgres/network_order.h"
#include "sidecar/postgres/patience.h"
#include "sidecar/postgres/read_facts.h"

namespace fatwal::sidecar {

namespace {

constexpr std::uint64_t kBytesBetweenSignals = 256 * 1024;
// The loop may wait for a session that ends, so it is short.
constexpr std::chrono::milliseconds kCancelSnapshotDeadline{200};
// fatwal.snapshot's answer when a table was rewritten after the snapshot was taken: it would be
// empty in it. Another snapshot sees its rows.
constexpr char kSerializationFailure[] = "40001";
// What COPY says of a table or a column that is gone since the snapshot.
constexpr std::string_view kGone[] = {"42P01", "42703"};

// The one bytea of each row of COPY (FORMAT binary), without the header and the trailer of the
// whole.
class CopyRows {
public:
    // Of what libpq gave: a row at a time, the header before the first.
    std::optional<std::string_view> row(std::string_view data) {
        if (!header_read_) {
            constexpr std::size_t kSignature = 11;
            if (data.size() < kSignature + 8) throw malformed();
            const std::size_t header =
                kSignature + 8 + from_network<std::uint32_t>(data.data() + kSignature + 4);
            if (data.size() < header) throw malformed();
            data.remove_prefix(header);
            header_read_ = true;
            if (data.empty()) return std::nullopt;
        }
        if (data.size() < 2) throw malformed();
        if (from_network<std::uint16_t>(data.data()) == 0xFFFF) return std::nullopt;
        if (data.size() < 6 || from_network<std::uint16_t>(data.data()) != 1) throw malformed();
        const auto length = from_network<std::uint32_t>(data.data() + 2);
        if (data.size() - 6 != length) throw malformed();
        return data.substr(6);
    }

private:
    static Failure malformed() { return {"the server's COPY is not understood", {}, {}}; }
    bool header_read_ = false;
};

// A session that is to stop, or that the server has left silent, is of no more use.
void require_answer(PGconn* session, WaitEnd waited) {
    if (waited == WaitEnd::Ready) return;
    cancel(session, kCancelSnapshotDeadline);
    throw Failure{
        kCannotReadSnapshot,
        waited == WaitEnd::Stopped ? "It is stopped." : "The server sent nothing for too long.",
        {},
        false};
}

Result next(PGconn* session) {
    const Answer answer =
        next_result(session, std::chrono::steady_clock::now() + Patience::deadline());
    require_answer(session, answer.waited);
    return Result(answer.result);
}

void send(PGconn* session, const std::string& query) {
    if (PQsendQuery(session, query.c_str()) == 1) return;
    Failure failure = failure_of(kCannotReadSnapshot, session);
    failure.fatal = false;
    throw failure;
}

using CopyData = std::unique_ptr<char, void (*)(void*)>;

// What COPY sends next; nothing at its end, whose result follows.
std::optional<std::pair<CopyData, std::string_view>> next_copied(PGconn* session) {
    const CopyRow row = next_copy_row(session);
    CopyData data(row.data, PQfreemem);
    require_answer(session, row.waited);
    if (row.length < 0) return std::nullopt;
    const std::string_view bytes{row.data, static_cast<std::size_t>(row.length)};
    return std::pair(std::move(data), bytes);
}

// What selects the account's rows, so that an index on the column can serve; nothing when the table
// has none of its kind, empty when all are. It may select more than those: each row's account is
// checked again.
std::optional<std::string> condition(PGconn* session, const pgoutput::Relation& relation,
                                     const pgoutput::Plan& plan, const wire::AccountKey& account) {
    using wire::AccountKind;
    if (!plan.names_account())
        return account.kind == AccountKind::Operators ? std::optional(std::string()) : std::nullopt;
    const auto column = static_cast<std::size_t>(plan.account_column);
    const std::string name = quote_identifier(session, relation.columns[column].name);
    if (account.kind == AccountKind::Operators)
        return name + " IS NULL OR octet_length(" + name + "::text) > " +
               std::to_string(wire::kMaxAccountBytes);
    const std::string key = quote_literal(session, account.to_text());
    switch (plan.column[column].type.code) {
        case wire::TypeCode::Uuid:
            if (account.kind != AccountKind::Uuid) return std::nullopt;
            return name + " = " + key + "::uuid";
        case wire::TypeCode::Int2:
        case wire::TypeCode::Int4:
        case wire::TypeCode::Int8:
            if (account.kind != AccountKind::Integer) return std::nullopt;
            return name + " = " + key + "::int8";
        default: break;
    }
    // A text that spells a uuid is that account in either case.
    if (account.kind == AccountKind::Uuid) return "lower(" + name + "::text) = lower(" + key + ")";
    return plan.account_type == pgoutput::AccountType::BlankPadded ? name + " = " + key + "::bpchar"
                                                                   : name + "::text = " + key;
}

std::string copy_of(PGconn* session, const PublishedTable& table, const std::string& account) {
    std::string columns;
    for (const pgoutput::Relation::Column& column : table.relation.columns)
        columns += (columns.empty() ? " " : ", ") + quote_identifier(session, column.name);
    std::string where;
    for (const std::string& part : {account, table.filter})
        if (!part.empty()) where += (where.empty() ? " WHERE (" : " AND (") + part + ')';
    return "COPY (SELECT" + columns + " FROM " + (table.partitioned ? "" : "ONLY ") +
           quote_identifier(session, table.relation.schema) + '.' +
           quote_identifier(session, table.relation.name) + where + ") TO STDOUT;";
}

// Whether the server streams nothing that its standbys lack; before Postgres 17 it has no such
// setting.
constexpr char kStandbyFirst[] =
    " coalesce(current_setting('synchronized_standby_slots', true), '') <> ''";

// Those of the tables, and of their partitions, whose rows lie in another file now than the
// snapshot has it: the function reads the catalogs as they are.
constexpr char kRewritten[] = R"(
SELECT (array_agg(part::text))[1] FROM unnest('{%}'::oid[]) AS read(table_oid)
CROSS JOIN LATERAL (SELECT read.table_oid::regclass UNION
    SELECT relid FROM pg_partition_tree(read.table_oid::regclass)) AS parts(part)
LEFT JOIN pg_class c ON c.oid = part
WHERE c.oid IS NULL OR (c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM
    pg_relation_filenode(part));)";

}  // namespace

void SnapshotJob::read(PGconn* session) {
    if (settings_.plugin == Plugin::Pgoutput)
        read_rows(session);
    else
        read_messages(session);
}

void SnapshotJob::end(std::optional<Failure> failure) {
    const std::lock_guard lock(mutex_);
    if (failure && !failure->fatal && !failure_stands_) view_.again = true;
    view_.failure = std::move(failure);
    view_.rows = rows_;
    view_.ended = true;
    event_.set();
}

void SnapshotJob::take(PGresult* result) {
    const auto sees = wire::TransactionSnapshot::from_text(PQgetvalue(result, 0, 0));
    if (!sees) throw Failure{"the snapshot is not understood", PQgetvalue(result, 0, 0), {}};
    const std::lock_guard lock(mutex_);
    view_.taken = true;
    view_.sees = *sees;
    view_.until = lsn_of(PQgetvalue(result, 0, 1));
    view_.standby_first = *PQgetvalue(result, 0, 2) == 't';
    event_.set();
}

void SnapshotJob::append(wire::Bytes message) {
    try {
        spool_.append(message);
    } catch (const Failure&) {
        // It is the disk's, or the bound's: no other session would do better.
        failure_stands_ = true;
        throw;
    }
    if (const auto frame = wire::FrameView::parse_header(message)) rows_ += frame->record_count();
    if (spool_.size() - signalled_ < kBytesBetweenSignals) return;
    signalled_ = spool_.size();
    event_.set();
}

void SnapshotJob::take_again(Failure failure) {
    {
        const std::lock_guard lock(mutex_);
        view_.again = true;
    }
    throw std::move(failure);
}

void SnapshotJob::refuse(PGconn* session, PGresult* result) {
    Failure failure = failure_of(kCannotReadSnapshot, session, result);
    const char* field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const std::string_view state = field == nullptr ? "" : field;
    const bool is_gone = settings_.plugin == Plugin::Pgoutput &&
                         std::find(std::begin(kGone), std::end(kGone), state) != std::end(kGone);
    if (state == kSerializationFailure || is_gone) take_again(std::move(failure));
    if (failure.hint.empty() && failure.detail.find("permission denied") != std::string::npos)
        failure.hint = "GRANT SELECT on the published tables to fatwald's role.";
    if (failure.hint.empty() && failure.detail.find("row-level security") != std::string::npos)
        failure.hint =
            "A snapshot has all rows of an account: ALTER ROLE … BYPASSRLS, for fatwald's "
            "role.";
    throw failure;
}

// One query for all of it, so that a small account costs one round trip. The position is read
// after the snapshot was taken, as the SELECT itself runs in it.
void SnapshotJob::read_messages(PGconn* session) {
    const std::string account = account_.kind == wire::AccountKind::Operators
                                    ? "NULL"
                                    : quote_literal(session, account_.to_text());
    send(session,
         "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
         "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn()," +
             std::string(kStandbyFirst) +
             ";"
             "COPY (SELECT fatwal.snapshot(" +
             account + ", " + quote_literal(session, settings_.publication) +
             ")) TO STDOUT (FORMAT binary);"
             "COMMIT");
    while (const Result result = next(session)) {
        switch (PQresultStatus(result.get())) {
            case PGRES_COMMAND_OK: break;
            case PGRES_TUPLES_OK: take(result.get()); break;
            case PGRES_COPY_OUT: copy_messages(session); break;
            default: refuse(session, result.get());
        }
    }
}

void SnapshotJob::copy_messages(PGconn* session) {
    CopyRows rows;
    while (const auto copied = next_copied(session))
        if (const auto message = rows.row(copied->second)) append(wire::as_bytes(*message));
}

void SnapshotJob::read_rows(PGconn* session) {
    send(session,
         "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
         "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn()," +
             std::string(kStandbyFirst) +
             ", (extract(epoch FROM now()) * 1000000)::bigint - 946684800000000,"
             " to_regclass('fatwal.account_setting') IS NOT NULL");
    wire::Microseconds taken = 0;
    bool has_settings = false;
    while (const Result result = next(session)) {
        if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) continue;
        if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) refuse(session, result.get());
        taken = std::strtoll(PQgetvalue(result.get(), 0, 3), nullptr, 10);
        has_settings = *PQgetvalue(result.get(), 0, 4) == 't';
        take(result.get());
    }
    const std::vector<Source> read = sources(session, has_settings);
    std::string queries;
    std::string oids;
    for (const Source& source : read) {
        queries += source.query;
        oids += (oids.empty() ? "" : ",") + std::to_string(source.table.relation.oid);
    }
    std::string rewritten = kRewritten;
    rewritten.replace(rewritten.find('%'), 1, oids);
    send(session, queries + rewritten + "COMMIT");
    pgoutput::SnapshotRows rows(account_.view(), taken,
                                [this](wire::Bytes message) { append(message); });
    auto source = read.begin();
    while (const Result result = next(session)) {
        switch (PQresultStatus(result.get())) {
            case PGRES_COMMAND_OK: break;
            case PGRES_COPY_OUT: copy_rows(session, *source++, rows); break;
            case PGRES_TUPLES_OK:
                if (PQgetisnull(result.get(), 0, 0) != 0) break;
                take_again({kCannotReadSnapshot,
                            std::string("Table ") + PQgetvalue(result.get(), 0, 0) +
                                " was rewritten after it was taken.",
                            {},
                            false});
            default: refuse(session, result.get());
        }
    }
    rows.end();
}

std::vector<SnapshotJob::Source> SnapshotJob::sources(PGconn* session, bool has_settings) {
    std::vector<Source> found;
    for (PublishedTable& table : published_tables(session, settings_.publications, has_settings)) {
        const pgoutput::OwnTable own = pgoutput::own_table_of(table.relation);
        if (own != pgoutput::OwnTable::None && own != pgoutput::OwnTable::Credentials) continue;
        auto prepared = plans_.find(table.relation.oid, table.version);
        if (!prepared) {
            pgoutput::Wanted wanted;
            wanted.relation = table.relation.oid;
            for (const auto& column : table.relation.columns) wanted.types.push_back(column.type);
            auto made = std::make_shared<SnapshotPlans::Prepared>();
            made->facts = read_facts(session, wanted);
            made->plan = pgoutput::make_plan(table.relation, made->facts, {}, {}, {});
            prepared = std::move(made);
            plans_.keep(table.relation.oid, table.version, prepared);
        }
        const auto account = condition(session, table.relation, *prepared->plan, account_);
        if (!account) continue;
        std::string query = copy_of(session, table, *account);
        found.push_back({std::move(table), std::move(prepared), std::move(query)});
    }
    return found;
}

// A value that does not read as its type (a label that was renamed since the snapshot, say) has its
// column travel as text from there on.
void SnapshotJob::copy_rows(PGconn* session, const Source& source, pgoutput::SnapshotRows& rows) {
    using Read = pgoutput::SnapshotRows::Read;
    std::vector<bool> as_text(source.table.relation.columns.size());
    rows.begin_table(*source.prepared->plan);
    while (const auto copied = next_copied(session)) {
        std::string_view line = copied->second;
        if (line.ends_with('\n')) line.remove_suffix(1);
        Read read = rows.row(line);
        for (; read == Read::NotUnderstood; read = rows.row(line)) {
            as_text[rows.column()] = true;
            plans_as_text_.push_back(pgoutput::make_plan(source.table.relation,
                                                         source.prepared->facts, {}, {}, as_text));
            rows.begin_table(*plans_as_text_.back());
        }
        if (read == Read::Refused)
            throw Failure{"the server's COPY is not understood", source.query, {}};
    }
}

}  // namespace fatwal::sidecar
