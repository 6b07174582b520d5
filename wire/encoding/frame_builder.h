// Builds one frame: header, records, relations (docs/wire-format.md).
#pragma once

#include "fatwal/wire/account.h"
#include "fatwal/wire/types.h"
#include "wire/encoding/buffer.h"

namespace fatwal::wire {

struct FrameHeader {
    std::uint16_t flags;
    std::uint32_t xid;
    Lsn commit_lsn;
    Lsn end_lsn;
    Microseconds commit_time;
    AccountView account;
};

template <class Memory>
class FrameBuilder {
public:
    static constexpr std::uint16_t kMaxRelations = 0xFFFE;

    void init(Memory memory) {
        memory_ = memory;
        buffer.init(memory, kInitialBuffer);
        relation_capacity_ = kInitialRelations;
        relations_ = reinterpret_cast<SchemaId*>(memory_.allocate(bytes_of(relation_capacity_)));
    }
    void free() {
        buffer.release();
        memory_.free(reinterpret_cast<std::byte*>(relations_));
    }

    // Begins an empty frame for the account. The account's bytes are written at once; the rest of
    // the header is known in close().
    void open(AccountView account) {
        records_ = 0;
        relation_count_ = 0;
        last_relation_ = 0;
        buffer.truncate(0);
        buffer.extend_zeroed(kFrameHeaderBytes);
        buffer.append(account.bytes.data(), account.bytes.size());
        buffer.pad8(0);
    }

    // Starts a record; its body is appended to `buffer`, then finish_record() closes it and gives
    // its length. `schema` is {} for a message.
    std::size_t start_record(Op op, std::uint8_t flags, SchemaId schema, std::uint32_t ordinal) {
        const std::size_t start = buffer.extend_zeroed(kRecordHeaderBytes);
        std::byte* header = buffer.at(start);
        store(header + record_at::kOrdinal, ordinal);
        store(header + record_at::kRelation,
              schema == SchemaId{} ? kNoRelation : relation_index(schema));
        store(header + record_at::kOp, static_cast<std::uint8_t>(op));
        store(header + record_at::kFlags, flags);
        return start;
    }
    void set_old_offset(std::size_t record) {
        store(buffer.at(record + record_at::kOldOffset),
              static_cast<std::uint32_t>(buffer.size() - record));
    }
    std::size_t finish_record(std::size_t record) {
        Memory::check(record % 8 == 0, "a record begins at a multiple of 8");
        buffer.pad8(record);
        const std::size_t length = buffer.size() - record;
        store(buffer.at(record + record_at::kLength), static_cast<std::uint32_t>(length));
        ++records_;
        return length;
    }

    // Writes what the header says; then `buffer` is the whole frame. The relations stand behind the
    // records, as only now it is known which the frame names.
    void close(const FrameHeader& header) {
        Memory::check(relation_count_ <= kMaxRelations, "a frame counts its relations in 16 bits");
        Memory::check(header.account.bytes.size() <= kMaxAccountBytes, "a key is bounded");
        Memory::check(buffer.size() % 8 == 0, "records have lengths that are multiples of 8");
        const std::size_t relations_offset = buffer.size();
        for (std::uint16_t i = 0; i < relation_count_; ++i) {
            buffer.append(relations_[i].relation);
            buffer.append(relations_[i].fingerprint);
        }
        std::byte* to = buffer.at(0);
        store(to + message_at::kKind, kFrameKind);
        store(to + message_at::kVersion, kVersion);
        store(to + frame_at::kFlags, header.flags);
        store(to + frame_at::kXid, header.xid);
        store(to + frame_at::kCommitLsn, header.commit_lsn);
        store(to + frame_at::kEndLsn, header.end_lsn);
        store(to + frame_at::kCommitTime, header.commit_time);
        store(to + frame_at::kLength, static_cast<std::uint32_t>(buffer.size()));
        store(to + frame_at::kRecordCount, records_);
        store(to + frame_at::kRelationsOffset, static_cast<std::uint32_t>(relations_offset));
        store(to + frame_at::kRelationCount, relation_count_);
        store(to + frame_at::kAccountKind, static_cast<std::uint8_t>(header.account.kind));
        store(to + frame_at::kAccountLength,
              static_cast<std::uint8_t>(header.account.bytes.size()));
    }

    [[nodiscard]] std::uint32_t records() const { return records_; }
    [[nodiscard]] bool is_full(std::size_t frame_bytes) const {
        return buffer.size() >= frame_bytes || relation_count_ == kMaxRelations;
    }

    Buffer<Memory> buffer;

private:
    // Small, since a transaction may have a part for each of 16,384 accounts.
    static constexpr std::size_t kInitialBuffer = 1024;
    static constexpr std::uint16_t kInitialRelations = 4;

    static constexpr std::size_t bytes_of(std::uint16_t relations) {
        return sizeof(SchemaId) * relations;
    }

    // Linear, as a transaction changes few tables, and most records are of the table of the one
    // before.
    std::uint16_t relation_index(SchemaId schema) {
        if (last_relation_ < relation_count_ && relations_[last_relation_] == schema)
            return last_relation_;
        for (std::uint16_t i = 0; i < relation_count_; ++i)
            if (relations_[i] == schema) return last_relation_ = i;
        if (relation_count_ == relation_capacity_) {
            relation_capacity_ = static_cast<std::uint16_t>(relation_capacity_ * 2);
            relations_ = reinterpret_cast<SchemaId*>(memory_.resize(
                reinterpret_cast<std::byte*>(relations_), bytes_of(relation_capacity_)));
        }
        relations_[relation_count_] = schema;
        return last_relation_ = relation_count_++;
    }

    Memory memory_;
    std::uint32_t records_;
    SchemaId* relations_;
    std::uint16_t relation_count_;
    std::uint16_t relation_capacity_;
    std::uint16_t last_relation_;
};

}  // namespace fatwal::wire
