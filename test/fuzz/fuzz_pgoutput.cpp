// Whatever the bytes are, decoding messages of pgoutput stays inside them, and what comes out is in
// the format.
//
// The input is a list of messages, each behind its length (u16). A transaction and a table with a
// column of each type stand before it, so that a change of that table need not be found first.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "fatwal/wire/frame.h"
#include "fatwal/wire/schema.h"
#include "sidecar/pgoutput/decoder.h"

namespace {

using namespace fatwal;
using sidecar::pgoutput::Decoder;
using sidecar::pgoutput::RelationFacts;

constexpr std::uint32_t kTable = 1;
constexpr std::uint32_t kMood = 16'500;
// Of each built-in type, an enum, and arrays of some.
constexpr std::uint32_t kTypes[] = {16,  21,   23,   20,   700,  701,  1700, 25,   17,  2950,
                                    114, 3802, 1082, 1083, 1266, 1114, 1184, 1186, 869, 650,
                                    829, 26,   22,   1007, 1009, 1231, 1001, kMood};

template <class T>
void add(std::string& text, T value) {
    for (std::size_t i = sizeof(T); i-- > 0;)
        text.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i)));
}

std::string begin() {
    std::string text = "B";
    add(text, std::uint64_t{100});
    add(text, std::int64_t{0});
    add(text, std::uint32_t{7});
    return text;
}

std::string relation() {
    std::string text = "R";
    add(text, kTable);
    text += std::string("public\0t\0f", 10);
    add(text, static_cast<std::uint16_t>(std::size(kTypes)));
    for (const std::uint32_t type : kTypes) {
        add(text, std::uint8_t{1});
        text += type == 23 ? "account_id" : "c" + std::to_string(type);
        text.push_back('\0');
        add(text, type);
        add(text, std::int32_t{-1});
    }
    return text;
}

RelationFacts facts_of(std::uint32_t relation) {
    RelationFacts facts;
    facts.relation = relation;
    facts.exists = true;
    facts.account_settings = {{relation, ""}};
    for (const std::uint32_t type : kTypes) facts.types[type];
    facts.types[kMood].kind = 'e';
    facts.types[kMood].labels = {{1, "sad"}, {2, "happy"}};
    facts.types[22].element = 21;
    facts.types[1007].element = 23;
    facts.types[1009].element = 25;
    facts.types[1231].element = 1700;
    facts.types[1001].element = 17;
    return facts;
}

void feed(Decoder& decoder, wire::Bytes message) {
    Decoder::Fed fed = decoder.feed(message);
    for (int i = 0; i < 4 && fed == Decoder::Fed::Wants; ++i) {
        if (!decoder.learn(facts_of(decoder.wanted().relation))) std::abort();
        fed = decoder.feed(message);
    }
    while (const auto out = decoder.next())
        if (!wire::FrameView::parse(*out) && !wire::SchemaView::parse(*out)) std::abort();
    (void)decoder.take_warnings();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Decoder decoder({1024, true});
    feed(decoder, wire::as_bytes(begin()));
    feed(decoder, wire::as_bytes(relation()));
    wire::Cursor cursor(wire::Bytes(reinterpret_cast<const std::byte*>(data), size));
    while (cursor.ok() && cursor.left() > 0) {
        // A copy of its own, so that the sanitizer sees each read past its end.
        const auto length = cursor.read<std::uint16_t>();
        const std::string message(
            wire::as_text(cursor.take(length < cursor.left() ? length : cursor.left())));
        feed(decoder, wire::as_bytes(message));
    }
    return 0;
}
