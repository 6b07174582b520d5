#include "extension/options.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "fatwal/wire/publication_names.h"
#include "fatwal/wire/types.h"

namespace fatwal::plugin {

namespace {

constexpr char kKnownOptions[] = "publication_names, protocol_version, frame_bytes, messages";
constexpr int kMinFrameBytes = 1024;
constexpr int kMaxFrameBytes = 16 * 1024 * 1024;

const char* value_of(DefElem* option) {
    if (option->arg == nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("option \"%s\" needs a value", option->defname)));
    return strVal(option->arg);
}

int integer_of(DefElem* option, int least, int greatest) {
    int value = 0;
    const char* text = value_of(option);
    char* end = nullptr;
    errno = 0;
    const long parsed = std::strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || parsed < least || parsed > greatest)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value \"%s\" for option \"%s\"", text, option->defname),
                        errdetail("It is a whole number from %d to %d.", least, greatest)));
    value = static_cast<int>(parsed);
    return value;
}

void check_protocol_version(DefElem* option) {
    const int version = integer_of(option, 0, PG_INT32_MAX);
    if (version != wire::kVersion)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("protocol version %d is not supported, this is version %d", version,
                               wire::kVersion),
                        errhint("Install the fatwal extension and fatwald of the same version.")));
}

}  // namespace

List* parse_publication_names(const char* text) {
    List* names = NIL;
    wire::PublicationNames list(text);
    while (const auto name = list.next()) {
        auto* const bytes = static_cast<char*>(palloc(name->most_bytes() + 1));
        char* end = bytes;
        name->for_each_byte([&](char c) { *end++ = c; });
        *end = '\0';
        names = lappend(names, bytes);
    }
    if (list.error() != nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
                        errmsg("\"%s\" is not a list of publication names", text),
                        errdetail("%s", list.error()), errhint("%s", wire::kPublicationNamesHint)));
    return names;
}

Options parse_options(List* options) {
    Options parsed = {NIL, kDefaultFrameBytes, true};
    ListCell* cell = nullptr;
    foreach (cell, options) {
        auto* option = static_cast<DefElem*>(lfirst(cell));
        if (std::strcmp(option->defname, "publication_names") == 0) {
            parsed.publication_names = parse_publication_names(value_of(option));
        } else if (std::strcmp(option->defname, "protocol_version") == 0) {
            check_protocol_version(option);
        } else if (std::strcmp(option->defname, "frame_bytes") == 0) {
            parsed.frame_bytes =
                static_cast<std::size_t>(integer_of(option, kMinFrameBytes, kMaxFrameBytes));
        } else if (std::strcmp(option->defname, "messages") == 0) {
            if (!parse_bool(value_of(option), &parsed.messages))
                ereport(ERROR,
                        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                         errmsg("invalid value \"%s\" for option \"messages\"", value_of(option)),
                         errdetail("It is a boolean.")));
        } else {
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("unknown option \"%s\"", option->defname),
                            errhint("Known options: %s.", kKnownOptions)));
        }
    }
    if (parsed.publication_names == NIL)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("option \"publication_names\" is missing"),
                        errhint("Known options: %s.", kKnownOptions)));
    return parsed;
}

}  // namespace fatwal::plugin
