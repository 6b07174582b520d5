// The tables of a catalog as C++.
#pragma once

#include <string>

#include "client/cli/catalog.h"

namespace fatwal::cli {

struct CppOptions {
    std::string publication;     // what the tables were found by
    std::string name_space;      // a::b
    std::string header_include;  // how the source includes the header
};

struct CppCode {
    std::string header;
    std::string source;
};

// The same for the same catalog, and as this project's .clang-format leaves it unless names are
// very long.
[[nodiscard]] CppCode write_cpp(const Catalog& catalog, const CppOptions& options);

}  // namespace fatwal::cli
