#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "client/cli/commands.h"
#include "client/cli/cpp_names.h"
#include "client/cli/cpp_writer.h"

namespace fatwal::cli {

namespace {

// The old file is whole until the new one is.
bool write_file(const std::string& path, const std::string& text) {
    const std::string fresh = path + ".new";
    std::ofstream file(fresh, std::ios::binary);
    file << text;
    file.close();
    if (file && std::rename(fresh.c_str(), path.c_str()) == 0) return true;
    std::perror(("fatwal: cannot write " + path).c_str());
    return false;
}

// a::b
bool is_namespace(std::string_view text) {
    while (true) {
        const std::size_t end = text.find("::");
        const std::string_view part = text.substr(0, end);
        if (part.empty() || field_name(part) != part) return false;
        if (end == std::string_view::npos) return true;
        text.remove_prefix(end + 2);
    }
}

}  // namespace

int codegen(const CodegenArguments& arguments) {
    if (!is_namespace(arguments.name_space)) {
        std::fprintf(stderr,
                     "fatwal: --namespace %s is no namespace of C++. Give names joined by ::, such "
                     "as app::rows.\n",
                     arguments.name_space.c_str());
        return 2;
    }
    const auto catalog = read_catalog(arguments.database, arguments.publication);
    if (!catalog) return 1;
    const std::string include = std::filesystem::path(arguments.output_header).filename().string();
    const CppCode code =
        write_cpp(*catalog, {arguments.publication, arguments.name_space, include});
    return write_file(arguments.output_header, code.header) &&
                   write_file(arguments.output_source, code.source)
               ? 0
               : 1;
}

}  // namespace fatwal::cli
