#include "wire/encoding/logical_message.h"

#include "fatwal/wire/text.h"

namespace fatwal::wire {

namespace {

// A foreign prefix that alone is too large is cut at a character. Nobody's prefix is so long but by
// intent.
constexpr std::size_t kMaxCutPrefix = 255;

std::string_view cut(std::string_view prefix) {
    std::size_t length = 0;
    while (length < prefix.size()) {
        const std::size_t next = utf8_length(prefix, length);
        if (next == 0 || length + next > kMaxCutPrefix) break;
        length += next;
    }
    return {prefix.data(), length};
}

bool read_emitted(std::string_view content, AccountBuffer& buffer, LogicalMessage& message) {
    Cursor cursor(as_bytes(content));
    const std::string_view account = cursor.text();
    const std::string_view topic = cursor.text();
    if (!cursor.ok()) return false;
    const std::string_view payload(content.data() + cursor.at(), cursor.left());
    const EmitFault fault = fault_of(account, topic, payload);
    if (fault != EmitFault::None) return false;
    message.account = account.empty() ? AccountView{} : account_from_text(account, buffer);
    message.flags = kEmitted;
    message.prefix = topic;
    message.content = payload;
    return true;
}

}  // namespace

EmitFault fault_of(std::string_view account, std::string_view topic, std::string_view payload) {
    if (account.size() > kMaxAccountBytes || !is_one_line(account)) return EmitFault::Account;
    if (topic.size() > kMaxTopicBytes || !is_one_line(topic)) return EmitFault::Topic;
    if (topic.size() + payload.size() > kMaxMessageBytes) return EmitFault::Size;
    return is_json(payload) ? EmitFault::None : EmitFault::Payload;
}

LogicalMessage understand(const char* prefix, std::string_view content, AccountBuffer& buffer) {
    LogicalMessage message = {{}, 0, prefix, content};
    const bool emitted = message.prefix == kEmitPrefix && read_emitted(content, buffer, message);
    if (emitted || message.prefix.size() + message.content.size() <= kMaxMessageBytes)
        return message;
    message.flags = kContentUnavailable;
    message.content = {};
    if (message.prefix.size() > kMaxMessageBytes) message.prefix = cut(message.prefix);
    return message;
}

}  // namespace fatwal::wire
