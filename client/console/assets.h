// The files of client/console/web/, which the build puts into the program
// (client/console/embed.cmake): nothing is fetched, from nowhere, while it runs.
#pragma once

#include <cstddef>
#include <string_view>

namespace fatwal::console {

struct Asset {
    std::string_view path;  // as it is asked for: /app.js
    std::string_view type;
    std::string_view content;
};

extern const Asset kAssets[];
extern const std::size_t kAssetCount;

}  // namespace fatwal::console
