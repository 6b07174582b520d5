// The servers that a connection string names.
//
// libpq leaves a host that hangs only in its blocking calls. fatwald connects without blocking, so
// it splits the list itself and gives each server its own time: a first one that accepts and then
// says nothing costs connect_timeout, not the stream.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace fatwal::sidecar {

// One server. What is empty is left to libpq's defaults.
struct Target {
    std::string host;
    std::string hostaddr;
    std::string port;

    // For people: "db1.example:5433".
    [[nodiscard]] std::string text() const;
};

struct Targets {
    // The connection string's other parameters.
    std::vector<std::pair<std::string, std::string>> parameters;
    std::vector<Target> each;              // one at least
    std::chrono::milliseconds timeout{0};  // for each: connect_timeout, or a default
};

// Splits the connection string, or the name of a database; throws a Failure when it is malformed.
[[nodiscard]] Targets targets_of(const std::string& database);

// `target` once for each address that its name has, or as it is when it has none to look up.
[[nodiscard]] std::vector<Target> addresses_of(const Target& target);

}  // namespace fatwal::sidecar
