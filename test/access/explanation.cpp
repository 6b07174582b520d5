// Why a client reaches a resource, or why not: each reason once.
#include "portal/access/explanation.h"

#include <gtest/gtest.h>

#include "test/access/world.h"

namespace fatwal::access::test {
namespace explanation_tests {

class Explanations : public testing::Test {
protected:
    World w_;

    // As c1 is connected now.
    Json why(const std::string& resource = "r1", const std::vector<Uuid>& connected = {}) {
        w_.commit();
        if (!w_.gateways.contains("w1")) w_.join_gateway();
        if (!w_.clients.contains("c1")) w_.join_client();
        return explain(w_.context(), w_.clients.at("c1")->asker(), true, id(resource), connected,
                       w_.now);
    }
    // By its row alone.
    Json why_by_row() {
        w_.commit();
        w_.join_gateway();
        return explain(w_.context(), asker_of_row(w_.state, id("c1")), false, id("r1"), {}, w_.now);
    }
    // "reason" or "reason detail".
    static std::string reason(const Json& answer) {
        const Json& verdict = answer.at("verdict");
        EXPECT_EQ(verdict.at("granted"), false) << verdict;
        std::string out = verdict.value("reason", "");
        if (verdict.contains("detail")) out += ' ' + verdict["detail"].get<std::string>();
        return out;
    }
    static std::string standing(const Json& answer, const char* list, const std::string& name) {
        for (const Json& one : answer.at(list))
            if (name_of(one.at("id")) == name) return one.at("standing");
        return "none";
    }
    void conditioned(std::vector<Json> conditions) {
        w_.policy("p1", "g1", "r1", std::move(conditions));
    }
    void features(const char* name) {
        w_.edit<portal::Accounts>("account", [&](auto& a) { a.features = {{name, false}}; });
    }
};

TEST_F(Explanations, Granted) {
    const Json answer = why();
    const Json expected = {{"granted", true},
                           {"policy_id", id("p1").to_text()},
                           {"membership_id", id("m1").to_text()},
                           {"gateway_id", id("w1").to_text()},
                           {"expires_at", nullptr},
                           {"ended_by", nullptr}};
    EXPECT_EQ(answer.at("verdict"), expected);
    EXPECT_EQ(answer.at("at"), "2021-01-01T10:00:00Z");
    EXPECT_EQ(answer["client"]["source"], "session");
    EXPECT_EQ(answer["client"]["remote_ip"], "198.51.100.7");
    EXPECT_EQ(answer["groups"][0]["membership_id"], id("m1").to_text());
    EXPECT_EQ(answer["resource"]["sites"][0]["id"], id("s1").to_text());
    EXPECT_EQ(standing(answer, "policies", "p1"), "grants");
    EXPECT_EQ(standing(answer, "gateways", "w1"), "chosen");
}

TEST_F(Explanations, GrantedUntilTheFirstEnd) {
    conditioned({during("F/9-11/UTC")});
    w_.client_token("t1", "A", w_.now + 2h);
    Json answer = why();
    EXPECT_EQ(answer["verdict"]["ended_by"], "policy");
    EXPECT_EQ(answer["verdict"]["expires_at"], "2021-01-01T11:00:00Z");
    const Json& condition = answer["policies"][0]["conditions"][0];
    EXPECT_EQ(condition["holds"], true);
    EXPECT_EQ(condition["holds_until"], "2021-01-01T11:00:00Z");
    EXPECT_EQ(condition["value"], "2021-01-01T10:00:00Z");
    w_.client_token("t1", "A", w_.now + 30min);
    answer = why();
    EXPECT_EQ(answer["verdict"]["ended_by"], "token");
    EXPECT_EQ(answer["verdict"]["expires_at"], "2021-01-01T10:30:00Z");
    w_.flow_lifetime = 600s;
    answer = why();
    EXPECT_EQ(answer["verdict"]["ended_by"], "flow_lifetime");
    EXPECT_EQ(answer["verdict"]["expires_at"], "2021-01-01T10:10:00Z");
}

TEST_F(Explanations, ByAGroupThatIsEveryones) {
    w_.group("g2").edit<portal::ActorGroups>("g2",
                                             [](auto& g) { g.type = portal::GroupType::Managed; });
    w_.cascade("m1").policy("p2", "g2", "r1");
    const Json answer = why();
    EXPECT_EQ(answer["verdict"]["policy_id"], id("p2").to_text());
    EXPECT_EQ(answer["verdict"]["membership_id"], nullptr);
    ASSERT_EQ(answer["groups"].size(), 1U);
    EXPECT_EQ(answer["groups"][0]["type"], "managed");
    EXPECT_EQ(answer["groups"][0]["membership_id"], nullptr);
    EXPECT_EQ(standing(answer, "policies", "p1"), "not_member");
}

TEST_F(Explanations, AnAccountThatIsNotLive) {
    (void)why();
    w_.state.quarantine("lost");
    const Json answer = why();
    EXPECT_EQ(reason(answer), "account_not_live quarantined: take a new snapshot: lost");
    EXPECT_EQ(answer["verdict"]["device_reason"], "offline");
    EXPECT_FALSE(answer.contains("client"));
}

TEST_F(Explanations, AClientThatIsNotConnected) {
    EXPECT_EQ(reason(why_by_row()), "session invalid_token");
    w_.edit<portal::Clients>("c1", [](auto& c) {
        c.last_used_token_id = id("t1");
        c.last_seen_version = "1.5.0";
        c.last_seen_remote_ip = "192.0.2.1/32";
    });
    conditioned({condition("remote_ip", "is_in_cidr", {"192.0.2.0/24"})});
    const Json answer = why_by_row();
    EXPECT_EQ(answer["verdict"]["granted"], true);
    EXPECT_EQ(answer["client"]["source"], "last_seen");
    EXPECT_EQ(answer["client"]["online"], false);
    w_.presence.client_online(id("c1"), {1, 2});
    EXPECT_EQ(why_by_row()["client"]["online"], true);
    w_.client_token("t1", "A", w_.now);
    EXPECT_EQ(reason(why_by_row()), "session token_expired");
}

TEST_F(Explanations, ASessionThatMayNotBe) {
    w_.edit<portal::Clients>("c1", [](auto& c) { c.last_used_token_id = id("t1"); });
    w_.edit<portal::Actors>("A", [&](auto& a) { a.disabled_at = w_.now; });
    // What it would get is said nonetheless.
    const Json answer = why_by_row();
    EXPECT_EQ(reason(answer), "session actor_disabled");
    EXPECT_EQ(standing(answer, "policies", "p1"), "grants");
    w_.cascade("c1");
    EXPECT_EQ(reason(why_by_row()), "session client_not_found");
}

TEST_F(Explanations, NoResource) {
    EXPECT_EQ(reason(why("r9")), "no_resource");
    w_.cascade("r1");
    EXPECT_EQ(reason(why()), "no_resource");
}

TEST_F(Explanations, NoPolicy) {
    w_.group("g2").policy("p1", "g2", "r1");
    Json answer = why();
    EXPECT_EQ(reason(answer), "no_policy");
    EXPECT_EQ(standing(answer, "policies", "p1"), "not_member");
    w_.policy("p1", "", "r1");
    EXPECT_EQ(standing(why(), "policies", "p1"), "no_group");
    w_.policy("p1", "g1", "r1").edit<portal::Policies>("p1", [&](auto& p) {
        p.disabled_at = w_.now;
    });
    answer = why();
    EXPECT_EQ(reason(answer), "no_policy");
    EXPECT_EQ(standing(answer, "policies", "p1"), "disabled");
    conditioned({verified()});
    features("policy_conditions");
    answer = why();
    EXPECT_EQ(reason(answer), "no_policy");
    EXPECT_EQ(standing(answer, "policies", "p1"), "feature_off");
}

TEST_F(Explanations, NotShown) {
    const auto edited = [&](const Json& filters) {
        w_.edit<portal::Resources>("r1", [&](auto& r) { r.filters = filters; });
    };
    edited(Json::array({{{"protocol", "sctp"}}}));
    EXPECT_EQ(reason(why()), "not_shown malformed_filters");
    edited(Json::array({{{"protocol", "tcp"}}}));
    EXPECT_EQ(why()["verdict"]["granted"], true);
    features("traffic_filters");
    EXPECT_EQ(reason(why()), "not_shown feature_off");
    edited(Json::array());
    w_.disconnect("r1", "s1");
    EXPECT_EQ(reason(why()), "not_shown no_site");
    w_.connect("r1", "s1").resource("r1", "a.*.test").join_client("c1", "1.1.0");
    EXPECT_EQ(reason(why()), "not_shown client_too_old");
}

TEST_F(Explanations, NotConforming) {
    conditioned({condition("remote_ip_location_region", "is_in", {"DE", "FR"}), verified(),
                 during("F/12-13/UTC"), condition("phase_of_moon", "is", {"full"}),
                 condition("remote_ip", "is_in_cidr", {"198.51.100.0/24"})});
    const Json answer = why();
    EXPECT_EQ(reason(answer), "not_conforming");
    EXPECT_EQ(answer["verdict"]["violated_properties"],
              Json({"remote_ip_location_region", "client_verified", "current_utc_datetime",
                    "phase_of_moon"}));
    EXPECT_EQ(standing(answer, "policies", "p1"), "not_conforming");
    const Json& conditions = answer["policies"][0]["conditions"];
    const Json region = {{"property", "remote_ip_location_region"},
                         {"operator", "is_in"},
                         {"values", {"DE", "FR"}},
                         {"value", "US"},
                         {"understood", true},
                         {"holds", false},
                         {"holds_until", nullptr},
                         {"changes_at", nullptr}};
    EXPECT_EQ(conditions[0], region);
    EXPECT_EQ(conditions[1]["value"], "false");
    EXPECT_EQ(conditions[2]["changes_at"], "2021-01-01T12:00:00Z");
    EXPECT_EQ(conditions[3]["understood"], false);
    EXPECT_EQ(conditions[4]["holds"], true);
    EXPECT_EQ(conditions[4]["value"], "198.51.100.7");
    // The gateway that it would be once a condition holds.
    EXPECT_EQ(standing(answer, "gateways", "w1"), "chosen");
}

TEST_F(Explanations, NoGatewayOnline) {
    w_.gateway_row("w2", "s1").gateway_token("tw2", "s1").site("s2");
    w_.gateway_row("w3", "s2").gateway_token("tw3", "s2").commit();
    w_.join_gateway("w3", "1.5.0", "tw3");
    (void)why();
    w_.leave("w1");
    w_.presence.online({id("w2"), 9, 0, Version{1, 5, 0, ""}, {}, {}});
    const Json answer =
        explain(w_.context(), w_.clients.at("c1")->asker(), true, id("r1"), {}, w_.now);
    EXPECT_EQ(reason(answer), "no_gateway_online");
    EXPECT_EQ(standing(answer, "gateways", "w1"), "offline");
    EXPECT_EQ(standing(answer, "gateways", "w2"), "not_held");
    EXPECT_EQ(standing(answer, "gateways", "w3"), "other_site");
}

TEST_F(Explanations, NoGatewayFits) {
    w_.join_gateway("w1", "1.3.0");
    Json answer = why();
    EXPECT_EQ(reason(answer), "no_gateway_fits");
    EXPECT_EQ(standing(answer, "gateways", "w1"), "incompatible");
    w_.resource("r1", "a.*.test").join_client("c1", "1.2.0").join_gateway("w1", "1.1.0");
    answer = why();
    EXPECT_EQ(reason(answer), "no_gateway_fits");
    EXPECT_EQ(standing(answer, "gateways", "w1"), "inexpressive");
}

TEST_F(Explanations, WhyThisGatewayAndNoOther) {
    w_.client_location = Location{52.5, 13.4};
    w_.locations = {{"w1", {48.1, 11.6}}, {"w2", {40.7, -74.0}}, {"w3", {48.1, 11.6}}};
    for (const char* name : {"w2", "w3", "w4"})
        w_.gateway_row(name, "s1").gateway_token(std::string("t") + name, "s1");
    w_.locations["w4"] = w_.locations["w1"];
    w_.commit();
    w_.join_gateway("w2", "1.5.0", "tw2").join_gateway("w3", "1.4.0", "tw3");
    w_.join_gateway("w4", "1.5.0", "tw4");
    Json answer = why();
    EXPECT_EQ(standing(answer, "gateways", "w2"), "farther");
    EXPECT_EQ(standing(answer, "gateways", "w3"), "older");
    std::multiset<std::string> best{standing(answer, "gateways", "w1"),
                                    standing(answer, "gateways", "w4")};
    EXPECT_EQ(best, (std::multiset<std::string>{"alike", "chosen"}));
    answer = why("r1", {id("w2")});
    EXPECT_EQ(standing(answer, "gateways", "w2"), "chosen");
    EXPECT_EQ(standing(answer, "gateways", "w1"), "not_connected");
}

TEST_F(Explanations, TheFlowThatItHas) {
    (void)why();
    w_.create_flow().answer().write_flows();
    const Json answer = why("r1", gateways_of_flows(w_.state, id("c1")));
    ASSERT_EQ(answer["flows"].size(), 1U);
    EXPECT_EQ(answer["flows"][0]["gateway_id"], id("w1").to_text());
    EXPECT_EQ(answer["gateways"][0]["connected"], true);
}

TEST_F(Explanations, ListsHaveAnEnd) {
    for (std::size_t i = 0; i < kMostExplained + 2; ++i)
        w_.policy("q" + std::to_string(i), "g1", "r1");
    const Json answer = why();
    EXPECT_EQ(answer["policies"].size(), kMostExplained);
    EXPECT_EQ(answer["policies_left_out"], 3U);
}

}  // namespace explanation_tests
}  // namespace fatwal::access::test
