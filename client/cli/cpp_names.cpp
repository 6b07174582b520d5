#include "client/cli/cpp_names.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace fatwal::cli {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

// Keywords, alternative tokens, and macros of the standard headers that a label could be.
constexpr std::array kReserved = std::to_array<std::string_view>({"EOF",
                                                                  "NULL",
                                                                  "alignas",
                                                                  "alignof",
                                                                  "and",
                                                                  "and_eq",
                                                                  "asm",
                                                                  "assert",
                                                                  "auto",
                                                                  "bitand",
                                                                  "bitor",
                                                                  "bool",
                                                                  "break",
                                                                  "case",
                                                                  "catch",
                                                                  "char",
                                                                  "char16_t",
                                                                  "char32_t",
                                                                  "char8_t",
                                                                  "class",
                                                                  "co_await",
                                                                  "co_return",
                                                                  "co_yield",
                                                                  "compl",
                                                                  "concept",
                                                                  "const",
                                                                  "const_cast",
                                                                  "consteval",
                                                                  "constexpr",
                                                                  "constinit",
                                                                  "continue",
                                                                  "decltype",
                                                                  "default",
                                                                  "delete",
                                                                  "do",
                                                                  "double",
                                                                  "dynamic_cast",
                                                                  "else",
                                                                  "enum",
                                                                  "errno",
                                                                  "explicit",
                                                                  "export",
                                                                  "extern",
                                                                  "false",
                                                                  "float",
                                                                  "for",
                                                                  "friend",
                                                                  "goto",
                                                                  "if",
                                                                  "inline",
                                                                  "int",
                                                                  "long",
                                                                  "mutable",
                                                                  "namespace",
                                                                  "new",
                                                                  "noexcept",
                                                                  "not",
                                                                  "not_eq",
                                                                  "nullptr",
                                                                  "operator",
                                                                  "or",
                                                                  "or_eq",
                                                                  "private",
                                                                  "protected",
                                                                  "public",
                                                                  "register",
                                                                  "reinterpret_cast",
                                                                  "requires",
                                                                  "return",
                                                                  "short",
                                                                  "signed",
                                                                  "sizeof",
                                                                  "static",
                                                                  "static_assert",
                                                                  "static_cast",
                                                                  "stderr",
                                                                  "stdin",
                                                                  "stdout",
                                                                  "struct",
                                                                  "switch",
                                                                  "template",
                                                                  "this",
                                                                  "thread_local",
                                                                  "throw",
                                                                  "true",
                                                                  "try",
                                                                  "typedef",
                                                                  "typeid",
                                                                  "typename",
                                                                  "union",
                                                                  "unsigned",
                                                                  "using",
                                                                  "virtual",
                                                                  "void",
                                                                  "volatile",
                                                                  "wchar_t",
                                                                  "while",
                                                                  "xor",
                                                                  "xor_eq"});

std::string not_reserved(std::string name) {
    if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end()) name += '_';
    return name;
}

}  // namespace

std::string camel_case(std::string_view name) {
    std::string out;
    bool begins = true;
    for (const char c : name) {
        if (!is_digit(c) && !is_lower(c) && !is_upper(c)) {
            begins = true;
            continue;
        }
        out += begins && is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c;
        begins = false;
    }
    if (out.empty() || is_digit(out.front())) out.insert(out.begin(), 'N');
    return not_reserved(out);
}

std::string field_name(std::string_view name) {
    std::string out;
    for (const char c : name) out += is_digit(c) || is_lower(c) || is_upper(c) ? c : '_';
    if (out.empty() || is_digit(out.front()) || out.front() == '_') out.insert(out.begin(), 'n');
    return not_reserved(out);
}

std::string Scope::unique(std::string name) {
    while (!taken_.insert(name).second) name += '_';
    return name;
}

std::string literal(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (static_cast<unsigned char>(c) >= 0x20) {
            out += c;
            continue;
        }
        std::array<char, 8> escaped;
        out.append(escaped.data(), static_cast<std::size_t>(
                                       std::snprintf(escaped.data(), escaped.size(), "\\%03o", c)));
    }
    return out + '"';
}

}  // namespace fatwal::cli
