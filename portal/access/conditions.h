// The conditions of a policy: parsed once, when the row comes, evaluated for a client at an
// instant.
//
// The language is a list of types (portal/access/conditions.cpp): each has its property and
// operator, parses its values, is evaluated, and says when time alone can change what it says. What
// is not in the list, or has a value that cannot be parsed, is a condition that nobody meets: a
// policy never grants more because a part of it is not understood.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "portal/access/basics.h"
#include "portal/access/ip.h"

namespace fatwal::access {

// What conditions look at. What is unknown meets no condition that asks for it, but for provider_id
// is_not_in.
struct ClientContext {
    std::optional<IpAddress> remote_ip;
    std::optional<std::string> region;  // ISO 3166 code of the country, as the IP database gives it
    std::optional<Uuid> provider_id;    // of the client's identity; a service account has none
    bool verified = false;
    friend bool operator==(const ClientContext&, const ClientContext&) = default;
};

// Of one policy's conditions together. Each costs up to some microseconds to parse, in the turn of
// one row, and all accounts of a process wait for that.
inline constexpr std::size_t kMostConditionValues = 10'000;

class Conditions {
public:
    struct Verdict {
        bool holds = false;
        std::optional<Instant>
            until;  // when it holds: the last instant of it; nothing: no row's change, no end
    };

    // None: holds always.
    Conditions() = default;

    // The column policies.conditions. Never fails: what cannot be understood (an unknown property
    // or operator, a malformed value, too many values, a null) is a condition that nobody meets.
    // Looks up time zones in the system's database.
    [[nodiscard]] static Conditions parse(const std::vector<std::optional<Json>>& conditions);

    // Which one cannot be understood, the first of them, counted from 1; 0: none.
    [[nodiscard]] std::size_t malformed() const;

    // Allocates nothing. Keeps the time windows of the last instant it was asked for, hence not for
    // several threads at once.
    [[nodiscard]] Verdict evaluate(const ClientContext& client, Instant now) const;

    // The properties of the conditions that do not hold, each once, in the order of the conditions.
    // Empty exactly when evaluate() holds.
    [[nodiscard]] std::vector<std::string> violated(const ClientContext& client, Instant now) const;

    // Each condition alone, in their order, for who asks why.
    struct Part {
        std::string property;
        bool is_understood = true;
        std::string value;  // the client's, of what the property asks for; empty: unknown
        Verdict verdict;
        std::optional<Instant> next_change;
    };
    [[nodiscard]] std::vector<Part> parts(const ClientContext& client, Instant now) const;

    // The first instant after `now` at which evaluate() can differ though nothing but the time
    // does; nothing: never.
    [[nodiscard]] std::optional<Instant> next_change(Instant now) const;

private:
    struct Condition;
    // Immutable, so that copies of a policy share it; null: no condition.
    std::shared_ptr<const std::vector<Condition>> conditions_;
};

// A condition as a policy names it: {"property", "operator", "values": [text]}.
struct ConditionForm {
    std::string_view property;
    std::string_view op;
};

// All that are understood; portal/README.md has the values of each.
[[nodiscard]] std::span<const ConditionForm> condition_forms();

}  // namespace fatwal::access
