// From an id to the ids that stand behind it.
#pragma once

#include <functional>
#include <unordered_map>
#include <utility>

#include "portal/access/basics.h"

namespace fatwal::access {

struct HashOfTwo {
    std::size_t operator()(const std::pair<Uuid, Uuid>& ids) const noexcept {
        return std::hash<Uuid>()(ids.first) * 0x9E37'79B9'7F4A'7C15U ^
               std::hash<Uuid>()(ids.second);
    }
};

class Index {
public:
    void add(const Uuid& key, const Uuid& value) { ids_[key].insert(value); }
    void remove(const Uuid& key, const Uuid& value) {
        const auto found = ids_.find(key);
        if (found == ids_.end()) return;
        found->second.erase(value);
        if (found->second.empty()) ids_.erase(found);
    }
    [[nodiscard]] const Ids& of(const Uuid& key) const {
        static const Ids kNone;
        const auto found = ids_.find(key);
        return found == ids_.end() ? kNone : found->second;
    }
    void set(const Uuid& key, const Uuid& value, bool there) {
        if (there)
            add(key, value);
        else
            remove(key, value);
    }
    friend bool operator==(const Index&, const Index&) = default;

private:
    std::unordered_map<Uuid, Ids> ids_;
};

}  // namespace fatwal::access
