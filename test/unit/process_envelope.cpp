// What a device receives, to the letter: older devices read it too.
#include "portal/process/envelope.h"

#include <gtest/gtest.h>

#include <vector>

#include "portal/process/link.h"

namespace fatwal::process {
namespace envelope_tests {

using access::Json;

TEST(Envelope, OfAnEvent) {
    EXPECT_EQ(envelope("init", {{"a", 1}}), R"({"event":"init","payload":{"a":1}})");
    EXPECT_EQ(envelope("x", Json::array(), access::Instant(std::chrono::microseconds(7))),
              R"({"committed_at":7,"event":"x","payload":[]})");
    EXPECT_EQ(envelope("x", "\xff"), "{\"event\":\"x\",\"payload\":\"\xef\xbf\xbd\"}")
        << "what is no UTF-8 is replaced";
}

TEST(Envelope, OfAReply) {
    EXPECT_EQ(reply_envelope(true, Json::object(), 7),
              R"({"event":"reply","payload":{},"ref":7,"status":"ok"})");
    EXPECT_EQ(reply_envelope(false, {{"reason", "full"}}, {}),
              R"({"event":"reply","payload":{"reason":"full"},"status":"error"})");
}

struct FakeLink : Link {
    void send(std::string message) override { said.push_back(std::move(message)); }
    void send_first(std::string /*message*/) override {}
    [[nodiscard]] bool has_room_for_first(const QueueBudget& /*account*/) const override {
        return true;
    }
    void count_for(std::shared_ptr<QueueBudget> /*budget*/) override {}
    void probe(std::chrono::milliseconds /*within*/,
               std::function<void(bool)> /*answer*/) override {}
    void close(std::string_view reason) override { said.push_back("close " + std::string(reason)); }
    std::vector<std::string> said;
};

TEST(Envelope, WhoeverIsDisconnectedLearnsTheReasonFirst) {
    FakeLink link;
    disconnect(link, "replaced");
    EXPECT_EQ(link.said,
              (std::vector<std::string>{R"({"event":"disconnect","payload":{"reason":"replaced"}})",
                                        "close replaced"}));
}

}  // namespace envelope_tests
}  // namespace fatwal::process
