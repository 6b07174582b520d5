// What decides how fatwald connects, waits and gives up, without a server.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "fatwal/wire/invariant.h"
#include "service/log.h"
#include "sidecar/failure.h"
#include "sidecar/postgres/patience.h"
#include "sidecar/postgres/silence.h"
#include "sidecar/postgres/slot_session.h"
#include "sidecar/postgres/sqlstate.h"
#include "sidecar/postgres/targets.h"
#include "sidecar/postgres/timelines.h"
#include "sidecar/subscribers/inbound.h"

namespace fatwal::sidecar {
namespace connections_tests {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Sqlstate, WhatPasses) {
    struct Row {
        const char* state;
        bool passes;
    };
    // Each that a person has seen fatwald meet.
    for (const auto& [state, expected] : std::initializer_list<Row>{
             {"", true},                                           // the network
             {"08006", true},                                      // the connection was lost
             {"08P01", false},                                     // a pooler
             {"25006", true},                                      // a standby
             {"28000", false},                                     // pg_hba.conf
             {"28P01", false},                                     // a wrong password
             {"3D000", false},                                     // no such database
             {"40001", true},  {"40P01", true}, {"42501", false},  // a missing privilege
             {"42704", false}, {"42710", true},                    // the slot was made by another
             {"42883", false},                                     // another version's extension
             {"22012", false},                                     // a row filter divides by zero
             {"53100", true},  {"53300", true},                    // too many connections
             {"53400", false},                                     // no slot is free
             {"55006", true},                                      // the slot is in use
             {"55P03", true},                                      // a lock was not available
             {"57014", true},                                      // a statement timeout
             {"57P01", true},  {"57P03", true},                    // it stops, it starts
             {"58030", true},
         })
        EXPECT_EQ(passes(state), expected) << state;
}

TEST(Sqlstate, OfWhatLibpqSays) {
    EXPECT_EQ(sqlstates_in("connection to server at \"db\" failed: FATAL:  28P01: password "
                           "authentication failed\nLOCATION:  auth_failed, auth.c:335\n"),
              std::vector<std::string>{"28P01"});
    EXPECT_FALSE(connecting_passes("… FATAL:  3D000: database \"x\" does not exist"));
    EXPECT_FALSE(connecting_passes("invalid sslmode value: \"x\""));
    EXPECT_TRUE(connecting_passes("could not translate host name \"x\" to address"));
    EXPECT_TRUE(connecting_passes("… FATAL:  57P03: the database system is starting up"));
    EXPECT_FALSE(
        connecting_passes("connection to server at \"db\" failed: SSL error: certificate "
                          "verify failed"));
    EXPECT_TRUE(tls_hint("connection to server at \"db\" failed: timeout expired").empty());
    EXPECT_TRUE(is_of_a_missing_publication("42704", "publication \"p\" does not exist"));
    EXPECT_FALSE(is_of_a_missing_publication("42704", "role \"p\" does not exist"));
    EXPECT_FALSE(is_of_a_missing_publication("22012", "division by zero"));
    // With TLS refused, without it the password was wrong.
    EXPECT_FALSE(connecting_passes("… FATAL:  57P03: starting up\n… FATAL:  28P01: password"));
}

TEST(Inbound, OnlyAConnectionOfAPeerIsShutDown) {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    EXPECT_EQ(inbound::inode_of_peer(ends[0]), 0U) << "as Postgres's connection is";
    struct stat status {};
    ASSERT_EQ(fstat(ends[0], &status), 0);
    inbound::shut_down(ends[0], status.st_ino);
    EXPECT_EQ(write(ends[0], "x", 1), 1);
    for (const int end : ends) close(end);
}

TEST(Targets, EachHostHasItsOwnPort) {
    const Targets targets =
        targets_of("host=a,b port=1,2 dbname=d user=u connect_timeout=3 target_session_attrs=any");
    ASSERT_EQ(targets.each.size(), 2U);
    EXPECT_EQ(targets.each[0].text(), "a:1");
    EXPECT_EQ(targets.each[1].text(), "b:2");
    EXPECT_EQ(targets.timeout, seconds(3));
}

TEST(Targets, OfAListThePrimaryIsTaken) {
    const auto wanted = [](const std::string& database) {
        for (const auto& [name, value] : targets_of(database).parameters)
            if (name == "target_session_attrs") return value;
        return std::string();
    };
    EXPECT_EQ(wanted("host=a,b port=1"), "primary");
    EXPECT_EQ(wanted("host=a,b target_session_attrs=read-write"), "read-write");
    EXPECT_EQ(wanted("host=a"), "");
}

TEST(Targets, ListsThatDoNotMatchAreLibpqs) {
    const Targets targets = targets_of("host=a,b,c port=1,2");
    ASSERT_EQ(targets.each.size(), 1U);
    EXPECT_EQ(targets.each[0].host, "a,b,c");
}

TEST(Targets, AMalformedStringIsFinal) {
    try {
        (void)targets_of("host='x");
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_TRUE(failure.fatal);
        EXPECT_FALSE(failure.hint.empty());
    }
}

TEST(Targets, EveryoneHasATimeout) {
    EXPECT_GT(targets_of("host=a").timeout, seconds(0));
    EXPECT_GT(targets_of("host=a connect_timeout=0").timeout, seconds(0));
    EXPECT_EQ(targets_of("host=a connect_timeout=1").timeout, seconds(2)) << "libpq's least";
    EXPECT_GT(targets_of("some_database").timeout, seconds(0));
}

TEST(Targets, ASocketsFolderIsNotLookedUp) {
    EXPECT_EQ(addresses_of({"/run/postgresql", "", "5432"}).size(), 1U);
    EXPECT_EQ(addresses_of({"db", "10.0.0.1", "5432"}).front().hostaddr, "10.0.0.1");
}

TEST(Silence, CountsOnlyWhenAsked) {
    const Silence::Time begin{};
    Silence silence;
    silence.begin(begin, milliseconds(8000));
    EXPECT_EQ(silence.check(begin + seconds(100)), Silence::Liveness::Alive) << "we were paused";
    silence.asked(begin + seconds(100));
    EXPECT_EQ(silence.check(begin + seconds(101)), Silence::Liveness::Alive);
    EXPECT_EQ(silence.check(begin + seconds(103)), Silence::Liveness::Lost);
}

TEST(Silence, StalledBeforeLost) {
    const Silence::Time begin{};
    Silence silence;
    silence.begin(begin, milliseconds(60'000));
    silence.asked(begin);
    silence.asked(begin + seconds(30));
    EXPECT_EQ(silence.check(begin + seconds(39)), Silence::Liveness::Alive)
        << "a server that decodes answers within half of its timeout";
    EXPECT_EQ(silence.check(begin + seconds(41)), Silence::Liveness::Stalled);
    EXPECT_EQ(silence.check(begin + seconds(60)), Silence::Liveness::Lost);
    silence.heard(begin + seconds(61));
    EXPECT_EQ(silence.check(begin + seconds(200)), Silence::Liveness::Alive);
}

TEST(Silence, AServerWithoutATimeoutHasABound) {
    const Silence::Time begin{};
    Silence silence;
    silence.begin(begin, milliseconds(0));
    silence.asked(begin);
    EXPECT_EQ(silence.check(begin + Silence::kOwnBound), Silence::Liveness::Lost);
}

TEST(SlotSession, AnAttemptFollowsAPauseAndAFailureLeadsToTheNext) {
    Settings settings;
    settings.database = "host=/nonexistent dbname=d";
    Notices notices;
    const SlotSession::Time now{seconds(1000)};
    SlotSession slot(settings, notices, now);
    EXPECT_EQ(slot.next_attempt(), now);
    EXPECT_FALSE(slot.outcome()) << "none is under way";
    slot.connect_if_due(now - milliseconds(1), false);
    EXPECT_EQ(slot.next_attempt(), now);
    slot.connect_if_due(now, false);
    EXPECT_FALSE(slot.next_attempt()) << "one at a time";
    EXPECT_STREQ(slot.text(), "connecting");
    pollfd wait = {slot.connector_fd(), POLLIN, 0};
    ASSERT_EQ(poll(&wait, 1, 30'000), 1);
    const auto outcome = slot.outcome();
    ASSERT_TRUE(outcome);
    const auto* failure = std::get_if<Failure>(&*outcome);
    ASSERT_NE(failure, nullptr);
    EXPECT_FALSE(failure->fatal) << "a server may come";
    slot.lose(*failure, now);
    ASSERT_TRUE(slot.next_attempt());
    EXPECT_GT(*slot.next_attempt(), now);
    EXPECT_EQ(slot.reconnects(), 0U) << "there was no stream";
    EXPECT_EQ(slot.lost_at(), now);
    EXPECT_EQ(slot.stream(), nullptr);
    EXPECT_EQ(slot.stream_fd(), -1);
    EXPECT_FALSE(slot.is_live());
    EXPECT_THROW(slot.lose(*failure, now), wire::InvariantError) << "it is lost already";
}

TEST(Timelines, ReadsTheServersFile) {
    const auto ancestors = Timelines::parse(
        "1\t0/3000158\tno recovery target specified\n\n# a comment\n2\tA/10\treason\n");
    const std::vector<Timelines::Ancestor> expected = {{1, 0x3000158}, {2, 0xA00000010}};
    EXPECT_EQ(ancestors, expected);
}

TEST(Timelines, APositionHoldsUpToTheSwitch) {
    const Timelines timelines{{7, 3}, {{1, 100}, {2, 200}}};
    EXPECT_TRUE(timelines.holds({7, 3}, 1000));
    EXPECT_TRUE(timelines.holds({7, 1}, 100));
    EXPECT_FALSE(timelines.holds({7, 1}, 101)) << "the old primary went on alone";
    EXPECT_TRUE(timelines.holds({7, 2}, 150));
    EXPECT_FALSE(timelines.holds({7, 4}, 1)) << "of another branch, or of the future";
    EXPECT_FALSE(timelines.holds({8, 1}, 1)) << "of another cluster";
}

TEST(Patience, IsOfTheThreadThatStatesIt) {
    EXPECT_EQ(Patience::stop(), -1);
    const int stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    {
        const Patience patience(stop, milliseconds(20));
        EXPECT_EQ(Patience::deadline(), milliseconds(20));
        const auto soon = std::chrono::steady_clock::now() + Patience::deadline();
        EXPECT_EQ(wait_for(-1, 0, soon), WaitEnd::TimedOut);
        eventfd_write(stop, 1);
        EXPECT_EQ(wait_for(-1, 0, std::chrono::steady_clock::now() + seconds(60)),
                  WaitEnd::Stopped);
    }
    EXPECT_EQ(Patience::deadline(), Patience::kDefaultDeadline);
    close(stop);
}

TEST(Log, ALineThatWouldHaveToWaitIsDropped) {
    std::array<int, 2> pipe_ends{};
    ASSERT_EQ(pipe(pipe_ends.data()), 0);
    int written = 0;
    while (service::write_line(pipe_ends[1], std::string(1000, 'x'))) ASSERT_LT(++written, 1000);
    EXPECT_GT(written, 10);
    std::array<char, 8192> read_away{};
    ASSERT_GT(read(pipe_ends[0], read_away.data(), read_away.size()), 0);
    EXPECT_TRUE(service::write_line(pipe_ends[1], std::string(10'000, 'y'))) << "cut to what fits";
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

}  // namespace connections_tests
}  // namespace fatwal::sidecar
