#include "fatwal/wire/json.h"

#include <charconv>
#include <cstdio>

#include "fatwal/wire/text.h"
#include "wire/src/datetime.h"
#include "wire/src/float.h"
#include "wire/src/numeric.h"

namespace fatwal::wire {

namespace {

void render_int8(std::int64_t value, Numbers numbers, const Sink& sink) {
    if (numbers == Numbers::Strings) sink('"');
    render_integer(value, sink);
    if (numbers == Numbers::Strings) sink('"');
}

RenderError render_numeric_json(Bytes stored, Numbers numbers, const Sink& sink) {
    const auto numeric = read_numeric(stored);
    if (!numeric) return RenderError::Malformed;
    const bool quoted = numbers == Numbers::Strings || !numeric->special.empty();
    if (quoted) sink('"');
    const RenderError error = render(*numeric, sink);
    if (quoted) sink('"');
    return error;
}

void render_hexadecimal(Bytes bytes, const Sink& sink) {
    static constexpr char digits[] = "0123456789abcdef";
    for (const std::byte byte : bytes) {
        sink(digits[std::to_integer<unsigned>(byte) >> 4U]);
        sink(digits[std::to_integer<unsigned>(byte) & 15U]);
    }
}

// A character as JSON's escape: \u and four hexadecimal digits.
void render_escape(unsigned code, const Sink& sink) {
    const std::byte bytes[] = {static_cast<std::byte>(code >> 8U), static_cast<std::byte>(code)};
    sink("\\u");
    render_hexadecimal(bytes, sink);
}

// The part of a text between two places. substr() would bring a check that throws into the server's
// library.
std::string_view part_of(std::string_view text, std::size_t from, std::size_t to) {
    return {text.data() + from, to - from};
}

RenderError render_text(std::string_view text, const Sink& sink) {
    if (!is_utf8(text)) return RenderError::Malformed;
    render_string(text, sink);
    return RenderError::None;
}

RenderError render_uuid(Bytes value, const Sink& sink) {
    if (value.size() != 16) return RenderError::Malformed;
    char text[kMaxAccountBytes];
    const std::size_t length = account_to_text({AccountKind::Uuid, value}, text);
    sink('"');
    sink({text, length});
    sink('"');
    return RenderError::None;
}

// The groups of an IPv6 address; the longest run of at least two zero groups (the first of equals)
// is "::". RFC 5952.
void render_ipv6(const std::byte* address, const Sink& sink) {
    std::uint16_t groups[8];
    for (int i = 0; i < 8; ++i)
        groups[i] = static_cast<std::uint16_t>(std::to_integer<unsigned>(address[2 * i]) << 8U |
                                               std::to_integer<unsigned>(address[2 * i + 1]));
    int run_at = -1;
    int run = 1;
    for (int i = 0; i < 8; ++i) {
        int length = 0;
        while (i + length < 8 && groups[i + length] == 0) ++length;
        if (length > run) {
            run = length;
            run_at = i;
        }
        if (length > 0) i += length - 1;
    }
    const bool embeds_ipv4 = run_at == 0 && (run == 6 || (run == 5 && groups[5] == 0xFFFF));
    for (int i = 0; i < 8; ++i) {
        if (i == run_at) {
            sink("::");
            i += run - 1;
            continue;
        }
        if (i != 0 && i != run_at + run) sink(':');
        if (embeds_ipv4 && i == 6) {
            char text[20];
            const int length = std::snprintf(text, sizeof text, "%d.%d.%d.%d", groups[6] >> 8,
                                             groups[6] & 255, groups[7] >> 8, groups[7] & 255);
            return sink({text, static_cast<std::size_t>(length)});
        }
        char text[8];
        const auto [end, error] = std::to_chars(text, text + sizeof text, groups[i], 16);
        (void)error;
        sink({text, static_cast<std::size_t>(end - text)});
    }
}

RenderError render_inet(Bytes value, bool cidr, const Sink& sink) {
    if (value.size() < 2) return RenderError::Malformed;
    const auto family = load<std::uint8_t>(value.data());
    const int bits = load<std::uint8_t>(value.data() + 1);
    const bool v4 = family == 4;
    if ((!v4 && family != 6) || value.size() != (v4 ? 6U : 18U) || bits > (v4 ? 32 : 128))
        return RenderError::Malformed;
    const std::byte* address = value.data() + 2;
    char text[24];
    sink('"');
    if (v4) {
        const int length =
            std::snprintf(text, sizeof text, "%d.%d.%d.%d", std::to_integer<int>(address[0]),
                          std::to_integer<int>(address[1]), std::to_integer<int>(address[2]),
                          std::to_integer<int>(address[3]));
        sink({text, static_cast<std::size_t>(length)});
    } else {
        render_ipv6(address, sink);
    }
    if (cidr || bits != (v4 ? 32 : 128)) {
        const int length = std::snprintf(text, sizeof text, "/%d", bits);
        sink({text, static_cast<std::size_t>(length)});
    }
    sink('"');
    return RenderError::None;
}

void render_macaddr(std::uint64_t slot, const Sink& sink) {
    sink('"');
    for (unsigned i = 0; i < 6; ++i) {
        const auto byte = static_cast<std::byte>(slot >> (8 * i));
        if (i != 0) sink(':');
        render_hexadecimal({&byte, 1}, sink);
    }
    sink('"');
}

RenderError render_array(Bytes value, TypeCode element, const EnumLabels& labels, const Sink& sink,
                         Numbers numbers) {
    const auto array = ArrayView::parse(value);
    if (!array || element == TypeCode::Array) return RenderError::Malformed;
    if (array->dimensions() == 0) return sink("[]"), RenderError::None;
    std::uint32_t
        stride[ArrayView::kMaxDimensions];  // elements in one entry of the dimension above
    std::uint32_t below = 1;
    for (std::uint32_t d = array->dimensions(); d-- > 0;)
        stride[d] = below *= static_cast<std::uint32_t>(array->length(d));
    for (std::uint32_t i = 0; i < array->size(); ++i) {
        if (i != 0) sink(',');
        for (std::uint32_t d = 0; d < array->dimensions(); ++d)
            if (i % stride[d] == 0) sink('[');
        const RenderError error = render_value(array->element(i, element), element, TypeCode::Other,
                                               labels, sink, numbers);
        if (error != RenderError::None) return error;
        for (std::uint32_t d = 0; d < array->dimensions(); ++d)
            if ((i + 1) % stride[d] == 0) sink(']');
    }
    return RenderError::None;
}

RenderError render_quoted(RenderError (*render)(Bytes, const Sink&), Bytes value,
                          const Sink& sink) {
    sink('"');
    const RenderError error = render(value, sink);
    sink('"');
    return error;
}

// One bad value costs its column only: render_row() leaves out exactly what render_unavailable()
// names.
template <class Row>
RenderError render_any_row(const Row& row, const SchemaView& schema, const Sink& sink,
                           Numbers numbers) {
    if (row.columns() != schema.columns()) return RenderError::Malformed;
    bool first = true;
    sink('{');
    schema.for_each_column([&](std::uint16_t index, const ColumnView& column) {
        const Cell cell = row.cell(index, column.code);
        if (!can_render(cell, column)) return;
        if (!first) sink(',');
        first = false;
        render_string(column.name, sink);
        sink(':');
        (void)render_value(cell, column.code, column.element, column.labels, sink, numbers);
    });
    sink('}');
    return RenderError::None;
}

template <class Row>
RenderError render_any_unavailable(const Row& row, const SchemaView& schema, const Sink& sink) {
    if (row.columns() != schema.columns()) return RenderError::Malformed;
    bool first = true;
    sink('[');
    schema.for_each_column([&](std::uint16_t index, const ColumnView& column) {
        if (can_render(row.cell(index, column.code), column)) return;
        if (!first) sink(',');
        first = false;
        render_string(column.name, sink);
    });
    sink(']');
    return RenderError::None;
}

}  // namespace

// A value of some types is right whatever its bits are; one of the others is rendered to nowhere,
// because what a sink was given cannot be taken back.
bool can_render(const Cell& cell, const ColumnView& column) {
    if (!cell.has_value()) return cell.state == Cell::State::Null;
    if (!is_known(column.code)) return false;
    if (info_of(column.code).validity == Validity::Any) return true;
    // Text and json are checked without rendering, as they may be large.
    if (column.code == TypeCode::Text || column.code == TypeCode::Other)
        return is_utf8(as_text(cell.bytes));
    if (column.code == TypeCode::Json) return is_json(as_text(cell.bytes), kMaxJsonDepth);
    const Sink nowhere{nullptr, [](void*, const char*, std::size_t) {}};
    return render_value(cell, column.code, column.element, column.labels, nowhere) ==
           RenderError::None;
}

void render_string(std::string_view text, const Sink& sink) {
    sink('"');
    std::size_t plain = 0;  // where the characters begin that are printed as they are
    for (std::size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            ++i;
            continue;
        }
        unsigned code = c;
        const std::size_t length = utf8_length(text, i);
        const std::size_t control = control_length(text, i, code);
        if (length != 0 && control == 0 && c >= 0x80) {
            i += length;
            continue;
        }
        sink(part_of(text, plain, i));
        i += length == 0 ? 1 : length;
        plain = i;
        switch (length == 0 ? 0U : code) {
            case '"': sink("\\\""); break;
            case '\\': sink("\\\\"); break;
            case '\b': sink("\\b"); break;
            case '\f': sink("\\f"); break;
            case '\n': sink("\\n"); break;
            case '\r': sink("\\r"); break;
            case '\t': sink("\\t"); break;
            default: render_escape(length == 0 ? 0xFFFDU : code, sink);
        }
    }
    sink(part_of(text, plain, text.size()));
    sink('"');
}

// Between the tokens of JSON only ASCII can stand, so a control character beyond it, or DEL, is
// part of a string and may be written as an escape; a line break is never part of one.
void render_json(std::string_view text, const Sink& sink) {
    std::size_t plain = 0;
    for (std::size_t i = 0; i < text.size();) {
        unsigned code = 0;
        const std::size_t control = control_length(text, i, code);
        if (control == 0) {
            ++i;
            continue;
        }
        sink(part_of(text, plain, i));
        i += control;
        plain = i;
        if (code < 0x20)
            sink(' ');
        else
            render_escape(code, sink);
    }
    sink(part_of(text, plain, text.size()));
}

void render_lsn(Lsn lsn, const Sink& sink) {
    char text[24];
    const int length = std::snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(lsn >> 32U),
                                     static_cast<unsigned>(lsn));
    sink({text, static_cast<std::size_t>(length)});
}

RenderError render_value(const Cell& cell, TypeCode code, TypeCode element,
                         const EnumLabels& labels, const Sink& sink, Numbers numbers) {
    if (cell.state == Cell::State::Null) return sink("null"), RenderError::None;
    if (!cell.has_value()) return RenderError::Malformed;
    const auto integer = static_cast<std::int64_t>(cell.slot);
    switch (code) {
        case TypeCode::Bool: return sink(cell.slot != 0 ? "true" : "false"), RenderError::None;
        case TypeCode::Int2:
        case TypeCode::Int4:
        case TypeCode::Oid: return render_integer(integer, sink), RenderError::None;
        case TypeCode::Int8: return render_int8(integer, numbers, sink), RenderError::None;
        case TypeCode::Float4:
            return render_float(std::bit_cast<float>(static_cast<std::uint32_t>(cell.slot)), sink),
                   RenderError::None;
        case TypeCode::Float8:
            return render_float(std::bit_cast<double>(cell.slot), sink), RenderError::None;
        case TypeCode::Numeric: return render_numeric_json(cell.bytes, numbers, sink);
        case TypeCode::Text:
        case TypeCode::Other: return render_text(as_text(cell.bytes), sink);
        case TypeCode::Bytea:
            sink("\"\\\\x");
            render_hexadecimal(cell.bytes, sink);
            return sink('"'), RenderError::None;
        case TypeCode::Uuid: return render_uuid(cell.bytes, sink);
        case TypeCode::Json:
            if (!is_json(as_text(cell.bytes), kMaxJsonDepth)) return RenderError::Malformed;
            return render_json(as_text(cell.bytes), sink), RenderError::None;
        case TypeCode::Jsonb: return render_jsonb(cell.bytes, sink);
        case TypeCode::Date:
            return sink('"'), render_date(integer, sink), sink('"'), RenderError::None;
        case TypeCode::Time:
            if (integer < 0) return RenderError::Malformed;
            return sink('"'), render_time(integer, sink), sink('"'), RenderError::None;
        case TypeCode::TimeTz: return render_quoted(render_timetz, cell.bytes, sink);
        case TypeCode::Timestamp:
        case TypeCode::TimestampTz:
            return sink('"'), render_timestamp(integer, code == TypeCode::TimestampTz, sink),
                   sink('"'), RenderError::None;
        case TypeCode::Interval: return render_quoted(render_interval, cell.bytes, sink);
        case TypeCode::Inet:
        case TypeCode::Cidr: return render_inet(cell.bytes, code == TypeCode::Cidr, sink);
        case TypeCode::MacAddr: return render_macaddr(cell.slot, sink), RenderError::None;
        case TypeCode::Enum: {
            const std::string_view label = labels.find(static_cast<std::uint32_t>(cell.slot));
            if (label.data() == nullptr)
                return RenderError::Malformed;  // the schema does not know it
            return render_text(label, sink);
        }
        case TypeCode::Array: return render_array(cell.bytes, element, labels, sink, numbers);
    }
    return RenderError::Malformed;
}

RenderError render_row(const RowView& row, const SchemaView& schema, const Sink& sink,
                       Numbers numbers) {
    return render_any_row(row, schema, sink, numbers);
}
RenderError render_row(const OldRowView& row, const SchemaView& schema, const Sink& sink,
                       Numbers numbers) {
    return render_any_row(row, schema, sink, numbers);
}
RenderError render_unavailable(const RowView& row, const SchemaView& schema, const Sink& sink) {
    return render_any_unavailable(row, schema, sink);
}
RenderError render_unavailable(const OldRowView& row, const SchemaView& schema, const Sink& sink) {
    return render_any_unavailable(row, schema, sink);
}

}  // namespace fatwal::wire
