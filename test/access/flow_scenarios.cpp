// G, H, K: flows, and what a gateway lets through.
#include "test/access/scenario.h"

namespace fatwal::access::test {
namespace flow_scenarios_tests {

constexpr Location kParis{48.86, 2.35};
constexpr Location kFrankfurt{50.11, 8.68};
constexpr Location kSydney{-33.87, 151.21};

void second_resource(World& w) { w.resource("r2").connect("r2", "s1").group("g2"); }
// Until 11:00: a policy without an end is better.
void for_two_hours(World& w) { w.policy("p1", "g1", "r1", {during("F/9-11/UTC")}).commit(); }
void second_gateway(World& w) { w.gateway_row("w2", "s1").gateway_token("tw2", "s1").commit(); }
void two_gateways(World& w, Location first, std::optional<Location> second) {
    second_gateway(w);
    w.locations["w1"] = first;
    if (second) w.locations["w2"] = *second;
    w.join_gateway("w1").join_gateway("w2", "1.5.0", "tw2");
}
// c1 has reached r1 through w1, and the row is written.
void flowing(World& w) {
    w.commit();
    w.join_gateway().join_client().create_flow().answer().write_flows();
    (void)w.deletions();
}
// The same, until 11:00.
void flowing_for_two_hours(World& w) {
    for_two_hours(w);
    flowing(w);
}
void forget(World& w) {
    (void)w.sent("c1");
    (void)w.sent("w1");
}
void set_conditions(World& w, const char* policy, const std::vector<Json>& conditions) {
    w.edit<portal::Policies>(policy, [&](auto& p) {
        p.conditions.clear();
        for (const Json& one : conditions) p.conditions.emplace_back(one);
    });
}
void update_resource(World& w, const std::function<void(portal::Resources&)>& edit) {
    w.edit<portal::Resources>("r1", edit);
}
portal::Flows only_flow(const World& w) {
    for (const auto& [key, row] : w.rows())
        if (const auto* flow = std::get_if<portal::Flows>(&row)) return *flow;
    return {};
}
std::ptrdiff_t flow_count(const World& w) {
    return std::ranges::count_if(w.rows(), [](const auto& each) {
        return std::holds_alternative<portal::Flows>(each.second);
    });
}

const bool kCreate = scenarios(
    "CreateFlow",
    {
        {"G1_unknown_resource", {}, [](World& w) { w.create_flow("r9"); }, "FF(r9,not_found)"},
        {"G1_resource_of_others", second_resource, [](World& w) { w.create_flow("r2"); },
         "FF(r2,not_found)"},
        {"F35_zero_policies",
         {},
         [](World& w) {
             w.cascade("p1").commit();
             forget(w);
             w.create_flow();
         },
         "FF(r1,not_found)"},
        {"G1_resource_without_site",
         {},
         [](World& w) {
             w.disconnect("r1", "s1").commit();
             forget(w);
             w.create_flow();
         },
         "FF(r1,not_found)"},
        {"G3_forbidden_with_the_reasons",
         [](World& w) {
             w.policy("p1", "g1", "r1",
                      {condition("remote_ip_location_region", "is_in", {"DE"}), verified()});
             w.policy("p2", "g1", "r1", {verified(), condition("nonsense", "is", {})});
         },
         [](World& w) { w.create_flow(); },
         "FF(r1,forbidden:remote_ip_location_region:client_verified:nonsense)"},
        {"G3_window_over_before_the_timer",
         [](World& w) { w.policy("p1", "g1", "r1", {during("F/9-11/UTC")}); },
         [](World& w) {
             w.now += 1h + 1us;
             w.create_flow();
             EXPECT_EQ(w.sent("c1"), "FF(r1,forbidden:current_utc_datetime)");
             w.after(0s);
         },
         "RD(r1)"},
        {"F8_unverified", [](World& w) { w.policy("p1", "g1", "r1", {verified()}); },
         [](World& w) { w.create_flow(); }, "FF(r1,forbidden:client_verified)"},
        {"F8_verified",
         [](World& w) {
             w.policy("p1", "g1", "r1", {verified()}).edit<portal::Clients>("c1", [&](auto& c) {
                 c.verified_at = w.now;
             });
         },
         [](World& w) { w.create_flow().answer(); }, "FC(r1,w1)", "AF(c1,r1,none)"},
        {"F28_a_property_once",
         [](World& w) {
             w.policy("p1", "g1", "r1",
                      {condition("remote_ip", "is_in_cidr", {"10.0.0.0/8"}),
                       condition("remote_ip", "is_in_cidr", {})});
         },
         [](World& w) { w.create_flow(); }, "FF(r1,forbidden:remote_ip)"},
        {"G4_no_gateway_online",
         {},
         [](World& w) { w.leave("w1").create_flow(); },
         "FF(r1,offline)"},
        {"G4_gateway_of_another_site",
         [](World& w) {
             w.site("s2").gateway_row("w2", "s2").gateway_token("tw2", "s2").commit();
             w.join_gateway("w2", "1.5.0", "tw2");
         },
         [](World& w) { w.leave("w1").create_flow(); }, "FF(r1,offline)"},
        {"G6_minor_2_apart", [](World& w) { w.join_gateway("w1", "1.7.0"); },
         [](World& w) { w.create_flow(); }, "FF(r1,version_mismatch)"},
        {"G6_other_major", [](World& w) { w.join_gateway("w1", "2.5.0"); },
         [](World& w) { w.create_flow(); }, "FF(r1,version_mismatch)"},
        {"G7_success",
         [](World& w) {
             w.client_token("t1", "A", w.now + 2h).policy("p1", "g1", "r1", {during("F/9-11/UTC")});
         },
         [](World& w) {
             w.create_flow();
             EXPECT_EQ(w.sent("c1"), "");
             w.answer();
         },
         "FC(r1,w1)", "AF(c1,r1,3600)"},
        {"F31_longest_policy_then_the_token",
         [](World& w) {
             w.client_token("t1", "A", w.now + 5h).policy("p2", "g1", "r1", {during("F/9-11/UTC")});
         },
         [](World& w) { w.create_flow(); }, "", "AF(c1,r1,18000)"},
        {"F32_window_past_the_token",
         [](World& w) {
             w.client_token("t1", "A", w.now + 30min)
                 .policy("p1", "g1", "r1", {during("F/9-11/UTC")});
         },
         [](World& w) { w.create_flow(); }, "", "AF(c1,r1,1800)"},
        {"F34_one_fails_one_passes",
         [](World& w) { w.policy("p1", "g1", "r1", {verified()}).policy("p2", "g1", "r1"); },
         [](World& w) {
             w.create_flow();
             EXPECT_EQ(w.unwritten.at(0).policy_id, id("p2"));
         },
         "", "AF(c1,r1,none)"},
        {"G9_the_nearest",
         [](World& w) {
             w.client_location = kParis;
             two_gateways(w, kSydney, kFrankfurt);
         },
         [](World& w) { w.create_flow().answer(); }, "FC(r1,w2)"},
        {"G9_connected_before_near",
         [](World& w) {
             w.client_location = kParis;
             two_gateways(w, kSydney, kFrankfurt);
         },
         [](World& w) { w.create_flow("r1", {"w1"}).answer(); }, "FC(r1,w1)", "AF(c1,r1,none)"},
        {"G10_client_without_location_any", [](World& w) { two_gateways(w, kSydney, kFrankfurt); },
         [](World& w) {
             std::set<std::string> seen;
             for (int i = 0; i < 64; ++i) {
                 w.create_flow().answer();
                 seen.insert(w.sent("c1"));
             }
             EXPECT_EQ(seen, (std::set<std::string>{"FC(r1,w1)", "FC(r1,w2)"}));
             (void)w.sent("w1");
         }},
        {"G12_unknown_location_last",
         [](World& w) {
             w.client_location = kParis;
             two_gateways(w, kSydney, std::nullopt);
         },
         [](World& w) { w.create_flow().answer(); }, "FC(r1,w1)", "AF(c1,r1,none)"},
        {"G13_the_highest_version",
         [](World& w) {
             second_gateway(w);
             w.join_gateway("w1", "1.4.9").join_gateway("w2", "1.4.10", "tw2");
         },
         [](World& w) {
             for (int i = 0; i < 20; ++i) w.create_flow().answer();
         },
         "FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) "
         "FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) "
         "FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2) FC(r1,w2)"},
        {"G15_old_gateway_cannot_express",
         [](World& w) {
             w.resource("r1", "?.x.test");
             w.commit();
             w.join_gateway("w1", "1.1.0").join_client("c1", "1.2.0");
         },
         [](World& w) { w.create_flow(); }, "FF(r1,version_mismatch)"},
        {"G15_old_gateway_adapted",
         [](World& w) {
             w.resource("r1", "**.x.test");
             w.commit();
             w.join_gateway("w1", "1.1.0").join_client("c1", "1.2.0");
         },
         [](World& w) {
             w.create_flow();
             EXPECT_EQ(w.payloads.back().at("resource").at("address"), "*.x.test");
         },
         "", "AF(c1,r1,none)"},
        {"G16_service_account",
         [](World& w) {
             w.edit<portal::Actors>("A",
                                    [](auto& a) { a.type = portal::ActorType::ServiceAccount; });
         },
         [](World& w) { w.create_flow().answer(); }, "FC(r1,w1)", "AF(c1,r1,none)"},
        {"G18_asked_again_the_same_flow",
         {},
         [](World& w) {
             w.create_flow();
             Json first = w.payloads.back();
             w.answer().create_flow();
             Json second = w.payloads.back();
             w.answer();
             EXPECT_EQ(first, second);
             EXPECT_EQ(w.unwritten.size(), 1U) << "of the flow that is there no second row";
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
             EXPECT_EQ(w.payloads.back().at("preshared_key"),
                       first.at("client").at("preshared_key"));
             EXPECT_EQ(w.payloads.back().at("gateway_ice_credentials"),
                       first.at("gateway_ice_credentials"));
         },
         "FC(r1,w1) FC(r1,w1)",
         "AF(c1,r1,none) AF(c1,r1,none)"},
        {"G19_gateway_never_answers",
         {},
         [](World& w) {
             w.create_flow();
             w.after(15s - 1us);
             EXPECT_EQ(w.sent("c1"), "");
             w.after(1us);
             EXPECT_EQ(w.sent("c1"), "FF(r1,offline)");
             EXPECT_GE(w.deletions(), 1U);
             w.answer();
         },
         "",
         "AF(c1,r1,none) REJ(c1,r1)"},
        {"G21_undeliverable",
         {},
         [](World& w) {
             w.deliver = false;
             w.create_flow();
             EXPECT_EQ(w.deletions(), 1U);
             EXPECT_TRUE(w.unwritten.empty() || w.unwritten.size() == 1);
         },
         "FF(r1,offline)"},
        {"G22_forged_ref",
         {},
         [](World& w) {
             w.create_flow();
             std::string ref = w.payloads.back().at("ref");
             ref[20] = ref[20] == 'A' ? 'B' : 'A';
             w.say("w1", "flow_authorized", {{"ref", ref}})
                 .say("w1", "flow_authorized", {{"ref", ""}})
                 .say("w1", "flow_authorized", {{"ref", 7}})
                 .say("w1", "flow_authorized", Json::array());
         },
         "",
         "AF(c1,r1,none) reply(invalid_ref) reply(invalid_ref) reply(invalid_ref) "
         "reply(invalid_ref)"},
        {"G22_ref_of_another_gateway",
         [](World& w) {
             second_gateway(w);
             w.join_gateway("w1").join_gateway("w2", "1.5.0", "tw2");
         },
         [](World& w) {
             w.create_flow("r1", {"w1"});
             w.say("w2", "flow_authorized", {{"ref", w.payloads.back().at("ref")}});
             EXPECT_EQ(w.sent("w2"), "init[] reply(invalid_ref)");
         },
         "", "AF(c1,r1,none)"},
        {"G24_ice_candidates",
         {},
         [](World& w) {
             const auto to = [](std::vector<std::string> ids) {
                 return Json{{"candidates", {"a"}}, {"gateway_ids", ids}};
             };
             w.say("c1", "broadcast_ice_candidates", to({id("w1").to_text()}));
             w.peer("w1", IceCandidates{id("c1"), {"a"}, false});
             EXPECT_EQ(w.sent("w1"), "") << "they have nothing to do with each other";
             w.create_flow();
             w.say("c1", "broadcast_ice_candidates",
                   to(std::vector<std::string>(256, id("w1").to_text())))
                 .say("c1", "broadcast_ice_candidates", to({}))
                 .say("c1", "broadcast_invalidated_ice_candidates",
                      to({id("w1").to_text(), id("w9").to_text()}));
         },
         "",
         "AF(c1,r1,none) ice_candidates(c1) invalidate_ice_candidates(c1)"},
        {"G24_ice_candidates_back", flowing,
         [](World& w) {
             w.say(
                 "w1", "broadcast_ice_candidates",
                 {{"candidates", {"a"}}, {"client_ids", {id("c1").to_text(), id("c2").to_text()}}});
         },
         "ice_candidates(w1)"},
        {"G24_malformed",
         {},
         [](World& w) {
             w.say("c1", "broadcast_ice_candidates", {{"candidates", "a"}})
                 .say("c1", "create_flow", 7)
                 .say("c1", "create_flow", {{"resource_id", "x"}});
             w.say("w1", "broadcast_ice_candidates", nullptr);
         },
         "reply(invalid_message) reply(invalid_message) reply(invalid_message)",
         "reply(invalid_message)"},
        {"G24_too_many_candidates",
         {},
         [](World& w) {
             w.say("c1", "broadcast_ice_candidates",
                   {{"candidates", std::vector<std::string>(65, "a")},
                    {"gateway_ids", {id("w1").to_text()}}});
         },
         "reply(invalid_message)"},
        {"G25_unknown_message",
         {},
         [](World& w) { w.say("c1", "make_coffee", {}).say("w1", "make_coffee", {}); },
         "reply(unknown_message)",
         "reply(unknown_message)"},
        {"G27_online_without_a_process",
         {},
         [](World& w) {
             w.presence.online({id("w1"), 99, 0, {1, 5, 0, ""}, {}, {}});
             w.create_flow();
         },
         "FF(r1,offline)"},
        {"G28_asked_again_while_pending",
         {},
         [](World& w) {
             w.create_flow();
             w.refs.clear();
             w.write_flows().after(10s);
             w.create_flow();
             w.after(10s);
             w.answer();
             w.after(20s);
             (void)w.sent("w1");
         },
         "FC(r1,w1)"},
        {"G_late_policy_change_refuses_the_answer",
         {},
         [](World& w) {
             w.create_flow().cascade("p1").commit();
             w.answer();
         },
         "RD(r1) FF(r1,offline)",
         "AF(c1,r1,none) REJ(c1,r1)"},
        {"G_token_expired_before_its_timer",
         [](World& w) { w.client_token("t1", "A", w.now + 1s); },
         [](World& w) {
             w.now += 1s;
             w.create_flow();
         },
         "disconnect(token_expired)"},
    });

const bool kGateway = scenarios(
    "Gateway",
    {
        {"H2_only_expired_flows",
         [](World& w) {
             flowing_for_two_hours(w);
             w.leave("w1");
             w.now += 1h;
         },
         [](World& w) {
             w.join_gateway();
             EXPECT_EQ(w.deletions(), 0U);
         },
         "", "init[]"},
        {"H_join_lists_flows",
         [](World& w) {
             w.client_token("t1", "A", w.now + 2h);
             flowing(w);
             w.leave("w1");
         },
         [](World& w) { w.join_gateway(); }, "", "init[c1/r1/7200]"},
        {"H3_flows_of_another",
         [](World& w) {
             second_gateway(w);
             flowing(w);
         },
         [](World& w) {
             w.join_gateway("w2", "1.5.0", "tw2");
             EXPECT_EQ(w.sent("w2"), "init[]");
         }},
        {"H5_account_other_change", flowing,
         [](World& w) {
             w.edit<portal::Accounts>("account", [](auto& a) {
                 a.name = "x";
                 a.features = {{"f", true}};
             });
         }},
        {"H6_only_flow_deleted", flowing, [](World& w) { w.erase_row(only_flow(w)); }, "", "REJ(c1,r1)"},
        {"H8_another_policy_conforms",
         [](World& w) {
             w.policy("p2", "g1", "r1");
             flowing(w);
         },
         [](World& w) {
             w.cascade(only_flow(w).policy_id == id("p1") ? "p1" : "p2").commit();
             EXPECT_EQ(w.unwritten.size(), 1U);
         },
         "", "EXP(c1,r1,none)"},
        {"H8_its_row_alone_deleted",
         [](World& w) {
             w.policy("p2", "g1", "r1");
             flowing(w);
         },
         [](World& w) {
             const portal::Flows before = only_flow(w);
             w.erase_row(before).commit();
             ASSERT_EQ(w.unwritten.size(), 1U);
             EXPECT_NE(w.unwritten[0].id, before.id);
             EXPECT_NE(w.unwritten[0].policy_id, before.policy_id);
             EXPECT_EQ(w.deletions(), 0U);
             w.write_flows();
             w.after(1min);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
         },
         "", "EXP(c1,r1,none)"},
        {"H8_what_took_its_place_is_not_written",
         [](World& w) {
             w.policy("p2", "g1", "r1");
             flowing(w);
         },
         [](World& w) {
             w.erase_row(only_flow(w)).commit();
             EXPECT_EQ(w.sent("w1"), "EXP(c1,r1,none)");
             w.after(15s);
             EXPECT_EQ(w.deletions(), 1U);
         },
         "", "REJ(c1,r1)"},
        {"H9_site_has_the_resource_no_more",
         [](World& w) {
             w.site("s2").connect("r1", "s2").policy("p2", "g1", "r1");
             flowing(w);
         },
         [](World& w) { w.disconnect("r1", "s1"); }, "RD(r1) RC(r1)", "REJ(c1,r1)"},
        {"H11_flow_of_another_gateway_deleted", flowing,
         [](World& w) {
             portal::Flows f = only_flow(w);
             f.id = id("f2");
             f.gateway_id = id("w2");
             w.put(f).commit();
             w.erase_row(f);
         }},
        {"H12_unknown_flow_of_a_pair_deleted", flowing,
         [](World& w) {
             portal::Flows f = only_flow(w);
             f.id = id("f2");
             w.put(f);
             (void)w.commit();
             w.erase_row(f);
         }},
        {"H14_expired_flow_deleted",
         flowing_for_two_hours,
         [](World& w) {
             w.now += 1h + 1s;
             w.erase_row(only_flow(w)).commit();
             EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
             w.after(0s);
         },
         "RD(r1)"},
        {"H15_one_of_two_expires",
         flowing_for_two_hours,
         [](World& w) {
             w.policy("p1", "g1", "r1", {during("F/9-12/UTC")}).commit();
             w.create_flow().answer().write_flows();
             forget(w);
             w.until(kFriday + 1h + 1s);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
             EXPECT_EQ(w.sent("w1"), "");
             w.until(kFriday + 2h);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 0U);
         },
         {},
         "REJ(c1,r1)"},
        {"H16_a_clock_is_ahead_for_a_while",
         flowing_for_two_hours,
         [](World& w) {
             w.set_clock(3h).set_clock(-3h);
             // Nobody holds it any more that this could take it from.
             w.cascade("p1");
         },
         "RD(r1) RC(r1) RD(r1)", "REJ(c1,r1)"},
        {"H17_filters_change", flowing,
         [](World& w) { update_resource(w, [](auto& r) {
                            r.filters = Json::array({{{"protocol", "icmp"}}});
                        }); }, "RC(r1)", "updated(r1)"},
        {"H18_filters_of_uncached",
         {},
         [](World& w) { update_resource(w, [](auto& r) {
                            r.filters = Json::array({{{"protocol", "icmp"}}});
                        }); },
         "RC(r1)"},
        {"H20_name_only", flowing, [](World& w) { update_resource(w, [](auto& r) { r.name = "x"; }); }, "RC(r1)"},
        {"H21_address_changes_two_clients",
         [](World& w) {
             w.actor("B").member("mB", "B", "g1").client_row("c2", "B").client_token("t2", "B");
             flowing(w);
             w.join_client("c2", "1.5.0", "t2").say("c2", "create_flow", {{"resource_id", id("r1").to_text()}}).answer().write_flows();
         },
         [](World& w) {
             update_resource(w, [](auto& r) { r.address = "y.test"; });
             w.commit();
             EXPECT_EQ(w.sent("w1"), "REJ(c1,r1) REJ(c2,r1)");
             EXPECT_EQ(w.deletions(), 2U);
             w.erase_row(only_flow(w)).commit();
             w.erase_row(only_flow(w));
         },
         "RC(r1)"},
        {"H21_ip_stack_changes", flowing, [](World& w) { update_resource(w, [](auto& r) { r.ip_stack = portal::IpStack::Ipv4Only; }); },
         "RC(r1)", "REJ(c1,r1)"},
        {"H21_type_changes",
         [](World& w) {
             w.resource("r1", "10.0.0.1", portal::ResourceType::Ip);
             flowing(w);
         },
         [](World& w) { w.resource("r1", "10.0.0.1", portal::ResourceType::Cidr); }, "", "REJ(c1,r1)"},
        {"H23_own_token_deleted", {}, [](World& w) { w.cascade("tw1"); }, "", "disconnect(token_expired)"},
        {"H23_own_token_expires",
         {},
         [](World& w) {
             w.edit<portal::Tokens>("tw1", [&](auto& t) { t.expires_at = w.now + 1h; }).commit();
             w.after(1h);
         },
         "",
         "disconnect(token_expired)"},
        {"H24_others_token_deleted", second_gateway, [](World& w) { w.cascade("tw2"); }},
        {"H_deleted", {}, [](World& w) { w.erase<portal::Gateways>("w1"); }, "", "disconnect(gateway_not_found)"},
        {"H26_null_expiry",
         {},
         [](World& w) {
             w.create_flow();
             EXPECT_TRUE(w.payloads.back().at("expires_at").is_null());
         },
         "",
         "AF(c1,r1,none)"},
        {"H27_init_is_authoritative", flowing,
         [](World& w) {
             w.leave("w1").cascade("m1").commit();
             w.join_gateway();
         },
         "RD(r1)", "init[]"},
        {"H29_confirmed",
         {},
         [](World& w) {
             w.create_flow().answer().write_flows();
             forget(w);
             w.after(1min);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
         }},
        {"H29_not_confirmed",
         {},
         [](World& w) {
             w.create_flow().answer();
             forget(w);
             w.after(15s - 1us);
             EXPECT_EQ(w.sent("w1"), "");
             w.after(1us);
             EXPECT_EQ(w.deletions(), 1U);
         },
         "",
         "REJ(c1,r1)"},
        {"H30_confirmed_an_older_one",
         for_two_hours,
         [](World& w) {
             w.create_flow().answer();
             const Uuid older = w.unwritten.at(0).id;
             w.policy("p2", "g1", "r1").commit();
             w.after(5s).create_flow().answer();
             forget(w);
             w.peer("w1", FlowsDurable{{older, id("f9")}});
             w.after(14s);
             EXPECT_EQ(w.deletions(), 0U);
             w.after(1s);
             EXPECT_EQ(w.deletions(), 1U);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
         },
         "",
         "EXP(c1,r1,3600)"},
        {"H32_allow_then_reject", {}, [](World& w) { w.create_flow().cascade("p1"); }, "RD(r1)", "AF(c1,r1,none) REJ(c1,r1)"},
        {"H35_loss_of_a_superseded",
         for_two_hours,
         [](World& w) {
             w.create_flow().answer();
             const Uuid older = w.unwritten.at(0).id;
             w.policy("p2", "g1", "r1").commit();
             w.create_flow().answer();
             const Uuid newer = w.unwritten.at(1).id;
             forget(w);
             w.peer("w1", FlowsLost{{older}});
             EXPECT_EQ(w.sent("w1"), "");
             w.peer("w1", FlowsLost{{newer}});
         },
         "",
         "EXP(c1,r1,3600)"},
        {"H_rows_that_cannot_be_written",
         {},
         [](World& w) {
             w.create_flow().answer();
             forget(w);
             w.lose_flows();
         },
         "",
         "REJ(c1,r1)"},
        {"H36_own_address", flowing, [](World& w) { w.edit<portal::Gateways>("w1", [](auto& g) { g.ipv4 = "100.65.0.9"; }); }, "",
         "init[c1/r1/none]"},
        {"H36_slug", flowing,
         [](World& w) {
             w.edit<portal::Accounts>("account", [](auto& a) { a.slug = "x"; }).commit();
             EXPECT_EQ(w.payloads.back().at("account_slug"), "x");
         },
         "", "init[c1/r1/none]"},
        {"H36_other_column", flowing,
         [](World& w) {
             w.edit<portal::Gateways>("w1", [](auto& g) {
                 g.name = "x";
                 g.last_seen_version = "9";
             });
         }},
        {"C6_conditions_that_still_hold_end_earlier", flowing, [](World& w) { set_conditions(w, "p1", {during("F/9-11/UTC")}); }, "",
         "EXP(c1,r1,3600)"},
        {"C7_conditions_that_do_not_hold", flowing, [](World& w) { set_conditions(w, "p1", {verified()}); }, "RD(r1)", "REJ(c1,r1)"},
        {"J3_clients_token_deleted", flowing, [](World& w) { w.cascade("t1"); }, "disconnect(token_expired)", "REJ(c1,r1)"},
        {"J3_clients_token_expires_earlier", flowing, [](World& w) { w.client_token("t1", "A", w.now + 1h); }, "", "EXP(c1,r1,3600)"},
        {"J6_policy_of_another_resource",
         [](World& w) {
             second_resource(w);
             flowing(w);
         },
         [](World& w) {
             w.edit<portal::Policies>("p1", [](auto& p) { p.resource_id = id("r2"); }).commit();
             EXPECT_EQ(w.deletions(), 1U);
         },
         "RD(r1) RC(r2)", "REJ(c1,r1)"},
        {"J8_resource_renamed", flowing,
         [](World& w) {
             update_resource(w, [](auto& r) { r.name = "x"; });
             w.commit();
             EXPECT_EQ(w.deletions(), 0U);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
         },
         "RC(r1)"},
        {"J8_address_changed", flowing,
         [](World& w) {
             update_resource(w, [](auto& r) { r.address = "y.test"; });
             w.commit();
             EXPECT_EQ(w.deletions(), 1U);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 0U);
         },
         "RC(r1)", "REJ(c1,r1)"},
        {"J9_gateway_deleted", flowing,
         [](World& w) {
             w.cascade("w1").commit();
             EXPECT_TRUE(w.state.flows_of_client(id("c1")).empty());
             w.create_flow();
         },
         "FF(r1,offline)", "REJ(c1,r1) disconnect(gateway_not_found)"},
        {"B17_client_deleted", flowing, [](World& w) { w.cascade("c1"); }, "disconnect(client_not_found)", "REJ(c1,r1)"},
        {"B_unverified",
         [](World& w) {
             w.policy("p1", "g1", "r1", {verified()}).edit<portal::Clients>("c1", [&](auto& c) { c.verified_at = w.now; });
             flowing(w);
         },
         [](World& w) { w.edit<portal::Clients>("c1", [](auto& c) { c.verified_at.reset(); }); }, "RD(r1)", "REJ(c1,r1)"},
        {"A17_stale_flows",
         [](World& w) {
             second_resource(w);
             w.policy("p2", "g1", "r2");
             flowing(w);
             w.create_flow("r2").answer().write_flows();
             w.leave("c1").leave("w1");
             w.edit<portal::Policies>("p2", [&](auto& p) { p.disabled_at = w.now; }).commit();
         },
         [](World& w) {
             (void)w.deletions();
             w.join_client();
             EXPECT_EQ(w.deletions(), 1U);
         },
         "init[r1]"},
        {"K2_another_policy_is_valid",
         [](World& w) {
             flowing(w);
             w.policy("p2", "g1", "r1");
         },
         [](World& w) {
             w.cascade("p1").commit();
             w.write_flows();
             w.after(1min);
             EXPECT_EQ(w.state.flows_of_gateway(id("w1")).size(), 1U);
         },
         "", "EXP(c1,r1,none)"},
        {"K2_another_policy_ends_earlier",
         [](World& w) {
             flowing(w);
             w.policy("p2", "g1", "r1", {during("F/9-11/UTC")});
         },
         [](World& w) { w.cascade("p1"); }, "", "EXP(c1,r1,3600)"},
        {"K3_membership_deleted_and_back", flowing,
         [](World& w) {
             w.cascade("m1").member("m2", "A", "g1").commit();
             EXPECT_EQ(w.unwritten.at(0).membership_id, id("m2"));
         },
         "", "EXP(c1,r1,none)"},
        {"K3_in_two_transactions", flowing,
         [](World& w) {
             w.cascade("m1").commit();
             w.member("m2", "A", "g1");
         },
         "RD(r1) RC(r1)", "REJ(c1,r1)"},
        {"K5_gateway_reconnects", flowing,
         [](World& w) {
             w.leave("w1").edit<portal::Policies>("p1", [&](auto& p) { p.disabled_at = w.now; }).commit();
             w.join_gateway();
             EXPECT_EQ(w.deletions(), 1U);
         },
         "RD(r1)", "init[]"},
        {"K6_client_reconnects_in_between", second_resource,
         [](World& w) {
             w.policy("p2", "g1", "r2").commit();
             w.join_client();
             w.cascade("p1").commit();
             w.member("m2", "A", "g2");
         },
         "RC(r2) init[r1,r2] RD(r1)"},
        {"K2_before_the_device_has_answered", [](World& w) { w.policy("p2", "g1", "r1", {during("F/9-11/UTC")}); },
         [](World& w) { w.create_flow().cascade("p1").commit();
             w.answer(); }, "FC(r1,w1)", "AF(c1,r1,none) EXP(c1,r1,3600)"},
        {"H_snapshot_without_its_row", flowing,
         [](World& w) {
             w.state.quarantine("test");
             w.erase_row(only_flow(w));
             w.snapshot();
             EXPECT_EQ(w.deletions(), 0U);
         },
         "", "REJ(c1,r1)"},
        {"H_snapshot_with_a_row_not_seen_before",
         {},
         [](World& w) {
             w.create_flow().answer();
             forget(w);
             w.state.quarantine("test");
             w.put(w.unwritten.at(0)).snapshot();
             w.after(1min);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
         }},
        {"H_snapshot_before_a_row_that_is_written",
         {},
         [](World& w) {
             w.create_flow().answer();
             forget(w);
             w.peer("w1", FlowsDurable{{w.unwritten.at(0).id}}).after(1min);
             w.state.quarantine("test");
             w.snapshot();
             w.after(14s).put(w.unwritten.at(0)).commit();
             w.after(1min);
             EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
         }},
        {"H_snapshot_after_which_its_row_never_comes",
         {},
         [](World& w) {
             w.create_flow().answer();
             forget(w);
             w.peer("w1", FlowsDurable{{w.unwritten.at(0).id}}).after(1min);
             w.state.quarantine("test");
             w.snapshot();
             w.after(15s - 1us);
             EXPECT_EQ(w.sent("w1"), "");
             w.after(1us);
         },
         "", "REJ(c1,r1)"},
        {"H_snapshot_takes_away", flowing,
         [](World& w) {
             w.state.quarantine("test");
             w.cascade("p1");
             w.snapshot();
         },
         "RD(r1)", "REJ(c1,r1)"},
    });

Authorize asked(const World& w) {
    Authorize out;
    out.flow_id = id("f1");
    out.client_id = id("c1");
    out.resource_id = id("r1");
    out.by = {id("p1"), id("m1"), id("t1")};
    out.decided_at = w.state.position();
    const auto& client = *w.state.client(id("c1"));
    out.public_key = client.public_key;
    out.ipv4 = host_of_inet(client.ipv4);
    out.ipv6 = host_of_inet(client.ipv6);
    return out;
}

TEST(Tunnel, AClientWithAnotherKeyOrAddressIsAnotherPeer) {
    const std::vector<std::function<void(portal::Clients&)>> edits = {
        [](auto& c) { c.public_key = "another"; }, [](auto& c) { c.ipv4 = "100.64.9.9"; },
        [](auto& c) { c.ipv6 = "fd00:2021:1111::99"; }};
    for (const auto& edit : edits) {
        World w;
        flowing(w);
        forget(w);
        w.edit<portal::Clients>("c1", [](auto& c) { c.name = "renamed"; }).commit();
        EXPECT_EQ(w.sent("w1"), "");
        w.edit<portal::Clients>("c1", edit).commit();
        EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
        EXPECT_EQ(w.deletions(), 1U);
        forget(w);
        w.create_flow().answer().write_flows();
        EXPECT_EQ(w.sent("w1"), "AF(c1,r1,none)");
        w.edit<portal::Clients>("c1", [](auto& c) { c.name = "again"; }).commit();
        EXPECT_EQ(w.sent("w1"), "");
    }
}

TEST(Tunnel, WhatAClientIsNowIsInTheInitOfAGatewayThatWasAway) {
    World w;
    flowing(w);
    w.leave("w1");
    w.edit<portal::Clients>("c1", [](auto& c) {
         c.public_key = "another";
         c.ipv4 = "100.64.9.9";
     }).commit();
    w.join_gateway();
    const Json expected = {
        {"public_key", "another"}, {"ipv4", "100.64.9.9"}, {"ipv6", "fd00:2021:1111::1"}};
    EXPECT_EQ(w.payloads.back().at("authorizations").at(0).at("client"), expected);
    // Asked again, the pair continues by the new key.
    forget(w);
    w.create_flow().answer();
    EXPECT_EQ(w.sent("w1"), "AF(c1,r1,none)");
}

TEST(Features, WithoutTheInternetNothingOfItIsShownOrLetThrough) {
    World w;
    w.resource("net", "", portal::ResourceType::Internet)
        .connect("net", "s1")
        .policy("p2", "g1", "net");
    flowing(w);
    w.create_flow("net").answer().write_flows();
    forget(w);
    w.edit<portal::Accounts>("account", [](auto& a) {
         a.features = {{"internet_resource", false}};
     }).commit();
    EXPECT_EQ(w.sent("w1"), "REJ(c1,net)");
    EXPECT_EQ(w.sent("c1"), "RD(net)");
    w.create_flow("net");
    EXPECT_EQ(w.sent("c1"), "FF(net,not_found)");
    w.edit<portal::Accounts>("account", [](auto& a) { a.features = Json::object(); }).commit();
    EXPECT_EQ(w.sent("c1"), "RC(net)");
}

// What a feature lets be used goes when it goes, and is never used without what it was bound to.
TEST(Features, AreObeyedWhereverTheyAreRead) {
    const Json ports = Json::array({{{"protocol", "tcp"}, {"ports", {"443"}}}});
    for (const char* feature : {"policy_conditions", "traffic_filters"}) {
        World w;
        if (std::string_view(feature) == "traffic_filters")
            w.edit<portal::Resources>("r1", [&](auto& r) { r.filters = ports; });
        else
            w.edit<portal::Policies>("p1", [](auto& p) { p.conditions = {during("F/true/UTC")}; });
        w.resource("r2").connect("r2", "s1").policy("p2", "g1", "r2");
        flowing(w);
        w.create_flow("r2").answer().write_flows();
        forget(w);
        const auto set = [&](const Json& value) {
            w.edit<portal::Accounts>("account", [&](auto& a) {
                 a.features = {{feature, value}};
             }).commit();
        };
        set(true);
        EXPECT_EQ(w.sent("w1") + w.sent("c1"), "") << feature;
        set("no");
        EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)") << feature;
        EXPECT_EQ(w.sent("c1"), "RD(r1)") << feature;
        w.create_flow("r1");
        EXPECT_EQ(w.sent("c1"), "FF(r1,not_found)") << feature;
        set(Json());
        EXPECT_EQ(w.sent("c1"), "") << feature;
        set(true);
        EXPECT_EQ(w.sent("c1"), "RC(r1)") << feature;
        w.edit<portal::Accounts>("account", [&](auto& a) { a.features = Json::array(); }).commit();
        EXPECT_EQ(w.sent("c1"), "RD(r1)") << feature;
    }
}

// A managed group without memberships is everyone's.
struct Everyone : ::testing::Test {
    Everyone() {
        w.group("all");
        set_type(portal::GroupType::Managed);
        w.erase<portal::Policies>("p1").policy("p2", "all", "r1");
        w.actor("B").client_row("c2", "B").client_token("t2", "B");
        w.commit();
        w.join_gateway().join_client();
        w.create_flow().answer().write_flows();
    }
    void set_type(portal::GroupType type) {
        w.edit<portal::ActorGroups>("all", [&](auto& group) { group.type = type; });
    }
    World w;
};

TEST_F(Everyone, IsGrantedByNoMembership) {
    EXPECT_EQ(w.sent("c1"), "init[r1] FC(r1,w1)");
    EXPECT_EQ(w.gateways.at("w1")->pair_count(), 1U);
    w.join_client("c2", "1.5.0", "t2");
    EXPECT_EQ(w.sent("c2"), "init[r1]");
    // A gateway that joins takes the row, which names no membership.
    w.leave("w1").join_gateway();
    EXPECT_EQ(w.gateways.at("w1")->pair_count(), 1U);
}

TEST_F(Everyone, IsTakenFromAllByTheFirstMembership) {
    forget(w);
    w.member("mb", "B", "all").commit();
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
    EXPECT_EQ(w.sent("c1"), "RD(r1)");
    w.erase<portal::ActorGroupMemberships>("mb").commit();
    EXPECT_EQ(w.sent("c1"), "RC(r1)");
}

TEST_F(Everyone, IsReviewedByAllAtTheFirstMembershipAndTheLastAlone) {
    w.client_row("c3", "B").client_token("t3", "B").actor("C").actor("D").commit();
    w.join_client("c2", "1.5.0", "t2").join_client("c3", "1.5.0", "t3");
    const auto counts = [&] {
        const Affected affected = w.commit();
        return std::pair(affected.clients.size(), affected.gateways.size());
    };
    using Counts = std::pair<std::size_t, std::size_t>;
    w.member("mc", "C", "all");
    EXPECT_EQ(counts(), Counts(3, 1)) << "the first";
    w.member("md", "D", "all").member("mb", "B", "all");
    EXPECT_EQ(counts(), Counts(2, 0)) << "B's clients";
    w.erase<portal::ActorGroupMemberships>("mb");
    EXPECT_EQ(counts(), Counts(2, 0));
    w.erase<portal::ActorGroupMemberships>("mc");
    EXPECT_EQ(counts(), Counts(0, 0)) << "C has no client";
    w.erase<portal::ActorGroupMemberships>("md").member("mc", "C", "all");
    EXPECT_EQ(counts(), Counts(0, 0)) << "there is one before and after";
    w.erase<portal::ActorGroupMemberships>("mc");
    EXPECT_EQ(counts(), Counts(3, 0)) << "the last";
    w.member("mc", "C", "all").erase<portal::ActorGroupMemberships>("mc");
    EXPECT_EQ(counts(), Counts(0, 0)) << "it has come and gone";
}

TEST_F(Everyone, ItsOwnMembershipTakesTheFlowOver) {
    forget(w);
    w.member("ma", "A", "all").commit();
    EXPECT_EQ(w.sent("c1"), "");
    EXPECT_EQ(w.gateways.at("w1")->pair_count(), 1U);
    ASSERT_EQ(w.unwritten.size(), 1U);
    EXPECT_EQ(w.unwritten.at(0).membership_id, id("ma"));
}

TEST_F(Everyone, EndsWithTheTypeTheGroupAndTheActor) {
    forget(w);
    set_type(portal::GroupType::Static);
    w.commit();
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
    EXPECT_EQ(w.sent("c1"), "RD(r1)");
    set_type(portal::GroupType::Managed);
    w.commit();
    EXPECT_EQ(w.sent("c1"), "RC(r1)");
    w.create_flow().answer().write_flows();
    forget(w);
    w.edit<portal::Actors>("A", [&](auto& actor) { actor.disabled_at = w.now; }).commit();
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
    EXPECT_EQ(w.sent("c1"), "disconnect(actor_disabled)");
}

TEST_F(Everyone, IsNobodysWhenTheGroupIsGone) {
    forget(w);
    w.cascade("all").commit();
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
    EXPECT_EQ(w.sent("c1"), "RD(r1)");
}

TEST(DeadMansTimer, StartsWhenTheGatewaysChannelTakesTheFlow) {
    World w;
    w.join_gateway();
    const Authorize ask = asked(w);
    w.after(10s).peer("w1", ask);
    EXPECT_EQ(w.sent("w1"), "init[] AF(c1,r1,none)");
    w.after(8s).peer("w1", ask);
    w.after(7s - 1us);
    EXPECT_EQ(w.sent("w1"), "") << "the same once more is nothing new";
    w.after(1us);
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
}

TEST(DeadMansTimer, KeepsItsLengthWhenTheClockIsSet) {
    for (const auto moved : {Instant::duration(-10min), Instant::duration(2h)}) {
        World w;
        w.commit();
        w.join_gateway().join_client().create_flow();
        forget(w);
        w.set_clock(moved);
        EXPECT_EQ(w.sent("w1"), "") << "not overdue yet";
        w.after(15s - 1us);
        EXPECT_EQ(w.sent("w1"), "");
        EXPECT_EQ(w.sent("c1"), "");
        w.after(1us);
        EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
        EXPECT_EQ(w.sent("c1"), "FF(r1,offline)");
    }
}

TEST(Clock, AWindowThatHasNotBegunByTheClockOfNowGrantsNothing) {
    World w;
    w.policy("p1", "g1", "r1", {during("F/9-11/UTC")});
    flowing(w);
    forget(w);
    w.set_clock(-3h);
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
    EXPECT_EQ(w.sent("c1"), "RD(r1)");
    EXPECT_EQ(w.gateways["w1"]->pair_count(), 0U);
}

TEST(Clock, AnotherPolicyReplacesTheOneWhoseWindowHasNotBegun) {
    World w;
    w.policy("p1", "g1", "r1", {during("F/9-11/UTC")});
    w.policy("p2", "g1", "r1", {during("F/5-11/UTC")});
    flowing(w);
    forget(w);
    w.set_clock(-3h);
    EXPECT_EQ(w.sent("c1"), "");
    EXPECT_EQ(w.sent("w1").find("REJ"), std::string::npos);
    EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
    forget(w);
    w.set_clock(-3h);
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
}

TEST(Clock, AnInstantThatTheClockHasPassedHasCome) {
    World w;
    w.edit<portal::Tokens>("t1", [&](auto& t) { t.expires_at = w.now + 1h; }).commit();
    w.join_client();
    forget(w);
    w.set_clock(2h);
    EXPECT_EQ(w.sent("c1"), "disconnect(token_expired)");
}

TEST(FlowLifetime, EndsWhatItsPolicyWouldKeep) {
    World w;
    w.flow_lifetime = 1h;
    flowing(w);
    EXPECT_EQ(only_flow(w).expires_at, w.now + 1h);
}

TEST(FlowLifetime, AFlowDoesForAsLongAsHalfOfItIsLeft) {
    World w;
    w.flow_lifetime = 1h;
    flowing(w);
    const auto first = only_flow(w);
    w.after(30min);
    for (int i = 0; i < 3; ++i) {
        w.create_flow().answer();
        EXPECT_EQ(w.unwritten.size(), 0U) << "it has half an hour left";
    }
    w.after(1s);
    w.create_flow().answer().write_flows();
    EXPECT_EQ(flow_count(w), 2);
    forget(w);
    w.until(*first.expires_at);
    EXPECT_EQ(w.sent("w1"), "") << "the other one holds the pair";
    EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
}

TEST(FlowLifetime, AShorterPolicyIsAnotherFlow) {
    World w;
    w.flow_lifetime = 1h;
    flowing(w);
    w.edit<portal::Tokens>("t1", [&](auto& t) { t.expires_at = w.now + 40min; }).commit();
    w.create_flow().answer().write_flows();
    EXPECT_EQ(flow_count(w), 2);
}

TEST(Established, AFlowOutlivesAGatewayThatGivesNoAnswer) {
    World w;
    flowing(w);
    forget(w);
    w.unwanted.clear();
    w.create_flow();
    (void)w.sent("w1");
    w.after(15s);
    EXPECT_EQ(w.sent("c1"), "FF(r1,offline)");
    EXPECT_TRUE(w.unwanted.empty());
    EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
}

TEST(Expiry, DeletesTheRowThatNamesALaterEnd) {
    for (const bool row_names_it : {true, false}) {
        World w;
        const auto end = w.now + 1h;
        if (row_names_it) w.client_token("t1", "A", end);
        flowing(w);
        if (!row_names_it) w.client_token("t1", "A", end).commit();
        w.unwanted.clear();
        w.until(end);
        EXPECT_EQ(w.gateways["w1"]->pair_count(), 0U);
        EXPECT_EQ(w.unwanted.size(), row_names_it ? 0U : 1U);
    }
}

portal::Flows row_of_f1() {
    portal::Flows row{};
    row.id = id("f1");
    row.account_id = id("account");
    row.client_id = id("c1");
    row.resource_id = id("r1");
    row.gateway_id = id("w1");
    return row;
}

TEST(DeadMansTimer, EndsWithTheWritersWordOrTheRowInTheStream) {
    for (const bool by_row : {false, true}) {
        World w;
        w.join_gateway();
        w.peer("w1", asked(w));
        w.after(15s - 1us);
        const portal::Flows row = row_of_f1();
        if (by_row)
            w.put(row).commit();
        else
            w.peer("w1", FlowsDurable{{id("f1")}});
        w.after(1h);
        EXPECT_EQ(w.sent("w1"), "init[] AF(c1,r1,none)");
        EXPECT_EQ(w.deletions(), 0U);
        EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
    }
}

TEST(DeadMansTimer, ARowWithoutItsFlowIsDeletedUnlessTheRequestComes) {
    for (const bool comes : {false, true}) {
        World w;
        w.join_gateway();
        const portal::Flows row = row_of_f1();
        w.put(row).commit();
        w.after(10s);
        if (comes) w.peer("w1", asked(w));
        // Whatever the clock is set to.
        w.set_clock(1h).set_clock(-1h);
        w.after(5s - 1us);
        EXPECT_TRUE(w.unwanted.empty());
        w.after(1us);
        EXPECT_EQ(w.unwanted.size(), comes ? 0U : 1U);
        w.after(1h);
        EXPECT_EQ(w.unwanted.size(), comes ? 0U : 1U);
        EXPECT_EQ(w.gateways["w1"]->pair_count(), comes ? 1U : 0U);
    }
}

TEST(TwoProcesses, ARequestAheadOfTheGatewaysStateIsTakenAndOneBehindIsJudged) {
    World w;
    w.join_gateway();
    (void)w.sent("w1");
    Authorize ask;
    ask.flow_id = id("f1");
    ask.client_id = id("c1");
    ask.resource_id = id("r1");
    ask.by = {id("p2"), id("m1"), id("t1")};
    const auto& client = *w.state.client(id("c1"));
    ask.public_key = client.public_key;
    ask.ipv4 = host_of_inet(client.ipv4);
    ask.ipv6 = host_of_inet(client.ipv6);
    ask.decided_at = {{}, w.state.position().lsn + 1};
    w.peer("w1", ask);
    EXPECT_EQ(w.sent("w1"), "AF(c1,r1,none)") << "its state has not seen the policy yet";
    ask.flow_id = id("f2");
    ask.decided_at = w.state.position();
    w.peer("w1", ask);
    EXPECT_EQ(w.sent("w1"), "") << "it knows that there is no such policy";
    w.policy("p2", "g1", "r1").commit();
    EXPECT_EQ(w.sent("w1"), "");
    w.cascade("p2").commit();
    EXPECT_EQ(w.sent("w1"), "EXP(c1,r1,none)") << "p1 does as well";
}

// c1's request for r1 by a policy that the gateway's state has not seen yet.
Authorize asked_ahead(const World& w, const wire::History& history) {
    Authorize out = asked(w);
    out.by.policy_id = id("p2");
    out.decided_at = {history, w.state.position().lsn + 1'000'000};
    return out;
}

TEST(TwoProcesses, C4_WhatAnotherHistoryDecidedIsJudgedByTheStateThatIsThere) {
    World w;
    w.history = {1, 1};
    w.snapshot();
    w.join_gateway();
    w.peer("w1", asked_ahead(w, w.history));
    EXPECT_EQ(w.sent("w1"), "init[] AF(c1,r1,none)");
    w.snapshot();
    EXPECT_EQ(w.sent("w1"), "") << "of the same history, and still behind";
    // A failover to a server that stands at lower positions and has never had the policy.
    w.cascade("p1");
    w.history = {1, 2};
    w.snapshot();
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
    EXPECT_EQ(w.deletions(), 1U);
    // The client's process has not heard of the failover.
    w.peer("w1", asked_ahead(w, {1, 1}));
    EXPECT_EQ(w.sent("w1"), "");
    EXPECT_EQ(w.gateways["w1"]->pair_count(), 0U);
}

TEST(TwoProcesses, C4_APromotionThatContinuesTheStreamHasWhatIsAheadJudged) {
    World w;
    w.history = {1, 1};
    w.cascade("p1");
    w.snapshot();
    w.join_gateway();
    w.peer("w1", asked_ahead(w, w.history));
    EXPECT_EQ(w.sent("w1"), "init[] AF(c1,r1,none)");
    EXPECT_FALSE(w.state.follow({1, 1}));
    EXPECT_TRUE(w.state.follow({1, 2}));
    w.history = {1, 2};
    w.snapshot();
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
}

TEST(TwoSources, C4_ALostRowTakesNoOtherFlowAlongWhileASnapshotLoads) {
    World w;
    flowing(w);
    Authorize ask = asked(w);
    ask.expires_at = w.now + 1h;
    w.peer("w1", ask);
    forget(w);
    w.state.begin_snapshot();
    w.peer("w1", FlowsLost{{ask.flow_id}});
    EXPECT_EQ(w.sent("w1"), "");
    w.snapshot();
    EXPECT_EQ(w.sent("w1"), "");
    EXPECT_EQ(w.gateways["w1"]->pair_count(), 1U);
    // The last one is lost: nothing is left to let the client through by.
    w.state.begin_snapshot();
    w.peer("w1", FlowsLost{{only_flow(w).id}});
    EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
}

// Which of the two says first that the row was written, and which that it was deleted.
TEST(TwoSources, C4_AnAdministratorsDeletionIsSeenInWhateverOrder) {
    const auto taken = [](World& w) {
        w.join_gateway().peer("w1", asked(w));
        (void)w.sent("w1");
    };
    const FlowsDurable told{{id("f1")}};
    const portal::Flows row = row_of_f1();
    {
        World w;
        taken(w);
        w.snapshot();
        w.peer("w1", told).after(15s - 1us);
        EXPECT_EQ(w.sent("w1"), "") << "its row may be yet to come";
        w.after(1us);
        EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)") << "a snapshot, the writer's word, no row";
    }
    {
        World w;
        taken(w);
        w.peer("w1", told).snapshot();
        w.after(15s);
        EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)") << "the writer's word, a snapshot, no row";
    }
    {
        World w;
        taken(w);
        w.snapshot();
        w.peer("w1", told).put(row).commit();
        w.after(1h);
        EXPECT_EQ(w.sent("w1"), "") << "the row came behind the snapshot";
        w.erase_row(row).commit();
        EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
    }
    {
        World w;
        taken(w);
        w.put(row).erase_row(row).commit();
        EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
        w.peer("w1", told);
        EXPECT_EQ(w.gateways["w1"]->pair_count(), 0U) << "the writer's word comes late";
    }
}

TEST(Join, GatewayRefusals) {
    World w;
    w.site("s2").gateway_token("tw2", "s2").commit();
    w.join_gateway("w1", "1.5.0", "tw2");
    EXPECT_EQ(w.sent("w1"), "refuse(invalid_token)");
    w.join_gateway("w1", "1.5.0", "t1");
    EXPECT_EQ(w.sent("w1"), "refuse(invalid_token)");
    w.edit<portal::Accounts>("account", [&](auto& a) { a.disabled_at = w.now; }).commit();
    w.join_gateway();
    EXPECT_EQ(w.sent("w1"), "refuse(account_disabled)");
}

}  // namespace flow_scenarios_tests
}  // namespace fatwal::access::test
