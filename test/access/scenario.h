// Scenarios as tables. Each row becomes a test of its own, named by the scenario's id:
// Scenarios/ClientPolicies.C10_...
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "test/access/world.h"

namespace fatwal::access::test {

struct Case {
    const char* name;
    std::function<void(World&)>
        given;  // changes the default rows before c1 and w1 join; what it leaves is committed
    std::function<void(World&)> when;  // what it leaves is committed
    std::string client = "";           // what c1 is sent by `when`
    std::string gateway = "";          // what w1 is sent
};

class ScenarioTest : public testing::Test {
public:
    explicit ScenarioTest(Case scenario) : scenario_(std::move(scenario)) {}
    void TestBody() override {
        World world;
        if (scenario_.given) scenario_.given(world);
        world.commit();
        if (!world.gateways.contains("w1")) world.join_gateway();
        if (!world.clients.contains("c1")) world.join_client();
        (void)world.sent("c1");
        (void)world.sent("w1");
        scenario_.when(world);
        world.commit();
        EXPECT_EQ(world.sent("c1"), scenario_.client) << "at the client";
        EXPECT_EQ(world.sent("w1"), scenario_.gateway) << "at the gateway";
        // Whatever came bit by bit is what a fresh start computes.
        if (checks_view_ && !world.clients["c1"]->closed() && world.state.live()) {
            AccountState whole(id("account"));
            world.load(whole);
            const auto* row = whole.client(id("c1"));
            ASSERT_NE(row, nullptr);
            const auto view =
                ClientView::of(whole, *row, Version{1, 5, 0, ""},
                               {world.client_ip, world.client_region, {}, false}, world.now);
            const auto& kept = world.clients["c1"]->view().resources;
            ASSERT_EQ(view.resources.size(), kept.size());
            for (const auto& [resource_id, shown] : view.resources)
                EXPECT_EQ(*shown, *kept.at(resource_id)) << name_of(resource_id);
        }
    }

private:
    Case scenario_;
    bool checks_view_ = std::string(scenario_.name).find("_old_") == std::string::npos;
};

inline bool scenarios(const char* suite, std::vector<Case> cases) {
    for (const Case& one : cases) {
        const std::string name = std::string("Scenarios/") + suite;
        testing::RegisterTest(name.c_str(), one.name, nullptr, nullptr, __FILE__, __LINE__,
                              [one]() -> testing::Test* { return new ScenarioTest(one); });
    }
    return true;
}

}  // namespace fatwal::access::test
