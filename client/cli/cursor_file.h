// The file of `fatwal tail --cursor-file`: how far the printing has come, as one line.
#pragma once

#include <optional>
#include <string>

#include "fatwal/client/cursor.h"

namespace fatwal::cli {

class CursorFile {
public:
    // No file when `path` is empty: then load() finds nothing and keep() does nothing.
    explicit CursorFile(std::string path) : path_(std::move(path)) {}

    // What the file holds; nothing when there is none. Throws std::runtime_error when it cannot be
    // read or is not one whole line with a cursor: an empty or torn file is no first start, and to
    // begin behind what it named would lose changes.
    [[nodiscard]] std::optional<client::Cursor> load();

    // Replaces what the file holds. It is on the disk when this returns; before that the old one is
    // there, whenever the process or the machine ends. Throws std::runtime_error.
    void keep(const client::Cursor& cursor);

private:
    std::string path_;
    std::optional<client::Cursor> kept_;
};

}  // namespace fatwal::cli
