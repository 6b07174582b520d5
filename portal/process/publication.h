// Whether the publication that fatwald streams has what the channels decide by.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fatwal/wire/control.h"
#include "portal/process/background_thread.h"

namespace fatwal::process {

// What a look at the publications gave.
struct PublicationLook {
    std::string fault;    // what is wrong, with the statement that mends it; empty: nothing
    std::string version;  // another one after each change of what is published, and of the tables
    wire::Lsn at = 0;     // such a change, and all that was committed before it, is before this
    [[nodiscard]] bool differs_from(const PublicationLook& earlier) const {
        return fault != earlier.fault || version != earlier.version;
    }
};

// `publications`: their names, those that fatwald is given. Throws service::Failure when a table of
// the domain is not published, or not all that is done to it, or without its column deleted_at, or
// if its old rows (or a partition's) are not whole, or if a row filter hides memberships or flows:
// what is never heard of could not be taken away.
// Warns of tables that nobody here reads, and when the database cannot be asked: then it returns
// nothing.
[[nodiscard]] std::optional<PublicationLook> check_publication(
    const std::string& database, const std::vector<std::string>& publications);

// Looks again every two seconds, on a thread and a connection of its own, as a statement that stops
// a table's changes from being published comes to nobody by the stream. The version tells of one
// that was taken back before the next look.
class PublicationWatch {
public:
    // On the watch's thread, when a look gives something else than the one before.
    using Changed = std::function<void(PublicationLook)>;

    // `first`: what check_publication() gave.
    PublicationWatch(std::string database, std::vector<std::string> publications,
                     std::optional<PublicationLook> first, Changed changed);
    // Waits for the look that is under way, about 12 s at most.
    ~PublicationWatch();
    PublicationWatch(const PublicationWatch&) = delete;
    PublicationWatch& operator=(const PublicationWatch&) = delete;

private:
    void loop();

    std::string database_;
    std::vector<std::string> publications_;
    std::optional<PublicationLook> last_;
    Changed changed_;
    BackgroundThread thread_;  // all of the above is its own
};

}  // namespace fatwal::process
