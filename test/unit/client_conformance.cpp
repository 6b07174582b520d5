// The recorded messages of test/conformance, through the follower and the lines of `fatwal tail`.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/event_line.h"
#include "fatwal/client/follower.h"

namespace fatwal {
namespace conformance_tests {

std::string read(const char* name) {
    std::ifstream file(std::string(FATWAL_CONFORMANCE_DIR) + '/' + name, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<std::string> messages() {
    const std::string all = read("messages.bin");
    std::vector<std::string> out;
    for (std::size_t at = 0; at + 4 <= all.size();) {
        std::uint32_t length = 0;
        std::memcpy(&length, all.data() + at, sizeof length);
        out.push_back(all.substr(at + 4, length));
        at += 4 + length;
    }
    return out;
}

TEST(Conformance, TheRecordedMessagesGiveTheRecordedLines) {
    client::FollowerOptions options;
    options.account = wire::AccountKey::from_text("42");
    options.snapshots = false;
    options.resync_after = std::chrono::seconds(0);
    client::Follower follower(options, client::Cursor{{1, 1}, 1, {}});
    const client::Follower::WallTime now{};
    wire::PublicationHeader header{wire::Topic::Marker, 1, 0, 0, 0};
    follower.attached(wire::Nonce{}, 1, {1, 1});
    follower.marker(header, now);
    // It stands at the beginning, before which there is nothing to replay.
    ASSERT_TRUE(follower.take_request());
    follower.replayed({1, 1, true, 0}, {}, now);
    header.topic = wire::Topic::Event;
    cli::LineStyle style;
    style.account = "42";
    std::string lines;
    for (std::string& message : messages()) {
        ++header.sequence;
        follower.message(header, std::move(message), now);
        while (auto told = follower.take()) {
            if (const auto* transaction = std::get_if<client::Transaction>(&told->first)) {
                std::size_t left = transaction->size();
                transaction->for_each([&](const client::Change& change) {
                    lines += cli::change_line(*transaction, change, --left == 0, style) + '\n';
                });
            }
            ASSERT_FALSE(std::holds_alternative<client::StreamError>(told->first));
        }
    }
    EXPECT_EQ(lines, read("lines.jsonl"));
}

}  // namespace conformance_tests
}  // namespace fatwal
