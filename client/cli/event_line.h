// An event as one line, JSON or text: docs/tail-json.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fatwal/client/events.h"

namespace fatwal::cli {

struct LineStyle {
    std::optional<std::string> account;  // as the person asked for it; nothing: the operators
    bool text = false;                   // else JSON
    wire::Numbers numbers = wire::Numbers::Strings;
};

// A string of JSON.
std::string json_string(std::string_view text);

// `last` says that no change of the account follows in the transaction.
std::string change_line(const client::Transaction& transaction, const client::Change& change,
                        bool last, const LineStyle& style);
// The begin or the end of a snapshot, and a row of it.
std::string snapshot_line(bool begin, const LineStyle& style);
std::string row_line(const client::Row& row, const LineStyle& style);
std::string resync_line(const std::string& reason, const LineStyle& style);
std::string error_line(const client::StreamError& error, const LineStyle& style);

}  // namespace fatwal::cli
