// Postgres's stored form of jsonb as text, in the form that Postgres prints. Source: "jsonb" in
// docs/wire-format.md.
#include "fatwal/wire/json.h"
#include "fatwal/wire/text.h"
#include "wire/src/numeric.h"

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

// How many levels of the nesting are remembered, and how many entries are read again, for each byte
// of the value, to find those that were forgotten. 512 levels are 14 KB of the stack; the value of
// 100,000 levels reads 12 entries a byte again.
constexpr std::size_t kRemembered = 512;
constexpr std::size_t kReadAgainPerByte = 64;

// A walk over the entries of a container, one behind the other, so that no entry's place is
// computed twice. It holds offsets and no views: one level of the nesting is remembered as one of
// these.
struct Walk {
    std::uint32_t container;  // its place in the value
    std::uint32_t length;     // of the container
    std::uint32_t count;      // of the elements of an array, of the pairs of an object
    std::uint32_t next;       // the element or pair that comes next
    std::uint32_t end;        // of the value before it, in the data area
    std::uint32_t key_end;    // of the key before it
    bool object;
    bool bare;  // a scalar, which is stored as an array of one element and printed without brackets

    [[nodiscard]] bool done() const noexcept { return next == count; }
    [[nodiscard]] std::size_t entries() const noexcept {
        return std::size_t{count} * (object ? 2 : 1);
    }
};

// What an entry is and where its data is, counted from the start of the value.
struct Item {
    Entry type = Entry::Null;
    std::uint32_t at = 0;
    std::uint32_t length = 0;
};

// Renders a value without recursion, in a fixed amount of memory. It remembers the innermost
// kRemembered levels in a ring. When the walk comes back to a level that has left the ring, it goes
// down again from the outermost container towards the place where it stands, and so fills the ring
// with the levels above it: data ranges of entries do not overlap, so exactly one entry of each
// level holds that place. Going down again is needed once in kRemembered levels at most, so nesting
// of any depth that a server can write takes time in proportion to its size. Bytes that nobody's
// server wrote could make it quadratic: budget_ ends such a value.
class Renderer {
public:
    Renderer(Bytes value, const Sink& sink) noexcept
        : value_(value), sink_(sink), budget_(kReadAgainPerByte * value.size()) {}

    RenderError render() {
        if (value_.size() > kLengthMask + std::size_t{1}) return RenderError::Malformed;
        if (!enter(0, static_cast<std::uint32_t>(value_.size()))) return RenderError::Malformed;
        while (depth_ != 0) {
            Walk& walk = level(depth_ - 1);
            if (!walk.done() ? !render_next(walk) : !leave()) return RenderError::Malformed;
        }
        return RenderError::None;
    }

private:
    [[nodiscard]] Walk& level(std::size_t depth) noexcept { return levels_[depth % kRemembered]; }

    // Reads the header of the container at `at`. False when it is none or its entries leave it.
    bool open(std::uint32_t at, std::uint32_t length, Walk& walk) const noexcept {
        if (length < 4) return false;
        const auto header = load<std::uint32_t>(value_.data() + at);
        walk = {at, length, header & kCountMask, 0, 0, 0, (header & kObject) != 0, false};
        if (!walk.object && (header & kArray) == 0) return false;
        if (walk.entries() > (length - 4) / 4) return false;
        walk.bare = !walk.object && (header & kScalar) != 0;
        if (walk.bare && (walk.count != 1 || depth_ != 0)) return false;
        if (!walk.object) return true;
        // The values of an object lie behind all its keys.
        Item key;
        for (std::uint32_t i = 0; i < walk.count; ++i)
            if (!read(walk, i, walk.end, key)) return false;
        return true;
    }

    // Reads an entry whose data begins at `end`, and moves `end` behind it. False when the data
    // leaves the container.
    bool read(const Walk& walk, std::size_t index, std::uint32_t& end, Item& item) const noexcept {
        const auto entry = load<std::uint32_t>(value_.data() + walk.container + 4 + 4 * index);
        const auto data = static_cast<std::uint32_t>(4 + 4 * walk.entries());
        item.type = static_cast<Entry>(entry & kTypeMask);
        const std::uint32_t start = end;
        const std::uint32_t length = entry & kLengthMask;
        end = (entry & kHasOffset) != 0 ? length : start + length;
        if (end < start || end > walk.length - data) return false;
        const bool aligned = item.type == Entry::Numeric || item.type == Entry::Container;
        const std::uint32_t from = aligned ? (start + 3) & ~std::uint32_t{3} : start;
        if (from > end) return false;
        item.at = walk.container + data + from;
        item.length = end - from;
        return true;
    }

    // The next value, and the key before it of a pair.
    bool read_next(Walk& walk, Item& key, Item& item) const noexcept {
        const std::size_t index = walk.next++;
        if (!walk.object) return read(walk, index, walk.end, item);
        return read(walk, index, walk.key_end, key) && key.type == Entry::String &&
               read(walk, walk.count + index, walk.end, item);
    }

    bool enter(std::uint32_t at, std::uint32_t length) {
        Walk walk{};
        if (!open(at, length, walk)) return false;
        level(depth_++) = walk;
        if (forgotten_ + kRemembered < depth_) ++forgotten_;
        if (!walk.bare) sink_(walk.object ? '{' : '[');
        return true;
    }

    bool leave() {
        const Walk done = level(--depth_);
        if (!done.bare) sink_(done.object ? '}' : ']');
        return depth_ == 0 || depth_ > forgotten_ || remember(done.container);
    }

    bool render_next(Walk& walk) {
        if (walk.next != 0) sink_(", ");
        Item key;
        Item item;
        if (!read_next(walk, key, item)) return false;
        if (walk.object) {
            if (!render_text(key)) return false;
            sink_(": ");
        }
        switch (item.type) {
            case Entry::String: return render_text(item);
            case Entry::Numeric: return render_embedded_numeric(item);
            case Entry::False: return sink_("false"), true;
            case Entry::True: return sink_("true"), true;
            case Entry::Null: return sink_("null"), true;
            case Entry::Container: return enter(item.at, item.length);
        }
        return false;
    }

    bool render_text(const Item& item) {
        const std::string_view text = as_text(value_.subspan(item.at, item.length));
        if (!is_utf8(text)) return false;
        render_string(text, sink_);
        return true;
    }

    bool render_embedded_numeric(const Item& item) {
        if (item.length == 0) return false;
        const Bytes data = value_.subspan(item.at, item.length);
        const std::size_t header = (load<std::uint8_t>(data.data()) & 1U) != 0 ? 1 : 4;
        if (data.size() < header) return false;
        const auto numeric = read_numeric(data.subspan(header));
        // JSON has no NaN, and Postgres puts none into a jsonb.
        if (!numeric || !numeric->special.empty()) return false;
        return fatwal::wire::render(*numeric, sink_) == RenderError::None;
    }

    // Fills the ring with the levels above the container at `target`, which the walk has just left.
    bool remember(std::uint32_t target) noexcept {
        forgotten_ = depth_ > kRemembered ? depth_ - kRemembered : 0;
        std::uint32_t at = 0;
        auto length = static_cast<std::uint32_t>(value_.size());
        for (std::size_t depth = 0; depth < depth_; ++depth) {
            Walk walk{};
            if (!open(at, length, walk)) return false;
            if (walk.entries() > budget_) return false;
            budget_ -= walk.entries();
            Item key;
            Item item;
            do {
                if (walk.done() || !read_next(walk, key, item)) return false;
            } while (item.type != Entry::Container || target < item.at ||
                     target - item.at >= item.length);
            if (depth >= forgotten_) level(depth) = walk;
            at = item.at;
            length = item.length;
        }
        return true;
    }

    Bytes value_;
    const Sink& sink_;
    std::uint64_t budget_;
    std::size_t depth_ = 0;      // of the containers that the walk is in
    std::size_t forgotten_ = 0;  // the levels above this one are not in the ring
    Walk levels_[kRemembered];   // not zeroed: most values have one level
};

}  // namespace

RenderError render_jsonb(Bytes stored, const Sink& sink) { return Renderer(stored, sink).render(); }

}  // namespace fatwal::wire
