#include "client/cli/event_line.h"

#include "fatwal/wire/text.h"
#include "fatwal/wire/text_sink.h"

namespace fatwal::cli {

namespace {

using client::Change;
using client::Transaction;

std::string timestamp(const Transaction& transaction) {
    const auto since_2000 = transaction.commit_time.time_since_epoch() -
                            std::chrono::seconds(wire::kPostgresEpochUnixSeconds);
    std::string out;
    wire::render_timestamp(since_2000.count(), true, wire::sink_to(out));
    return out;
}

// The payload of fatwal.emit as JSON, on one line; of other messages, and of a payload that is no
// JSON after all, the bytes. So no content can end the object that it stands in, or begin a line of
// its own.
std::string content_json(const Change& change) {
    if (!change.message) return "null";
    const std::string_view content = wire::as_text(change.message->content);
    std::string out;
    if (change.emitted && wire::is_json(content)) {
        wire::render_json(content, wire::sink_to(out));
        return out;
    }
    const wire::Cell cell{wire::Cell::State::Value, 0, change.message->content};
    (void)wire::render_value(cell, wire::TypeCode::Bytea, wire::TypeCode::Other, {},
                             wire::sink_to(out));
    return out;
}

// A name in the text format: as it is when nothing in it can be taken for the end of a word or of
// the line, else as a JSON string. "-" alone stands for none.
std::string word(std::string_view name) {
    const bool plain = !name.empty() && name != "-" && wire::is_one_line(name) &&
                       name.find_first_of(" \"\\=") == std::string_view::npos;
    return plain ? std::string(name) : json_string(name);
}

std::string table_word(const client::Schema& schema) {
    return word(schema.schema()) + '.' + word(schema.table());
}
// "-" for the operators; an account whose key is the empty text is "".
std::string account_word(const LineStyle& style) {
    return style.account ? word(*style.account) : "-";
}

// A row in the text format: its JSON, and the columns that are not in it.
std::string row_text(const client::Row& row, const LineStyle& style) {
    const std::string unavailable = row.unavailable_json();
    return row.json(style.numbers).value_or("?") +
           (unavailable == "[]" ? "" : " without " + unavailable);
}

void append_row(std::string& line, const char* name, const std::optional<client::Row>& row,
                const LineStyle& style) {
    if (!row) return;
    line += std::string(",\"") + name + "\":" + row->json(style.numbers).value_or("null");
    const std::string unavailable = row->unavailable_json();
    if (unavailable != "[]") line += std::string(",\"") + name + "_unavailable\":" + unavailable;
}

// {"op":…, with the table if there is one, and the account.
std::string head(const char* op, const client::Schema* schema, const LineStyle& style) {
    std::string line = std::string("{\"op\":\"") + op + '"';
    if (schema != nullptr)
        line += ",\"schema\":" + json_string(schema->schema()) +
                ",\"table\":" + json_string(schema->table());
    return line + ",\"account\":" + (style.account ? json_string(*style.account) : "null");
}

// What is no change has no position.
std::string text_head(const char* op, const LineStyle& style) {
    return "- - " + account_word(style) + ' ' + op;
}

std::string json_line(const Transaction& transaction, const Change& change, bool last,
                      const LineStyle& style) {
    std::string line = head(wire::op_name(change.op), change.schema, style);
    line += ",\"xid\":" + std::to_string(transaction.xid) + ",\"commit_lsn\":\"" +
            wire::lsn_text(transaction.commit_lsn) + '"';
    line += ",\"ordinal\":" + std::to_string(change.position.ordinal);
    line += ",\"commit_ts\":" +
            (transaction.transactional ? '"' + timestamp(transaction) + '"' : std::string("null"));
    line += std::string(",\"last\":") + (last ? "true" : "false");
    if (change.moved) line += ",\"moved\":true";
    if (change.unrouted) line += ",\"unrouted\":true";
    if (change.op == wire::Op::Truncate) {
        line += std::string(",\"cascade\":") + (change.cascade ? "true" : "false");
        line +=
            std::string(",\"restart_identity\":") + (change.restart_identity ? "true" : "false");
    }
    if (change.message) {
        line += std::string(change.emitted ? ",\"topic\":" : ",\"prefix\":") +
                json_string(change.message->prefix);
        if (change.content_unavailable)
            line += ",\"content_unavailable\":true";
        else
            line += std::string(change.emitted ? ",\"payload\":" : ",\"content\":") +
                    content_json(change);
    }
    append_row(line, "new", change.new_row, style);
    append_row(line, "old", change.old_row, style);
    if (change.malformed) line += ",\"malformed\":true";
    return line + '}';
}

std::string text_line(const Transaction& transaction, const Change& change, bool last,
                      const LineStyle& style) {
    std::string line =
        wire::lsn_text(transaction.commit_lsn) + ' ' + std::to_string(change.position.ordinal);
    line += ' ' + account_word(style) + ' ' + wire::op_name(change.op);
    if (change.schema != nullptr) line += ' ' + table_word(*change.schema);
    if (change.message) {
        line += ' ' + json_string(change.message->prefix) + ' ';
        line += change.content_unavailable ? "(content unavailable)" : content_json(change);
    }
    if (change.unrouted) line += " unrouted";
    if (change.op == wire::Op::Update && change.new_row && change.old_row) {
        const auto columns = static_cast<std::uint16_t>(change.schema->columns().size());
        for (std::uint16_t i = 0; i < columns; ++i) {
            const auto before = change.old_row->json(i, style.numbers);
            const auto after = change.new_row->json(i, style.numbers);
            if (before == after) continue;
            line += ' ' + word(change.schema->columns()[i].name) + '=' + before.value_or("?") +
                    "→" + after.value_or("?");
        }
        line += "  in " + row_text(*change.new_row, style);
    } else if (change.new_row) {
        line += ' ' + row_text(*change.new_row, style);
    } else if (change.old_row) {
        line += ' ' + row_text(*change.old_row, style);
    }
    if (change.malformed) line += " malformed";
    return last ? line + " ." : line;
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string out;
    wire::render_string(text, wire::sink_to(out));
    return out;
}

std::string change_line(const Transaction& transaction, const Change& change, bool last,
                        const LineStyle& style) {
    return (style.text ? text_line : json_line)(transaction, change, last, style);
}

std::string snapshot_line(bool begin, const LineStyle& style) {
    const char* op = begin ? "snapshot_begin" : "snapshot_end";
    return style.text ? text_head(op, style) : head(op, nullptr, style) + '}';
}

std::string row_line(const client::Row& row, const LineStyle& style) {
    if (style.text)
        return text_head("row", style) + ' ' + table_word(row.schema()) + ' ' +
               row_text(row, style);
    std::string line = head("row", &row.schema(), style);
    append_row(line, "new", row, style);
    return line + '}';
}

std::string resync_line(const std::string& reason, const LineStyle& style) {
    if (style.text) return text_head("resync", style) + ' ' + json_string(reason);
    return head("resync", nullptr, style) + ",\"reason\":" + json_string(reason) + '}';
}

std::string error_line(const client::StreamError& error, const LineStyle& style) {
    if (style.text)
        return text_head("error", style) + ' ' + json_string(error.message) + ' ' +
               json_string(error.hint);
    return head("error", nullptr, style) + ",\"message\":" + json_string(error.message) +
           ",\"hint\":" + json_string(error.hint) + '}';
}

}  // namespace fatwal::cli
