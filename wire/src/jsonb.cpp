// Postgres's stored form of jsonb as text, in the form that Postgres prints. Source: "jsonb" in docs/wire-format.md.
#include "fatwal/wire/json.h"

namespace fatwal::wire {

namespace {

constexpr std::uint32_t kCountMask = 0x0FFF'FFFF;
constexpr std::uint32_t kScalar = 0x1000'0000;
constexpr std::uint32_t kObject = 0x2000'0000;
constexpr std::uint32_t kArray = 0x4000'0000;
constexpr std::uint32_t kLengthMask = 0x0FFF'FFFF;
constexpr std::uint32_t kHasOffset = 0x8000'0000;

enum class Entry : std::uint32_t {
    String = 0,
    Numeric = 0x1000'0000,
    False = 0x2000'0000,
    True = 0x3000'0000,
    Null = 0x4000'0000,
    Container = 0x5000'0000,
};
constexpr std::uint32_t kTypeMask = 0x7000'0000;

// Walks the entries of a container one behind the other, so that no entry's place is computed twice.
class Entries {
public:
    Entries(Bytes container, std::size_t count) noexcept : entries_(container.subspan(4)), data_(container.subspan(4 + 4 * count)) {}

    // The next entry's type and data; false when the data leaves the container.
    bool next(Entry& type, Bytes& data) noexcept {
        const auto entry = load<std::uint32_t>(entries_.data() + 4 * index_++);
        type = static_cast<Entry>(entry & kTypeMask);
        const std::size_t start = end_;
        const std::size_t length = entry & kLengthMask;
        end_ = (entry & kHasOffset) != 0 ? length : start + length;
        if (end_ < start || end_ > data_.size()) return false;
        const bool aligned = type == Entry::Numeric || type == Entry::Container;
        const std::size_t from = aligned ? (start + 3) & ~std::size_t{3} : start;
        if (from > end_) return false;
        data = data_.subspan(from, end_ - from);
        return true;
    }

private:
    Bytes entries_;
    Bytes data_;
    std::size_t index_ = 0;
    std::size_t end_ = 0;
};

RenderError render_container(Bytes container, int depth, const Sink& sink);

RenderError render_embedded_numeric(Bytes data, const Sink& sink) {
    if (data.empty()) return RenderError::Malformed;
    const std::size_t header = (load<std::uint8_t>(data.data()) & 1U) != 0 ? 1 : 4;
    if (data.size() < header) return RenderError::Malformed;
    return render_numeric(data.subspan(header), sink);
}

RenderError render_entry(Entry type, Bytes data, int depth, const Sink& sink) {
    switch (type) {
        case Entry::String: render_string(as_text(data), sink); return RenderError::None;
        case Entry::Numeric: return render_embedded_numeric(data, sink);
        case Entry::False: sink("false"); return RenderError::None;
        case Entry::True: sink("true"); return RenderError::None;
        case Entry::Null: sink("null"); return RenderError::None;
        case Entry::Container: return render_container(data, depth + 1, sink);
    }
    return RenderError::Malformed;
}

RenderError render_object(Bytes container, std::size_t count, int depth, const Sink& sink) {
    Entries keys(container, 2 * count);
    Entries values(container, 2 * count);
    Entry type{};
    Bytes data;
    for (std::size_t i = 0; i < count; ++i)
        if (!values.next(type, data)) return RenderError::Malformed;
    sink('{');
    for (std::size_t i = 0; i < count; ++i) {
        if (i != 0) sink(", ");
        if (!keys.next(type, data) || type != Entry::String) return RenderError::Malformed;
        render_string(as_text(data), sink);
        sink(": ");
        if (!values.next(type, data) || render_entry(type, data, depth, sink) != RenderError::None) return RenderError::Malformed;
    }
    sink('}');
    return RenderError::None;
}

RenderError render_array(Bytes container, std::size_t count, bool bare, int depth, const Sink& sink) {
    Entries elements(container, count);
    if (!bare) sink('[');
    for (std::size_t i = 0; i < count; ++i) {
        Entry type{};
        Bytes data;
        if (i != 0) sink(", ");
        if (!elements.next(type, data) || render_entry(type, data, depth, sink) != RenderError::None) return RenderError::Malformed;
    }
    if (!bare) sink(']');
    return RenderError::None;
}

RenderError render_container(Bytes container, int depth, const Sink& sink) {
    if (depth > kMaxJsonbDepth || container.size() < 4) return RenderError::Malformed;
    const auto header = load<std::uint32_t>(container.data());
    const std::size_t count = header & kCountMask;
    const bool object = (header & kObject) != 0;
    if (!object && (header & kArray) == 0) return RenderError::Malformed;
    const std::size_t entries = object ? 2 * count : count;
    if (entries > (container.size() - 4) / 4) return RenderError::Malformed;
    if (object) return render_object(container, count, depth, sink);
    const bool bare = (header & kScalar) != 0;
    if (bare && count != 1) return RenderError::Malformed;
    return render_array(container, count, bare, depth, sink);
}

}  // namespace

RenderError render_jsonb(Bytes stored, const Sink& sink) { return render_container(stored, 0, sink); }

}  // namespace fatwal::wire
