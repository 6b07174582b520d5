// A to E: what a client is shown.
#include "portal/access/access.h"
#include "portal/access/account_settings.h"
#include "test/access/scenario.h"

namespace fatwal::access::test {
namespace scenarios_tests {

using portal::ResourceType;

void second_resource(World& w) { w.resource("r2").connect("r2", "s1").group("g2"); }
void conditioned(World& w, std::vector<Json> conditions) {
    w.policy("p1", "g1", "r1", std::move(conditions));
}
void set_conditions(World& w, const char* policy, const std::vector<Json>& conditions) {
    w.edit<portal::Policies>(policy, [&](auto& p) {
        p.conditions.clear();
        for (const Json& one : conditions) p.conditions.emplace_back(one);
    });
}

const bool kJoin = scenarios(
    "ClientJoin",
    {
        {"A1_token_expired",
         [](World& w) {
             w.client_token("t1", "A", w.now - 1s);
             w.commit();
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "refuse(token_expired)");
         },
         [](World&) {}},
        {"A1_token_expires_now",
         [](World& w) {
             w.client_token("t1", "A", w.now);
             w.commit();
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "refuse(token_expired)");
         },
         [](World&) {}},
        {"A2_token_expires_while_connected",
         [](World& w) { w.client_token("t1", "A", w.now + 50ms); },
         [](World& w) {
             w.after(49ms);
             EXPECT_EQ(w.sent("c1"), "");
             w.after(1ms);
         },
         "disconnect(token_expired)"},
        {"A4_invalid_version",
         [](World& w) {
             w.join_client("c1", "one.five");
             EXPECT_EQ(w.sent("c1"), "refuse(invalid_version)");
         },
         [](World&) {}},
        {"A7_resource_without_site", [](World& w) { w.resource("r2").policy("p2", "g1", "r2"); },
         [](World& w) { w.join_client(); }, "init[r1]"},
        {"A8_two_policies_once",
         [](World& w) { w.group("g2").member("m2", "A", "g2").policy("p2", "g2", "r1"); },
         [](World& w) { w.join_client(); }, "init[r1]"},
        {"A10_other_group",
         [](World& w) {
             second_resource(w);
             w.policy("p2", "g2", "r2");
         },
         [](World& w) { w.join_client(); }, "init[r1]"},
        {"A11_old_internet_before_1_3",
         [](World& w) {
             w.resource("net", "", ResourceType::Internet)
                 .connect("net", "s1")
                 .policy("p2", "g1", "net");
         },
         [](World& w) { w.join_client("c1", "1.2.9"); }, "init[r1]"},
        {"A11_internet_from_1_3",
         [](World& w) {
             w.resource("net", "", ResourceType::Internet)
                 .connect("net", "s1")
                 .policy("p2", "g1", "net");
         },
         [](World& w) { w.join_client("c1", "1.3.0"); }, "init[net,r1]"},
        {"A16_window_closed_then_opens", [](World& w) { conditioned(w, {during("F/11-12/UTC")}); },
         [](World& w) {
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "init[]");
             w.after(1h - 1us);
             EXPECT_EQ(w.sent("c1"), "");
             w.after(1us);
         },
         "RC(r1)"},
        {"A19_service_account",
         [](World& w) {
             w.edit<portal::Actors>("A",
                                    [](auto& a) { a.type = portal::ActorType::ServiceAccount; });
             conditioned(w, {condition("provider_id", "is_not_in", {id("x").to_text()})});
         },
         [](World& w) { w.join_client(); }, "init[r1]"},
        {"A20_commit_before_the_snapshot_ends", [](World& w) { second_resource(w); },
         [](World& w) {
             w.state.begin_snapshot();
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "");
             w.policy("p2", "g1", "r2");
             w.snapshot();
         },
         "init[r1,r2]"},
        {"A_refused_unknown_token",
         [](World& w) {
             w.join_client("c1", "1.5.0", "t9");
             EXPECT_EQ(w.sent("c1"), "refuse(invalid_token)");
         },
         [](World&) {}},
        {"A_refused_another_actors_token",
         [](World& w) {
             w.actor("B").client_token("t2", "B");
             w.commit();
             w.join_client("c1", "1.5.0", "t2");
             EXPECT_EQ(w.sent("c1"), "refuse(invalid_token)");
         },
         [](World&) {}},
        {"A_refused_a_gateways_token",
         [](World& w) {
             w.join_client("c1", "1.5.0", "tw1");
             EXPECT_EQ(w.sent("c1"), "refuse(invalid_token)");
         },
         [](World&) {}},
        {"B23_actor_disabled",
         [](World& w) {
             w.edit<portal::Actors>("A", [&](auto& a) { a.disabled_at = w.now; });
             w.commit();
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "refuse(actor_disabled)");
         },
         [](World&) {}},
        {"B23_account_disabled",
         [](World& w) {
             w.join_gateway();
             w.edit<portal::Accounts>("account", [&](auto& a) { a.disabled_at = w.now; });
             w.commit();
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "refuse(account_disabled)");
         },
         [](World&) {}},
        {"B23_provider_disabled",
         [](World& w) {
             portal::AuthProviders provider{id("P"), id("account"), "oidc", w.now};
             portal::AuthIdentities identity{id("I"), id("account"), id("A"), id("P"), {}};
             w.put(provider).put(identity).edit<portal::Clients>(
                 "c1", [](auto& c) { c.identity_id = id("I"); });
             w.commit();
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "refuse(provider_disabled)");
         },
         [](World&) {}},
        {"B23_identity_of_nobody",
         [](World& w) {
             w.edit<portal::Clients>("c1", [](auto& c) { c.identity_id = id("I"); });
             w.commit();
             w.join_client();
             EXPECT_EQ(w.sent("c1"), "refuse(identity_disabled)");
         },
         [](World&) {}},
    });

const bool kAccount = scenarios(
    "ClientAccount",
    {
        {"B2_name_changes",
         {},
         [](World& w) { w.edit<portal::Accounts>("account", [](auto& a) { a.name = "Other"; }); }},
        {"B2_config_changes",
         {},
         [](World& w) {
             w.edit<portal::Accounts>("account", [](auto& a) {
                 a.config = {{"search_domain", "x.test"}};
             });
         },
         "config_changed"},
        {"B2_config_key_nobody_reads",
         {},
         [](World& w) {
             w.edit<portal::Accounts>("account", [](auto& a) { a.config = {{"other", 1}}; });
         }},
        {"B3_membership_inserted",
         [](World& w) {
             second_resource(w);
             w.policy("p2", "g2", "r2");
         },
         [](World& w) { w.member("m2", "A", "g2"); }, "RC(r2)"},
        {"B5_group_without_policy", second_resource, [](World& w) { w.member("m2", "A", "g2"); }},
        {"B6_membership_of_another", [](World& w) { w.actor("B"); },
         [](World& w) {
             w.member("m2", "B", "g1");
             const Affected a = w.commit();
             EXPECT_TRUE(a.clients.empty());
             w.erase<portal::ActorGroupMemberships>("m2");
         }},
        {"B7_membership_deleted", {}, [](World& w) { w.cascade("m1"); }, "RD(r1)"},
        {"B8_another_group_still_grants",
         [](World& w) { w.group("g2").member("m2", "A", "g2").policy("p2", "g2", "r1"); },
         [](World& w) { w.cascade("m1"); }},
        {"B9_another_group_does_not_conform",
         [](World& w) {
             w.group("g2").member("m2", "A", "g2").policy("p2", "g2", "r1", {verified()});
         },
         [](World& w) { w.cascade("m1"); }, "RD(r1)"},
        {"B11_membership_deleted_and_back",
         {},
         [](World& w) {
             w.cascade("m1").commit();
             w.member("m1", "A", "g1");
         },
         "RD(r1) RC(r1)"},
        {"B11_in_one_transaction", {}, [](World& w) { w.cascade("m1").member("m3", "A", "g1"); }},
        {"B12_verified", [](World& w) { conditioned(w, {verified()}); },
         [](World& w) { w.edit<portal::Clients>("c1", [&](auto& c) { c.verified_at = w.now; }); },
         "RC(r1)"},
        {"B14_verified_gains_one",
         [](World& w) {
             second_resource(w);
             conditioned(w, {verified()});
             w.policy("p2", "g1", "r2");
         },
         [](World& w) { w.edit<portal::Clients>("c1", [&](auto& c) { c.verified_at = w.now; }); },
         "RC(r1)"},
        {"B14_unverified_again",
         [](World& w) {
             conditioned(w, {verified()});
             w.edit<portal::Clients>("c1", [&](auto& c) { c.verified_at = w.now; });
         },
         [](World& w) { w.edit<portal::Clients>("c1", [](auto& c) { c.verified_at.reset(); }); },
         "RD(r1)"},
        {"B15_last_seen_wakes_nobody",
         {},
         [](World& w) {
             w.edit<portal::Clients>("c1", [&](auto& c) {
                 c.last_seen_at = w.now;
                 c.last_seen_remote_ip_location_region = "CA";
                 c.name = "other";
             });
             w.edit<portal::Tokens>("t1", [&](auto& t) { t.last_seen_at = w.now; });
             w.edit<portal::Gateways>("w1", [&](auto& g) { g.last_seen_at = w.now; });
             const Affected a = w.commit();
             EXPECT_TRUE(a.clients.empty() && a.gateways.empty());
             EXPECT_EQ(w.state.client(id("c1"))->name, "other");
         }},
        {"B17_client_deleted",
         {},
         [](World& w) { w.cascade("c1"); },
         "disconnect(client_not_found)"},
        {"B18_own_token_deleted",
         {},
         [](World& w) { w.cascade("t1"); },
         "disconnect(token_expired)"},
        {"B18_token_expires_earlier_now",
         {},
         [](World& w) {
             w.client_token("t1", "A", w.now + 1min).commit();
             w.after(1min);
         },
         "disconnect(token_expired)"},
        {"B18_token_of_another_session", [](World& w) { w.client_token("t2", "A"); },
         [](World& w) { w.cascade("t2"); }},
        {"B20_tunnel_address",
         {},
         [](World& w) { w.edit<portal::Clients>("c1", [](auto& c) { c.ipv4 = "100.64.0.9/32"; }); },
         "init[r1]"},
        {"B21_account_disabled",
         [](World& w) { w.join_gateway().join_client().create_flow().answer().write_flows(); },
         [](World& w) {
             w.edit<portal::Accounts>("account", [&](auto& a) { a.disabled_at = w.now; }).commit();
             EXPECT_EQ(w.deletions(), 1U);
         },
         "disconnect(account_disabled)", "REJ(c1,r1)"},
        {"B_actor_disabled",
         {},
         [](World& w) { w.edit<portal::Actors>("A", [&](auto& a) { a.disabled_at = w.now; }); },
         "disconnect(actor_disabled)"},
    });

void of_provider(World& w, const char* provider) {
    for (const char* name : {"X", "Y"})
        w.put(portal::AuthProviders{id(name), id("account"), "oidc", {}});
    w.put(portal::AuthIdentities{id("I"), id("account"), id("A"), id(provider), {}});
    w.edit<portal::Clients>("c1", [](auto& c) { c.identity_id = id("I"); });
}
void only_of_x(World& w) {
    conditioned(w, {condition("provider_id", "is_in", {id("X").to_text()})});
}

const bool kProviders = scenarios(
    "ClientProviders",
    {
        {"F7_identity_of_it", only_of_x, [](World& w) { of_provider(w, "X"); }, "RC(r1)"},
        {"F7_identity_of_another", only_of_x, [](World& w) { of_provider(w, "Y"); }},
        {"F7_identity_moves_to_another",
         [](World& w) {
             only_of_x(w);
             of_provider(w, "X");
         },
         [](World& w) { of_provider(w, "Y"); }, "RD(r1)"},
        {"F7_no_identity",
         [](World& w) {
             only_of_x(w);
             w.edit<portal::Actors>("A",
                                    [](auto& a) { a.type = portal::ActorType::ServiceAccount; });
         },
         [](World& w) { w.join_client(); }, "init[]"},
        {"F7_provider_deleted",
         [](World& w) {
             only_of_x(w);
             of_provider(w, "X");
         },
         [](World& w) { w.erase<portal::AuthProviders>("X"); }, "disconnect(provider_disabled)"},
    });

const bool kPolicies = scenarios(
    "ClientPolicies",
    {
        {"C1_created", second_resource, [](World& w) { w.policy("p2", "g1", "r2"); }, "RC(r2)"},
        {"C3_second_grant", {}, [](World& w) { w.policy("p2", "g1", "r1"); }},
        {"C4_created_nonconforming", second_resource,
         [](World& w) { w.policy("p2", "g1", "r2", {verified()}); }},
        {"C6_still_conforming",
         {},
         [](World& w) {
             set_conditions(w, "p1", {condition("remote_ip_location_region", "is_in", {"US"})});
         }},
        {"C7_nonconforming", {}, [](World& w) { set_conditions(w, "p1", {verified()}); }, "RD(r1)"},
        {"C9_other_resource", second_resource,
         [](World& w) {
             w.edit<portal::Policies>("p1", [](auto& p) { p.resource_id = id("r2"); });
         },
         "RD(r1) RC(r2)"},
        {"C10_there_and_back",
         [](World& w) {
             second_resource(w);
             w.commit();
             w.join_gateway().join_client().create_flow().answer().write_flows();
         },
         [](World& w) {
             w.edit<portal::Policies>("p1", [](auto& p) { p.resource_id = id("r2"); }).commit();
             EXPECT_EQ(w.sent("w1"), "REJ(c1,r1)");
             w.create_flow("r2").answer().write_flows();
             EXPECT_EQ(w.sent("w1"), "AF(c1,r2,none)");
             EXPECT_EQ(w.sent("c1"), "RD(r1) RC(r2) FC(r2,w1)");
             w.edit<portal::Policies>("p1", [](auto& p) { p.resource_id = id("r1"); });
         },
         "RD(r2) RC(r1)", "REJ(c1,r2)"},
        {"C12_group_changes_to_ours", [](World& w) { w.group("g2").policy("p1", "g2", "r1"); },
         [](World& w) { w.policy("p1", "g1", "r1"); }, "RC(r1)"},
        {"C12_group_changes_to_anothers", [](World& w) { w.group("g2"); },
         [](World& w) { w.policy("p1", "g2", "r1"); }, "RD(r1)"},
        {"C13_disabled",
         [](World& w) { w.join_gateway().join_client().create_flow().answer().write_flows(); },
         [](World& w) {
             w.edit<portal::Policies>("p1", [&](auto& p) { p.disabled_at = w.now; }).commit();
             EXPECT_EQ(w.deletions(), 1U);
         },
         "RD(r1)", "REJ(c1,r1)"},
        {"C13_enabled_again",
         [](World& w) { w.edit<portal::Policies>("p1", [&](auto& p) { p.disabled_at = w.now; }); },
         [](World& w) { w.edit<portal::Policies>("p1", [](auto& p) { p.disabled_at.reset(); }); },
         "RC(r1)"},
        {"C15_disabled_and_changed",
         {},
         [](World& w) {
             w.edit<portal::Policies>("p1", [&](auto& p) {
                 p.disabled_at = w.now;
                 p.conditions.emplace_back(verified());
             });
         },
         "RD(r1)"},
        {"C16_deleted", {}, [](World& w) { w.cascade("p1"); }, "RD(r1)"},
        {"C18_other_outside_its_window",
         [](World& w) { w.policy("p2", "g1", "r1", {during("F/20-21/UTC")}); },
         [](World& w) { w.cascade("p1"); }, "RD(r1)"},
        {"C19_same_event_twice", second_resource,
         [](World& w) {
             w.policy("p2", "g1", "r2");
             const auto changes = w.take_changes();
             w.apply(1000, changes);
             EXPECT_EQ(w.sent("c1"), "RC(r2)");
             w.apply(1001, changes);
             EXPECT_TRUE(w.apply(1001, changes).ignored);
         }},
        {"C22_policy_without_group", second_resource, [](World& w) { w.policy("p2", "", "r2"); }},
        {"C22_group_taken_away", {}, [](World& w) { w.policy("p1", "", "r1"); }, "RD(r1)"},
        {"C24_second_path",
         [](World& w) {
             conditioned(w, {verified()});
             w.group("g2");
         },
         [](World& w) {
             w.member("m2", "A", "g2").policy("p2", "g2", "r1").commit();
             EXPECT_EQ(w.sent("c1"), "RC(r1)");
             w.cascade("m2");
         },
         "RD(r1)"},
        {"C25_two_windows",
         [](World& w) {
             conditioned(w, {during("F/9-12/UTC")});
             w.policy("p2", "g1", "r1", {during("F/9-18/UTC")});
         },
         [](World& w) {
             w.until(kFriday + 8h);
             EXPECT_EQ(w.sent("c1"), "");
             w.after(1us);
         },
         "RD(r1)"},
    });

const bool kResources = scenarios(
    "ClientResources",
    {
        {"D1_renamed",
         {},
         [](World& w) {
             w.edit<portal::Resources>("r1", [](auto& r) { r.name = "other"; });
             w.commit();
             EXPECT_EQ(w.payloads.back().at("name"), "other");
         },
         "RC(r1)"},
        {"D2_address", {}, [](World& w) { w.resource("r1", "other.test"); }, "RC(r1)"},
        {"D2_description",
         {},
         [](World& w) {
             w.edit<portal::Resources>("r1", [](auto& r) { r.address_description = "x"; });
         },
         "RC(r1)"},
        {"D2_filters",
         {},
         [](World& w) {
             w.edit<portal::Resources>("r1", [](auto& r) {
                 r.filters = Json::array({{{"protocol", "icmp"}}});
             });
         },
         "RC(r1)"},
        {"D2_type",
         {},
         [](World& w) { w.resource("r1", "10.0.0.0/8", ResourceType::Cidr); },
         "RC(r1)"},
        {"D2_ip_stack",
         {},
         [](World& w) {
             w.edit<portal::Resources>("r1", [](auto& r) { r.ip_stack = portal::IpStack::Dual; });
         },
         "RC(r1)"},
        {"D2_filters_that_are_none",
         {},
         [](World& w) { w.edit<portal::Resources>("r1", [](auto& r) { r.filters = "all"; }); },
         "RD(r1)"},
        {"D4_unauthorized_updated", second_resource,
         [](World& w) {
             w.resource("r2", "other.test").commit();
             EXPECT_EQ(w.state.resource(id("r2"))->address, "other.test");
         }},
        {"D5_unknown_updated", {}, [](World& w) { w.resource("r9"); }},
        {"D7_old_client_unmappable",
         [](World& w) {
             w.resource("r1", "*.x.test");
             w.commit();
             w.join_client("c1", "1.1.0");
         },
         [](World& w) {
             w.resource("r1", "a.*.test").commit();
             EXPECT_EQ(w.sent("c1"), "RD(r1)");
             w.resource("r1", "**.x.test").commit();
             EXPECT_EQ(w.payloads.back().at("address"), "*.x.test");
         },
         "RC(r1)"},
        {"D8_connection_added", [](World& w) { w.site("s2"); },
         [](World& w) {
             w.connect("r1", "s2").commit();
             EXPECT_EQ(w.payloads.back().at("gateway_groups").size(), 2U);
         },
         "RD(r1) RC(r1)"},
        {"D10_last_connection",
         {},
         [](World& w) {
             w.disconnect("r1", "s1").commit();
             EXPECT_EQ(w.sent("c1"), "RD(r1)");
             w.connect("r1", "s1");
         },
         "RC(r1)"},
        {"D11_swap_in_one_transaction", [](World& w) { w.site("s2"); },
         [](World& w) { w.disconnect("r1", "s1").connect("r1", "s2"); }, "RD(r1) RC(r1)"},
        {"D11_there_and_back_in_one_transaction", [](World& w) { w.site("s2"); },
         [](World& w) { w.disconnect("r1", "s1").connect("r1", "s1"); }},
        {"D13_of_an_unauthorized", second_resource, [](World& w) { w.disconnect("r2", "s1"); }},
        {"D14_site_renamed",
         {},
         [](World& w) { w.edit<portal::Sites>("s1", [](auto& s) { s.name = "other"; }); },
         "RC(r1)"},
        {"D16_site_of_another", [](World& w) { w.site("s2").resource("r2").connect("r2", "s2"); },
         [](World& w) { w.edit<portal::Sites>("s2", [](auto& s) { s.name = "other"; }); }},
        {"D17_site_swap_before_1_5_5",
         [](World& w) {
             w.site("s2").commit();
             w.join_client("c1", "1.5.4");
         },
         [](World& w) { w.disconnect("r1", "s1").connect("r1", "s2"); }, "RD(r1) RC(r1)"},
        {"D17_site_swap_from_1_5_5",
         [](World& w) {
             w.site("s2").commit();
             w.join_client("c1", "1.5.5");
         },
         [](World& w) { w.disconnect("r1", "s1").connect("r1", "s2"); }, "RD(r1) RC(r1)"},
        {"D19_internet",
         [](World& w) { w.resource("net", "", ResourceType::Internet).connect("net", "s1"); },
         [](World& w) {
             w.policy("p2", "g1", "net").commit();
             EXPECT_EQ(w.payloads.back().size(), 4U);
         },
         "RC(net)"},
        {"D20_site_deleted",
         [](World& w) {
             second_resource(w);
             w.site("s2").connect("r2", "s2").policy("p2", "g1", "r2");
             w.gateway_row("w2", "s2");
         },
         [](World& w) { w.cascade("s2"); }, "RD(r2) RC(r2)"},
        {"D20_only_site_deleted",
         [](World& w) {
             second_resource(w);
             w.site("s2").resource("r3").connect("r3", "s2").policy("p3", "g1", "r3");
         },
         [](World& w) { w.cascade("s2"); }, "RD(r3)"},
        {"D_resource_deleted", {}, [](World& w) { w.cascade("r1"); }, "RD(r1)"},
        {"D_deletions_first",
         [](World& w) {
             second_resource(w);
             w.resource("r0").connect("r0", "s1");
         },
         [](World& w) { w.policy("p2", "g1", "r0").cascade("r1"); }, "RD(r1) RC(r0)"},
    });

const bool kTime = scenarios(
    "ClientTime",
    {
        {"E1_nothing_changes", {}, [](World& w) { w.after(24h); }},
        {"E1_nothing_changes_with_windows",
         [](World& w) { conditioned(w, {during("F/9-18/UTC")}); }, [](World& w) { w.after(1h); }},
        {"E2_window_opens_and_closes", [](World& w) { conditioned(w, {during("F/11-12/UTC")}); },
         [](World& w) {
             w.after(1h);
             EXPECT_EQ(w.sent("c1"), "RC(r1)");
             w.after(1h);
             EXPECT_EQ(w.sent("c1"), "");
             w.after(1s);
         },
         "RD(r1)"},
        {"E2_next_week_too", [](World& w) { conditioned(w, {during("F/9-9:30/UTC")}); },
         [](World& w) { w.after(7 * 24h - 1h); }, "RC(r1)"},
        {"E4_old_position", second_resource,
         [](World& w) {
             w.policy("p2", "g1", "r2");
             EXPECT_TRUE(w.apply(1, w.take_changes()).ignored);
             w.cascade("p2");
         }},
        {"E5_commit_order",
         [](World& w) {
             second_resource(w);
             w.policy("p2", "g1", "r2", {verified()});
         },
         [](World& w) {
             w.policy("p2", "g1", "r2").commit();
             w.cascade("p1");
         },
         "RC(r2) RD(r1)"},
    });

const bool kStream = scenarios(
    "Stream",
    {
        {"J24_children_before_their_parents",
         {},
         [](World& w) {
             w.policy("p2", "g2", "r2").member("m2", "A", "g2").connect("r2", "s2").commit();
             EXPECT_EQ(w.sent("c1"), "");
             w.resource("r2").group("g2").site("s2");
         },
         "RC(r2)"},
        {"J24_parents_deleted_first",
         [](World& w) {
             second_resource(w);
             w.policy("p2", "g1", "r2");
         },
         [](World& w) { w.cascade("g1"); }, "RD(r1) RD(r2)"},
        {"J24_children_deleted_first",
         {},
         [](World& w) {
             w.erase<portal::ActorGroupMemberships>("m1")
                 .erase<portal::Policies>("p1")
                 .erase<portal::ActorGroups>("g1");
         },
         "RD(r1)"},
        {"J5_token_of_no_account",
         {},
         [](World& w) {
             portal::Tokens t;
             t.id = id("tr");
             t.type = portal::TokenType::Relay;
             w.put(t).commit();
             w.erase<portal::Tokens>("tr");
         }},
        {"J11_redelivered_after_a_restart", second_resource,
         [](World& w) {
             w.policy("p2", "g1", "r2");
             const auto a = w.take_changes();
             w.cascade("p2");
             const auto b = w.take_changes();
             w.apply(1000, a);
             w.apply(1001, b);
             EXPECT_EQ(w.sent("c1"), "RC(r2) RD(r2)");
             w.apply(1002, a);
             w.apply(1003, b);
         },
         "RC(r2) RD(r2)"},
        {"J_bad_row_grants_nothing",
         {},
         [](World& w) {
             RowChange c;
             c.bad = BadRow{"policies", id("p1"), {}, "malformed"};
             const Affected a = w.apply(1000, {c});
             EXPECT_EQ(a.bad_rows, 1U);
             EXPECT_EQ(a.issues.at(0).key, id("p1").to_text());
             w.policy("p1", "g1", "r1").apply(1001, w.take_changes());
         },
         "RD(r1) RC(r1)"},
        {"J_bad_connection_grants_nothing",
         {},
         [](World& w) {
             RowChange c;
             c.bad = BadRow{"resource_connections", id("r1"), id("s1"), "malformed"};
             w.apply(1000, {c});
             w.disconnect("r1", "s1");
             (void)w.take_changes();
         },
         "RD(r1)"},
        {"J_bad_without_a_key_is_put_aside",
         {},
         [](World& w) {
             RowChange c;
             c.bad = BadRow{"policies", {}, {}, "malformed"};
             EXPECT_TRUE(w.apply(1000, {c}).quarantined);
             EXPECT_EQ(w.state.status(), AccountState::Status::Quarantined);
             EXPECT_NE(w.state.reason().find("quarantined: take a new snapshot"),
                       std::string::npos);
             w.create_flow();
         },
         "FF(r1,offline)"},
        {"J_truncate_is_put_aside_and_comes_back", second_resource,
         [](World& w) {
             RowChange c;
             c.voided_by = "a table was truncated";
             EXPECT_TRUE(w.apply(1000, {c}).quarantined);
             w.policy("p2", "g1", "r2").cascade("p1");
             w.snapshot();
         },
         "RD(r1) RC(r2)"},
        {"J_another_accounts_row",
         {},
         [](World& w) {
             portal::Accounts a;
             a.id = id("other");
             a.disabled_at = w.now;
             w.put(a);
         }},
    });

TEST(ClientPayloads, A5_A13_A14_FourKinds) {
    World w;
    w.resource("cidr", "10.1.2.3/8", ResourceType::Cidr)
        .connect("cidr", "s1")
        .policy("p2", "g1", "cidr");
    w.resource("ip4", "10.0.0.1", ResourceType::Ip).connect("ip4", "s1").policy("p3", "g1", "ip4");
    w.resource("ip6", "2001:db8::1", ResourceType::Ip)
        .connect("ip6", "s1")
        .policy("p4", "g1", "ip6");
    w.resource("net", "", ResourceType::Internet).connect("net", "s1").policy("p5", "g1", "net");
    w.edit<portal::Resources>("r1", [](auto& r) {
        r.filters = Json::parse(
            R"([{"protocol": "tcp", "ports": ["80", "100-200"]}, {"protocol": "icmp", "ports": []}])");
        r.ip_stack = portal::IpStack::Dual;
    });
    w.commit();
    w.join_client();
    std::map<std::string, Json> shown;
    for (const Json& one : w.payloads.back().at("resources")) shown[name_of(one.at("id"))] = one;
    ASSERT_EQ(shown.size(), 5U);
    EXPECT_EQ(shown["cidr"]["address"], "10.0.0.0/8");
    EXPECT_EQ(shown["ip4"]["type"], "cidr");
    EXPECT_EQ(shown["ip4"]["address"], "10.0.0.1/32");
    EXPECT_EQ(shown["ip6"]["address"], "2001:db8::1/128");
    EXPECT_FALSE(shown["ip4"].contains("ip_stack"));
    const Json sites = Json::array({{{"id", id("s1").to_text()}, {"name", "s1"}}});
    EXPECT_EQ(shown["net"], (Json{{"id", id("net").to_text()},
                                  {"type", "internet"},
                                  {"gateway_groups", sites},
                                  {"can_be_disabled", true}}));
    EXPECT_EQ(
        shown["r1"],
        (Json{{"id", id("r1").to_text()},
              {"type", "dns"},
              {"name", "r1"},
              {"address", "r1.example.com"},
              {"address_description", nullptr},
              {"gateway_groups", sites},
              {"ip_stack", "dual"},
              {"filters",
               Json::parse(R"([{"protocol": "tcp", "port_range_start": 80, "port_range_end": 80},
                                     {"protocol": "tcp", "port_range_start": 100, "port_range_end": 200}, {"protocol": "icmp"}])")}}));
    EXPECT_EQ(w.payloads.back().at("interface"), (Json{{"ipv4", "100.64.0.1"},
                                                       {"ipv6", "fd00:2021:1111::1"},
                                                       {"search_domain", nullptr},
                                                       {"upstream_dns", Json::array()}}));
}

TEST(Interface, DnsServersAreAddressesWithPorts) {
    portal::Accounts account;
    portal::Clients client;
    const auto servers = [&](const Json& configured) {
        account.config = {{"upstream_dns", configured}};
        return interface_of(&account, client).at("upstream_dns");
    };
    EXPECT_EQ(servers({"1.1.1.1", "1.1.1.1:5353", "2606:4700::1111", "[2606:4700::1111]",
                       "[2606:4700::1111]:853"}),
              Json({"1.1.1.1:53", "1.1.1.1:5353", "[2606:4700::1111]:53", "[2606:4700::1111]:53",
                    "[2606:4700::1111]:853"}));
    for (const Json& none :
         {Json("dns.example.com"), Json("1.1.1.1:"), Json("1.1.1.1:0"), Json("1.1.1.1:65536"),
          Json("1.1.1.1:53x"), Json("[1.1.1.1]:53"), Json("[::1"), Json("[::1]53"), Json(""),
          Json(":53"), Json(53), Json("1.1.1.1, 8.8.8.8")})
        EXPECT_EQ(servers(Json::array({none, "9.9.9.9"})), Json({"9.9.9.9:53"})) << none;
}

TEST(Token, OfAnotherDeviceIsInvalidBeforeItIsExpired) {
    World w;
    w.edit<portal::Tokens>("t1", [&](auto& token) {
         token.device_id = id("c2");
         token.expires_at = w.now;
     }).commit();
    EXPECT_EQ(client_refusal(w.state, id("c1"), id("t1"), w.now), "invalid_token");
    EXPECT_EQ(client_refusal(w.state, id("c2"), id("t1"), w.now), "token_expired");
}

TEST(Malformed, C8_APolicyOrAResourceThatGrantsNothingByItIsToldOnceForEachContent) {
    World w;
    const auto told = [](const Affected& affected) {
        std::string out;
        for (const Issue& issue : affected.issues)
            out += issue.table + ' ' + name_of(Json(issue.key)) + ": " + issue.reason + "; ";
        EXPECT_EQ(affected.bad_rows, 0U);
        return out;
    };
    const auto snapshot = [&] {
        w.state.begin_snapshot();
        for (const auto& [key, row] : w.rows()) {
            RowChange change;
            change.after = row;
            w.state.snapshot_row(std::move(change));
        }
        return told(w.state.end_snapshot({}));
    };
    w.join_client();
    w.policy("p1", "g1", "r1", {verified(), condition("remote_ip", "is_in_cidr", {"everywhere"})});
    const std::string second = "policies p1: condition 2 cannot be understood; ";
    EXPECT_EQ(told(w.commit()), second);
    w.edit<portal::Policies>("p1", [](auto& policy) { policy.description = "renamed"; });
    EXPECT_EQ(told(w.commit()), "") << "the same conditions";
    EXPECT_EQ(snapshot(), "") << "nor by a snapshot";
    w.policy("p1", "g1", "r1", {during("M/25:00-26:00/UTC")});
    EXPECT_EQ(told(w.commit()), "policies p1: condition 1 cannot be understood; ");
    w.policy("p1", "g1", "r1").commit();
    w.policy("p1", "g1", "r1", {during("M/25:00-26:00/UTC")});
    EXPECT_EQ(told(w.commit()), "policies p1: condition 1 cannot be understood; ")
        << "it was well meanwhile";
    w.erase<portal::Policies>("p1").commit();
    EXPECT_EQ(snapshot(), "");
    w.policy("p1", "g1", "r1", {Json("x")});
    (void)w.take_changes();
    EXPECT_EQ(snapshot(), "policies p1: condition 1 cannot be understood; ") << "a snapshot's";

    const auto resource = [&](auto change) {
        return told(w.edit<portal::Resources>("r1", change).commit());
    };
    const auto of = [](const char* column) {
        return "resources r1: column " + std::string(column) + " cannot be understood; ";
    };
    EXPECT_EQ(resource([](auto& r) { r.filters = Json({{{"protocol", "sctp"}}}); }), of("filters"));
    EXPECT_EQ(resource([](auto& r) { r.name = "renamed"; }), "");
    EXPECT_EQ(resource([](auto& r) { r.type = portal::ResourceType::Unknown; }), of("type"));
    EXPECT_EQ(resource([](auto& r) { r.type = portal::ResourceType::Cidr; }), of("address"));
    EXPECT_EQ(resource([](auto& r) {
                  r.address = "10.0.0.0/8";
                  r.filters = Json::array();
                  r.ip_stack = portal::IpStack::Unknown;
              }),
              of("ip_stack"));
    EXPECT_EQ(resource([](auto& r) { r.type = portal::ResourceType::Internet; }), "");
}

TEST(Settings, C8_WhatIsIgnoredIsToldOnce) {
    World w;
    EXPECT_TRUE(w.commit().ignored_settings.empty());
    w.edit<portal::Accounts>("account", [](auto& a) {
        a.config = {{"search_domain", 5}, {"upstream_dns", {"1.1.1.1", "dns.example", 7}}};
        a.features = {{"internet_resource", "no"}, {"unknown", 1}};
        a.limits = {{"clients", "many"}, {"seats", 3}, {"gateways", nullptr}};
    });
    const std::vector<std::string> expected{
        "config.search_domain: 5 is no text", "config.upstream_dns: \"dns.example\" is no address",
        "config.upstream_dns: 7 is no address",
        "features.internet_resource: \"no\" is neither true nor false",
        "limits.clients: \"many\" is no number"};
    EXPECT_EQ(w.commit().ignored_settings, expected);
    w.edit<portal::Accounts>("account", [](auto& a) { a.name = "another"; });
    EXPECT_TRUE(w.commit().ignored_settings.empty());
    w.state.begin_snapshot();
    RowChange row;
    row.after = w.get<portal::Accounts>("account");
    w.state.snapshot_row(row);
    EXPECT_TRUE(w.state.end_snapshot({{}, 1000}).ignored_settings.empty()) << "nor by a snapshot";
    auto other = w.get<portal::Accounts>("account");
    other.config = {{"upstream_dns", std::string(1000, 'x')}};
    other.features = other.limits = Json::array();
    row.after = other;
    w.state.begin_snapshot();
    w.state.snapshot_row(row);
    const auto told = w.state.end_snapshot({{}, 2000}).ignored_settings;
    ASSERT_EQ(told.size(), 3U);
    EXPECT_EQ(told[0], "features: [] is no object");
    EXPECT_LT(told[2].size(), 150U);
}

TEST(Scale, J29_TenThousandMembershipsInOneTransaction) {
    World w;
    for (int i = 0; i < 10'000; ++i) {
        const std::string n = std::to_string(i);
        w.actor("A" + n).member("m" + n, "A" + n, "g1");
        if (i < 100) w.client_row("c" + n, "A" + n).client_token("t" + n, "A" + n);
    }
    w.commit();
    for (int i = 0; i < 100; ++i)
        w.join_client("c" + std::to_string(i), "1.5.0", "t" + std::to_string(i));
    for (int i = 0; i < 10'000; ++i)
        w.erase<portal::ActorGroupMemberships>("m" + std::to_string(i));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(w.sent("c" + std::to_string(i)), "init[r1]");
    const Affected affected = w.commit();
    EXPECT_EQ(affected.clients.size(), 100U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(w.sent("c" + std::to_string(i)), "RD(r1)");
}

TEST(Memberships, OfAnActorThatIsInAGroupTwiceEitherIsEnough) {
    for (const char* first : {"m1", "m2"}) {
        World w;
        w.member("m2", "A", "g1").commit();
        w.join_client();
        EXPECT_EQ(w.sent("c1"), "init[r1]");
        w.erase<portal::ActorGroupMemberships>(first).commit();
        EXPECT_EQ(w.sent("c1"), "") << first;
        EXPECT_TRUE(w.state.indexes_match());
        w.erase<portal::ActorGroupMemberships>(std::string(first) == "m1" ? "m2" : "m1").commit();
        EXPECT_EQ(w.sent("c1"), "RD(r1)") << first;
        EXPECT_TRUE(w.state.indexes_match());
    }
}

}  // namespace scenarios_tests
}  // namespace fatwal::access::test
