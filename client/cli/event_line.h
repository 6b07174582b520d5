// An event as one line, JSON or text.
#pragma once

#include <string>

#include "fatwal/client/transaction.h"

namespace fatwal::cli {

// `account` is what the person asked for; `last` says that no change of the account follows in the
// transaction.
std::string json_line(const client::Transaction& transaction, const client::Change& change,
                      const std::string& account, bool last);
// A row of a snapshot.
std::string row_line(const client::Row& row, const std::string& account, bool as_text);
std::string text_line(const client::Transaction& transaction, const client::Change& change,
                      const std::string& account, bool last);

}  // namespace fatwal::cli
