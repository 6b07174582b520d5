// From an id to the ids that stand behind it.
#pragma once

#include <unordered_map>

#include "fatwal/channel/basics.h"

namespace fatwal::channel {

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
    void clear() { ids_.clear(); }

private:
    std::unordered_map<Uuid, Ids> ids_;
};

}  // namespace fatwal::channel
