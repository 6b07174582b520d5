// Gathers the records of one transaction, account by account, and writes them as frames.
//
// An account's part is written when it reaches `frame_bytes`; at commit every part is, and the last
// frame of each account says that it is the last. Frames that are written in one go form a batch:
// the plugin sends them in one CopyData (extension/output.h).
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
// output's own buffers; those the server keeps for the session, ours are given back.
//
// A Memory is described in buffer.h. An Output takes the messages in order:
//     void put(Bytes message)      the bytes are the caller's again when it returns
//     void end_batch()             nothing follows for now
#pragma once

#include "fatwal/wire/account.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/types.h"
#include "wire/encoding/frame_builder.h"

namespace fatwal::wire {

// Bounds of a transaction.
namespace transaction_bound {
inline constexpr std::size_t kMaxHeldBytes = std::size_t{32} * 1024 * 1024;
// Beyond this many tables in one transaction a single record resyncs all tables.
inline constexpr int kMaxResyncs = 64;
// Beyond this many accounts in one transaction their closing marks come in one frame for everyone.
inline constexpr std::size_t kMaxParts = 16384;
// What is kept for the next transaction, so that small ones need not allocate: buffers up to this
// size, and of all of them no more than this.
inline constexpr std::size_t kMaxKeptBuffer = 256 * 1024;
inline constexpr std::size_t kMaxKeptBytes = std::size_t{4} * 1024 * 1024;
}  // namespace transaction_bound

template <class Memory, class Output>
class Transaction {
public:
    // One account's share of the transaction.
    struct Part {
        Part* next_in_bucket;
        Part* next;  // in the order of their first change
        std::uint32_t hash;
        AccountKind kind;
        std::uint8_t account_length;
        std::uint8_t account[kMaxAccountBytes];
        bool open;            // `frame` is not written
        std::size_t counted;  // of its buffer, in held_bytes_
        FrameBuilder<Memory> frame;

        [[nodiscard]] AccountView view() const {
            return {kind, {reinterpret_cast<const std::byte*>(account), account_length}};
        }
    };

    void init(Memory memory, std::size_t frame_bytes) {
        memory_ = memory;
        frame_bytes_ = frame_bytes;
        free_ = nullptr;
        kept_bytes_ = 0;
        first_ = nullptr;
        std::memset(buckets_, 0, sizeof buckets_);
        reset();
    }
    // Gives all memory back. In the server its context does.
    void free() {
        reset();
        while (free_ != nullptr) {
            Part* next = free_->next;
            release(free_);
            free_ = next;
        }
    }

    void begin(std::uint32_t xid, Lsn commit_lsn, Microseconds commit_time) {
        reset();
        next_ordinal_ = 0;
        everyone_closes_ = false;
        common_flags_ = 0;
        resync_count_ = 0;
        resync_all_ = false;
        xid_ = xid;
        commit_lsn_ = commit_lsn;
        commit_time_ = commit_time;
    }
    // The same for a message outside any transaction.
    void begin_message(Lsn lsn) {
        begin(0, lsn, 0);
        common_flags_ = kNonTransactional;
    }
    // Writes what is held, with its marks. Gives whether the transaction has written anything.
    bool commit(Output& output, Lsn end_lsn) {
        write_resyncs(output);
        check_held();
        if (parts_ == 0 && !everyone_closes_) return false;
        constexpr std::uint16_t kBoth = kLastOfAccount | kLastOfTransaction;
        if (everyone_closes_) {
            Part* everyone = find_part({AccountKind::Everyone, {}});
            for (Part* part = first_; part != nullptr; part = part->next)
                if (part->open && part != everyone) write_frame(output, part, 0, 0);
            write_frame(output, everyone, kBoth, end_lsn);
        } else {
            for (Part* part = first_; part != nullptr; part = part->next) {
                const bool is_last = part->next == nullptr;
                write_frame(output, part, is_last ? kBoth : std::uint16_t{kLastOfAccount},
                            is_last ? end_lsn : 0);
            }
        }
        output.end_batch();
        reset();
        return true;
    }

    // Starts a record for the account; its body is appended to the buffer of the part's frame, then
    // finish_record() closes it. `schema` is {} for a message.
    struct Record {
        Part* part;
        std::size_t start;
    };
    Record start_record(Output& output, AccountView account, Op op, std::uint8_t flags,
                        SchemaId schema) {
        Part* part = find_part(account);
        // Only when more follows: so the frame that stays to the end can carry the closing mark.
        if (part->open && part->frame.is_full(frame_bytes_)) {
            write_frame(output, part, 0, 0);
            output.end_batch();
        }
        if (!part->open) open_frame(part);
        return {part, part->frame.start_record(op, flags, schema, next_ordinal_++)};
    }
    void set_old_offset(const Record& record) { record.part->frame.set_old_offset(record.start); }
    void finish_record(Output& output, const Record& record) {
        (void)record.part->frame.finish_record(record.start);
        count(record.part);
        if (held_bytes_ >= transaction_bound::kMaxHeldBytes) flush_all(output);
        if (parts_ >= transaction_bound::kMaxParts) {
            flush_all(output);
            reset();
            everyone_closes_ = true;
        }
    }

    // A change that is not sent has its ordinal all the same.
    void skip_ordinal() { ++next_ordinal_; }

    // Whoever holds rows of the table is to take a snapshot after this transaction: `tenants`, or
    // only the operators. The records stand at the transaction's end, one for each table, in the
    // order of the tables' oids, which does not depend on the order of the changes: so their
    // ordinals are the same each time. True when it is the first of its table: then the caller sees
    // to it that `schema` is described.
    bool resync(SchemaId schema, bool tenants) {
        for (int i = 0; i < resync_count_; ++i) {
            if (resync_[i].schema.relation != schema.relation) continue;
            resync_[i].tenants |= tenants;
            return false;
        }
        if (resync_count_ == transaction_bound::kMaxResyncs) {
            resync_all_ = true;
            return false;
        }
        int at = resync_count_++;
        for (; at > 0 && resync_[at - 1].schema.relation > schema.relation; --at)
            resync_[at] = resync_[at - 1];
        resync_[at] = {schema, tenants};
        return true;
    }
    // The same for all tables.
    void resync_all() { resync_all_ = true; }

    // Writes a record without a body for everyone (`tenants`) or for the operators, in its place
    // among the changes around it.
    void write_for_all(Output& output, bool tenants, Op op, std::uint8_t flags, SchemaId schema) {
        if (tenants)
            flush_before_everyone(output);
        else
            flush_everyone(output);
        const AccountView account = {tenants ? AccountKind::Everyone : AccountKind::Operators, {}};
        finish_record(output, start_record(output, account, op, flags, schema));
    }

    // Before a record for everyone all that is held goes out, so that frames keep the order of the
    // changes around it.
    void flush_before_everyone(Output& output) {
        for (Part* part = first_; part != nullptr; part = part->next)
            if (part->open && part->kind != AccountKind::Everyone) write_frame(output, part, 0, 0);
        output.end_batch();
        everyone_closes_ = true;
    }
    // And what is held for everyone goes out before the next record of a single account.
    void flush_everyone(Output& output) {
        if (!everyone_closes_) return;
        Part* everyone = find_part({AccountKind::Everyone, {}});
        if (everyone->open) write_frame(output, everyone, 0, 0);
        output.end_batch();
    }

    // Of the parts' buffers.
    [[nodiscard]] std::size_t held_bytes() const { return held_bytes_; }

private:
    static constexpr std::size_t kBuckets = 4096;

    static std::uint32_t hash_of(AccountView account) {
        return fingerprint(account.bytes) ^ static_cast<std::uint32_t>(account.kind);
    }

    void release(Part* part) {
        part->frame.free();
        memory_.free(reinterpret_cast<std::byte*>(part));
    }

    // Gives all parts back for the next transaction, or their memory to where it came from.
    void reset() {
        using namespace transaction_bound;
        for (Part* part = first_; part != nullptr;) {
            Part* next = part->next;
            buckets_[part->hash % kBuckets] = nullptr;
            const std::size_t bytes = sizeof(Part) + part->frame.buffer.capacity();
            if (kept_bytes_ + bytes <= kMaxKeptBytes &&
                part->frame.buffer.capacity() <= kMaxKeptBuffer) {
                part->next = free_;
                free_ = part;
                kept_bytes_ += bytes;
            } else {
                release(part);
            }
            part = next;
        }
        first_ = last_ = recent_ = nullptr;
        parts_ = 0;
        held_bytes_ = 0;
    }

    // What is held is the sum over the parts: else a transaction could grow without a bound, or be
    // cut into frames of a few bytes.
    void check_held() const {
        if constexpr (Memory::kCheckSums) {
            std::size_t sum = 0;
            std::size_t parts = 0;
            for (const Part* part = first_; part != nullptr; part = part->next) {
                Memory::check(part->counted == part->frame.buffer.capacity(),
                              "each buffer is counted");
                sum += part->counted;
                ++parts;
            }
            Memory::check(sum == held_bytes_ && parts == parts_, "what is held is the sum");
        }
    }

    // Brings held_bytes_ up to what the part's buffer has allocated by now.
    void count(Part* part) {
        const std::size_t capacity = part->frame.buffer.capacity();
        held_bytes_ = held_bytes_ - part->counted + capacity;
        part->counted = capacity;
    }

    // One that is kept from an earlier transaction, or a new one.
    Part* take_part() {
        if (free_ != nullptr) {
            Part* part = free_;
            free_ = part->next;
            kept_bytes_ -= sizeof(Part) + part->frame.buffer.capacity();
            return part;
        }
        std::byte* bytes = memory_.allocate(sizeof(Part));
        std::memset(bytes, 0, sizeof(Part));
        auto* part = reinterpret_cast<Part*>(bytes);
        part->frame.init(memory_);
        return part;
    }

    // The account's part, which is made at its first change. Changes of one account often follow
    // each other, so the last one is tried first.
    Part* find_part(AccountView account) {
        if (recent_ != nullptr && recent_->view() == account) return recent_;
        const std::uint32_t hash = hash_of(account);
        Part*& bucket = buckets_[hash % kBuckets];
        for (Part* part = bucket; part != nullptr; part = part->next_in_bucket)
            if (part->hash == hash && part->view() == account) return recent_ = part;

        Part* part = take_part();
        part->next_in_bucket = bucket;
        part->next = nullptr;
        part->hash = hash;
        part->kind = account.kind;
        part->account_length = static_cast<std::uint8_t>(account.bytes.size());
        if (!account.bytes.empty())
            std::memcpy(part->account, account.bytes.data(), account.bytes.size());
        part->open = false;
        part->counted = 0;
        count(part);
        bucket = part;
        (last_ == nullptr ? first_ : last_->next) = part;
        last_ = part;
        ++parts_;
        return recent_ = part;
    }

    void open_frame(Part* part) {
        part->open = true;
        part->frame.open(part->view());
        count(part);
    }

    // A part without an open frame gets one without records: it only carries the mark.
    void write_frame(Output& output, Part* part, std::uint16_t flags, Lsn end_lsn) {
        Memory::check((flags & kLastOfTransaction) != 0 || end_lsn == 0,
                      "only the last frame says where the transaction ends");
        if (!part->open) open_frame(part);
        const auto all_flags = static_cast<std::uint16_t>(flags | common_flags_);
        part->frame.close({all_flags, xid_, commit_lsn_, end_lsn, commit_time_, part->view()});
        output.put(part->frame.buffer.bytes());
        part->open = false;
        if (part->frame.buffer.capacity() > transaction_bound::kMaxKeptBuffer)
            part->frame.buffer.release();
        count(part);
    }

    void flush_all(Output& output) {
        check_held();
        for (Part* part = first_; part != nullptr; part = part->next) {
            if (part->open) write_frame(output, part, 0, 0);
            part->frame.buffer.release();
            count(part);
        }
        output.end_batch();
    }

    void write_resyncs(Output& output) {
        if (resync_all_) {
            write_for_all(output, true, Op::Resync, 0, {});
            return;
        }
        for (int i = 0; i < resync_count_; ++i)
            write_for_all(output, resync_[i].tenants, Op::Resync, 0, resync_[i].schema);
    }

    Memory memory_;
    std::size_t frame_bytes_;
    Part* buckets_[kBuckets];
    Part* first_;
    Part* last_;
    Part* recent_;
    Part* free_;
    std::size_t kept_bytes_;  // of the parts behind free_
    std::size_t parts_;
    std::size_t held_bytes_;
    struct ResyncOf {
        SchemaId schema;
        bool tenants;
    };
    ResyncOf resync_[transaction_bound::kMaxResyncs];
    int resync_count_;
    bool resync_all_;
    bool everyone_closes_;
    std::uint32_t next_ordinal_;
    std::uint16_t common_flags_;
    std::uint32_t xid_;
    Lsn commit_lsn_;
    Microseconds commit_time_;
};

}  // namespace fatwal::wire
