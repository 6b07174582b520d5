#include "extension/frame_builder.h"

namespace fatwal::plugin {

namespace {

// Small, since a transaction may have a part for each of 16,384 accounts.
constexpr std::size_t kInitialBuffer = 1024;
constexpr std::uint16_t kInitialRelations = 4;

}  // namespace

void FrameBuilder::init(MemoryContext context) {
    buffer.init(context, kInitialBuffer);
    relation_capacity_ = kInitialRelations;
    relations_ = static_cast<wire::SchemaId*>(
        MemoryContextAlloc(context, sizeof(wire::SchemaId) * relation_capacity_));
}

void FrameBuilder::free() {
    buffer.release();
    pfree(relations_);
}

// The account's bytes are written at once; the rest of the header is known in close().
void FrameBuilder::open(wire::AccountView account) {
    records_ = 0;
    relation_count_ = 0;
    last_relation_ = 0;
    buffer.truncate(0);
    buffer.extend_zeroed(wire::kFrameHeaderBytes);
    buffer.append(account.bytes.data(), account.bytes.size());
    buffer.pad8(0);
}

// Linear, as a transaction changes few tables, and most records are of the table of the one before.
std::uint16_t FrameBuilder::relation_index(wire::SchemaId schema) {
    if (last_relation_ < relation_count_ && relations_[last_relation_] == schema)
        return last_relation_;
    for (std::uint16_t i = 0; i < relation_count_; ++i)
        if (relations_[i] == schema) return last_relation_ = i;
    if (relation_count_ == relation_capacity_) {
        relation_capacity_ = static_cast<std::uint16_t>(relation_capacity_ * 2);
        relations_ = static_cast<wire::SchemaId*>(
            repalloc(relations_, sizeof(wire::SchemaId) * relation_capacity_));
    }
    relations_[relation_count_] = schema;
    return last_relation_ = relation_count_++;
}

std::size_t FrameBuilder::start_record(wire::Op op, std::uint8_t flags, wire::SchemaId schema,
                                       std::uint32_t ordinal) {
    const std::size_t start = buffer.extend_zeroed(wire::kRecordHeaderBytes);
    std::byte* header = buffer.at(start);
    wire::store(header + wire::record_at::kOrdinal, ordinal);
    wire::store(header + wire::record_at::kRelation,
                schema == wire::SchemaId{} ? wire::kNoRelation : relation_index(schema));
    wire::store(header + wire::record_at::kOp, static_cast<std::uint8_t>(op));
    wire::store(header + wire::record_at::kFlags, flags);
    return start;
}

void FrameBuilder::set_old_offset(std::size_t record) {
    wire::store(buffer.at(record + wire::record_at::kOldOffset),
                static_cast<std::uint32_t>(buffer.size() - record));
}

std::size_t FrameBuilder::finish_record(std::size_t record) {
    Assert(record % 8 == 0);
    buffer.pad8(record);
    const std::size_t length = buffer.size() - record;
    wire::store(buffer.at(record + wire::record_at::kLength), static_cast<std::uint32_t>(length));
    ++records_;
    return length;
}

// The relations stand behind the records, as only now it is known which the frame names.
void FrameBuilder::close(const FrameHeader& header) {
    Assert(relation_count_ <= kMaxRelations);
    Assert(header.account.bytes.size() <= wire::kMaxAccountBytes);
    Assert(buffer.size() % 8 == 0);
    const std::size_t relations_offset = buffer.size();
    for (std::uint16_t i = 0; i < relation_count_; ++i) {
        buffer.append(relations_[i].relation);
        buffer.append(relations_[i].fingerprint);
    }
    std::byte* to = buffer.at(0);
    wire::store(to + wire::message_at::kKind, wire::kFrameKind);
    wire::store(to + wire::message_at::kVersion, wire::kVersion);
    wire::store(to + wire::frame_at::kFlags, header.flags);
    wire::store(to + wire::frame_at::kXid, header.xid);
    wire::store(to + wire::frame_at::kCommitLsn, header.commit_lsn);
    wire::store(to + wire::frame_at::kEndLsn, header.end_lsn);
    wire::store(to + wire::frame_at::kCommitTime, header.commit_time);
    wire::store(to + wire::frame_at::kLength, static_cast<std::uint32_t>(buffer.size()));
    wire::store(to + wire::frame_at::kRecordCount, records_);
    wire::store(to + wire::frame_at::kRelationsOffset,
                static_cast<std::uint32_t>(relations_offset));
    wire::store(to + wire::frame_at::kRelationCount, relation_count_);
    wire::store(to + wire::frame_at::kAccountKind, static_cast<std::uint8_t>(header.account.kind));
    wire::store(to + wire::frame_at::kAccountLength,
                static_cast<std::uint8_t>(header.account.bytes.size()));
}

}  // namespace fatwal::plugin
