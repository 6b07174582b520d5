#include "transaction.h"

#include "fatwal/wire/schema.h"

namespace fatwal {

namespace {

// A buffer that one large row made larger than this is not kept for the next transaction.
constexpr std::size_t kMaxKeptBuffer = 256 * 1024;
constexpr std::size_t kMaxKeptParts = 256;

std::uint32_t hash_of(wire::AccountView account) { return wire::fingerprint(account.bytes) ^ static_cast<std::uint32_t>(account.kind); }

}  // namespace

void write_message(LogicalDecodingContext* ctx, wire::Bytes message) {
    OutputPluginPrepareWrite(ctx, true);
    appendBinaryStringInfo(ctx->out, reinterpret_cast<const char*>(message.data()), static_cast<int>(message.size()));
    OutputPluginWrite(ctx, true);
}

void Transaction::init(MemoryContext parent, std::size_t frame_bytes) {
    context_ = AllocSetContextCreate(parent, "fatwal transaction", ALLOCSET_DEFAULT_SIZES);
    frame_bytes_ = frame_bytes;
    free_ = nullptr;
    first_ = nullptr;
    std::memset(buckets_, 0, sizeof buckets_);
    reset();
}

void Transaction::begin(std::uint32_t xid, wire::Lsn commit_lsn, wire::Microseconds commit_time) {
    reset();
    next_ordinal_ = 0;
    everyone_closes_ = false;
    common_flags_ = 0;
    xid_ = xid;
    commit_lsn_ = commit_lsn;
    commit_time_ = commit_time;
}

void Transaction::begin_message(wire::Lsn lsn) {
    begin(0, lsn, 0);
    common_flags_ = wire::kNonTransactional;
}

// Gives all parts back for the next transaction, or their memory to the context.
void Transaction::reset() {
    std::size_t kept = 0;
    for (Part* part = free_; part != nullptr; part = part->next) ++kept;
    for (Part* part = first_; part != nullptr;) {
        Part* next = part->next;
        buckets_[part->hash % kBuckets] = nullptr;
        if (kept < kMaxKeptParts && part->frame.buffer.capacity() <= kMaxKeptBuffer) {
            part->next = free_;
            free_ = part;
            ++kept;
        } else {
            part->frame.free();
            pfree(part);
        }
        part = next;
    }
    first_ = last_ = recent_ = nullptr;
    parts_ = 0;
    held_bytes_ = 0;
}

Part* Transaction::take_part() {
    if (free_ != nullptr) {
        Part* part = free_;
        free_ = part->next;
        return part;
    }
    auto* part = static_cast<Part*>(MemoryContextAllocZero(context_, sizeof(Part)));
    part->frame.init(context_);
    return part;
}

Part* Transaction::find_part(wire::AccountView account) {
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
    if (!account.bytes.empty()) std::memcpy(part->account, account.bytes.data(), account.bytes.size());
    part->open = false;
    bucket = part;
    (last_ == nullptr ? first_ : last_->next) = part;
    last_ = part;
    ++parts_;
    return recent_ = part;
}

void Transaction::open_frame(Part* part) {
    part->open = true;
    part->frame.open(part->view());
    held_bytes_ += part->frame.buffer.size();
}

Transaction::Record Transaction::start_record(LogicalDecodingContext* ctx, wire::AccountView account, wire::Op op, std::uint8_t flags,
                                              wire::SchemaId schema) {
    Part* part = find_part(account);
    // Only when more follows: so the frame that stays to the end can carry the closing mark.
    if (part->open && part->frame.is_full(frame_bytes_)) write_frame(ctx, part, 0, 0);
    if (!part->open) open_frame(part);
    return {part, part->frame.start_record(op, flags, schema, next_ordinal_++)};
}

void Transaction::set_old_offset(const Record& record) { record.part->frame.set_old_offset(record.start); }

void Transaction::finish_record(LogicalDecodingContext* ctx, const Record& record) {
    held_bytes_ += record.part->frame.finish_record(record.start);
    if (held_bytes_ >= kMaxHeldBytes) flush_all(ctx);
    if (parts_ >= kMaxParts) {
        flush_all(ctx);
        reset();
        everyone_closes_ = true;
    }
}

void Transaction::write_frame(LogicalDecodingContext* ctx, Part* part, std::uint16_t flags, wire::Lsn end_lsn) {
    if (!part->open) open_frame(part);
    held_bytes_ -= part->frame.buffer.size();
    const auto all_flags = static_cast<std::uint16_t>(flags | common_flags_);
    part->frame.close({all_flags, xid_, commit_lsn_, end_lsn, commit_time_, part->view()});
    write_message(ctx, part->frame.buffer.bytes());
    part->open = false;
}

void Transaction::flush_all(LogicalDecodingContext* ctx) {
    for (Part* part = first_; part != nullptr; part = part->next)
        if (part->open) write_frame(ctx, part, 0, 0);
}

void Transaction::flush_before_everyone(LogicalDecodingContext* ctx) {
    for (Part* part = first_; part != nullptr; part = part->next)
        if (part->open && part->kind != wire::AccountKind::Everyone) write_frame(ctx, part, 0, 0);
    everyone_closes_ = true;
}

void Transaction::flush_everyone(LogicalDecodingContext* ctx) {
    if (!everyone_closes_) return;
    Part* everyone = find_part({wire::AccountKind::Everyone, {}});
    if (everyone->open) write_frame(ctx, everyone, 0, 0);
}

bool Transaction::commit(LogicalDecodingContext* ctx, wire::Lsn end_lsn) {
    if (parts_ == 0 && !everyone_closes_) return false;
    constexpr std::uint16_t kBoth = wire::kLastOfAccount | wire::kLastOfTransaction;
    if (everyone_closes_) {
        Part* everyone = find_part({wire::AccountKind::Everyone, {}});
        for (Part* part = first_; part != nullptr; part = part->next)
            if (part->open && part != everyone) write_frame(ctx, part, 0, 0);
        write_frame(ctx, everyone, kBoth, end_lsn);
    } else {
        for (Part* part = first_; part != nullptr; part = part->next) {
            const bool is_last = part->next == nullptr;
            write_frame(ctx, part, is_last ? kBoth : std::uint16_t{wire::kLastOfAccount}, is_last ? end_lsn : 0);
        }
    }
    reset();
    return true;
}

}  // namespace fatwal
