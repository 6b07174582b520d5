#include "sidecar/delivery/schemas.h"

namespace fatwal::sidecar {

void Schemas::add(const wire::SchemaView& schema) {
    const auto [at, is_new] = messages_.try_emplace(schema.id(), wire::as_text(schema.bytes()));
    if (!is_new) return;
    auto& versions = versions_[schema.id().relation];
    versions.push_back(schema.id().fingerprint);
    if (versions.size() <= kVersionsKept) return;
    messages_.erase({schema.id().relation, versions.front()});
    versions.pop_front();
}

const std::string* Schemas::find(wire::SchemaId id) const {
    const auto found = messages_.find(id);
    return found == messages_.end() ? nullptr : &found->second;
}

}  // namespace fatwal::sidecar
