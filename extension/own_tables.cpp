#include "extension/own_tables.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace fatwal::plugin {

namespace {

template <std::size_t Count>
bool is_one_of(std::string_view name, const char* const (&names)[Count]) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_of_the_extension(Relation relation) {
    const char* schema = get_namespace_name(RelationGetNamespace(relation));
    if (schema == nullptr || std::string_view(schema) != kExtension) return false;
    const Oid extension = getExtensionOfObject(RelationRelationId, RelationGetRelid(relation));
    return OidIsValid(extension) && extension == get_extension_oid(kExtension, true);
}

}  // namespace

OwnTable own_table_of(Relation relation) {
    const std::string_view name = RelationGetRelationName(relation);
    const bool credentials = is_one_of(name, kCredentials);
    if (!credentials && !is_one_of(name, kNotes)) return OwnTable::None;
    if (!is_of_the_extension(relation)) return OwnTable::None;
    return credentials ? OwnTable::Credentials : OwnTable::Notes;
}

}  // namespace fatwal::plugin
