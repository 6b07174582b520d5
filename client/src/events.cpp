#include "fatwal/client/events.h"

namespace fatwal::client {

namespace {

template <class Handler, class... Arguments>
void call(const Handler& handler, Arguments&&... arguments) {
    if (handler) handler(std::forward<Arguments>(arguments)...);
}

}  // namespace

std::optional<Row> SnapshotRows::row_of(const wire::RecordView& record) const {
    const auto row = record.new_row();
    if (!row || record.relation() >= frame_.schemas.size()) return std::nullopt;
    return Row(*frame_.schemas[record.relation()], *row);
}

void Handlers::operator()(const Event& event) const {
    struct Visitor {
        const Handlers& handlers;
        void operator()(const Joined& joined) const { call(handlers.on_joined, joined); }
        void operator()(const SnapshotBegin&) const { call(handlers.on_snapshot_begin); }
        void operator()(const SnapshotRows& rows) const {
            rows.for_each([&](const Row& row) { call(handlers.on_row, row); });
        }
        void operator()(const SnapshotEnd&) const { call(handlers.on_snapshot_end); }
        void operator()(const Transaction& transaction) const {
            call(handlers.on_transaction, transaction);
        }
        void operator()(const CaughtUp& caught_up) const { call(handlers.on_caught_up, caught_up); }
        void operator()(const Resync& resync) const { call(handlers.on_resync, resync); }
        void operator()(const StreamError& error) const { call(handlers.on_error, error); }
        void operator()(const Lost& lost) const { call(handlers.on_lost, lost); }
    };
    std::visit(Visitor{*this}, event);
}

}  // namespace fatwal::client
