// What the processes throw when something failed that a person may have to mend. It has the three
// parts that this person needs: what failed, what was found, and what mends it.
//
//     throw service::Failure("cannot read the secret", path + ": " + reason,
//                            "Make it: openssl rand -base64 48 > " + path);
//
// what() is the message alone, and text_of() all three parts.
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace fatwal::service {

class Failure : public std::exception {
public:
    Failure() = default;
    explicit Failure(std::string what_failed, std::string what_was_found = {},
                     std::string what_mends_it = {})
        : message(std::move(what_failed)),
          detail(std::move(what_was_found)),
          hint(std::move(what_mends_it)) {}

    std::string message;
    std::string detail;
    std::string hint;

    [[nodiscard]] std::string text() const;
    // The three as sentences behind each other, for where there is one line.
    [[nodiscard]] std::string sentences() const;
    [[nodiscard]] const char* what() const noexcept override { return message.c_str(); }
};

// A Failure's text(); of any other exception its what().
[[nodiscard]] std::string text_of(const std::exception& error);

}  // namespace fatwal::service
