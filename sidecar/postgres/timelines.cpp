#include "sidecar/postgres/timelines.h"

#include <algorithm>
#include <cstdio>
#include <string>

namespace fatwal::sidecar {

std::vector<Timelines::Ancestor> Timelines::parse(std::string_view file) {
    std::vector<Ancestor> ancestors;
    while (!file.empty()) {
        const std::size_t end = std::min(file.find('\n'), file.size());
        const std::string line(file.substr(0, end));
        file.remove_prefix(std::min(end + 1, file.size()));
        unsigned timeline = 0;
        unsigned high = 0;
        unsigned low = 0;
        if (std::sscanf(line.c_str(), "%u %X/%X", &timeline, &high, &low) == 3)
            ancestors.push_back({timeline, wire::Lsn{high} << 32U | low});
    }
    return ancestors;
}

bool Timelines::holds(const wire::History& of, wire::Lsn position) const {
    if (of == now) return true;
    if (of.system_identifier != now.system_identifier) return false;
    return std::any_of(ancestors.begin(), ancestors.end(), [&](const Ancestor& ancestor) {
        return ancestor.timeline == of.timeline && position <= ancestor.end;
    });
}

}  // namespace fatwal::sidecar
