// The text that names publications: --publication of the programs, the option publication_names of
// the plugin, the argument of fatwal.snapshot. One reader for all, as a text that one takes and the
// next refuses, or reads as another name, passes the start and ends the stream.
//
// Names are separated by commas; blanks around a name do not count. Each name is exact: case is
// kept, and blanks and hyphens in it need no quotes. A name may stand in double quotes, and has to
// if it holds a comma or a double quote, or begins or ends with a blank; "" in it is one quote.
//   app, MyPub, my pub, "a,b", "say ""hello"""
//
// PublicationNames allocates nothing, so the plugin uses it as it is. The functions behind it make
// strings, for the programs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fatwal::wire {

class PublicationNames {
public:
    // A name as it stands in the text, without its outer quotes.
    class Name {
    public:
        // Calls `put(char)` for each byte of the name, where doubled quotes are single.
        template <class Put>
        void for_each_byte(Put&& put) const {
            for (std::size_t i = 0; i < text_.size(); ++i) {
                put(text_[i]);
                // Only a quoted name holds quotes, and each is doubled.
                if (text_[i] == '"') ++i;
            }
        }
        // At least as many bytes as the name has.
        [[nodiscard]] std::size_t most_bytes() const noexcept { return text_.size(); }

    private:
        friend class PublicationNames;
        explicit Name(std::string_view text) noexcept : text_(text) {}
        std::string_view text_;
    };

    explicit PublicationNames(std::string_view list) noexcept : rest_(list) {}

    // The next name; nothing at the end, and at an error.
    [[nodiscard]] std::optional<Name> next() noexcept {
        if (error_ != nullptr || at_end_) return std::nullopt;
        skip_blanks();
        return !rest_.empty() && rest_.front() == '"' ? quoted() : plain();
    }

    // What is wrong with the text, as a sentence; null while nothing is. To be asked when next()
    // has given nothing: what it gave before is then void.
    [[nodiscard]] const char* error() const noexcept { return error_; }

private:
    static constexpr std::string_view kBlanks = " \t\n\r\f\v";

    void skip_blanks() noexcept {
        const std::size_t first = rest_.find_first_not_of(kBlanks);
        rest_.remove_prefix(first == std::string_view::npos ? rest_.size() : first);
    }

    std::optional<Name> fail(const char* error) noexcept {
        error_ = error;
        return std::nullopt;
    }

    // Gives the first `length` bytes behind the first `skipped` ones, and passes over `passed`
    // bytes in all. No substr(), here and below: it can throw, and the plugin must not need the C++
    // library.
    [[nodiscard]] std::string_view pass(std::size_t skipped, std::size_t length,
                                        std::size_t passed) noexcept {
        const std::string_view name(rest_.data() + skipped, length);
        rest_.remove_prefix(passed);
        return name;
    }

    // Behind a name a comma follows, and then another name, or the end.
    std::optional<Name> give(std::string_view name) noexcept {
        if (name.empty()) return fail("A name is empty.");
        at_end_ = rest_.empty();
        if (!at_end_) rest_.remove_prefix(1);
        return Name(name);
    }

    std::optional<Name> plain() noexcept {
        const std::size_t comma = rest_.find(',');
        const std::size_t length = comma == std::string_view::npos ? rest_.size() : comma;
        std::string_view name = pass(0, length, length);
        if (name.find('"') != std::string_view::npos)
            return fail("A double quote stands in a name that does not begin with one.");
        const std::size_t last = name.find_last_not_of(kBlanks);
        name.remove_suffix(last == std::string_view::npos ? name.size() : name.size() - last - 1);
        return give(name);
    }

    std::optional<Name> quoted() noexcept {
        std::size_t end = rest_.find('"', 1);
        while (end != std::string_view::npos && end + 1 < rest_.size() && rest_[end + 1] == '"')
            end = rest_.find('"', end + 2);
        if (end == std::string_view::npos) return fail("A double quote is not closed.");
        const std::string_view name = pass(1, end - 1, end + 1);
        skip_blanks();
        if (!rest_.empty() && rest_.front() != ',') return fail("Text follows a quoted name.");
        return give(name);
    }

    std::string_view rest_;
    const char* error_ = nullptr;
    bool at_end_ = false;
};

// What mends a text that is none.
inline constexpr char kPublicationNamesHint[] =
    "Separate the names by commas; quote a name that holds a comma or a quote: app, \"a,b\".";

// The names; nothing when the text is not a list of them, and `error` says why.
[[nodiscard]] std::optional<std::vector<std::string>> split_publication_names(std::string_view list,
                                                                              std::string& error);

// The text of a Postgres array of text, to be a query's parameter.
[[nodiscard]] std::string text_array(const std::vector<std::string>& elements);

}  // namespace fatwal::wire
