// Renders changes as JSON text. Nothing is allocated here: text goes to a sink, so the extension and the client share it.
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

// One value:
//   numbers as JSON numbers where a double holds them exactly (int8 within ±(2^53 - 1), numeric of at most 15 significant digits), else
//   as strings; NaN and infinities as strings; timestamps, dates, times ISO 8601 (timestamptz with Z); interval an ISO 8601 duration;
//   bytea "\x…" hexadecimal; json and jsonb as JSON; arrays as nested JSON arrays; enum its label; inet, cidr, macaddr as Postgres prints
//   them; any other type its text.
[[nodiscard]] RenderError render_value(const Cell& cell, TypeCode code, TypeCode element, const EnumLabels& labels, const Sink& sink);

// A row as a JSON object, column name → value. Columns that are unavailable are left out.
[[nodiscard]] RenderError render_row(const RowView& row, const SchemaView& schema, const Sink& sink);
[[nodiscard]] RenderError render_row(const OldRowView& row, const SchemaView& schema, const Sink& sink);

// A JSON array of the names of the columns that are unavailable in the row; empty array when none.
[[nodiscard]] RenderError render_unavailable(const RowView& row, const SchemaView& schema, const Sink& sink);
[[nodiscard]] RenderError render_unavailable(const OldRowView& row, const SchemaView& schema, const Sink& sink);

// `text` as a JSON string with its quotes.
void render_string(std::string_view text, const Sink& sink);
// "2026-11-24T13:08:39.123456" with Z when `utc`; "infinity", "-infinity". Without quotes.
void render_timestamp(Microseconds time, bool utc, const Sink& sink);
// "0/16B3748". Without quotes.
void render_lsn(Lsn lsn, const Sink& sink);

// The stored form of a jsonb or numeric (docs/wire-format.md) as text. jsonb is nested at most kMaxJsonbDepth deep.
inline constexpr int kMaxJsonbDepth = 1000;
[[nodiscard]] RenderError render_jsonb(Bytes stored, const Sink& sink);
[[nodiscard]] RenderError render_numeric(Bytes stored, const Sink& sink);

}  // namespace fatwal::wire
