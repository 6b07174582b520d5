#include "fatwal/client/transaction.h"

namespace fatwal::client {

std::size_t Transaction::size() const {
    std::size_t changes = 0;
    for (const Frame& frame : frames_) changes += frame.view->record_count();
    return changes;
}

std::optional<Change> Transaction::Reader::next() {
    while (true) {
        if (records_)
            if (const auto record = records_->next())
                return transaction_.change_of(transaction_.frames_[frame_ - 1], *record);
        done_ = frame_ == transaction_.frames_.size();
        if (done_) return std::nullopt;
        records_.emplace(*transaction_.frames_[frame_++].view);
    }
}

Change Transaction::change_of(const Frame& frame, const wire::RecordView& record) const {
    Change change;
    change.op = record.op();
    change.position = {commit_lsn, record.ordinal()};
    change.moved = record.has(wire::kMoved);
    change.cascade = record.has(wire::kCascade);
    change.restart_identity = record.has(wire::kRestartIdentity);
    change.emitted = record.has(wire::kEmitted);
    change.content_unavailable = record.has(wire::kContentUnavailable);
    change.unrouted = record.has(wire::kUnrouted);
    if (record.op() == wire::Op::Message) {
        change.message = record.message();
        change.malformed = !change.message;
        return change;
    }
    if (record.op() == wire::Op::Resync && record.relation() == wire::kNoRelation) return change;
    const Schema& schema = *frame.schemas[record.relation()];
    change.schema = &schema;
    const auto fits = [&](const auto& row) {
        return row && row->columns() == schema.columns().size();
    };
    if (const auto row = record.new_row(); fits(row)) change.new_row = Row(schema, *row);
    if (const auto row = record.old_row(); fits(row)) change.old_row = Row(schema, *row);
    const bool needs_new = record.op() == wire::Op::Insert || record.op() == wire::Op::Update;
    const bool needs_old = record.op() == wire::Op::Update || record.op() == wire::Op::Delete;
    change.malformed = (needs_new && !change.new_row) || (needs_old && !change.old_row);
    return change;
}

}  // namespace fatwal::client
