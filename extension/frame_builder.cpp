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

void FrameBuilder::open(wire::AccountView account) {
    records_ = 0;
    relation_count_ = 0;
    last_relation_ = 0;
    buffer.truncate(0);
    buffer.extend_zeroed(wire::kFrameHeaderBytes);
    buffer.append(account.bytes.data(), account.bytes.size());
    buffer.pad8(0);
}

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
    wire::store(header + 4, ordinal);
    wire::store(header + 8,
                schema == wire::SchemaId{} ? wire::kNoRelation : relation_index(schema));
    wire::store(header + 10, static_cast<std::uint8_t>(op));
    wire::store(header + 11, flags);
    return start;
}

void FrameBuilder::set_old_offset(std::size_t record) {
    wire::store(buffer.at(record + 12), static_cast<std::uint32_t>(buffer.size() - record));
}

std::size_t FrameBuilder::finish_record(std::size_t record) {
    buffer.pad8(record);
    const std::size_t length = buffer.size() - record;
    wire::store(buffer.at(record), static_cast<std::uint32_t>(length));
    ++records_;
    return length;
}

void FrameBuilder::close(const FrameHeader& header) {
    const std::size_t relations_offset = buffer.size();
    for (std::uint16_t i = 0; i < relation_count_; ++i) {
        buffer.append(relations_[i].relation);
        buffer.append(relations_[i].fingerprint);
    }
    std::byte* to = buffer.at(0);
    wire::store(to, wire::kFrameKind);
    wire::store(to + 1, wire::kVersion);
    wire::store(to + 2, header.flags);
    wire::store(to + 4, header.xid);
    wire::store(to + 8, header.commit_lsn);
    wire::store(to + 16, header.end_lsn);
    wire::store(to + 24, header.commit_time);
    wire::store(to + 32, static_cast<std::uint32_t>(buffer.size()));
    wire::store(to + 36, records_);
    wire::store(to + 40, static_cast<std::uint32_t>(relations_offset));
    wire::store(to + 44, relation_count_);
    wire::store(to + 46, static_cast<std::uint8_t>(header.account.kind));
    wire::store(to + 47, static_cast<std::uint8_t>(header.account.bytes.size()));
}

}  // namespace fatwal::plugin
