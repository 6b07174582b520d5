// fatwal subscribers, holds and accounts: what fatwald lists, as a table for people or as one JSON
// object a line. A page is asked for at a time; the table is printed when all of them are there, as
// its columns are as wide as their widest value.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/control_client.h"
#include "client/cli/diagnosis.h"
#include "client/cli/event_line.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::cli {

namespace {

// One value in both forms: as a person reads it, and in JSON.
struct Cell {
    std::string text;
    std::string json;
};
struct Column {
    const char* title;
    const char* key;
    bool number;  // to the right
};

Cell text_cell(const std::string& text) { return {wire::shown_name(text), json_string(text)}; }
Cell number_cell(std::uint64_t number) { return {std::to_string(number), std::to_string(number)}; }
Cell lsn_cell(wire::Lsn lsn) {
    const std::string text = lsn == 0 ? "-" : wire::lsn_text(lsn);
    return {text, lsn == 0 ? "null" : json_string(text)};
}
Cell account_cell(const wire::AccountKey& account) {
    if (account.kind == wire::AccountKind::Operators) return {"(operators)", "null"};
    return text_cell(account.to_text());
}
Cell bool_cell(bool value) { return {value ? "yes" : "no", value ? "true" : "false"}; }

Cell bytes_cell(std::uint64_t bytes) { return {bytes_text(bytes), std::to_string(bytes)}; }
Cell seconds_cell(std::uint32_t seconds) {
    return {seconds_text(seconds), std::to_string(seconds)};
}

// `names` begins with the name of number 1. A later release may have more.
Cell named_cell(std::uint8_t number, const std::vector<const char*>& names) {
    if (number == 0 || number > names.size()) return number_cell(number);
    return text_cell(names[number - 1]);
}

class Table {
public:
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

    void print_json() const {
        for (const auto& row : rows_) {
            for (std::size_t i = 0; i < columns_.size(); ++i)
                std::printf("%s\"%s\":%s", i == 0 ? "{" : ",", columns_[i].key,
                            row[i].json.c_str());
            std::printf("}\n");
        }
    }
    void print() const {
        std::vector<std::size_t> widths;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            std::size_t width = std::string(columns_[i].title).size();
            for (const auto& row : rows_) width = std::max(width, width_of(row[i].text));
            widths.push_back(width);
        }
        std::vector<Cell> titles;
        for (const Column& column : columns_) titles.push_back({column.title, {}});
        print_row(titles, widths);
        for (const auto& row : rows_) print_row(row, widths);
    }

private:
    // In characters: the bytes that continue one are not counted.
    static std::size_t width_of(const std::string& text) {
        return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
            return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
        }));
    }
    void print_row(const std::vector<Cell>& row, const std::vector<std::size_t>& widths) const {
        std::string line;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const std::string space(widths[i] - width_of(row[i].text), ' ');
            line += i == 0 ? "" : "  ";
            line += columns_[i].number ? space + row[i].text : row[i].text + space;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        std::printf("%s\n", line.c_str());
    }

    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

std::optional<Table> subscribers(ControlClient& client, const RosterArguments& arguments) {
    Table table({{"ACCOUNT", "account", false},
                 {"SUBSCRIBER", "subscriber", false},
                 {"DURABLE", "durable", false},
                 {"STATE", "state", false},
                 {"LAG", "lag_bytes", true},
                 {"UNREAD", "unread_bytes", true},
                 {"ATTACHED", "attached_seconds", true},
                 {"CREDENTIAL", "credential", false}});
    wire::ListSubscribers request;
    for (;;) {
        const auto page = client.ask<wire::SubscriberList>(request);
        if (!page) return std::nullopt;
        for (const wire::SubscriberEntry& entry : page->subscribers) {
            const Cell account = account_cell(entry.account);
            request.after = entry.number;
            if (!arguments.account.empty() && entry.account.to_text() != arguments.account)
                continue;
            table.add(
                {account, text_cell(entry.name), bool_cell(entry.durable),
                 named_cell(entry.state, {"joining", "live", "replaying", "snapshot"}),
                 bytes_cell(entry.lag), bytes_cell(entry.unread), seconds_cell(entry.attached_s),
                 entry.credential.empty() ? Cell{"(local)", "null"} : text_cell(entry.credential)});
        }
        if (page->end || page->subscribers.empty()) return table;
    }
}

std::optional<Table> holds(ControlClient& client, const RosterArguments& arguments) {
    Table table({{"ACCOUNT", "account", false},
                 {"SUBSCRIBER", "subscriber", false},
                 {"HELD BY", "kind", false},
                 {"FROM", "from", false},
                 {"BEHIND", "behind_bytes", true},
                 {"FOR", "held_seconds", true},
                 {"DROPPED IN", "dropped_in_seconds", true},
                 {"OR AFTER", "dropped_after_bytes", true}});
    wire::ListHolds request;
    for (;;) {
        const auto page = client.ask<wire::HoldList>(request);
        if (!page) return std::nullopt;
        for (const wire::HoldEntry& entry : page->holds) {
            if (arguments.top != 0 && request.skip == arguments.top) return table;
            ++request.skip;
            table.add({account_cell(entry.account),
                       entry.name.empty() ? Cell{"-", "null"} : text_cell(entry.name),
                       named_cell(entry.kind, {"absent", "unacknowledged", "replay",
                                               "snapshot reader", "snapshot"}),
                       lsn_cell(entry.from), bytes_cell(entry.behind), seconds_cell(entry.held_s),
                       seconds_cell(entry.seconds_left), bytes_cell(entry.bytes_left)});
        }
        if (page->end || page->holds.empty()) return table;
    }
}

std::optional<Table> accounts(ControlClient& client, const RosterArguments& arguments) {
    Table table({{"ACCOUNT", "account", false},
                 {"SUBSCRIBERS", "subscribers", true},
                 {"DURABLE", "durable_subscribers", true},
                 {"MESSAGES", "sequence", true},
                 {"NEWEST", "newest", false},
                 {"FRAMES", "frames", true},
                 {"BYTES", "bytes", true}});
    using Order = wire::ListAccounts::Order;
    wire::ListAccounts request;
    if (arguments.by == "bytes") request.order = Order::ByBytes;
    if (arguments.by == "subscribers") request.order = Order::BySubscribers;
    for (;;) {
        const auto page = client.ask<wire::AccountList>(request);
        if (!page) return std::nullopt;
        for (const wire::AccountEntry& entry : page->accounts) {
            if (arguments.top != 0 && request.skip == arguments.top) return table;
            ++request.skip;
            table.add({account_cell(entry.account), number_cell(entry.subscribers),
                       number_cell(entry.durables), number_cell(entry.sequence),
                       lsn_cell(entry.newest), number_cell(entry.frames), bytes_cell(entry.bytes)});
        }
        if (page->end || page->accounts.empty()) return table;
    }
}

}  // namespace

int roster(const RosterArguments& arguments) {
    using List = RosterArguments::List;
    ControlClient client(arguments.control, arguments.keys);
    const auto table = arguments.list == List::Subscribers ? subscribers(client, arguments)
                       : arguments.list == List::Holds     ? holds(client, arguments)
                                                           : accounts(client, arguments);
    if (!table) return 1;
    if (arguments.json)
        table->print_json();
    else
        table->print();
    if (std::fflush(stdout) == 0) return 0;
    std::perror("fatwal: standard output cannot be written");
    return 1;
}

}  // namespace fatwal::cli
