// The changes of one committed transaction for one account.
//
//     transaction.for_each([&](const Change& change) {
//         if (change.op == wire::Op::Delete) return remove(change.old_row->integer("id"));
//         if (change.new_row) put(change.new_row->integer("id"), change.new_row->text("name"));
//     });
//
// A transaction owns its bytes. It may be kept, moved and given to another thread; its changes and
// their rows are views, valid as long as it lives and is not moved. Reading one change allocates
// nothing. Errors: a row that cannot be read is missing, and Change::malformed says so.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fatwal/client/row.h"
#include "fatwal/wire/frame.h"

namespace fatwal::client {

// One change. Owns nothing: valid as long as its Transaction.
struct Change {
    wire::Op op = wire::Op::Insert;
    wire::Position position;
    const Schema* schema = nullptr;  // null for a message, and for a resync of all tables
    std::optional<Row> new_row;      // insert, update
    std::optional<Row> old_row;      // update, delete
    std::optional<wire::Message> message;
    bool moved = false;             // the half of an update that moved the row between accounts
    bool cascade = false;           // truncate
    bool restart_identity = false;  // truncate
    bool emitted = false;  // a message of fatwal.emit: its prefix is the topic, its content JSON
    bool content_unavailable =
        false;  // a message whose content is too large for the stream: it is empty here
    bool unrouted =
        false;  // to the operators: the table names an account, but this change does not say which
    // A row cannot be read or is not its schema's; new_row or old_row is missing.
    bool malformed = false;
};

// A frame with what reading it needs.
struct Frame {
    std::shared_ptr<const std::string> bytes;  // what the view points into
    std::optional<wire::FrameView> view;
    std::vector<std::shared_ptr<const Schema>> schemas;  // of the frame's relations
};

class Transaction {
public:
    std::uint32_t xid = 0;  // 0 for a message outside any transaction
    wire::Lsn commit_lsn = 0;
    std::chrono::sys_time<std::chrono::microseconds> commit_time;
    bool transactional = true;

    // Reads the changes in the order in which they were made. The transaction outlives it, and
    // stays where it is. For a worker that has other work to do amid a large transaction.
    class Reader {
    public:
        explicit Reader(const Transaction& transaction) : transaction_(transaction) {}
        // Nothing at the end.
        [[nodiscard]] std::optional<Change> next();
        // Whether next() has said that this is the end.
        [[nodiscard]] bool done() const { return done_; }

    private:
        const Transaction& transaction_;
        bool done_ = false;
        std::size_t frame_ = 0;  // of those that are begun, the next one
        std::optional<wire::FrameView::Records> records_;
    };

    // Calls `visit(const Change&)` for each change, in the order in which they were made.
    template <class Visit>
    void for_each(Visit&& visit) const {
        Reader reader(*this);
        while (const auto change = reader.next()) visit(*change);
    }
    // How many changes there are.
    [[nodiscard]] std::size_t size() const;

private:
    friend class Follower;
    [[nodiscard]] Change change_of(const Frame& frame, const wire::RecordView& record) const;

    std::vector<Frame> frames_;
};

}  // namespace fatwal::client
