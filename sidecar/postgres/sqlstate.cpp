#include "sidecar/postgres/sqlstate.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace fatwal::sidecar {

namespace {

// Prefixes of SQLSTATEs, from https://www.postgresql.org/docs/current/errcodes-appendix.html.
constexpr std::array<std::string_view, 16> kPassing = {
    "08",     // the connection was lost, or could not be made
    "25006",  // read only: a standby, while a switch-over lasts
    "40",     // rolled back: a deadlock, a serialization failure
    "42710",  // the slot exists: another fatwald made it at the same moment
    "53000",  // resources
    "53100",  // the disk is full
    "53200",  // out of memory
    "53300",  // too many connections
    "55006",  // the slot is in use
    "55P03",  // a lock was not available in time
    "57014",  // canceled: a statement timeout, or a person
    "57P",    // the server starts, stops or has crashed; a session was idle for too long
    "58",     // the system: an input or output error
    "25P03",  // a transaction was idle for too long
    "25P04",  // a transaction took too long
    "XX000",  // internal
};

// Of class 08, what a server that speaks another protocol answers: it does not change its mind.
constexpr std::string_view kProtocolViolation = "08P01";
constexpr std::string_view kUndefinedObject = "42704";
// libpq finds these itself, before it connects: they are the connection string's. fatwald sets no
// locale, so libpq does not translate them.
constexpr std::array<std::string_view, 3> kMalformed = {"invalid ", "could not match ",
                                                        "definition of service "};

// What libpq and OpenSSL say of certificates, and what mends it.
struct TlsMistake {
    std::string_view text;
    std::string_view hint;
};
constexpr std::array<TlsMistake, 8> kTlsMistakes = {{
    {"certificate verify failed",
     "The server's certificate is not signed by the CA in sslrootcert, or has expired. Give the "
     "CA's file: sslrootcert=FILE."},
    {"does not match host name",
     "Give host= a name that the server's certificate has, and its address by hostaddr=."},
    {"root certificate file",
     "Give the file of the CA that signed the server's certificate: sslrootcert=FILE."},
    {"could not read root certificate", "Give the CA's file in PEM: sslrootcert=FILE."},
    {"does not support SSL",
     "Turn TLS on in the server (ALTER SYSTEM SET ssl = on, with ssl_cert_file and ssl_key_file), "
     "or give the address of one that has it."},
    {"could not read certificate file", "Give the client's certificate in PEM: sslcert=FILE."},
    {"private key file",
     "Give the client's key in PEM, as sslkey=FILE, for its owner alone: chmod "
     "600 FILE."},
    {"valid client certificate",
     "The server asks for a client certificate: sslcert=FILE sslkey=FILE."},
}};

}  // namespace

bool passes(std::string_view sqlstate) {
    if (sqlstate.empty()) return true;
    if (sqlstate == kProtocolViolation) return false;
    return std::any_of(kPassing.begin(), kPassing.end(),
                       [&](std::string_view prefix) { return sqlstate.starts_with(prefix); });
}

bool is_of_a_missing_publication(std::string_view sqlstate, std::string_view message) {
    return sqlstate == kUndefinedObject && message.starts_with("publication ");
}

std::vector<std::string> sqlstates_in(std::string_view error) {
    constexpr std::size_t kLength = 5;
    const auto is_code = [](char c) {
        return std::isdigit(static_cast<unsigned char>(c)) != 0 || (c >= 'A' && c <= 'Z');
    };
    std::vector<std::string> found;
    // "FATAL:  28P01: password authentication failed": the severity may be translated.
    for (std::size_t at = error.find(":  "); at != std::string_view::npos;
         at = error.find(":  ", at + 1)) {
        const std::string_view code = error.substr(at + 3, kLength + 1);
        if (code.size() == kLength + 1 && code.back() == ':' &&
            std::all_of(code.begin(), code.end() - 1, is_code))
            found.emplace_back(code.substr(0, kLength));
    }
    return found;
}

std::string_view tls_hint(std::string_view error) {
    const auto* found =
        std::find_if(kTlsMistakes.begin(), kTlsMistakes.end(), [&](const TlsMistake& mistake) {
            return error.find(mistake.text) != std::string_view::npos;
        });
    return found == kTlsMistakes.end() ? std::string_view() : found->hint;
}

bool connecting_passes(std::string_view error) {
    if (!tls_hint(error).empty()) return false;
    if (std::any_of(kMalformed.begin(), kMalformed.end(),
                    [&](std::string_view begin) { return error.starts_with(begin); }))
        return false;
    const std::vector<std::string> states = sqlstates_in(error);
    // The last one counts: libpq may have tried with and without TLS.
    return states.empty() || passes(states.back());
}

}  // namespace fatwal::sidecar
