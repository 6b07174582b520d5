// What of an account's rows makes no sense, for the log: each named once for each of its contents.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "portal/access/affected.h"
#include "portal/access/basics.h"

namespace fatwal::access {

// Why a row that is there grants nothing.
struct Malformed {
    std::string reason;
    Json content;  // what of the row made it so
};

// An administrator mends what the log names, and a log that repeats it with each snapshot is read
// by nobody. So this is kept over snapshots, which bring the same rows again.
class IssueLog {
public:
    // The row is there with this content; nothing: it makes sense. Appends to `issues` what was not
    // named yet. One for which there is no space is named the next time.
    void judge(std::string_view table, const Uuid& id, std::optional<Malformed> malformed,
               std::vector<Issue>& issues);
    void forget(std::string_view table, const Uuid& id) { named_.erase({table, id}); }
    // Forgets the rows for which `is_there(table, id)` is false.
    template <class IsThere>
    void forget_missing(IsThere is_there) {
        std::erase_if(named_, [&](const auto& named) {
            return !is_there(named.first.first, named.first.second);
        });
    }

    // The account's settings that are ignored, as of its row that came last.
    void settings(std::vector<std::string> ignored);
    // Those that were not taken yet; empty also when there are none, or none new.
    [[nodiscard]] std::vector<std::string> take_settings();

private:
    // With a hash of the content that was named. The table's name is the generated struct's.
    std::map<std::pair<std::string_view, Uuid>, std::size_t> named_;
    std::vector<std::string> settings_;
    bool has_new_settings_ = false;
};

}  // namespace fatwal::access
