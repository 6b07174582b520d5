#include "fatwal/client/assembler.h"

#include <algorithm>

namespace fatwal::client {

Assembler::Assembler(wire::AccountView account, std::size_t max_transaction_bytes)
    : account_(wire::as_text(account.bytes)), account_kind_(account.kind), max_transaction_bytes_(max_transaction_bytes) {}

std::optional<Gap> Assembler::joined(std::uint64_t epoch, std::uint64_t sequence) {
    if (epoch != epoch_) {
        // Another run of the sidecar numbers anew, and begins a transaction that it had sent in part from its start.
        epoch_ = epoch;
        sequence_ = sequence;
        current_.reset();
        waiting_.clear();
        waiting_bytes_ = 0;
        return std::nullopt;
    }
    if (sequence <= sequence_) return std::nullopt;
    const Gap gap{sequence_ + 1, sequence + 1};
    sequence_ = sequence;
    current_.reset();
    return gap;
}

std::optional<Gap> Assembler::heartbeat(std::uint64_t epoch, std::uint64_t sequence) {
    return epoch == epoch_ ? joined(epoch, sequence) : std::nullopt;
}

void Assembler::message(std::uint64_t epoch, std::uint64_t sequence, std::string bytes) {
    if (epoch != epoch_ || sequence <= sequence_) return;
    if (sequence != sequence_ + 1) {
        events_.emplace_back(Gap{sequence_ + 1, sequence});
        current_.reset();
    }
    sequence_ = sequence;
    waiting_bytes_ += bytes.size();
    waiting_.push_back(std::move(bytes));
    advance();
    if (waiting_bytes_ <= max_transaction_bytes_) return;
    waiting_.clear();
    waiting_bytes_ = 0;
    current_.reset();
    events_.emplace_back(StreamError{"too much has arrived before the schema that it needs", "The sidecar did not answer in time."});
}

void Assembler::described(std::vector<std::string> schemas) {
    const auto missing_before = missing();
    for (std::string& schema : schemas) learn(std::move(schema));
    if (!missing_before.empty() && missing() == missing_before) {
        // The sidecar does not have it any more: the frame cannot be read.
        waiting_bytes_ -= waiting_.front().size();
        waiting_.erase(waiting_.begin());
        current_.reset();
        events_.emplace_back(StreamError{"the schema of relation " + std::to_string(missing_before.front().relation) + " is not to be had",
                                         "Its changes in this transaction are not delivered."});
    }
    advance();
}

void Assembler::learn(std::string message) {
    if (auto schema = Schema::parse(std::move(message))) {
        const wire::SchemaId id = schema->id();
        schemas_[id] = std::move(schema);
    }
}

std::vector<wire::SchemaId> Assembler::missing() const {
    std::vector<wire::SchemaId> ids;
    if (waiting_.empty()) return ids;
    const auto frame = wire::FrameView::parse(wire::as_bytes(waiting_.front()));
    for (std::uint16_t i = 0; frame && i < frame->relation_count(); ++i)
        if (!schemas_.contains(frame->relation(i))) ids.push_back(frame->relation(i));
    return ids;
}

void Assembler::advance() {
    std::size_t taken = 0;
    for (; taken < waiting_.size(); ++taken) {
        std::string& bytes = waiting_[taken];
        const std::size_t length = bytes.size();
        if (wire::message_kind(wire::as_bytes(bytes)) == wire::kSchemaKind) {
            learn(std::move(bytes));
        } else {
            Transaction::Frame frame;
            auto kept = std::make_shared<std::string>(std::move(bytes));
            frame.view = wire::FrameView::parse(wire::as_bytes(*kept));
            for (std::uint16_t i = 0; frame.view && i < frame.view->relation_count(); ++i) {
                const auto found = schemas_.find(frame.view->relation(i));
                if (found != schemas_.end()) frame.schemas.push_back(found->second);
            }
            if (frame.view && frame.schemas.size() != frame.view->relation_count()) {
                bytes = std::move(*kept);
                break;
            }
            frame.bytes = std::move(kept);
            add(std::move(frame));
        }
        waiting_bytes_ -= length;
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
}

void Assembler::add(Transaction::Frame frame) {
    if (!frame.view) {
        events_.emplace_back(StreamError{"a malformed frame has arrived", "The sidecar and this library may be of different versions."});
        current_.reset();
        return;
    }
    const wire::FrameView& view = *frame.view;
    const wire::AccountView account = view.account();
    if (account.kind != wire::AccountKind::Everyone && !(account == wire::AccountView{account_kind_, wire::as_bytes(account_)})) {
        events_.emplace_back(StreamError{"a frame of another account has arrived", "It is not delivered."});
        return;
    }
    if (view.commit_lsn() <= delivered_) return;
    if (!current_ || current_->commit_lsn != view.commit_lsn()) {
        current_.emplace();
        current_bytes_ = 0;
        too_large_ = false;
        current_->xid = view.xid();
        current_->commit_lsn = view.commit_lsn();
        current_->transactional = !view.has(wire::kNonTransactional);
        current_->commit_time = std::chrono::sys_time<std::chrono::microseconds>(std::chrono::seconds(wire::kPostgresEpochUnixSeconds) +
                                                                                 std::chrono::microseconds(view.commit_time()));
    }
    const bool last = view.has(wire::kLastOfAccount);
    current_bytes_ += view.bytes().size();
    too_large_ = too_large_ || current_bytes_ > max_transaction_bytes_;
    if (too_large_)
        current_->frames_.clear();
    else if (view.record_count() > 0)
        current_->frames_.push_back(std::move(frame));
    if (!last) return;
    delivered_ = current_->commit_lsn;
    if (too_large_)
        events_.emplace_back(
            StreamError{"transaction " + std::to_string(current_->xid) + " is larger than max_transaction_bytes",
                        "It is not delivered. Raise max_transaction_bytes, now " + std::to_string(max_transaction_bytes_) + "."});
    else if (!current_->frames_.empty())
        events_.emplace_back(std::move(*current_));
    current_.reset();
}

std::optional<StreamEvent> Assembler::take() {
    if (events_.empty()) return std::nullopt;
    StreamEvent event = std::move(events_.front());
    events_.erase(events_.begin());
    return event;
}

}  // namespace fatwal::client
