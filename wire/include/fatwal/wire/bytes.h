// Little-endian loads and stores on unaligned memory, and a cursor that cannot leave its buffer.
//
//     Cursor cursor(bytes);
//     const auto count = cursor.read<std::uint16_t>();
//     const std::string_view name = cursor.text();
//     if (!cursor.ok()) …                        // asked once, behind all reads
//
// load() and store() check nothing: the caller knows the bounds. They compile to one move, also
// where the address is not aligned. Nothing allocates or throws.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace fatwal::wire {

static_assert(std::endian::native == std::endian::little,
              "the wire format and the server's stored forms are little-endian");

using Bytes = std::span<const std::byte>;

// Reads a trivially copyable T at `from`, which need not be aligned. The caller has checked the
// bounds.
template <class T>
[[nodiscard]] inline T load(const std::byte* from) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class T>
inline void store(std::byte* to, T value) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    std::memcpy(to, &value, sizeof value);
}

[[nodiscard]] constexpr std::size_t align8(std::size_t length) noexcept {
    return (length + 7) & ~std::size_t{7};
}

[[nodiscard]] inline std::string_view as_text(Bytes bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[nodiscard]] inline Bytes as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Reads fields one behind the other. After the first read past the end every read gives zero and
// ok() is false, so a parser may read a whole structure and ask once.
class Cursor {
public:
    explicit Cursor(Bytes bytes) noexcept : bytes_(bytes) {}

    template <class T>
    T read() noexcept {
        if (!has(sizeof(T))) return T{};
        T value = load<T>(bytes_.data() + at_);
        at_ += sizeof(T);
        return value;
    }

    Bytes take(std::size_t length) noexcept {
        if (!has(length)) return {};
        Bytes taken = bytes_.subspan(at_, length);
        at_ += length;
        return taken;
    }

    // A `str`: u16 length and its bytes.
    std::string_view text() noexcept { return as_text(take(read<std::uint16_t>())); }

    [[nodiscard]] bool ok() const noexcept { return ok_; }
    [[nodiscard]] std::size_t at() const noexcept { return at_; }
    [[nodiscard]] std::size_t left() const noexcept { return bytes_.size() - at_; }

private:
    bool has(std::size_t length) noexcept {
        ok_ = ok_ && length <= left();
        return ok_;
    }

    Bytes bytes_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

}  // namespace fatwal::wire
