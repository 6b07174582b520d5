// Values in the text that Postgres's output functions print, to the forms of the wire
// ("Types" in docs/wire-format.md).
//
// The text depends on settings of the session, which are those of kSessionSettings
// (sidecar/postgres/connection.h): dates in ISO, times in UTC, intervals in the style postgres,
// bytea in hexadecimal, floats by the fewest digits that read back the same.
//
// Nothing here trusts the text: what does not read as its type is NotUnderstood, and the caller
// sends the text itself.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "fatwal/wire/types.h"
#include "sidecar/pgoutput/heap_memory.h"

namespace fatwal::sidecar::pgoutput {

// The oids of an enum's labels.
using Labels = std::map<std::string, std::uint32_t, std::less<>>;

// How a column's text is read.
struct TextType {
    wire::TypeCode code = wire::TypeCode::Other;
    wire::TypeCode element = wire::TypeCode::Other;  // of an array
    char delimiter = ',';                            // between the elements of an array
    bool is_vector = false;          // int2vector, oidvector: elements with blanks between, from 0
    const Labels* labels = nullptr;  // of an enum, or of an array of enums
};

// Whether the text is the value, as it is.
[[nodiscard]] constexpr bool is_its_text(wire::TypeCode code) {
    return code == wire::TypeCode::Other || code == wire::TypeCode::Text ||
           code == wire::TypeCode::Json;
}

enum class Put : std::uint8_t { Done, NoRoom, NotUnderstood };

// Writes the value at `slot_at` of the target, a variable part behind its end. When it is not Done,
// what it has written behind the end is the caller's to cut off.
[[nodiscard]] Put put_text(const Target& target, std::size_t slot_at, std::string_view text,
                           const TextType& type);

}  // namespace fatwal::sidecar::pgoutput
