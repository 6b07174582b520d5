// The handshakes of peers with keys, where libzmq does not judge them strictly enough.
//
// A peer may tell a ROUTER the routing id by which it is to be known. libzmq 4.3.4 takes any that
// no live peer has, also one that looks like those that it makes itself: when it makes that one
// later an assertion ends the process, and what is still sent to a peer that has just gone goes to
// whoever has taken its id. So no peer with a key chooses: fatwald refuses the handshake of one
// that tries. Every routing id on a keyed socket is then libzmq's own, and is nobody else's while
// fatwald runs.
//
// How: a peer says its routing id in the last message of its CURVE handshake (INITIATE, RFC 26),
// which libzmq decrypts by libsodium's crypto_box_open(). It calls that by name, so the definition
// in handshakes.cpp, in the executable, is the one that it finds: it passes on to libsodium's,
// reads what came out, and says that it could not be decrypted when it names a routing id.
//
// A libzmq that was built without libsodium does not come by here. It is found out before a peer
// counts: libzmq asks the ZAP handler behind this message, so a question about a key that nothing
// was inspected before is answered no (zap.cpp).
#pragma once

#include <cstdint>

namespace fatwal::sidecar::handshakes {

// INITIATEs that were decrypted, and those of them that were refused. Since the process began.
[[nodiscard]] std::uint64_t inspected();
[[nodiscard]] std::uint64_t refused();

}  // namespace fatwal::sidecar::handshakes
