// Gathers the records of one transaction, account by account, and writes them as frames.
//
// An account's part is written when it reaches `frame_bytes`; at commit every part is, and the last
// frame of each account says that it is the last. Frames that are written in one go travel in one
// CopyData, up to kBatchBytes: a walsender pays for each CopyData, and nothing waits for it, since
// all of them are written before the callback returns.
//
//     parts (by account, in the order of their first change)        held_bytes_ = Σ counted
//     42: [header│record│record│ … up to frame_bytes] ─full─► written, begun again
//     43: [header│record]                              ─commit─► written with LAST_OF_ACCOUNT
//     everyone: [header│truncate]  what is held of others is written before it
//
// Marks. At commit the last part that is written has LAST_OF_TRANSACTION. A transaction that holds
// a record for everyone, or more accounts than kMaxParts, is closed by one frame for everyone: an
// account whose part was written and forgotten could not be closed by itself. A frame that became
// full is written when the next record comes and not before, so the last one stays to carry the
// mark.
//
// Ordinals count every record of the transaction, over all accounts and also those that nobody
// gets: so a position is the same whenever and by whichever session it is decoded.
//
// Memory. What the parts have allocated is counted, not what they have filled. When it reaches
// kMaxHeldBytes every part is written and its buffer given back. So a transaction holds
// kMaxHeldBytes and its largest record: about three times that record, which is copied into the
// server's own buffers; those the server keeps for the session, ours are given back.
#pragma once

#include "extension/frame_builder.h"
#include "extension/server.h"
#include "fatwal/wire/account.h"
#include "fatwal/wire/types.h"

namespace fatwal::plugin {

// One account's share of the transaction.
struct Part {
    Part* next_in_bucket;
    Part* next;  // in the order of their first change
    std::uint32_t hash;
    wire::AccountKind kind;
    std::uint8_t account_length;
    std::uint8_t account[wire::kMaxAccountBytes];
    bool open;            // `frame` is not written
    std::size_t counted;  // of its buffer, in held_bytes_
    FrameBuilder frame;

    [[nodiscard]] wire::AccountView view() const {
        return {kind, {reinterpret_cast<const std::byte*>(account), account_length}};
    }
};

class Transaction {
public:
    static constexpr std::size_t kMaxHeldBytes = std::size_t{32} * 1024 * 1024;
    static constexpr int kBatchBytes = 64 * 1024;
    // Beyond this many tables in one transaction a single record resyncs all tables.
    static constexpr int kMaxResyncs = 64;
    // Beyond this many accounts in one transaction their closing marks come in one frame for
    // everyone.
    static constexpr std::size_t kMaxParts = 16384;

    void init(MemoryContext parent, std::size_t frame_bytes);

    void begin(std::uint32_t xid, wire::Lsn commit_lsn, wire::Microseconds commit_time);
    // The same for a message outside any transaction.
    void begin_message(wire::Lsn lsn);
    // Writes what is held, with its marks. Gives whether the transaction has written anything.
    bool commit(LogicalDecodingContext* ctx, wire::Lsn end_lsn);

    // Starts a record for the account; its body is appended to the buffer of the part's frame, then
    // finish_record() closes it. `schema` is {} for a message.
    struct Record {
        Part* part;
        std::size_t start;
    };
    Record start_record(LogicalDecodingContext* ctx, wire::AccountView account, wire::Op op,
                        std::uint8_t flags, wire::SchemaId schema);
    void set_old_offset(const Record& record);
    void finish_record(LogicalDecodingContext* ctx, const Record& record);

    // A change that is not sent has its ordinal all the same.
    void skip_ordinal() { ++next_ordinal_; }

    // Whoever holds rows of the table is to take a snapshot after this transaction: `tenants`, or
    // only the operators. The records stand at the transaction's end, one for each table, in the
    // order of the tables' oids: so their ordinals are the same each time. True when it is the
    // first of its table: then the caller sees to it that `schema` is described.
    bool resync(wire::SchemaId schema, bool tenants);
    // The same for all tables.
    void resync_all();

    // Writes a record without a body for everyone (`tenants`) or for the operators, in its place
    // among the changes around it.
    void write_for_all(LogicalDecodingContext* ctx, bool tenants, wire::Op op, std::uint8_t flags,
                       wire::SchemaId schema);

    // Before a record for everyone all that is held goes out, so that frames keep the order of the
    // changes around it.
    void flush_before_everyone(LogicalDecodingContext* ctx);
    // And what is held for everyone goes out before the next record of a single account.
    void flush_everyone(LogicalDecodingContext* ctx);

private:
    Part* find_part(wire::AccountView account);
    Part* take_part();
    void open_frame(Part* part);
    void write_frame(LogicalDecodingContext* ctx, Part* part, std::uint16_t flags,
                     wire::Lsn end_lsn);
    void flush_all(LogicalDecodingContext* ctx);
    void put(LogicalDecodingContext* ctx, wire::Bytes message);
    void end_batch(LogicalDecodingContext* ctx);
    void count(Part* part);
    void write_resyncs(LogicalDecodingContext* ctx);
    void reset();
    void check_held() const;

    static constexpr std::size_t kBuckets = 4096;

    MemoryContext context_;
    std::size_t frame_bytes_;
    Part* buckets_[kBuckets];
    Part* first_;
    Part* last_;
    Part* recent_;
    Part* free_;
    std::size_t kept_bytes_;  // of the parts behind free_
    std::size_t parts_;
    std::size_t held_bytes_;
    bool in_batch_;
    struct ResyncOf {
        wire::SchemaId schema;
        bool tenants;
    };
    ResyncOf resync_[kMaxResyncs];
    int resync_count_;
    bool resync_all_;
    bool everyone_closes_;
    std::uint32_t next_ordinal_;
    std::uint16_t common_flags_;
    std::uint32_t xid_;
    wire::Lsn commit_lsn_;
    wire::Microseconds commit_time_;
};

// Writes a message of its own into the stream.
void write_message(LogicalDecodingContext* ctx, wire::Bytes message);

}  // namespace fatwal::plugin
