// Who is where: what processes learn from each other, in whatever order, and forget.
#include "portal/process/directory.h"

#include <gtest/gtest.h>

#include <memory>
#include <variant>
#include <vector>

#include "portal/process/clock.h"

namespace fatwal::process {
namespace directory_tests {

using namespace std::chrono_literals;

Uuid id(int number) {
    return *Uuid::from_text("00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + number));
}

const Uuid kAccount = id(1);
const Uuid kClient = id(2);
const Uuid kGateway = id(3);

access::OnlineGateway gateway(access::ProcessId process, access::Generation generation) {
    return {kGateway, generation, process, {1, 5, 0, ""}, {}, {}};
}

access::Relay relay(const std::string& secret, std::optional<Uuid> account = {}) {
    access::Relay out;
    out.id = {id(4), account};
    out.ipv4 = "192.0.2.1";
    out.secret = secret;
    return out;
}

// Processes that hear everything of each other, as text would carry it.
struct Fleet {
    struct Process {
        Process(Fleet& fleet, access::ProcessId own)
            : directory(
                  fleet.io, own, 50ms,
                  {[&fleet, own](const FleetMessage& message) {
                       for (auto& other : fleet.processes)
                           if (other->directory.own() != own) other->hear(own, message);
                   },
                   [this](const std::optional<Uuid>& account) { changed.push_back(account); }}) {}
        void hear(access::ProcessId from, const FleetMessage& message) {
            const auto read =
                read_fleet_message(from, access::Json::parse(to_json(message).dump()));
            ASSERT_TRUE(read);
            std::visit(
                [&](const auto& one) {
                    if constexpr (requires { directory.hear(from, one); })
                        directory.hear(from, one);
                },
                *read);
        }
        std::vector<std::optional<Uuid>> changed;  // whose relays
        Directory directory;
    };

    Fleet() {
        for (const access::ProcessId own : {1, 2})
            processes.push_back(std::make_unique<Process>(*this, own));
    }
    Directory& operator[](std::size_t index) { return processes[index]->directory; }

    boost::asio::io_context io;
    std::vector<std::unique_ptr<Process>> processes;
};

TEST(Directory, EachProcessKnowsOfAllDevices) {
    Fleet fleet;
    fleet[0].client_entered(kAccount, kClient, 5);
    fleet[0].gateway_online(kAccount, gateway(1, 6));
    for (std::size_t i : {0, 1}) {
        ASSERT_NE(fleet[i].presence(kAccount).client(kClient), nullptr);
        EXPECT_EQ(fleet[i].presence(kAccount).client(kClient)->process, 1U);
        EXPECT_EQ(fleet[i].presence(kAccount).find(kGateway)->process, 1U);
        EXPECT_EQ(fleet[i].gateways_online(), 1U);
    }
    fleet[0].client_left(kAccount, kClient, 5);
    fleet[0].gateway_offline(kAccount, kGateway, 6);
    for (std::size_t i : {0, 1}) {
        EXPECT_EQ(fleet[i].presence(kAccount).client(kClient), nullptr);
        EXPECT_EQ(fleet[i].gateways_online(), 0U);
    }
}

TEST(Directory, NewsOfAnEarlierSessionChangesNothing) {
    Fleet fleet;
    fleet[0].client_entered(kAccount, kClient, 5);
    fleet[1].client_entered(kAccount, kClient, 6);
    fleet[0].client_left(kAccount, kClient, 5);
    for (std::size_t i : {0, 1}) {
        ASSERT_NE(fleet[i].presence(kAccount).client(kClient), nullptr);
        EXPECT_EQ(fleet[i].presence(kAccount).client(kClient)->process, 2U);
    }
}

TEST(Directory, AnIntroductionIsAllThatStillHolds) {
    Fleet fleet;
    fleet[0].client_entered(kAccount, kClient, 5);
    fleet[0].gateway_online(kAccount, gateway(1, 6));
    fleet[0].relay_online(relay("s"));
    fleet[0].client_entered(kAccount, id(9), 7);
    fleet[0].client_left(kAccount, id(9), 7);
    fleet[1].client_entered(kAccount, id(10), 8);
    Fleet::Process newcomer(fleet, 3);
    for (const auto& message : fleet[0].introduction()) newcomer.hear(1, message);
    EXPECT_EQ(fleet[0].introduction().size(), 3U) << "the other process's is for it to say";
    EXPECT_EQ(newcomer.directory.presence(kAccount).client(kClient)->generation, 5U);
    EXPECT_EQ(newcomer.directory.presence(kAccount).find(kGateway)->version.to_text(), "1.5.0");
    EXPECT_EQ(newcomer.directory.presence(kAccount).client(id(9)), nullptr);
    EXPECT_NE(newcomer.directory.relays().find({id(4), {}}), nullptr);
    EXPECT_TRUE(newcomer.directory.introduction().empty());
}

TEST(Directory, AProcessThatIsGoneIsForgottenWhole) {
    Fleet fleet;
    fleet[0].client_entered(kAccount, kClient, 5);
    fleet[0].gateway_online(kAccount, gateway(1, 6));
    fleet[1].client_entered(kAccount, id(10), 8);
    fleet[1].forget(1);
    EXPECT_EQ(fleet[1].presence(kAccount).client(kClient), nullptr);
    EXPECT_EQ(fleet[1].gateways_online(), 0U);
    EXPECT_NE(fleet[1].presence(kAccount).client(id(10)), nullptr);
}

TEST(Directory, ARelayThatMovesIsNeverGone) {
    Fleet fleet;
    fleet[0].relay_online(relay("s", kAccount));
    fleet[1].relay_online(relay("s", kAccount));
    fleet[0].relay_offline({id(4), kAccount});
    fleet.io.run_for(200ms);
    for (auto& process : fleet.processes)
        EXPECT_EQ(process->changed, (std::vector<std::optional<Uuid>>{kAccount}));
    fleet[1].relay_offline({id(4), kAccount});
    for (auto& process : fleet.processes) EXPECT_EQ(process->changed.size(), 1U) << "not at once";
    fleet.io.restart();
    while (fleet.processes[0]->changed.size() < 2 || fleet.processes[1]->changed.size() < 2)
        ASSERT_GT(fleet.io.run_one_for(1min), 0U);
    EXPECT_EQ(fleet[0].relays().find({id(4), kAccount}), nullptr);
}

TEST(Directory, TheRelaysOfAProcessThatIsGoneAreGoneAfterAWhile) {
    Fleet fleet;
    fleet[0].relay_online(relay("s"));
    fleet[1].forget(1);
    EXPECT_NE(fleet[1].relays().find({id(4), {}}), nullptr);
    while (fleet.processes[1]->changed.size() < 2) ASSERT_GT(fleet.io.run_one_for(1min), 0U);
    EXPECT_EQ(fleet.processes[1]->changed.back(), std::nullopt) << "all accounts";
    EXPECT_NE(fleet[0].relays().find({id(4), {}}), nullptr) << "where it is connected it stays";
}

}  // namespace directory_tests
}  // namespace fatwal::process
