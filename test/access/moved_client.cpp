// A client that has connected from elsewhere: what its gateways know of where it is is out of
// date.
#include "test/access/scenario.h"

namespace fatwal::access::test {
namespace moved_client_tests {

Json from(const char* network) { return condition("remote_ip", "is_in_cidr", {network}); }

// c1 has reached r1 through w1 from 198.51.100.7, by p1, which demands that address; then it
// connects from 203.0.113.9.
void moves(World& w) {
    w.client_ip = IpAddress::parse("203.0.113.9");
    w.join_client();
    w.edit<portal::Clients>("c1", [](auto& c) { c.last_seen_remote_ip = "203.0.113.9"; }).commit();
}
void flowing(World& w) {
    w.edit<portal::Policies>("p1", [](auto& p) { p.conditions = {from("198.51.100.0/24")}; });
    w.edit<portal::Clients>("c1", [](auto& c) { c.last_seen_remote_ip = "198.51.100.7"; });
    w.commit();
    w.join_gateway().join_client().create_flow().answer().write_flows();
}

const bool kMoved = scenarios(
    "MovedClient",
    {
        {"no_policy_holds_there", flowing, moves, "init[]", "REJ(c1,r1)"},
        {"no_other_policy_takes_over_by_the_old_address",
         [](World& w) {
             flowing(w);
             w.policy("p2", "g1", "r1", {from("198.51.100.7")}).commit();
         },
         moves, "init[]", "REJ(c1,r1)"},
        {"another_policy_holds_there_and_not_as_long",
         [](World& w) {
             flowing(w);
             w.policy("p2", "g1", "r1", {from("203.0.113.0/24"), during("F/09-11/UTC")}).commit();
         },
         moves, "init[r1]", "EXP(c1,r1,3600)"},
        {"the_policy_holds_there_too",
         [](World& w) {
             flowing(w);
             w.edit<portal::Policies>("p1", [](auto& p) {
                  p.conditions = {from("0.0.0.0/0")};
              }).commit();
         },
         moves, "init[r1]"},
        {"a_heartbeat_is_nothing", flowing,
         [](World& w) {
             w.edit<portal::Policies>("p1", [](auto& p) { p.description = "x"; });
             w.edit<portal::Clients>("c1", [&](auto& c) { c.last_seen_at = w.now; });
         }},
    });

}  // namespace moved_client_tests
}  // namespace fatwal::access::test
