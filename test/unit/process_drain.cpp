// The end of a process: in which order its devices and its work go, and in what time.
#include "portal/process/drain.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fatwal::process {
namespace drain_tests {

using namespace std::chrono_literals;
using access::Device;

TEST(Drain, AStepEmptiesTheProcessInTime) {
    struct Case {
        std::size_t devices;
        std::chrono::seconds over;
        std::size_t slice;
    };
    for (const auto& [devices, over, slice] :
         {Case{0, 20s, 1}, Case{1, 20s, 1}, Case{199, 20s, 1}, Case{200, 20s, 2},
          Case{10'000, 20s, 51}, Case{10, 1s, 2}, Case{10, 0s, 11}})
        EXPECT_EQ(drain_slice(devices, over), slice) << devices << " in " << over.count() << " s";
}

struct Draining {
    boost::asio::io_context io;
    std::size_t clients = 30;
    std::size_t gateways = 5;
    Drain::Rest rest{};
    std::vector<std::string> log;
    Drain drain{io,
                1s,
                {[this](Device device) { return device == Device::Client ? clients : gateways; },
                 [this](Device device, std::size_t most) {
                     auto& left = device == Device::Client ? clients : gateways;
                     const std::size_t closed = std::min(left, most);
                     left -= closed;
                     if (closed > 0)
                         log.push_back((device == Device::Client ? "clients " : "gateways ") +
                                       std::to_string(closed));
                     return closed;
                 },
                 [this] { log.emplace_back("relays"); },
                 [this] {
                     log.emplace_back("rest");
                     return rest;
                 },
                 [this] { log.emplace_back("done"); }}};
};

TEST(Drain, ClientsThenGatewaysThenRelaysThenWhatIsLeft) {
    Draining one;
    one.drain.start();
    one.io.run();
    const std::vector<std::string> expected = {
        "clients 4", "clients 4",  "clients 4",  "clients 4", "clients 4", "clients 4", "clients 4",
        "clients 2", "gateways 2", "gateways 3", "relays",    "rest",      "done"};
    EXPECT_EQ(one.log, expected);
}

TEST(Drain, WaitsForFlowsRegistrationsAndAccounts) {
    for (const Drain::Rest& rest :
         {Drain::Rest{1, 0, false}, Drain::Rest{0, 1, false}, Drain::Rest{0, 0, true}}) {
        Draining one;
        one.clients = one.gateways = 0;
        one.rest = rest;
        one.drain.start();
        while (one.log.size() < 4) ASSERT_GT(one.io.run_one_for(1min), 0U);
        EXPECT_EQ(one.log, (std::vector<std::string>{"relays", "rest", "rest", "rest"}));
        one.rest = {};
        one.io.run();
        EXPECT_EQ(one.log.back(), "done");
    }
}

}  // namespace drain_tests
}  // namespace fatwal::process
