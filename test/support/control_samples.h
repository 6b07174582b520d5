// A value of each control message, made from its fields() alone: a message that is added is among
// them without a line here.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fatwal/wire/control.h"

namespace fatwal::test {

// Whether a field that an earlier release does not know is there: a message without it is a whole
// message too.
enum class Tails : std::uint8_t { Filled, LeftOut };

// A visitor of fields() that gives each field a value of its own, the same in each run.
class Filler {
public:
    explicit Filler(Tails tails) : tails_(tails) {}

    template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) void operator()(T& value) {
        value = static_cast<T>(++number_);
    }
    void operator()(wire::ErrorCode& code) { code = wire::ErrorCode::BadAccount; }
    void operator()(wire::Nonce& nonce) {
        for (std::byte& byte : nonce) byte = static_cast<std::byte>(++number_);
    }
    void operator()(wire::AccountKey& account) {
        account = wire::AccountKey::from_text("acme " + std::to_string(++number_));
    }
    void operator()(std::string& text) { text = "text " + std::to_string(++number_); }
    void operator()(std::pair<std::string, std::string>& named) {
        (*this)(named.first);
        (*this)(named.second);
    }
    template <class T>
    requires std::is_class_v<T>
    void operator()(T& body) { T::fields(body, *this); }
    void name(std::string& text) { (*this)(text); }
    void flags8(auto&... set) { flags(set...); }
    void flags16(auto&... set) { flags(set...); }
    void choice(auto& value, auto last) { value = last; }
    void list16(auto& items, std::size_t = 0) { list(items); }
    void list32(auto& items) { list(items); }
    void long_texts16(auto& items, std::size_t) { list(items); }
    void optional_tail(auto& value) {
        if (tails_ == Tails::Filled) (*this)(value);
    }

private:
    // The last flag is set and the others change, so that no two bits look alike.
    void flags(auto&... set) {
        std::size_t left = sizeof...(set);
        ((set = --left % 2 == 0), ...);
    }
    void list(auto& items) {
        items.resize(2);
        for (auto& item : items) (*this)(item);
    }

    Tails tails_;
    unsigned number_ = 0;
};

template <class Body>
Body sample(Tails tails = Tails::Filled) {
    Body body{};
    Filler fill(tails);
    Body::fields(body, fill);
    return body;
}

template <std::size_t... I>
std::vector<wire::ControlMessage> one_of_each(Tails tails, std::index_sequence<I...>) {
    return {
        wire::ControlMessage{static_cast<std::uint32_t>(I + 1),
                             sample<std::variant_alternative_t<I, wire::ControlBody>>(tails)}...};
}
inline std::vector<wire::ControlMessage> one_of_each(Tails tails = Tails::Filled) {
    return one_of_each(tails, std::make_index_sequence<std::variant_size_v<wire::ControlBody>>());
}

}  // namespace fatwal::test
