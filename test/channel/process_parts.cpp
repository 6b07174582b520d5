// I and what a process has one of: relays, sessions, the batch of flows.
#include <gtest/gtest.h>

#include "channel/world.h"

namespace fatwal::channel::test {
namespace {

Relay relay(const std::string& name, const std::string& secret = "s", std::optional<Location> location = {}) {
    return {id(name), "192.0.2.1", "2001:db8::1", 3478, location, secret};
}

TEST(Relays, I1_to_I5_ToldWhenTheyChange) {
    World w;
    w.join_client();
    EXPECT_TRUE(w.relays.online(relay("R1")));
    w.relays_changed();
    EXPECT_EQ(w.sent("c1"), "init[r1] relays([],2)");
    EXPECT_TRUE(w.relays.online(relay("R2")));
    w.relays_changed();
    EXPECT_EQ(w.sent("c1"), "relays([],4)");
    w.relays.offline(id("R1"), w.now);
    EXPECT_FALSE(w.relays.online(relay("R1"))) << "back with the same secret";
    EXPECT_TRUE(w.relays.online(relay("R1", "other")));
    w.relays_changed();
    EXPECT_EQ(w.sent("c1"), "relays([R1],4)");
    w.relays.offline(id("R1"), w.now);
    w.after(10s - 1us);
    EXPECT_EQ(w.sent("c1"), "");
    w.after(1us);
    EXPECT_EQ(w.sent("c1"), "relays([R1],2)");
}

TEST(Relays, I7_I8_TheTwoNearestAndPlacelessLast) {
    World w;
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(w.relays.online(relay("R" + std::to_string(i), "s", Location{10.0 * i, 0})));
    EXPECT_TRUE(w.relays.online(relay("R9")));
    const auto chosen = w.relays.choose(Location{19, 0}, [&] { return w.generator(); });
    ASSERT_EQ(chosen.size(), 2U);
    EXPECT_EQ(name_of(chosen[0].id) + name_of(chosen[1].id), "R2R1");
}

TEST(Sessions, H33_ClientsTakeOverGatewaysStay) {
    Sessions sessions(1);
    EXPECT_EQ(sessions.enter(Device::Client, id("c1")).generation, 1U);
    EXPECT_EQ(sessions.enter(Device::Client, id("c1")).taken_over, 1U);
    EXPECT_FALSE(sessions.leave(Device::Client, id("c1"), 1));
    EXPECT_FALSE(sessions.accepts({Device::Client, id("c1"), 1, 0}));
    EXPECT_TRUE(sessions.accepts({Device::Client, id("c1"), 2, 0}));
    EXPECT_NE(sessions.enter(Device::Gateway, id("w1")).generation, 0U);
    EXPECT_EQ(sessions.enter(Device::Gateway, id("w1")).generation, 0U);
}

TEST(FlowBatch, WaitsASecondAndTellsWhatWasLost) {
    FlowBatch batch;
    portal::Flows a;
    a.id = id("f1");
    portal::Flows b;
    b.id = id("f2");
    portal::Flows c;
    c.id = id("f3");
    for (const auto& row : {a, b, c}) EXPECT_TRUE(batch.add(row, kFriday).empty());
    batch.remove(c.id, kFriday);
    EXPECT_FALSE(batch.take(kFriday + 1s - 1us));
    const auto taken = batch.take(kFriday + 1s);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->rows.size(), 2U);
    const auto notices = batch.written(taken->number, {b.id});
    ASSERT_EQ(notices.size(), 2U);
    EXPECT_EQ(std::get<FlowsDurable>(notices[0].message).flow_ids, std::vector{a.id});
    EXPECT_EQ(std::get<FlowsLost>(notices[1].message).flow_ids, std::vector{b.id});
}

}  // namespace
}  // namespace fatwal::channel::test
