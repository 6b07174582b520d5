// What `fatwal doctor` finds: one fact each, how bad it is, what it means and what mends it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fatwal::cli {

// From good to bad. Note: only the person knows whether it is meant so.
enum class Severity : std::uint8_t { Ok, Note, Warning, Error };

struct Finding {
    Severity severity = Severity::Ok;
    const char* about = "";  // database, slot, fatwald, holds, keys, clock or versions
    std::string id;          // kebab-case and the same in each release: "replica-identity:public.t"
    std::string what;        // the fault; what is so, when it is well
    std::string found;
    // Empty when it is well; else there is `means`, and `mend` or `advice`.
    std::string means{};   // one sentence: what comes of it
    std::string mend{};    // one line of SQL or of a shell, which can be pasted as it is
    std::string advice{};  // for a person: sentences
};

[[nodiscard]] const char* name_of(Severity severity);

// "1 hold", "2 holds".
[[nodiscard]] std::string counted(std::size_t count, const char* one, const char* many);

// Lines as sentences: "cannot connect\n\tIs it there?" becomes "cannot connect. Is it there?".
[[nodiscard]] std::string in_one_line(std::string_view text);

// "fatwald does not answer: no reply within 5 s", with no end of a sentence.
[[nodiscard]] std::string title_of(const Finding& finding);

// The worst first; those that are equally bad stay in their order.
void sort_by_severity(std::vector<Finding>& findings);

// 0: nothing but notes; 1: a warning; 2: an error.
[[nodiscard]] int exit_status_of(const std::vector<Finding>& findings);

// For a person: the sorted findings, and how many are well; with `all` also which. For a terminal
// of `columns`, in which the sentences are wrapped; statements are not, so that they can be copied.
[[nodiscard]] std::string to_table(const std::vector<Finding>& findings, bool all,
                                   std::size_t columns);

// One line with one object.
[[nodiscard]] std::string finding_json(const Finding& finding);

}  // namespace fatwal::cli
