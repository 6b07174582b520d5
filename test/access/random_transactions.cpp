// Whatever the changes, what devices were sent is what a fresh start computes.
#include <gtest/gtest.h>

#include <sstream>

#include "portal/access/explanation.h"

#include "test/access/world.h"

namespace fatwal::access::test {
namespace random_transactions_tests {

// c1 and c3 are A's, c2 is B's; w1 is in s1, w2 in s2. c2 and w2 are old, c3 signs in for hours
// only.
const std::map<std::string, const char*> kVersions{
    {"c1", "1.5.0"}, {"c2", "1.1.0"}, {"c3", "1.4.0"}};
const char* const kClients[] = {"c1", "c2", "c3"};
const char* const kGateways[] = {"w1", "w2"};

// What a gateway's device lets through, by what it was sent: "c1,r1" -> when it ends.
using Allowed = std::map<std::string, std::optional<Instant>>;

std::optional<Instant> time_of(const std::string& text) {
    if (text == "none") return std::nullopt;
    return kFriday + std::chrono::seconds(std::stoll(text));
}

class RandomTransactions : public testing::TestWithParam<unsigned> {
protected:
    World w_;
    std::mt19937 random_{GetParam()};
    std::map<std::string, std::set<std::string>> shown_;  // to a client
    std::map<std::string, Allowed> allowed_;              // at a gateway
    std::map<std::string, std::string> refused_;  // what a client whose join failed was sent
    std::size_t flows_ = 0;

    unsigned roll(unsigned sides) { return static_cast<unsigned>(random_() % sides); }
    std::string pick(const char* prefix) { return prefix + std::to_string(1 + roll(3)); }
    template <std::size_t N>
    std::string one_of(const char* const (&names)[N]) {
        return names[roll(N)];
    }
    template <class Row>
    bool has(const Uuid& row_id) const {
        return w_.rows().contains({portal::AnyRow(Row{}).index(), row_id, {}});
    }

    void start() {
        for (const char* name : {"g1", "g2", "g3"}) w_.group(name);
        for (const char* name : {"s1", "s2", "s3"}) w_.site(name);
        w_.cascade("m1").member("mA1", "A", "g1");
        w_.actor("B")
            .client_row("c2", "B")
            .client_token("t2", "B")
            .client_row("c3", "A")
            .client_token("t3", "A");
        for (const char* name : {"r1", "r2", "r3"})
            w_.resource(name).connect(name, "s1").connect(name, "s2");
        w_.policy("p2", "g1", "r2").policy("p3", "g2", "r3").member("mB2", "B", "g2");
        w_.gateway_row("w2", "s2").gateway_token("tw2", "s2").commit();
        w_.join_gateway("w1").join_gateway("w2", "1.2.0", "tw2");
        rejoin();
    }
    void rejoin() {
        for (const auto& [name, version] : kVersions)
            if (!w_.clients[name] || w_.clients[name]->closed())
                w_.join_client(name, version, "t" + name.substr(1));
    }

    std::vector<Json> conditions() {
        static const char* const kWindows[] = {"F/9-11/UTC",
                                               "F/true/UTC",
                                               "S/00-12,18-23:59:59/UTC",
                                               "R/20-22,22-23/US/Pacific",
                                               "U/01-03/US/Pacific",
                                               "M/true/Europe/Berlin",
                                               "T/10:00:01-10:30/UTC",
                                               "W/00-23:59:59/UTC"};
        switch (roll(10)) {
            case 0: return {verified()};
            case 1:
                return {
                    condition("remote_ip_location_region", "is_in", {roll(2) == 0 ? "US" : "DE"})};
            case 2: return {during(one_of(kWindows)), verified()};
            case 3: {
                std::vector<std::string> values;
                for (unsigned count = 1 + roll(4); count > 0; --count)
                    values.push_back(one_of(kWindows));
                return {condition("current_utc_datetime", "is_in_day_of_week_time_ranges", values)};
            }
            default: return {};
        }
    }

    void change() {
        static const char* const kAddresses[] = {"a.test", "*.a.test", "a.*.test", "**.a.test"};
        const auto set_at_times = [&](std::optional<Instant>& column) {
            column = roll(3) == 0 ? std::optional(w_.now) : std::nullopt;
        };
        switch (roll(12)) {
            case 0:
            case 1: w_.policy(pick("p"), pick("g"), pick("r"), conditions()); break;
            case 2:
                if (const auto name = pick("p"); roll(3) == 0 && has<portal::Policies>(id(name)))
                    w_.cascade(name);
                break;
            case 3:
                if (const auto name = pick("p"); has<portal::Policies>(id(name)))
                    w_.edit<portal::Policies>(name, [&](auto& p) { set_at_times(p.disabled_at); });
                break;
            case 4: w_.resource(pick("r"), one_of(kAddresses)); break;
            case 5:
                if (const auto name = pick("r"); has<portal::Resources>(id(name)))
                    w_.edit<portal::Resources>(name, [&](auto& r) {
                        r.name = pick("name");
                        if (roll(2) == 0)
                            r.filters =
                                Json::array({{{"protocol", "tcp"}, {"ports", {pick("8")}}}});
                    });
                break;
            case 6: {
                const std::string r = pick("r");
                const std::string s = pick("s");
                if (w_.rows().contains(
                        {portal::AnyRow(portal::ResourceConnections{}).index(), id(r), id(s)}))
                    w_.disconnect(r, s);
                else
                    w_.connect(r, s);
                break;
            }
            case 7:
            case 8: {
                const std::string n = std::to_string(1 + roll(3));
                const std::string actor = roll(3) == 0 ? "B" : "A";
                const std::string name = "m" + actor + n;
                if (!has<portal::ActorGroupMemberships>(id(name)))
                    w_.member(name, actor, "g" + n);
                else if (roll(2) == 0)
                    w_.cascade(name);
                break;
            }
            case 9:
                w_.edit<portal::Clients>(one_of(kClients),
                                         [&](auto& c) { set_at_times(c.verified_at); });
                break;
            case 10:
                if (roll(4) == 0)
                    w_.edit<portal::Actors>(roll(2) == 0 ? "A" : "B",
                                            [&](auto& a) { set_at_times(a.disabled_at); });
                else
                    w_.client_token("t3", "A", w_.now + std::chrono::minutes(roll(6000)));
                break;
            default:
                if (roll(3) == 0)
                    w_.edit<portal::Sites>(pick("s"), [&](auto& s) { s.name = pick("site"); });
        }
    }

    // The database takes no row whose parents are gone.
    void write_flows() {
        std::vector<portal::Flows> lost;
        std::erase_if(w_.unwritten, [&](const portal::Flows& row) {
            const bool whole =
                has<portal::Policies>(row.policy_id) &&
                (!row.membership_id || has<portal::ActorGroupMemberships>(*row.membership_id)) &&
                has<portal::Resources>(row.resource_id);
            if (!whole) lost.push_back(row);
            return !whole;
        });
        w_.write_flows();
        for (const portal::Flows& row : lost) w_.peer(name_of(row.gateway_id), FlowsLost{{row.id}});
    }
    void delete_some_flow() {
        std::vector<portal::Flows> flows;
        for (const auto& [key, row] : w_.rows())
            if (const auto* flow = std::get_if<portal::Flows>(&row)) flows.push_back(*flow);
        if (!flows.empty()) w_.erase_row(flows[roll(static_cast<unsigned>(flows.size()))]);
    }

    void act() {
        switch (roll(10)) {
            case 0: w_.after(std::chrono::minutes(roll(roll(2) == 0 ? 10 : 600))); break;
            case 1: w_.after(std::chrono::seconds(roll(20))); break;
            case 2: delete_some_flow(); break;
            case 3: w_.delete_flows(); break;
            case 4: w_.leave("w1").join_gateway("w1"); break;
            case 5: write_flows(); break;
            default:
                for (const char* resource : {"r1", "r2", "r3"})
                    w_.say(one_of(kClients), "create_flow",
                           {{"resource_id", id(resource).to_text()}});
                if (roll(4) != 0) w_.answer();
                if (roll(4) != 0) write_flows();
        }
    }

    // Devices do what they are sent.
    void follow() {
        for (const char* name : kClients) {
            auto& shown = shown_[name];
            std::istringstream words(w_.sent(name));
            for (std::string word; words >> word;) {
                const std::string inner = word.substr(word.find_first_of("([") + 1,
                                                      word.size() - word.find_first_of("([") - 2);
                if (word.starts_with("init")) {
                    shown.clear();
                    std::istringstream ids(inner);
                    for (std::string one; std::getline(ids, one, ',');) shown.insert(one);
                } else if (word.starts_with("RD")) {
                    EXPECT_EQ(shown.erase(inner), 1U)
                        << name << " was told to delete what it does not have";
                } else if (word.starts_with("RC")) {
                    shown.insert(inner);
                }
            }
        }
        for (const char* name : kGateways) {
            auto& allowed = allowed_[name];
            std::istringstream words(w_.sent(name));
            for (std::string word; words >> word;) {
                const std::string inner = word.substr(word.find_first_of("([") + 1,
                                                      word.size() - word.find_first_of("([") - 2);
                const std::string pair = inner.substr(0, 5);
                if (word.starts_with("init")) {
                    allowed.clear();
                    std::istringstream entries(inner);
                    for (std::string one; std::getline(entries, one, ',');) {
                        one[2] = ',';
                        allowed[one.substr(0, 5)] = time_of(one.substr(6));
                    }
                } else if (word.starts_with("AF")) {
                    // Of two flows the later end counts.
                    const auto end = time_of(inner.substr(6));
                    const auto [found, is_new] = allowed.try_emplace(pair, end);
                    if (!is_new && found->second && (!end || *end > *found->second))
                        found->second = end;
                    ++flows_;
                } else if (word.starts_with("EXP")) {
                    EXPECT_TRUE(allowed.contains(pair)) << name << ' ' << word;
                    allowed[pair] = time_of(inner.substr(6));
                } else if (word.starts_with("REJ")) {
                    allowed.erase(pair);
                }
            }
            std::erase_if(allowed, [&](const auto& entry) {
                return entry.second && *entry.second <= w_.now;
            });
        }
    }

    void check_client(const AccountState& fresh, const std::string& name) {
        const auto& channel = *w_.clients.at(name);
        const auto refusal = client_refusal(fresh, id(name), id("t" + name.substr(1)), w_.now);
        ASSERT_EQ(channel.closed(), refusal.has_value()) << name;
        if (refusal) {
            shown_[name].clear();
            return;
        }
        const auto view = ClientView::of(fresh, *fresh.client(id(name)),
                                         Version::parse(kVersions.at(name)).value(),
                                         {w_.client_ip, w_.client_region, {}, false}, w_.now);
        const auto& kept = channel.view().resources;
        std::set<std::string> names;
        for (const auto& [resource_id, shown] : view.resources) {
            names.insert(name_of(resource_id));
            ASSERT_TRUE(kept.contains(resource_id)) << name;
            ASSERT_EQ(*shown, *kept.at(resource_id)) << name;
        }
        ASSERT_EQ(kept.size(), names.size()) << name;
        ASSERT_EQ(shown_[name], names) << name;
    }

    void check_gateway(const AccountState& fresh, const std::string& name) {
        for (const auto& [pair, end] : allowed_[name]) {
            const std::string client_name = pair.substr(0, 2);
            const Uuid resource_id = id(pair.substr(3));
            const Uuid token_id = id("t" + client_name.substr(1));
            ASSERT_EQ(client_refusal(fresh, id(client_name), token_id, w_.now), std::nullopt)
                << name << ' ' << pair;
            ASSERT_TRUE(fresh.connected(resource_id, fresh.gateway(id(name))->site_id))
                << name << ' ' << pair;
            const auto& client = *fresh.client(id(client_name));
            ClientContext context{w_.client_ip, w_.client_region, {}, false};
            complete_context(fresh, client, context);
            std::optional<Grant> best;
            for (const Uuid& policy_id : fresh.policies_of_resource(resource_id)) {
                const auto& group_id = fresh.policy(policy_id)->row.actor_group_id;
                const Uuid* membership =
                    group_id ? fresh.membership(client.actor_id, *group_id) : nullptr;
                if (membership == nullptr) continue;
                const auto grant = grant_by(fresh, policy_id, *membership, client.actor_id,
                                            resource_id, context, w_.now);
                if (grant &&
                    (!best || !grant->until || (best->until && *best->until < *grant->until)))
                    best = grant;
            }
            ASSERT_TRUE(best) << name << ' ' << pair << ": nothing grants it";
            const auto latest = earlier(best->until, fresh.token(token_id)->expires_at);
            ASSERT_TRUE(!latest || (end && *end <= *latest))
                << name << ' ' << pair << ": longer than it is granted";
        }
    }

    // What explain() says is what the channel decides when it is asked: by the same policy, until
    // the same end, through one of the gateways that are called chosen or alike; or the same
    // refusal.
    void check_explanation(const std::string& name, const std::string& resource,
                           std::set<std::string>& verdicts) {
        SCOPED_TRACE(name + " " + resource);
        std::vector<Uuid> connected;
        Json ids = Json::array();
        for (const char* gateway : {"w1", "w2", "w3", "w4"})
            if (roll(4) == 0) {
                connected.push_back(id(gateway));
                ids.push_back(id(gateway).to_text());
            }
        auto& channel = *w_.clients.at(name);
        const Json answer =
            explain(w_.context(), channel.asker(), true, id(resource), connected, w_.now);
        const Json& verdict = answer.at("verdict");
        if (channel.closed()) {
            ASSERT_EQ(verdict.at("reason"), "session");
            ASSERT_EQ(refused_[name], "refuse(" + verdict.at("detail").get<std::string>() + ')');
            verdicts.insert("session");
            return;
        }
        const Actions actions = channel.on_message(
            "create_flow",
            {{"resource_id", id(resource).to_text()}, {"connected_gateway_ids", ids}}, w_.now);
        ASSERT_FALSE(actions.empty());
        if (const auto* push = std::get_if<Push>(&actions.front())) {
            ASSERT_EQ(push->event, "flow_creation_failed");
            ASSERT_EQ(verdict.at("granted"), false) << verdict;
            ASSERT_EQ(push->payload.at("reason"), verdict.at("device_reason"));
            ASSERT_EQ(push->payload.value("violated_properties", Json()),
                      verdict.value("violated_properties", Json()));
            verdicts.insert(verdict.at("reason"));
        } else {
            const auto& send = std::get<Send>(actions.front());
            const auto& wanted = std::get<Authorize>(send.message);
            ASSERT_EQ(verdict.at("granted"), true) << verdict;
            ASSERT_EQ(verdict.at("policy_id"), wanted.by.policy_id.to_text());
            ASSERT_EQ(verdict.at("expires_at"),
                      wanted.expires_at ? Json(utc_text(*wanted.expires_at)) : Json());
            std::string standing = "none";
            for (const Json& one : answer.at("gateways"))
                if (one.at("id") == send.to.id.to_text()) standing = one.at("standing");
            ASSERT_TRUE(standing == "chosen" || standing == "alike") << standing;
            verdicts.insert(standing);
        }
        w_.carry_out(name, actions);
    }

    void check() {
        follow();
        EXPECT_TRUE(w_.state.indexes_match());
        AccountState fresh(id("account"));
        w_.load(fresh);
        EXPECT_TRUE(fresh.indexes_match());
        for (const char* name : kClients) ASSERT_NO_FATAL_FAILURE(check_client(fresh, name));
        for (const char* name : kGateways) ASSERT_NO_FATAL_FAILURE(check_gateway(fresh, name));
    }
};

TEST_P(RandomTransactions, DevicesHaveWhatAFreshStartGives) {
    start();
    ASSERT_NO_FATAL_FAILURE(check());
    for (int step = 0; step < 200; ++step) {
        SCOPED_TRACE("step " + std::to_string(step));
        // Else most would be out most of the time.
        for (const char* actor : {"A", "B"})
            if (w_.get<portal::Actors>(actor).disabled_at && roll(2) == 0)
                w_.edit<portal::Actors>(actor, [](auto& a) { a.disabled_at.reset(); });
        for (unsigned changes = 1 + roll(4); changes > 0; --changes) change();
        w_.commit();
        rejoin();
        ASSERT_NO_FATAL_FAILURE(check());
        act();
        w_.commit();
        rejoin();
        ASSERT_NO_FATAL_FAILURE(check());
    }
    EXPECT_GT(flows_, 15U);
}

TEST_P(RandomTransactions, ExplanationsAreWhatChannelsDecide) {
    w_.client_location = Location{52.5, 13.4};
    w_.locations = {
        {"w1", {48.1, 11.6}}, {"w2", {40.7, -74.0}}, {"w3", {48.1, 11.6}}, {"w4", {51.5, 0.0}}};
    start();
    w_.gateway_row("w3", "s2").gateway_token("tw3", "s2");
    w_.gateway_row("w4", "s3").gateway_token("tw4", "s3").commit();
    w_.join_gateway("w3", "1.5.0", "tw3").join_gateway("w4", "1.6.0", "tw4");
    std::set<std::string> verdicts;
    for (int step = 0; step < 200; ++step) {
        SCOPED_TRACE("step " + std::to_string(step));
        for (unsigned changes = 1 + roll(4); changes > 0; --changes) change();
        w_.commit();
        if (const std::string gateway = "w" + std::to_string(1 + roll(4)); roll(3) == 0) {
            // Who has left answers nothing more.
            std::erase_if(w_.refs, [&](const auto& ref) { return ref.starts_with(gateway + ' '); });
            if (w_.gateways.contains(gateway))
                w_.leave(gateway);
            else
                w_.join_gateway(gateway, gateway == "w2" ? "1.2.0" : "1.5.0", "t" + gateway);
        }
        for (const char* name : kClients) (void)w_.sent(name);
        rejoin();
        for (const char* name : kClients) refused_[name] = w_.sent(name);
        for (const char* name : kClients)
            for (const char* resource : {"r1", "r2", "r3", "r4"})
                ASSERT_NO_FATAL_FAILURE(check_explanation(name, resource, verdicts));
        if (roll(4) != 0) w_.answer();
        if (roll(4) != 0) write_flows();
        act();
    }
    // The walk comes by most of them.
    for (const char* one : {"chosen", "session", "no_resource", "no_policy", "not_shown",
                            "not_conforming", "no_gateway_online", "no_gateway_fits"})
        EXPECT_TRUE(verdicts.contains(one)) << one;
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTransactions, testing::Range(1U, 13U));

}  // namespace random_transactions_tests
}  // namespace fatwal::access::test
