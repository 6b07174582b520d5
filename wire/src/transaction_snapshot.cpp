#include "fatwal/wire/transaction_snapshot.h"

#include <charconv>

namespace fatwal::wire {

std::optional<TransactionSnapshot> TransactionSnapshot::from_text(std::string_view text) {
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto number = [&](std::uint64_t& value) {
        const auto [after, error] = std::from_chars(at, end, value);
        at = after;
        return error == std::errc{};
    };
    const auto past = [&](char expected) { return at != end && *at++ == expected; };
    TransactionSnapshot snapshot;
    if (!number(snapshot.xmin) || !past(':') || !number(snapshot.xmax) || !past(':'))
        return std::nullopt;
    while (at != end) {
        if (!snapshot.in_progress.empty() && !past(',')) return std::nullopt;
        if (std::uint64_t xid = 0; number(xid))
            snapshot.in_progress.push_back(xid);
        else
            return std::nullopt;
    }
    if (!std::is_sorted(snapshot.in_progress.begin(), snapshot.in_progress.end()))
        return std::nullopt;
    return snapshot;
}

std::string TransactionSnapshot::to_text() const {
    std::string text = std::to_string(xmin) + ':' + std::to_string(xmax) + ':';
    for (std::size_t i = 0; i < in_progress.size(); ++i)
        text += (i == 0 ? "" : ",") + std::to_string(in_progress[i]);
    return text;
}

}  // namespace fatwal::wire
