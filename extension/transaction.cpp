#include "extension/transaction.h"

#include "fatwal/wire/schema.h"

namespace fatwal::plugin {

namespace {

// What is kept for the next transaction, so that small ones need not allocate: buffers up to this
// size, and of all of them no more than this.
constexpr std::size_t kMaxKeptBuffer = 256 * 1024;
constexpr std::size_t kMaxKeptBytes = std::size_t{4} * 1024 * 1024;
// What the server's own output buffer may keep of a large message.
constexpr int kMaxKeptOutput = 1024 * 1024;

std::uint32_t hash_of(wire::AccountView account) {
    return wire::fingerprint(account.bytes) ^ static_cast<std::uint32_t>(account.kind);
}

}  // namespace

namespace {

void append_output(LogicalDecodingContext* ctx, wire::Bytes message) {
    appendBinaryStringInfo(ctx->out, reinterpret_cast<const char*>(message.data()),
                           static_cast<int>(message.size()));
}

// The server copies the message on before this returns, and prepares its buffer again before the
// next one.
void write_output(LogicalDecodingContext* ctx) {
    OutputPluginWrite(ctx, true);
    if (ctx->out->maxlen <= kMaxKeptOutput) return;
    MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(ctx->out->data));
    pfree(ctx->out->data);
    initStringInfo(ctx->out);
    MemoryContextSwitchTo(caller);
}

}  // namespace

void write_message(LogicalDecodingContext* ctx, wire::Bytes message) {
    OutputPluginPrepareWrite(ctx, true);
    append_output(ctx, message);
    write_output(ctx);
}

// Adds the message to the CopyData that is being gathered, which is written when the next one would
// pass kBatchBytes.
void Transaction::put(LogicalDecodingContext* ctx, wire::Bytes message) {
    if (in_batch_ && static_cast<std::size_t>(ctx->out->len) + message.size() > kBatchBytes)
        end_batch(ctx);
    if (!in_batch_) OutputPluginPrepareWrite(ctx, true);
    in_batch_ = true;
    append_output(ctx, message);
}

void Transaction::end_batch(LogicalDecodingContext* ctx) {
    if (in_batch_) write_output(ctx);
    in_batch_ = false;
}

void Transaction::init(MemoryContext parent, std::size_t frame_bytes) {
    context_ = AllocSetContextCreate(parent, "fatwal transaction", ALLOCSET_DEFAULT_SIZES);
    frame_bytes_ = frame_bytes;
    free_ = nullptr;
    kept_bytes_ = 0;
    first_ = nullptr;
    std::memset(buckets_, 0, sizeof buckets_);
    reset();
}

void Transaction::begin(std::uint32_t xid, wire::Lsn commit_lsn, wire::Microseconds commit_time) {
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

void Transaction::begin_message(wire::Lsn lsn) {
    begin(0, lsn, 0);
    common_flags_ = wire::kNonTransactional;
}

// Gives all parts back for the next transaction, or their memory to the context.
void Transaction::reset() {
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
            part->frame.free();
            pfree(part);
        }
        part = next;
    }
    first_ = last_ = recent_ = nullptr;
    parts_ = 0;
    held_bytes_ = 0;
    in_batch_ = false;
}

// What is held is the sum over the parts: else a transaction could grow without a bound, or be cut
// into frames of a few bytes.
void Transaction::check_held() const {
#ifdef USE_ASSERT_CHECKING
    std::size_t sum = 0;
    std::size_t parts = 0;
    for (const Part* part = first_; part != nullptr; part = part->next) {
        Assert(part->counted == part->frame.buffer.capacity());
        sum += part->counted;
        ++parts;
    }
    Assert(sum == held_bytes_);
    Assert(parts == parts_);
#endif
}

// Brings held_bytes_ up to what the part's buffer has allocated by now.
void Transaction::count(Part* part) {
    const std::size_t capacity = part->frame.buffer.capacity();
    held_bytes_ = held_bytes_ - part->counted + capacity;
    part->counted = capacity;
}

// One that is kept from an earlier transaction, or a new one.
Part* Transaction::take_part() {
    if (free_ != nullptr) {
        Part* part = free_;
        free_ = part->next;
        kept_bytes_ -= sizeof(Part) + part->frame.buffer.capacity();
        return part;
    }
    auto* part = static_cast<Part*>(MemoryContextAllocZero(context_, sizeof(Part)));
    part->frame.init(context_);
    return part;
}

// The account's part, which is made at its first change. Changes of one account often follow each
// other, so the last one is tried first.
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

void Transaction::open_frame(Part* part) {
    part->open = true;
    part->frame.open(part->view());
    count(part);
}

Transaction::Record Transaction::start_record(LogicalDecodingContext* ctx,
                                              wire::AccountView account, wire::Op op,
                                              std::uint8_t flags, wire::SchemaId schema) {
    Part* part = find_part(account);
    // Only when more follows: so the frame that stays to the end can carry the closing mark.
    if (part->open && part->frame.is_full(frame_bytes_)) {
        write_frame(ctx, part, 0, 0);
        end_batch(ctx);
    }
    if (!part->open) open_frame(part);
    return {part, part->frame.start_record(op, flags, schema, next_ordinal_++)};
}

void Transaction::set_old_offset(const Record& record) {
    record.part->frame.set_old_offset(record.start);
}

void Transaction::finish_record(LogicalDecodingContext* ctx, const Record& record) {
    (void)record.part->frame.finish_record(record.start);
    count(record.part);
    if (held_bytes_ >= kMaxHeldBytes) flush_all(ctx);
    if (parts_ >= kMaxParts) {
        flush_all(ctx);
        reset();
        everyone_closes_ = true;
    }
}

// A part without an open frame gets one without records: it only carries the mark.
void Transaction::write_frame(LogicalDecodingContext* ctx, Part* part, std::uint16_t flags,
                              wire::Lsn end_lsn) {
    Assert((flags & wire::kLastOfTransaction) != 0 || end_lsn == 0);
    if (!part->open) open_frame(part);
    const auto all_flags = static_cast<std::uint16_t>(flags | common_flags_);
    part->frame.close({all_flags, xid_, commit_lsn_, end_lsn, commit_time_, part->view()});
    put(ctx, part->frame.buffer.bytes());
    part->open = false;
    if (part->frame.buffer.capacity() > kMaxKeptBuffer) part->frame.buffer.release();
    count(part);
}

void Transaction::flush_all(LogicalDecodingContext* ctx) {
    check_held();
    for (Part* part = first_; part != nullptr; part = part->next) {
        if (part->open) write_frame(ctx, part, 0, 0);
        part->frame.buffer.release();
        count(part);
    }
    end_batch(ctx);
}

void Transaction::flush_before_everyone(LogicalDecodingContext* ctx) {
    for (Part* part = first_; part != nullptr; part = part->next)
        if (part->open && part->kind != wire::AccountKind::Everyone) write_frame(ctx, part, 0, 0);
    end_batch(ctx);
    everyone_closes_ = true;
}

void Transaction::flush_everyone(LogicalDecodingContext* ctx) {
    if (!everyone_closes_) return;
    Part* everyone = find_part({wire::AccountKind::Everyone, {}});
    if (everyone->open) write_frame(ctx, everyone, 0, 0);
    end_batch(ctx);
}

// Inserts in the order of the oids, which does not depend on the order of the changes.
bool Transaction::resync(wire::SchemaId schema, bool tenants) {
    for (int i = 0; i < resync_count_; ++i) {
        if (resync_[i].schema.relation != schema.relation) continue;
        resync_[i].tenants |= tenants;
        return false;
    }
    if (resync_count_ == kMaxResyncs) {
        resync_all_ = true;
        return false;
    }
    int at = resync_count_++;
    for (; at > 0 && resync_[at - 1].schema.relation > schema.relation; --at)
        resync_[at] = resync_[at - 1];
    resync_[at] = {schema, tenants};
    return true;
}

void Transaction::resync_all() { resync_all_ = true; }

void Transaction::write_resyncs(LogicalDecodingContext* ctx) {
    if (resync_all_) {
        write_for_all(ctx, true, wire::Op::Resync, 0, {});
        return;
    }
    for (int i = 0; i < resync_count_; ++i)
        write_for_all(ctx, resync_[i].tenants, wire::Op::Resync, 0, resync_[i].schema);
}

void Transaction::write_for_all(LogicalDecodingContext* ctx, bool tenants, wire::Op op,
                                std::uint8_t flags, wire::SchemaId schema) {
    if (tenants)
        flush_before_everyone(ctx);
    else
        flush_everyone(ctx);
    const wire::AccountView account = {
        tenants ? wire::AccountKind::Everyone : wire::AccountKind::Operators, {}};
    finish_record(ctx, start_record(ctx, account, op, flags, schema));
}

bool Transaction::commit(LogicalDecodingContext* ctx, wire::Lsn end_lsn) {
    write_resyncs(ctx);
    check_held();
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
            write_frame(ctx, part, is_last ? kBoth : std::uint16_t{wire::kLastOfAccount},
                        is_last ? end_lsn : 0);
        }
    }
    end_batch(ctx);
    reset();
    return true;
}

}  // namespace fatwal::plugin
