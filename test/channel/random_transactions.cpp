// The views that changes lead to are those of a fresh start, whatever the changes.
#include <gtest/gtest.h>

#include "channel/world.h"

namespace fatwal::channel::test {
namespace {

class RandomTransactions : public testing::TestWithParam<unsigned> {};

TEST_P(RandomTransactions, IncrementalViewEqualsAFreshOne) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()));
    std::mt19937 random(GetParam());
    World w;
    w.join_gateway().join_client();
    const auto pick = [&](const char* prefix) { return prefix + std::to_string(1 + random() % 3); };
    const auto toggle = [&](const portal::AnyRow& row, const auto& put) {
        try {
            w.erase_row(row);
        } catch (const std::logic_error&) {
            put();
        }
    };
    for (int step = 0; step < 200; ++step) {
        for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
            switch (random() % 7) {
                case 0:
                    w.policy(pick("p"), pick("g"), pick("r"), random() % 3 == 0 ? std::vector<Json>{verified()} : std::vector<Json>{});
                    break;
                case 1: w.resource(pick("r"), pick("host")); break;
                case 2: {
                    const std::string r = pick("r");
                    const std::string s = pick("s");
                    toggle(portal::ResourceConnections{id("account"), id(r), id(s)}, [&] { w.connect(r, s); });
                    break;
                }
                case 3: w.group(pick("g")); break;
                case 4: w.site(pick("s")); break;
                case 5: {
                    const std::string n = std::to_string(1 + random() % 3);
                    portal::ActorGroupMemberships row{id("m" + n), id("account"), id("A"), id("g" + n)};
                    toggle(row, [&] { w.put(row); });
                    break;
                }
                default:
                    w.edit<portal::Clients>("c1",
                                            [&](auto& c) { c.verified_at = random() % 2 == 0 ? std::optional(w.now) : std::nullopt; });
            }
        }
        w.commit();
        AccountState fresh(id("account"));
        w.load(fresh);
        const auto view =
            ClientView::of(fresh, *fresh.client(id("c1")), Version{1, 5, 0, ""}, {w.client_ip, w.client_region, {}, false}, w.now);
        const auto& kept = w.clients["c1"]->view().resources;
        ASSERT_EQ(view.resources.size(), kept.size()) << "step " << step;
        for (const auto& [resource_id, shown] : view.resources) {
            ASSERT_TRUE(kept.contains(resource_id)) << "step " << step;
            ASSERT_EQ(*shown, *kept.at(resource_id)) << "step " << step;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTransactions, testing::Range(1U, 21U));

}  // namespace
}  // namespace fatwal::channel::test
