// Whatever the bytes are, reading them stays inside them and allocates nothing that they decide.
#include <cstdint>
#include <string>

#include "fatwal/wire/control.h"
#include "fatwal/wire/frame.h"
#include "fatwal/wire/json.h"
#include "fatwal/wire/publication.h"
#include "fatwal/wire/schema.h"
#include "fatwal/wire/text.h"

namespace {

using namespace fatwal::wire;

void count(void* target, const char*, std::size_t length) {
    *static_cast<std::size_t*>(target) += length;
}

void gather(void* target, const char* text, std::size_t length) {
    static_cast<std::string*>(target)->append(text, length);
}

// Reads each column as each type: the schema that a frame names need not be the one it was written
// with. What is rendered is JSON.
template <class Row>
void read_row(const Row& row) {
    const std::uint16_t columns = row.columns() < 64 ? row.columns() : std::uint16_t{64};
    for (std::uint16_t column = 0; column < columns; ++column)
        for (std::uint8_t code = 0; code < kTypeCodes; ++code) {
            const Cell cell = row.cell(column, static_cast<TypeCode>(code));
            std::string json;
            const auto error = render_value(cell, static_cast<TypeCode>(code), TypeCode::Text, {},
                                            {&json, gather});
            if (error == RenderError::None && json.size() < kMaxJsonDepth &&
                !is_json(json, kMaxJsonDepth))
                __builtin_trap();
        }
}

// What is rendered is one line of JSON, whatever the bytes are.
void read_text(std::string_view text) {
    std::string line;
    render_string(text, {&line, gather});
    if (!is_json(line) || !is_one_line(line)) __builtin_trap();
    if (!is_json(text)) return;
    line.clear();
    render_json(text, {&line, gather});
    if (!is_json(line) || line.find('\n') != std::string::npos) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
    std::size_t written = 0;
    const Sink sink{&written, count};
    if (const auto frame = FrameView::parse(bytes)) {
        frame->for_each_record([&](const RecordView& record) {
            if (const auto row = record.new_row()) read_row(*row);
            if (const auto row = record.old_row()) read_row(*row);
            (void)record.message();
            return true;
        });
    }
    for (Bytes rest = bytes; !rest.empty();)
        if (take_message(rest).empty()) break;
    if (const auto row = RowView::parse(bytes)) read_row(*row);
    if (const auto schema = SchemaView::parse(bytes))
        schema->for_each_column(
            [&](std::uint16_t, const ColumnView& column) { render_string(column.name, sink); });
    std::string jsonb;
    if (render_jsonb(bytes, {&jsonb, gather}) == RenderError::None &&
        !is_json(jsonb, kMaxJsonDepth) && jsonb.size() < kMaxJsonDepth)
        __builtin_trap();
    (void)render_numeric(bytes, sink);
    read_text(as_text(bytes));
    (void)decode_control(bytes);
    (void)decode_publication(bytes);
    return 0;
}
