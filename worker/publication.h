// Whether the publication that fatwald streams has what the channels decide by.
#pragma once

#include <stdexcept>
#include <string>

namespace fatwal::worker {

// Says what is missing and the statement that mends it.
struct PublicationError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// `publications`: names, separated by commas, as fatwald is given them. Throws PublicationError when a table of the domain is not
// published, or not all that is done to it: what is never heard of could not be taken away. Warns of tables that nobody here reads, and
// when the database cannot be asked.
void check_publication(const std::string& database, const std::string& publications);

}  // namespace fatwal::worker
