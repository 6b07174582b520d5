// The keys by which a subscriber and fatwald know each other beyond one machine (ZeroMQ's CURVE).
// Without them the file system of fatwald's machine decides who may connect.
//
//     fatwal keygen worker.key           # prints the worker's public key, for fatwal.credential
//
//     options.control = {"tcp://fatwald.internal:7001"};
//     options.keys = fatwal::client::Keys::from_file("worker.key", server_public_key);
//
// Cost: each message is encrypted on its way. Threads: a value. Errors: from_file() and check()
// throw std::invalid_argument with a sentence that says what to do; no sentence has a secret key.
#pragma once

#include <compare>
#include <string>

namespace zmq {
class socket_t;
}

namespace fatwal::client {

// Each is 40 characters of Z85, ZeroMQ's text for the 32 bytes of a key.
struct Keys {
    std::string server_public_key;  // fatwald's: a peer that has not its secret key is not served
    std::string public_key;         // ours, which a credential in the database names
    std::string secret_key;

    // Our pair from a file that `fatwal keygen` or zmq.auth of pyzmq has written. A file that
    // others than its owner can read is refused.
    [[nodiscard]] static Keys from_file(const std::string& path, std::string server_public_key);

    // Throws when a key is none, when ours are no pair, and when libzmq was built without CURVE.
    // A subscription calls it.
    void check() const;
    // For a socket of your own that is to connect to fatwald's control endpoint.
    void use_on(zmq::socket_t& socket) const;

    friend auto operator<=>(const Keys&, const Keys&) = default;
};

}  // namespace fatwal::client
