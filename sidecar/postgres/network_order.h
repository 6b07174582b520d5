// Integers in network order, as libpq's protocols have them: the replication messages, binary COPY.
#pragma once

#include <cstddef>

namespace fatwal::sidecar {

// `from`: sizeof(T) bytes.
template <class T>
[[nodiscard]] T from_network(const char* from) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i)
        value = static_cast<T>(value << 8U | static_cast<unsigned char>(from[i]));
    return value;
}

// Returns what follows the sizeof(T) bytes at `to`.
template <class T>
char* to_network(char* to, T value) {
    for (std::size_t i = sizeof value; i-- > 0; value = static_cast<T>(value >> 8U))
        to[i] = static_cast<char>(value & 0xFFU);
    return to + sizeof value;
}

}  // namespace fatwal::sidecar
