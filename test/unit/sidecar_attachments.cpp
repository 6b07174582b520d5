// Attachments and the join barrier, over sockets within the process.
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <zmq.hpp>

#include "fatwal/wire/publication.h"
#include "sidecar/subscribers/attachments.h"
#include "test/support/builder.h"

namespace fatwal::sidecar {
namespace attachments_tests {

using namespace std::chrono_literals;

// All that stands between the stream and the subscribers' sockets, as the daemon has it.
struct AttachmentsTest : testing::Test {
    explicit AttachmentsTest(Layout layout = Layout::Account) { settings.layout = layout; }
    void SetUp() override {
        settings.send_high_water_mark = 100'000;
        publishers = std::make_unique<Publishers>(
            context, settings, descriptors, [](std::uint64_t epoch, std::uint64_t serial) {
                return "inproc://" + std::to_string(epoch) + "." + std::to_string(serial);
            });
        accounts = std::make_unique<Accounts>(settings, *publishers, holds);
        attachments =
            std::make_unique<Attachments>(settings, *accounts, *publishers, descriptors, holds);
        standing.epoch = 1;
        standing.end = 1'000'000;
        publishers->set_epoch(1);
        accounts->begin(0, {});
    }
    void TearDown() override { attachments->detach_all(); }

    // Another transaction of the account.
    void publish(const wire::AccountKey& account) {
        test::FrameSpec spec;
        spec.account = account;
        spec.commit_lsn = commit += 16;
        const std::string bytes = test::frame(spec);
        accounts->publish(*wire::FrameView::parse_header(wire::as_bytes(bytes)),
                          zmq::message_t(bytes.data(), bytes.size()), {}, now);
    }
    wire::Nonce new_nonce() {
        wire::Nonce nonce{};
        ++nonces;
        for (std::size_t i = 0; i < 8; ++i) nonce[i] = static_cast<std::byte>(nonces >> (8 * i));
        return nonce;
    }
    wire::Attached attach(const wire::Nonce& nonce, const wire::AccountKey& account,
                          const std::string& connection = "c") {
        wire::Attach request;
        request.nonce = nonce;
        request.account = account;
        const auto answered = attachments->attach(request, {connection, 1}, standing, now);
        const auto* error = std::get_if<wire::ControlError>(&answered);
        EXPECT_EQ(error, nullptr) << error->message << ' ' << error->detail;
        return std::get<wire::Attached>(answered);
    }
    // The loop's step that answers markers, until there is nothing left.
    void answer_markers() {
        publishers->signalled();
        while (attachments->answer_markers(now)) continue;
    }

    Settings settings;
    Descriptors descriptors;
    zmq::context_t context{1};
    Holds holds;
    std::unique_ptr<Publishers> publishers;
    std::unique_ptr<Accounts> accounts;
    std::unique_ptr<Attachments> attachments;
    Standing standing;
    Clock::time_point now = Clock::time_point() + 1h;
    wire::Lsn commit = 0x1000;
    std::uint64_t nonces = 0;
};

struct SharedAttachmentsTest : AttachmentsTest {
    SharedAttachmentsTest() : AttachmentsTest(Layout::Shared) {}
};

// The subscriber's half of the barrier: it ignores what comes before its marker, and then expects
// each number in its turn.
class Subscriber {
public:
    Subscriber(zmq::context_t& context, const wire::Attached& attached, const wire::Nonce& nonce)
        : socket_(context, zmq::socket_type::sub), topic_(attached.topic), nonce_(nonce) {
        socket_.set(zmq::sockopt::rcvhwm, 100'000);
        for (const std::string& topic :
             topic_.empty() ? std::vector<std::string>{"E", "H"} : std::vector{topic_})
            socket_.set(zmq::sockopt::subscribe, topic);
        socket_.set(zmq::sockopt::subscribe, wire::as_text(wire::marker_topic(nonce)));
        socket_.connect(attached.endpoint);
    }
    void read() {
        for (zmq::message_t first; socket_.recv(first, zmq::recv_flags::dontwait);) {
            wire::Bytes bytes(static_cast<const std::byte*>(first.data()), first.size());
            zmq::message_t second;
            const bool more = first.more();
            if (more) {
                ASSERT_TRUE(socket_.recv(second, zmq::recv_flags::dontwait));
            }
            if (const auto nonce = wire::decode_marker_topic(bytes)) {
                ASSERT_EQ(*nonce, nonce_) << "the marker of somebody else";
                const auto header = wire::decode_publication(
                    {static_cast<const std::byte*>(second.data()), second.size()});
                ASSERT_TRUE(header);
                joined = true;
                joined_at = newest = header->sequence;
                continue;
            }
            const auto header = wire::decode_publication(bytes.subspan(topic_.size()));
            ASSERT_TRUE(header);
            if (!joined) {
                ++before;
                continue;
            }
            if (header->topic == wire::Topic::Event) ++newest;
            ASSERT_EQ(header->sequence, newest) << "joined at " << joined_at;
        }
    }

    bool joined = false;
    std::uint64_t joined_at = 0;
    std::uint64_t newest = 0;
    int before = 0;  // messages that came before the marker

private:
    zmq::socket_t socket_;
    std::string topic_;
    wire::Nonce nonce_;
};

// Subscribers join at random moments of a stream that never pauses. From the marker on each has
// every number.
void join_under_load(AttachmentsTest& test, unsigned seed) {
    std::mt19937 random(seed);
    const std::vector<wire::AccountKey> all = {wire::AccountKey::from_text("1"),
                                               wire::AccountKey::from_text("2"),
                                               wire::AccountKey::from_text("acme")};
    struct Joined {
        wire::AccountKey account;
        std::unique_ptr<Subscriber> subscriber;
    };
    std::vector<Joined> subscribers;
    std::map<wire::AccountKey, std::uint64_t> published;
    for (int step = 0; step < 3000; ++step) {
        const wire::AccountKey& account = all[random() % all.size()];
        switch (random() % 8) {
            case 0:
                if (subscribers.size() < 40) {
                    const auto nonce = test.new_nonce();
                    const auto attached = test.attach(nonce, account);
                    subscribers.push_back(
                        {account, std::make_unique<Subscriber>(test.context, attached, nonce)});
                }
                break;
            case 1: test.answer_markers(); break;
            case 2: test.accounts->heartbeat(); break;
            case 3:
                for (const auto& [key, subscriber] : subscribers) subscriber->read();
                break;
            default: test.publish(account); ++published[account];
        }
        if (testing::Test::HasFatalFailure()) return;
    }
    // What is under way within the process arrives in a moment.
    const auto until = Clock::now() + 10s;
    for (bool whole = false; !whole && Clock::now() < until;) {
        test.answer_markers();
        whole = true;
        for (const auto& [key, subscriber] : subscribers) {
            subscriber->read();
            if (testing::Test::HasFatalFailure()) return;
            whole = whole && subscriber->joined && subscriber->newest == published[key];
        }
    }
    ASSERT_EQ(subscribers.size(), 40U);
    std::uint64_t in_the_midst = 0;
    for (const auto& [key, subscriber] : subscribers) {
        EXPECT_TRUE(subscriber->joined);
        EXPECT_EQ(subscriber->newest, published[key]);
        if (subscriber->joined_at > 0) ++in_the_midst;
    }
    EXPECT_GT(in_the_midst, 20U) << "they joined while it was published";
}

TEST_F(AttachmentsTest, FromTheMarkerOnNothingIsMissed) {
    for (unsigned seed = 1; seed <= 5; ++seed) {
        SCOPED_TRACE(seed);
        attachments->detach_all();
        accounts->begin(0, {});
        publishers->set_epoch(seed + 1);
        join_under_load(*this, seed);
    }
}

TEST_F(SharedAttachmentsTest, FromTheMarkerOnNothingIsMissedOnASharedSocketEither) {
    join_under_load(*this, 1);
}

TEST_F(AttachmentsTest, AMarkerOnAnotherAccountsSocketIsNotAnswered) {
    const auto nonce = new_nonce();
    (void)attach(nonce, wire::AccountKey::from_text("1"));
    const auto other = attach(new_nonce(), wire::AccountKey::from_text("2"));
    Subscriber subscriber(context, other, nonce);
    for (int i = 0; i < 20; ++i) {
        answer_markers();
        subscriber.read();
    }
    EXPECT_FALSE(subscriber.joined);
    EXPECT_FALSE(attachments->find(nonce)->joined);
}

TEST_F(AttachmentsTest, WhoDoesNotJoinIsDetachedAndItsNonceIsNeverUsedAgain) {
    const auto account = wire::AccountKey::from_text("1");
    const auto nonce = new_nonce();
    const auto attached = attach(nonce, account);
    const auto joined_nonce = new_nonce();
    (void)attach(joined_nonce, account);
    Subscriber joined(context, attached, joined_nonce);
    for (int i = 0; i < 1000 && !joined.joined; ++i) {
        answer_markers();
        joined.read();
    }
    ASSERT_TRUE(joined.joined);
    now += Attachments::kGrace;
    attachments->tick(now);
    EXPECT_EQ(attachments->find(nonce), nullptr);
    EXPECT_NE(attachments->find(joined_nonce), nullptr);
    wire::Attach again;
    again.nonce = nonce;
    again.account = account;
    EXPECT_TRUE(std::holds_alternative<wire::ControlError>(
        attachments->attach(again, {"c", 1}, standing, now)));
}

TEST_F(AttachmentsTest, ARequestCountsOnlyOnTheConnectionThatAttached) {
    const auto nonce = new_nonce();
    (void)attach(nonce, wire::AccountKey::from_text("1"), "a");
    EXPECT_EQ(attachments->find(nonce, "b"), nullptr);
    EXPECT_FALSE(attachments->detach({nonce, false}, "b"));
    EXPECT_TRUE(attachments->acknowledge({nonce, 1}, "b", 100));
    EXPECT_FALSE(attachments->attached_by("b"));
    EXPECT_TRUE(attachments->detach({nonce, false}, "a"));
    EXPECT_FALSE(attachments->attached_by("a"));
    EXPECT_EQ(attachments->size(), 0U);
}

TEST_F(AttachmentsTest, AnAccountIsPublishedWhileSomebodyIsAttached) {
    const auto nonce = new_nonce();
    (void)attach(nonce, wire::AccountKey::from_text("1"));
    EXPECT_EQ(accounts->published(), 1U);
    (void)attachments->detach({nonce, false}, "c");
    EXPECT_EQ(accounts->published(), 1U) << "until the next tick: it may attach again at once";
    accounts->tick();
    EXPECT_EQ(accounts->published(), 0U);
}

TEST_F(SharedAttachmentsTest, ACredentialHasABoundThatOthersDoNotNotice) {
    const auto attach_as = [&](const std::string& credential) {
        wire::Attach request;
        request.nonce = new_nonce();
        request.account = wire::AccountKey::from_text("1");
        const Requester requester{"K" + credential, 1, {credential, std::string(40, 'k')}};
        return attachments->attach(request, requester, standing, now);
    };
    for (std::size_t i = 0; i < Attachments::kMostOfCredential; ++i) {
        // Each is counted as a descriptor until the next recount, which waits for 10 ms.
        if (i % 200 == 199) std::this_thread::sleep_for(11ms);
        ASSERT_TRUE(std::holds_alternative<wire::Attached>(attach_as("greedy")));
    }
    const auto refused = attach_as("greedy");
    ASSERT_TRUE(std::holds_alternative<wire::ControlError>(refused));
    EXPECT_EQ(std::get<wire::ControlError>(refused).code, wire::ErrorCode::TooManyAttachments);
    EXPECT_TRUE(std::holds_alternative<wire::Attached>(attach_as("modest")));
    attachments->detach_all();
    EXPECT_TRUE(std::holds_alternative<wire::Attached>(attach_as("greedy")));
}

}  // namespace attachments_tests
}  // namespace fatwal::sidecar
