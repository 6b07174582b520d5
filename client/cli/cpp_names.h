// Names of the database as names of C++.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace fatwal::cli {

// actor_groups, "actor groups" -> ActorGroups. Characters beyond letters and digits of ASCII only
// separate.
[[nodiscard]] std::string camel_case(std::string_view name);
// As it is, where C++ takes it: else with _ for what it does not take, and behind a keyword.
[[nodiscard]] std::string field_name(std::string_view name);

// Gives each name once: a second of the same gets an underscore.
class Scope {
public:
    // Those are taken.
    explicit Scope(std::set<std::string> taken = {}) : taken_(std::move(taken)) {}
    [[nodiscard]] std::string unique(std::string name);

private:
    std::set<std::string> taken_;
};

// As a literal of C++, with its quotes.
[[nodiscard]] std::string literal(std::string_view text);

}  // namespace fatwal::cli
