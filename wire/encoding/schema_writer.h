// Writes a schema message ("Schema" in docs/wire-format.md):
//
//     SchemaWriter writer(buffer, "public", "tasks");
//     writer.column(column, labels);       // then label() for each of them, in their sort order
//     const SchemaId id = writer.finish(relation, identity, account_column);
#pragma once

#include "fatwal/wire/schema.h"
#include "wire/encoding/buffer.h"

namespace fatwal::wire {

// A schema message with more bytes of labels than this would come near the 1 GB that a message can
// have, were there 1,600 such columns; and its count of labels is a u16. An enum beyond either
// travels as text.
inline constexpr std::size_t kMaxLabelBytes = std::size_t{16} * 1024 * 1024;
inline constexpr std::size_t kMaxLabels = 0xFFFF;
inline constexpr std::size_t kLabelBytesBesideName = 6;  // oid and length

template <class Memory>
class SchemaWriter {
public:
    SchemaWriter(Buffer<Memory>& buffer, std::string_view schema, std::string_view table)
        : buffer_(buffer) {
        buffer.extend_zeroed(kSchemaHeaderBytes);
        buffer.append_str(schema);
        buffer.append_str(table);
    }
    // All of the view but its labels, of which `labels` follow.
    void column(const ColumnView& column, std::size_t labels) {
        buffer_.append(static_cast<std::uint8_t>(column.code));
        buffer_.append(static_cast<std::uint8_t>(column.element));
        buffer_.append(column.flags);
        buffer_.append(std::uint8_t{0});
        buffer_.append(column.type_oid);
        buffer_.append(column.base_type_oid);
        buffer_.append(column.type_modifier);
        buffer_.append(column.attribute_number);
        buffer_.append_str(column.name);
        buffer_.append_str(column.type_name);
        buffer_.append(static_cast<std::uint16_t>(labels));
        ++columns_;
    }
    void label(std::uint32_t oid, std::string_view text) {
        buffer_.append(oid);
        buffer_.append_str(text);
    }
    // `account_column`: its index; -1 none. Then the buffer is the message.
    SchemaId finish(std::uint32_t relation, char replica_identity, std::int16_t account_column) {
        buffer_.pad8(0);
        std::byte* header = buffer_.at(0);
        store(header + message_at::kKind, kSchemaKind);
        store(header + message_at::kVersion, kVersion);
        store(header + schema_at::kColumns, columns_);
        store(header + schema_at::kRelation, relation);
        store(header + schema_at::kLength, static_cast<std::uint32_t>(buffer_.size()));
        store(header + schema_at::kReplicaIdentity, replica_identity);
        store(header + schema_at::kAccountColumn, account_column);
        const SchemaId id{relation, fingerprint(buffer_.bytes().subspan(kFingerprintFrom))};
        store(buffer_.at(schema_at::kFingerprint), id.fingerprint);
        return id;
    }

private:
    Buffer<Memory>& buffer_;
    std::uint16_t columns_ = 0;
};

}  // namespace fatwal::wire
