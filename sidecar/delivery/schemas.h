// The schema messages of this session, by their name. No I/O.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <unordered_map>

#include "fatwal/wire/schema.h"

namespace fatwal::sidecar {

class Schemas {
public:
    // Older versions of a relation than these are forgotten.
    static constexpr std::size_t kVersionsKept = 16;

    void add(const wire::SchemaView& schema);
    // Nothing when it was not seen, or forgotten.
    [[nodiscard]] const std::string* find(wire::SchemaId id) const;
    [[nodiscard]] std::size_t size() const { return messages_.size(); }

private:
    std::map<wire::SchemaId, std::string> messages_;
    std::unordered_map<std::uint32_t, std::deque<std::uint32_t>>
        versions_;  // fingerprints of a relation, oldest first
};

}  // namespace fatwal::sidecar
