// Renders changes as JSON text (docs/tail-json.md). Nothing is allocated here: text goes to a sink,
// so the extension and the client share it.
//
//     std::string text;
//     if (render_row(row, schema, sink_to(text)) == RenderError::None) print(text);  // text_sink.h
//
// Cost: linear in the text. can_render() renders a value of some types twice, as what a sink has
// been given cannot be taken back. Nesting does not recurse, so json and jsonb of any depth need
// little of the stack. No state, so any thread may call it; it does not depend on the process's
// locale.
#pragma once

#include <string_view>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/schema.h"

namespace fatwal::wire {

// Where rendered text goes. `write` must take all of it.
struct Sink {
    void* target = nullptr;
    void (*write)(void* target, const char* text, std::size_t length) = nullptr;

    void operator()(std::string_view text) const { write(target, text.data(), text.size()); }
    void operator()(char c) const { write(target, &c, 1); }
};

enum class RenderError : std::uint8_t { None, Malformed };

// How int8 and numeric are rendered. Most readers of JSON keep numbers in a double, which holds not
// all of them, so strings are the default. Either way a column has one form, whatever its value: a
// reader that worked with the values of today works with those of tomorrow.
enum class Numbers : std::uint8_t {
    Strings,  // "9007199254740993", "12.50": exact in any reader
    Json,     // 9007199254740993, 12.50: for readers that keep all digits, as Postgres's json does
};

// One value:
//   int2, int4, oid, float4, float8 as JSON numbers; int8 and numeric as `numbers` says; NaN and
//   infinities, which no JSON number can be, as strings; timestamps, dates, times ISO 8601
//   (timestamptz with Z); interval an ISO 8601 duration; bytea "\x…" hexadecimal; json and jsonb as
//   JSON, with the numbers as they are stored; arrays as nested JSON arrays; enum its label; inet,
//   cidr, macaddr as Postgres prints them; any other type its text.
// Malformed when the bytes are not what the type says: text that is not UTF-8, a json that is none,
// a label that the schema does not know. It does not depend on the process's locale. What was
// rendered until then has reached the sink.
[[nodiscard]] RenderError render_value(const Cell& cell, TypeCode code, TypeCode element,
                                       const EnumLabels& labels, const Sink& sink,
                                       Numbers numbers = Numbers::Strings);

// Whether render_value() will print the cell: it was logged, and its bytes are what its column
// says.
[[nodiscard]] bool can_render(const Cell& cell, const ColumnView& column);

// A row as a JSON object, column name → value. Columns that are unavailable or malformed are left
// out, so one bad value costs its column only; can_render() tells which. Malformed when the row is
// of another schema; then nothing has reached the sink.
[[nodiscard]] RenderError render_row(const RowView& row, const SchemaView& schema, const Sink& sink,
                                     Numbers numbers = Numbers::Strings);
[[nodiscard]] RenderError render_row(const OldRowView& row, const SchemaView& schema,
                                     const Sink& sink, Numbers numbers = Numbers::Strings);

// A JSON array of the names of the columns that render_row() leaves out; empty array when none.
[[nodiscard]] RenderError render_unavailable(const RowView& row, const SchemaView& schema,
                                             const Sink& sink);
[[nodiscard]] RenderError render_unavailable(const OldRowView& row, const SchemaView& schema,
                                             const Sink& sink);

// `text` as a JSON string with its quotes, on one line: control characters and line separators are
// escaped, and a byte that is not UTF-8 becomes U+FFFD.
void render_string(std::string_view text, const Sink& sink);
// `text`, which is_json() has accepted, on one line: line breaks between its tokens become blanks,
// and what a reader of lines or a terminal would obey inside its strings is escaped. The same JSON
// otherwise.
void render_json(std::string_view text, const Sink& sink);
// "2026-11-24T13:08:39.123456" with Z when `utc`; "infinity", "-infinity". Without quotes.
void render_timestamp(Microseconds time, bool utc, const Sink& sink);
// "0/16B3748". Without quotes.
void render_lsn(Lsn lsn, const Sink& sink);

// The stored form of a jsonb or numeric (docs/wire-format.md) as text. A jsonb may be nested as
// deep as a server can write it.
[[nodiscard]] RenderError render_jsonb(Bytes stored, const Sink& sink);
[[nodiscard]] RenderError render_numeric(Bytes stored, const Sink& sink);

}  // namespace fatwal::wire
