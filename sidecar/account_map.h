// A hash table by account, in which a view of the key finds without a key being made.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <unordered_map>

#include "fatwal/wire/control.h"

namespace fatwal::sidecar {

struct HashOfAccount {
    using is_transparent = void;
    std::size_t operator()(wire::AccountView view) const noexcept {
        return std::hash<std::string_view>{}(wire::as_text(view.bytes)) * 31 +
               static_cast<std::size_t>(view.kind);
    }
    std::size_t operator()(const wire::AccountKey& key) const noexcept {
        return (*this)(key.view());
    }
};

struct SameAccount {
    using is_transparent = void;
    bool operator()(const wire::AccountKey& a, const wire::AccountKey& b) const noexcept {
        return a == b;
    }
    bool operator()(wire::AccountView a, const wire::AccountKey& b) const noexcept {
        return a == b.view();
    }
    bool operator()(const wire::AccountKey& a, wire::AccountView b) const noexcept {
        return a.view() == b;
    }
};

template <class Value>
using AccountMap = std::unordered_map<wire::AccountKey, Value, HashOfAccount, SameAccount>;

}  // namespace fatwal::sidecar
