#include "fatwal/wire/control.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "fatwal/wire/text.h"

namespace fatwal::wire {

namespace {

constexpr std::string_view kSignature = "FW";
constexpr std::size_t kMaxStr = 0xFFFF;

template <class T>
constexpr bool is_number = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// The visitor of fields() that writes a body. What is longer than its length field can say is cut.
class Encoder {
public:
    template <class T>
    requires is_number<T>
    void operator()(T value) { out_.append(reinterpret_cast<const char*>(&value), sizeof value); }
    void operator()(ErrorCode code) { (*this)(static_cast<std::uint16_t>(code)); }
    void operator()(const Nonce& nonce) { out_.append(as_text(nonce)); }
    void operator()(const AccountKey& account) {
        (*this)(static_cast<std::uint8_t>(account.kind));
        (*this)(static_cast<std::uint8_t>(account.bytes.size()));
        out_.append(account.bytes);
    }
    void operator()(const std::string& whole) {
        const std::string_view text = std::string_view(whole).substr(0, kMaxStr);
        (*this)(static_cast<std::uint16_t>(text.size()));
        out_.append(text);
    }
    void operator()(const std::pair<std::string, std::string>& named) {
        (*this)(named.first);
        (*this)(named.second);
    }
    template <class T>
    requires std::is_class_v<T>
    void operator()(const T& body) { T::fields(body, *this); }

    void name(const std::string& text) { (*this)(text); }
    template <class... Flags>
    void flags8(const Flags&... set) {
        (*this)(static_cast<std::uint8_t>(bits(set...)));
    }
    template <class... Flags>
    void flags16(const Flags&... set) {
        (*this)(static_cast<std::uint16_t>(bits(set...)));
    }
    template <class Enum>
    void choice(Enum value, Enum /*last*/) {
        (*this)(static_cast<std::uint8_t>(value));
    }
    template <class T>
    void list16(const std::vector<T>& items, std::size_t most = 0xFFFF) {
        list<std::uint16_t>(items, most, [this](const T& item) { (*this)(item); });
    }
    template <class T>
    void list32(const std::vector<T>& items) {
        list<std::uint32_t>(items, 0xFFFF'FFFF, [this](const T& item) { (*this)(item); });
    }
    void long_texts16(const std::vector<std::string>& texts, std::size_t most) {
        list<std::uint16_t>(texts, most, [this](const std::string& text) {
            (*this)(static_cast<std::uint32_t>(text.size()));
            out_.append(text);
        });
    }
    template <class T>
    void optional_tail(T value) {
        if (value != 0) (*this)(value);
    }

    std::string take() { return std::move(out_); }

private:
    template <class... Flags>
    static unsigned bits(const Flags&... set) {
        unsigned all = 0;
        unsigned bit = 1;
        ((all |= set ? bit : 0U, bit <<= 1U), ...);
        return all;
    }
    template <class Count, class T, class Put>
    void list(const std::vector<T>& items, std::size_t most, Put put) {
        const std::size_t count = std::min(items.size(), most);
        (*this)(static_cast<Count>(count));
        for (std::size_t i = 0; i < count; ++i) put(items[i]);
    }

    std::string out_;
};

// The visitor of fields() that reads a body. It never stops early: what lies behind the end reads
// as zero, and is_whole() says once whether all of it was as it should be. A count that the bytes
// do not bear out costs no more than the bytes that there are.
class Decoder {
public:
    // `of_fatwald`: a reply. fatwald lists names as rows have them, whatever a request may name;
    // who shows them escapes them.
    Decoder(Cursor cursor, bool of_fatwald) : cursor_(cursor), of_fatwald_(of_fatwald) {}

    template <class T>
    requires is_number<T>
    void operator()(T& value) { value = cursor_.read<T>(); }
    void operator()(ErrorCode& code) {
        code = static_cast<ErrorCode>(cursor_.read<std::uint16_t>());
    }
    void operator()(Nonce& nonce) {
        const Bytes bytes = cursor_.take(kNonceBytes);
        if (cursor_.ok()) std::copy(bytes.begin(), bytes.end(), nonce.begin());
    }
    // The account stays empty when it is refused: nothing may be done with its bytes.
    void operator()(AccountKey& account) {
        const auto kind = cursor_.read<std::uint8_t>();
        const Bytes bytes = cursor_.take(cursor_.read<std::uint8_t>());
        if (!cursor_.ok()) return;
        auto refusal = refusal_of_account(kind, bytes);
        if (of_fatwald_ && kind <= static_cast<std::uint8_t>(AccountKind::Text) &&
            is_valid_account(kind, bytes.size()))
            refusal.reset();
        if (!refusal) account = AccountKey({static_cast<AccountKind>(kind), bytes});
        refuse(std::move(refusal));
    }
    void operator()(std::string& text) { text = cursor_.text(); }
    void operator()(std::pair<std::string, std::string>& named) {
        (*this)(named.first);
        (*this)(named.second);
    }
    template <class T>
    requires std::is_class_v<T>
    void operator()(T& body) { T::fields(body, *this); }

    void name(std::string& text) {
        (*this)(text);
        if (cursor_.ok() && !of_fatwald_) refuse(refusal_of_name(text));
    }
    template <class... Flags>
    void flags8(Flags&... set) {
        spread(cursor_.read<std::uint8_t>(), set...);
    }
    template <class... Flags>
    void flags16(Flags&... set) {
        spread(cursor_.read<std::uint16_t>(), set...);
    }
    template <class Enum>
    void choice(Enum& value, Enum last) {
        const auto number = cursor_.read<std::uint8_t>();
        malformed_ = malformed_ || number > static_cast<std::uint8_t>(last);
        value = static_cast<Enum>(number);
    }
    template <class T>
    void list16(std::vector<T>& items, std::size_t most = 0xFFFF) {
        list<std::uint16_t>(items, most, [this](T& item) { (*this)(item); });
    }
    template <class T>
    void list32(std::vector<T>& items) {
        list<std::uint32_t>(items, 0xFFFF'FFFF, [this](T& item) { (*this)(item); });
    }
    void long_texts16(std::vector<std::string>& texts, std::size_t most) {
        list<std::uint16_t>(texts, most, [this](std::string& text) {
            text = as_text(cursor_.take(cursor_.read<std::uint32_t>()));
        });
    }
    template <class T>
    void optional_tail(T& value) {
        if (cursor_.left() != 0) value = cursor_.read<T>();
    }

    // Whether the body ended where its bytes do, with all values in their range.
    [[nodiscard]] bool is_whole() const {
        return cursor_.ok() && !malformed_ && cursor_.left() == 0;
    }
    // The first account or name that no subscriber can have.
    std::optional<ControlError> take_refusal() { return std::move(refusal_); }

private:
    void refuse(std::optional<ControlError> found) {
        if (!refusal_) refusal_ = std::move(found);
    }
    template <class... Flags>
    static void spread(unsigned bits, Flags&... set) {
        unsigned bit = 1;
        ((set = (bits & bit) != 0, bit <<= 1U), ...);
    }
    template <class Count, class T, class Get>
    void list(std::vector<T>& items, std::size_t most, Get get) {
        const std::size_t count = cursor_.read<Count>();
        malformed_ = malformed_ || count > most;
        for (std::size_t i = 0; i < count && cursor_.ok() && !malformed_; ++i)
            get(items.emplace_back());
    }

    Cursor cursor_;
    const bool of_fatwald_;
    bool malformed_ = false;
    std::optional<ControlError> refusal_;
};

// The alternative of the variant that has this number, with its values unset; nothing when none
// has.
template <std::size_t I = 0>
std::optional<ControlBody> body_of_type(std::uint8_t type) {
    if constexpr (I == std::variant_size_v<ControlBody>) {
        return std::nullopt;
    } else {
        using Body = std::variant_alternative_t<I, ControlBody>;
        if (type == Body::kType) return ControlBody(std::in_place_index<I>);
        return body_of_type<I + 1>(type);
    }
}

DecodedControl refuse(std::uint32_t request_id, ErrorCode code, std::string message,
                      std::string detail) {
    DecodedControl decoded;
    decoded.error =
        ControlMessage{request_id, ControlError{code, std::move(message), std::move(detail), {}}};
    return decoded;
}

}  // namespace

std::optional<ControlError> refusal_of_account(std::uint8_t kind, Bytes bytes) {
    const auto bad = [](std::string message, std::string detail, std::string hint) {
        return ControlError{ErrorCode::BadAccount, std::move(message), std::move(detail),
                            std::move(hint)};
    };
    if (kind > static_cast<std::uint8_t>(AccountKind::Text))
        return bad("unknown kind of account", "Kind " + std::to_string(kind) + ".",
                   "Kinds are 0 operators, 2 uuid, 3 integer, 4 text.");
    if (!is_valid_account(kind, bytes.size()))
        return bad(
            "an account's key has the wrong length",
            "Kind " + std::to_string(kind) + " with " + std::to_string(bytes.size()) + " bytes.",
            "Operators have none, a uuid 16, an integer 8, a text at most 255.");
    if (static_cast<AccountKind>(kind) != AccountKind::Text) return std::nullopt;
    if (!is_one_line(as_text(bytes)))
        return bad("an account's key is not text on one line",
                   "It is not UTF-8, or holds a control character or line separator.", {});
    AccountBuffer buffer;
    const AccountView canonical = account_from_text(as_text(bytes), buffer);
    if (canonical.kind != AccountKind::Text)
        return bad("an account's key is of another kind",
                   "The text spells a key of kind " +
                       std::to_string(static_cast<int>(canonical.kind)) + ".",
                   "Send a uuid as kind 2 and an integer as kind 3.");
    return std::nullopt;
}

std::optional<ControlError> refusal_of_name(std::string_view name) {
    if (!name.empty() && name.size() <= kMaxSubscriberNameBytes && is_one_line(name))
        return std::nullopt;
    return ControlError{
        ErrorCode::BadName, "a subscriber's name is not one",
        name.empty() || name.size() > kMaxSubscriberNameBytes
            ? "It has " + std::to_string(name.size()) + " bytes."
            : "It is not UTF-8, or holds a control character or line separator.",
        "Choose 1 to " + std::to_string(kMaxSubscriberNameBytes) + " bytes of text on one line."};
}

AccountKey AccountKey::from_text(std::string_view text) {
    if (text.size() > kMaxAccountBytes)
        throw std::invalid_argument("an account key has at most " +
                                    std::to_string(kMaxAccountBytes) + " bytes");
    AccountBuffer buffer;
    return AccountKey(account_from_text(text, buffer));
}

std::string AccountKey::to_text() const {
    char text[kMaxAccountBytes];
    return {text, account_to_text(view(), text)};
}

std::string encode(const ControlMessage& message) {
    return std::visit(
        [&](const auto& body) {
            Encoder out;
            out(kSignature[0]);
            out(kSignature[1]);
            out(kVersion);
            out(body.kType);
            out(message.request_id);
            body.fields(body, out);
            return out.take();
        },
        message.body);
}

DecodedControl decode_control(Bytes bytes) {
    Cursor cursor(bytes);
    if (as_text(cursor.take(kSignature.size())) != kSignature) return {};
    const auto version = cursor.read<std::uint8_t>();
    const auto type = cursor.read<std::uint8_t>();
    const auto request_id = cursor.read<std::uint32_t>();
    if (!cursor.ok())
        return refuse(0, ErrorCode::Malformed, "malformed message",
                      "The header has " + std::to_string(kControlHeaderBytes) + " bytes.");
    if (version != kVersion)
        return refuse(request_id, ErrorCode::Version,
                      "protocol version " + std::to_string(version) + " is not supported",
                      "This is version " + std::to_string(kVersion) + ".");
    auto body = body_of_type(type);
    if (!body)
        return refuse(request_id, ErrorCode::UnknownType,
                      "unknown message type " + std::to_string(type), {});
    const bool of_fatwald = std::visit(
        [](const auto& found) {
            return !requires { typename std::decay_t<decltype(found)>::Reply; };
        },
        *body);
    Decoder in(cursor, of_fatwald);
    std::visit([&](auto& found) { found.fields(found, in); }, *body);
    if (!in.is_whole())
        return refuse(request_id, ErrorCode::Malformed,
                      "malformed message of type " + std::to_string(type), {});
    DecodedControl decoded;
    if (auto refusal = in.take_refusal())
        decoded.error = ControlMessage{request_id, std::move(*refusal)};
    else
        decoded.message = ControlMessage{request_id, std::move(*body)};
    return decoded;
}

}  // namespace fatwal::wire
