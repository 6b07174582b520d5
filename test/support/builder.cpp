#include "test/support/builder.h"

namespace fatwal::test {

namespace {

template <class T>
void put_at(std::string& out, std::size_t at, T value) {
    out.replace(at, sizeof value, reinterpret_cast<const char*>(&value), sizeof value);
}

void set_bit(std::string& out, std::size_t bitmap, std::size_t bit) {
    char& byte = out[bitmap + bit / 8];
    byte = static_cast<char>(static_cast<unsigned char>(byte) | 1U << (bit % 8));
}

void put_slots(std::string& out, std::size_t slots, const std::vector<Value>& values) {
    std::size_t slot = slots;
    for (const Value& value : values) {
        if (value.kind == Value::Kind::Same) continue;
        if (value.kind == Value::Kind::Fixed) put_at(out, slot, value.slot);
        if (value.kind == Value::Kind::Variable) {
            put_at(out, slot, static_cast<std::uint32_t>(out.size()));
            put_at(out, slot + 4, static_cast<std::uint32_t>(value.bytes.size()));
            out += value.bytes;
        }
        slot += 8;
    }
}

}  // namespace

void put_str(std::string& out, std::string_view text) {
    put(out, static_cast<std::uint16_t>(text.size()));
    out += text;
}

void pad8(std::string& out) { out.append(wire::align8(out.size()) - out.size(), '\0'); }

std::string schema_message(std::uint32_t relation, const std::string& table,
                           const std::vector<ColumnSpec>& columns, std::int16_t account_column,
                           char replica_identity, const std::string& schema) {
    std::string out(wire::kSchemaHeaderBytes, '\0');
    put_str(out, schema);
    put_str(out, table);
    std::int16_t number = 0;
    for (const ColumnSpec& column : columns) {
        put(out, static_cast<std::uint8_t>(column.code));
        put(out, static_cast<std::uint8_t>(column.element));
        put(out, std::uint8_t{wire::kIdentity});
        put(out, std::uint8_t{0});
        put(out, std::uint32_t{1000});
        put(out, std::uint32_t{1000});
        put(out, std::int32_t{-1});
        ++number;
        put(out, column.attribute_number != 0 ? column.attribute_number : number);
        put_str(out, column.name);
        put_str(out, "type");
        put(out, static_cast<std::uint16_t>(column.labels.size()));
        for (const auto& [oid, label] : column.labels) {
            put(out, oid);
            put_str(out, label);
        }
    }
    pad8(out);
    put_at(out, 0, wire::kSchemaKind);
    put_at(out, 1, wire::kVersion);
    put_at(out, 2, static_cast<std::uint16_t>(columns.size()));
    put_at(out, 4, relation);
    put_at(out, 12, static_cast<std::uint32_t>(out.size()));
    put_at(out, 16, replica_identity);
    put_at(out, 18, account_column);
    put_at(out, 8, wire::fingerprint(wire::as_bytes(out).subspan(wire::kFingerprintFrom)));
    return out;
}

wire::SchemaId id_of(const std::string& schema_message) {
    const auto bytes = wire::as_bytes(schema_message);
    return {wire::load<std::uint32_t>(bytes.data() + 4),
            wire::load<std::uint32_t>(bytes.data() + 8)};
}

std::string row(const std::vector<Value>& values, bool delta) {
    std::uint8_t flags = delta ? wire::kDelta : 0;
    std::size_t slots = 0;
    for (const Value& value : values) {
        if (value.kind == Value::Kind::Unavailable) flags |= wire::kHasUnavailable;
        const bool present =
            value.kind != Value::Kind::Same && value.kind != Value::Kind::Unavailable;
        if (present || !delta) ++slots;
    }
    const std::size_t words = (values.size() + 63) / 64;
    const std::size_t nulls = wire::kRowHeaderBytes;
    const std::size_t unavailable = nulls + 8 * words;
    const std::size_t present =
        unavailable + ((flags & wire::kHasUnavailable) != 0 ? 8 * words : 0);
    const std::size_t slots_at = present + (delta ? 8 * words : 0);
    std::string out(slots_at + 8 * slots, '\0');
    std::vector<Value> slotted;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const Value& value = values[i];
        if (value.kind == Value::Kind::Null) set_bit(out, nulls, i);
        if (value.kind == Value::Kind::Unavailable) set_bit(out, unavailable, i);
        const bool has_slot =
            !delta || (value.kind != Value::Kind::Same && value.kind != Value::Kind::Unavailable);
        if (delta && has_slot) set_bit(out, present, i);
        if (has_slot) slotted.push_back(value);
    }
    put_slots(out, slots_at, slotted);
    pad8(out);
    put_at(out, 0, static_cast<std::uint32_t>(out.size()));
    put_at(out, 4, static_cast<std::uint16_t>(values.size()));
    put_at(out, 6, flags);
    return out;
}

std::string array_value(const std::vector<std::int32_t>& dimensions,
                        const std::vector<Value>& elements) {
    std::string out;
    put(out, static_cast<std::uint32_t>(dimensions.size()));
    put(out, static_cast<std::uint32_t>(elements.size()));
    for (const std::int32_t length : dimensions) {
        put(out, length);
        put(out, std::int32_t{1});
    }
    const std::size_t nulls = out.size();
    const std::size_t slots = nulls + 8 * ((elements.size() + 63) / 64);
    out.resize(slots + 8 * elements.size());
    for (std::size_t i = 0; i < elements.size(); ++i)
        if (elements[i].kind == Value::Kind::Null) set_bit(out, nulls, i);
    put_slots(out, slots, elements);
    return out;
}

std::string frame(const FrameSpec& spec) {
    std::string out(wire::kFrameHeaderBytes, '\0');
    out += spec.account.bytes;
    pad8(out);
    for (const RecordSpec& record : spec.records) {
        std::string bytes(wire::kRecordHeaderBytes, '\0');
        put_at(bytes, 4, record.ordinal);
        const bool lacks_relation = record.op == wire::Op::Message || spec.relations.empty();
        put_at(bytes, 8, lacks_relation ? wire::kNoRelation : record.relation);
        put_at(bytes, 10, static_cast<std::uint8_t>(record.op));
        put_at(bytes, 11, record.flags);
        bytes += record.new_row;
        if (!record.old_row.empty()) put_at(bytes, 12, static_cast<std::uint32_t>(bytes.size()));
        bytes += record.old_row;
        if (record.op == wire::Op::Message) {
            put(bytes, static_cast<std::uint32_t>(record.prefix.size()));
            put(bytes, static_cast<std::uint32_t>(record.content.size()));
            bytes += record.prefix + record.content;
        }
        pad8(bytes);
        put_at(bytes, 0, static_cast<std::uint32_t>(bytes.size()));
        out += bytes;
    }
    const std::size_t relations = out.size();
    for (const wire::SchemaId id : spec.relations) {
        put(out, id.relation);
        put(out, id.fingerprint);
    }
    put_at(out, 0, wire::kFrameKind);
    put_at(out, 1, wire::kVersion);
    put_at(out, 2, spec.flags);
    put_at(out, 4, spec.xid);
    put_at(out, 8, spec.commit_lsn);
    put_at(out, 16, spec.end_lsn);
    put_at(out, 24, spec.commit_time);
    put_at(out, 32, static_cast<std::uint32_t>(out.size()));
    put_at(out, 36, static_cast<std::uint32_t>(spec.records.size()));
    put_at(out, 40, static_cast<std::uint32_t>(relations));
    put_at(out, 44, static_cast<std::uint16_t>(spec.relations.size()));
    put_at(out, 46, static_cast<std::uint8_t>(spec.account.kind));
    put_at(out, 47, static_cast<std::uint8_t>(spec.account.bytes.size()));
    return out;
}

}  // namespace fatwal::test
