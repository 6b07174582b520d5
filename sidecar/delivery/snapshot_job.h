// The reading of one snapshot of an account's rows, into a spool. The sessions and the loop share
// it: it runs on a session's thread, the loop checks it by view() and reads its spool.
//
// With the extension one query gives the messages (fatwal.snapshot). Without it the tables are read
// one after the other by COPY, in one transaction, and the messages are made here:
//
//     BEGIN; what the snapshot sees ─► the published tables ─► COPY … COPY … what was rewritten
//                                        │ how each travels (snapshot_plans.h)
//                                        └─ conditions: the account, the publications' filters
//
// A table that is rewritten (ALTER TYPE, VACUUM FULL, TRUNCATE) after the snapshot was taken and
// before its turn shows no rows to it, and the stream says nothing of a rewrite. COPY locks each
// table to the end of the transaction, so a last query finds those whose file is another one now;
// then the snapshot is taken again.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fatwal/wire/control.h"
#include "service/event.h"
#include "sidecar/delivery/snapshot_plans.h"
#include "sidecar/delivery/snapshot_sessions.h"
#include "sidecar/delivery/spool.h"
#include "sidecar/pgoutput/snapshot_rows.h"
#include "sidecar/postgres/published_tables.h"

namespace fatwal::sidecar {

inline constexpr char kCannotReadSnapshot[] = "cannot read a snapshot";

class SnapshotJob : public SnapshotSessions::Task {
public:
    // `event` is set when there is more, or all.
    SnapshotJob(const Settings& settings, SnapshotPlans& plans, wire::AccountKey account,
                const service::Event& event, SpoolBudget& budget)
        : settings_(settings),
          plans_(plans),
          account_(std::move(account)),
          event_(event),
          spool_(settings.spool_dir, budget) {}

    struct View {
        bool taken = false;
        bool ended = false;
        std::optional<Failure> failure;
        bool again = false;  // another try may have what this one lacks
        wire::TransactionSnapshot sees;
        wire::Lsn until = 0;
        bool standby_first = false;
        std::uint64_t rows = 0;  // once it has ended
    };
    [[nodiscard]] View view() {
        const std::lock_guard lock(mutex_);
        return view_;
    }
    [[nodiscard]] bool begun() override {
        const std::lock_guard lock(mutex_);
        return view_.taken;
    }
    [[nodiscard]] const Spool& spool() const { return spool_; }

    void read(PGconn* session) override;
    void end(std::optional<Failure> failure) override;

private:
    void take(PGresult* result);
    void append(wire::Bytes message);
    [[noreturn]] void refuse(PGconn* session, PGresult* result);
    [[noreturn]] void take_again(Failure failure);

    // By the extension.
    void read_messages(PGconn* session);
    void copy_messages(PGconn* session);

    // By COPY.
    struct Source {
        PublishedTable table;
        SnapshotPlans::Shared prepared;
        std::string query;
    };
    void read_rows(PGconn* session);
    [[nodiscard]] std::vector<Source> sources(PGconn* session, bool has_settings);
    void copy_rows(PGconn* session, const Source& source, pgoutput::SnapshotRows& rows);

    const Settings& settings_;
    SnapshotPlans& plans_;
    const wire::AccountKey account_;
    const service::Event& event_;
    Spool spool_;
    std::mutex mutex_;  // guards view_
    View view_;
    // The session's thread's.
    std::uint64_t signalled_ = 0;  // bytes of the spool
    std::uint64_t rows_ = 0;
    bool failure_stands_ = false;
    std::vector<std::unique_ptr<const pgoutput::Plan>> plans_as_text_;
};

}  // namespace fatwal::sidecar
