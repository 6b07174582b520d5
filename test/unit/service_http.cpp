// The HTTP server over real sockets, and the pages of a Watch.
#include "service/http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "service/failure.h"
#include "service/watch.h"

namespace fatwal::service {
namespace http_tests {

using namespace std::chrono_literals;

class Connection {
public:
    explicit Connection(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        timeval limit{30, 0};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    Connection(Connection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
    ~Connection() {
        if (socket_ >= 0) ::close(socket_);
    }
    void send(const std::string& text) const {
        EXPECT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }
    // All until the server closes; -1 bytes of a reset count as that.
    [[nodiscard]] std::string rest() const {
        std::string all;
        for (char part[4096];;) {
            const ssize_t got = recv(socket_, part, sizeof part, 0);
            if (got <= 0) return all;
            all.append(part, static_cast<std::size_t>(got));
        }
    }

private:
    int socket_;
};

std::string get(std::uint16_t port, const std::string& target, const std::string& headers = {},
                const std::string& host = "127.0.0.1") {
    const Connection connection(port);
    connection.send("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + headers + "\r\n");
    return connection.rest();
}

// The status of an answer and its body.
std::string told(const std::string& answer) {
    const auto body = answer.find("\r\n\r\n");
    if (answer.size() < 12 || body == std::string::npos) return answer;
    return answer.substr(9, 3) + ' ' + answer.substr(body + 4);
}

HttpServer::Handler echo() {
    return [](const HttpQuery& query) {
        std::string text = query.path + (query.trusted ? " trusted" : "");
        for (const auto& [name, value] : query.parameters) text += ' ' + name + '=' + value;
        return HttpAnswer{200, text};
    };
}

TEST(Http, AnswersAndCloses) {
    const HttpServer server({"127.0.0.1", 0, ""}, echo());
    EXPECT_EQ(told(get(server.port(), "/x")), "200 /x trusted");
    EXPECT_EQ(told(get(server.port(), "/x?")), "200 /x trusted");
    EXPECT_EQ(told(get(server.port(), "/x?top=5&of=a=b&c")), "200 /x trusted c= of=a=b top=5");
}

TEST(Http, OtherMethodsBodiesAndLongHeadersAreRefused) {
    const HttpServer server({"127.0.0.1", 0, ""}, echo());
    const auto ask = [&](const std::string& request) {
        const Connection connection(server.port());
        connection.send(request);
        return told(connection.rest()).substr(0, 3);
    };
    EXPECT_EQ(ask("POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), "405");
    EXPECT_EQ(ask("GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\n"), "413");
    EXPECT_EQ(ask("GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + std::string(9000, 'x')), "431");
    EXPECT_EQ(ask("no request at all\r\n\r\n"), "");
}

TEST(Http, WithoutATokenAHostThatIsANameIsRefused) {
    const HttpServer server({"127.0.0.1", 0, ""}, echo());
    for (const char* host : {"127.0.0.1", "127.0.0.1:80", "localhost:80", "[::1]:80", "[::1]"})
        EXPECT_EQ(told(get(server.port(), "/x", {}, host)), "200 /x trusted") << host;
    for (const char* host : {"evil.example", "evil.example:80", "127.0.0.1.evil.example", "x]:80"})
        EXPECT_EQ(told(get(server.port(), "/x", {}, host)).substr(0, 3), "403") << host;
}

TEST(Http, TheTokenDecidesWhoIsTrusted) {
    const HttpServer server({"127.0.0.1", 0, "0123456789abcdef"}, echo());
    const auto with = [&](const std::string& header) {
        return told(get(server.port(), "/x", header, "some.host"));
    };
    EXPECT_EQ(with("Authorization: Bearer 0123456789abcdef\r\n"), "200 /x trusted");
    for (const char* wrong : {"", "Authorization: Bearer 0123456789abcdeF\r\n",
                              "Authorization: Bearer 0123456789abcde\r\n",
                              "Authorization: Bearer 0123456789abcdef0\r\n",
                              "Authorization: Bearer \r\n", "Authorization: 0123456789abcdef\r\n",
                              "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n"})
        EXPECT_EQ(with(wrong), "200 /x") << wrong;
}

TEST(Http, ThoseThatSayNothingGoWhenOthersCome) {
    const HttpServer server({"127.0.0.1", 0, ""}, echo());
    std::vector<Connection> silent;
    for (std::size_t i = 0; i < 2 * HttpServer::kMostConnections; ++i)
        silent.emplace_back(server.port());
    // The last ones are still there, and somebody who asks is answered.
    EXPECT_EQ(told(get(server.port(), "/x")), "200 /x trusted");
    EXPECT_EQ(silent.front().rest(), "");
}

TEST(Http, WhenDescriptorsAreShortAFewAreAnswered) {
    constexpr rlim_t kLimit = 512;
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit low{kLimit, before.rlim_max};
    const HttpServer server({"127.0.0.1", 0, ""}, echo());
    const int some = open("/dev/null", O_RDONLY | O_CLOEXEC);
    std::vector<int> taken = {some};
    while (taken.back() < static_cast<int>(kLimit - kLimit / 8)) taken.push_back(dup(some));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    {
        std::vector<Connection> silent;
        for (int i = 0; i < 40; ++i) silent.emplace_back(server.port());
        EXPECT_EQ(told(get(server.port(), "/x")), "200 /x trusted");
        // The first one is closed, and so are the 36 behind it.
        EXPECT_EQ(silent[36].rest(), "");
        const int next = dup(some);
        EXPECT_LE(next, taken.back() + 40 + static_cast<int>(HttpServer::kMostOfTheLast) + 1);
        ::close(next);
    }
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (const int each : taken) ::close(each);
}

TEST(Http, OneThatSaysNothingIsClosedInTime) {
    const HttpServer server({"127.0.0.1", 0, ""}, echo());
    const Connection silent(server.port());
    silent.send("GET /x HT");
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(silent.rest(), "");
    EXPECT_GE(std::chrono::steady_clock::now() - begun, HttpServer::kRequestWithin - 1s);
}

TEST(Http, AHandlerThatIsNotReadyIsAskedAgain) {
    std::atomic<int> asked = 0;
    const HttpServer server({"127.0.0.1", 0, ""},
                            [&](const HttpQuery&) -> std::optional<HttpAnswer> {
                                if (++asked < 4) return std::nullopt;
                                return HttpAnswer{200, "now"};
                            });
    EXPECT_EQ(told(get(server.port(), "/x")), "200 now");
    EXPECT_EQ(asked, 4);
}

TEST(Http, AnotherThreadMayHaveTheAnswerLater) {
    std::atomic<int> asked = 0;
    const HttpAnswer later{.later = std::make_shared<HttpLater>()};
    const HttpServer server({"127.0.0.1", 0, ""}, [&](const HttpQuery&) {
        ++asked;
        return later;
    });
    auto page = std::async([&] { return told(get(server.port(), "/x")); });
    std::this_thread::sleep_for(200ms);
    later.later->give({200, "now"});
    EXPECT_EQ(page.get(), "200 now");
    EXPECT_EQ(asked, 1);
}

TEST(Http, BodiesAreTakenWhereTheyAreAskedFor) {
    const HttpServer server({"127.0.0.1", 0, "", 10}, [](const HttpQuery& query) {
        return HttpAnswer{200,
                          (query.is_post ? "post " : "get ") + query.header("x-a") + query.body,
                          "text/plain",
                          {{"X-B", "b"}}};
    });
    const auto ask = [&](const std::string& request) {
        const Connection connection(server.port());
        connection.send(request);
        return connection.rest();
    };
    const std::string host = " /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: 1 \r\n";
    EXPECT_EQ(told(ask("POST" + host + "Content-Length: 3\r\n\r\nabc")), "200 post 1abc");
    EXPECT_EQ(told(ask("GET" + host + "\r\n")), "200 get 1");
    EXPECT_NE(ask("GET" + host + "\r\n").find("X-B: b\r\n"), std::string::npos);
    EXPECT_EQ(told(ask("POST" + host + "Content-Length: 11\r\n\r\n")).substr(0, 3), "413");
    EXPECT_EQ(told(ask("PUT" + host + "\r\n")).substr(0, 3), "405");
}

TEST(Http, WhatHeadersMayBe) {
    HttpOptions options{"127.0.0.1", 0, "0123456789abcdef"};
    options.headers = {{"X-Content-Type-Options", "nosniff"}};
    const HttpServer server(options, [](const HttpQuery& query) {
        return HttpAnswer{200, query.header("cookie") + '|' + query.header("x-a") +
                                   (query.trusted ? " trusted" : "")};
    });
    const auto ask = [&](const std::string& headers) {
        const Connection connection(server.port());
        connection.send("GET /x HTTP/1.1\r\n" + headers + "\r\n");
        return connection.rest();
    };
    EXPECT_EQ(told(ask("Host: a\r\nHost: b\r\n")).substr(0, 3), "400");
    EXPECT_NE(ask("Host: a\r\nHost: b\r\n").find("nosniff"), std::string::npos);
    EXPECT_EQ(told(ask("Host: a\r\nCookie: a=1\r\nX-A: 1\r\nCookie: b=2\r\nX-A: 2\r\n")),
              "200 a=1; b=2|1, 2");
    EXPECT_EQ(told(ask("Host: a\r\nAuthorization: bearer 0123456789abcdef\r\n")), "200 | trusted");
}

// A server whose every answer is a stream, and the streams.
class Streaming {
public:
    [[nodiscard]] std::shared_ptr<HttpStream> next() {
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(there_.wait_for(lock, 10s, [&] { return streams_.size() > taken_; }));
        return streams_.at(taken_++);
    }
    [[nodiscard]] std::uint16_t port() const { return server_.port(); }

private:
    std::mutex mutex_;
    std::condition_variable there_;
    std::vector<std::shared_ptr<HttpStream>> streams_;
    std::size_t taken_ = 0;
    HttpServer server_{{"127.0.0.1", 0, ""}, [this](const HttpQuery&) {
                           const std::lock_guard lock(mutex_);
                           streams_.push_back(std::make_shared<HttpStream>(1000));
                           streams_.back()->push("first ");
                           there_.notify_all();
                           return HttpAnswer{.type = kEventStream, .stream = streams_.back()};
                       }};
};

const std::string kGet = "GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

bool becomes_closed(const HttpStream& stream) {
    for (int i = 0; i < 1000 && !stream.closed(); ++i) std::this_thread::sleep_for(10ms);
    return stream.closed();
}

TEST(HttpStream, GoesOnUntilItsEnd) {
    Streaming server;
    const Connection connection(server.port());
    connection.send(kGet);
    const auto stream = server.next();
    EXPECT_TRUE(stream->push("second "));
    std::this_thread::sleep_for(50ms);
    EXPECT_TRUE(stream->push("third"));
    EXPECT_FALSE(stream->closed());
    stream->end();
    EXPECT_FALSE(stream->push("more"));
    const std::string all = connection.rest();
    EXPECT_EQ(told(all), "200 first second third");
    EXPECT_NE(all.find("text/event-stream"), std::string::npos);
    EXPECT_TRUE(becomes_closed(*stream));
}

TEST(HttpStream, TellsThatItsReaderIsGone) {
    Streaming server;
    std::shared_ptr<HttpStream> stream;
    {
        const Connection connection(server.port());
        connection.send(kGet);
        stream = server.next();
        EXPECT_FALSE(stream->closed());
    }
    EXPECT_TRUE(becomes_closed(*stream));
    EXPECT_FALSE(stream->push("more"));
}

TEST(HttpStream, OneThatIsNotReadKeepsABoundOfBytes) {
    Streaming server;
    const Connection connection(server.port());
    connection.send(kGet);
    const auto stream = server.next();
    EXPECT_FALSE(stream->push(std::string(1001, 'x')));
    const std::string part(900, 'x');
    const auto begun = std::chrono::steady_clock::now();
    std::size_t refused = 0;
    while (!stream->closed() && std::chrono::steady_clock::now() < begun + 60s)
        if (!stream->push(part)) ++refused;
    EXPECT_GT(refused, 0U);
    // It was cut, as nothing of it was taken for so long.
    EXPECT_TRUE(stream->closed());
    EXPECT_GE(std::chrono::steady_clock::now() - begun, HttpServer::kAnswerWithin);
}

TEST(HttpStream, MoreThanMayBeAreRefusedAndOthersAreAnswered) {
    Streaming server;
    std::vector<Connection> readers;
    for (std::size_t i = 0; i < HttpServer::kMostStreams; ++i) {
        readers.emplace_back(server.port());
        readers.back().send(kGet);
        EXPECT_FALSE(server.next()->closed());
    }
    std::string answer;
    for (int i = 0; i < 100 && answer != "503"; ++i) {
        Connection connection(server.port());
        connection.send(kGet);
        answer = told(connection.rest()).substr(0, 3);
        EXPECT_TRUE(becomes_closed(*server.next()));
    }
    EXPECT_EQ(answer, "503");
    // Those are streams still.
    std::vector<Connection> silent;
    for (std::size_t i = 0; i < HttpServer::kMostConnections; ++i)
        silent.emplace_back(server.port());
    EXPECT_EQ(silent.size(), HttpServer::kMostConnections);
}

TEST(HttpStream, AnEventIsLines) {
    EXPECT_EQ(server_sent_event("a", "{}"), "event: a\ndata: {}\n\n");
    EXPECT_EQ(server_sent_event("a", "{}", "7"), "id: 7\nevent: a\ndata: {}\n\n");
}

TEST(Http, APortThatIsTakenIsSaid) {
    const HttpServer server({"127.0.0.1", 0, ""}, echo());
    try {
        const HttpServer second({"127.0.0.1", server.port(), ""}, echo());
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_NE(failure.text().find(":" + std::to_string(server.port())), std::string::npos)
            << failure.text();
        EXPECT_NE(failure.detail.find("in use"), std::string::npos) << failure.text();
    }
}

class TokenFile {
public:
    TokenFile(const std::string& text, mode_t mode) {
        char name[] = "/tmp/fatwal-token-XXXXXX";
        ::close(mkstemp(name));
        path = name;
        std::ofstream(path) << text;
        chmod(name, mode);
    }
    ~TokenFile() { unlink(path.c_str()); }
    std::string path;
};

std::string refusal(const std::string& http, const std::string& file) {
    try {
        (void)http_options(http, file);
        return "taken";
    } catch (const Failure& failure) {
        return failure.text();
    }
}

TEST(Http, AnAddressOfOthersNeedsATokenFileOfItsOwners) {
    EXPECT_FALSE(http_options("", ""));
    const auto local = http_options("[::1]:7480", "");
    ASSERT_TRUE(local);
    EXPECT_EQ(local->address, "::1");
    EXPECT_EQ(local->port, 7480);
    EXPECT_EQ(http_options("127.9.9.9:0", "")->address, "127.9.9.9");
    for (const char* wrong : {"7480", "localhost:7480", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                              "127.0.0.1:70000", "127.0.0.1:7480 "})
        EXPECT_NE(refusal(wrong, "").find("is not an address and a port"), std::string::npos)
            << wrong;
    for (const char* open : {"0.0.0.0:7480", "[::]:7480", "10.1.2.3:7480"})
        EXPECT_NE(refusal(open, "").find("needs a token"), std::string::npos) << open;
    const TokenFile good("0123456789abcdef\n", 0600);
    EXPECT_EQ(http_options("0.0.0.0:7480", good.path)->token, "0123456789abcdef");
    const TokenFile readable("0123456789abcdef\n", 0640);
    EXPECT_NE(refusal("0.0.0.0:1", readable.path).find("chmod 600"), std::string::npos);
    const TokenFile empty("", 0600);
    EXPECT_NE(refusal("0.0.0.0:1", empty.path).find("holds no token"), std::string::npos);
    const TokenFile blanks("0123456789 abcdef\n", 0600);
    EXPECT_NE(refusal("0.0.0.0:1", blanks.path).find("holds no token"), std::string::npos);
    EXPECT_NE(refusal("0.0.0.0:1", "/nonexistent").find("openssl rand"), std::string::npos);
    EXPECT_NE(refusal("", good.path).find("without --http"), std::string::npos);
}

struct TestReport : Report {
    explicit TestReport(Readiness given, Accounts list = Accounts::Unknown) {
        readiness = std::move(given);
        accounts = list;
    }
    void write(MetricsText& text) const override { text.gauge("test_x", "x", std::uint64_t{1}); }
    void write_accounts(MetricsText& text, std::size_t top) const override {
        text.gauge("test_top", "x", std::uint64_t{top});
    }
};

TEST(Watch, SaysWhetherTheProcessIsReadyAndWhyNot) {
    Watch watch({"127.0.0.1", 0, ""}, "test");
    EXPECT_EQ(told(get(watch.port(), "/healthz")), "200 ok\n");
    EXPECT_EQ(told(get(watch.port(), "/readyz")), "503 starting\n");
    watch.report(std::make_shared<TestReport>(Readiness{true, "streaming", {}}));
    EXPECT_EQ(told(get(watch.port(), "/readyz")), "200 streaming\n");
    watch.report(std::make_shared<TestReport>(Readiness{false, "connecting", "no server"}));
    EXPECT_EQ(told(get(watch.port(), "/readyz")), "503 connecting: no server\n");
    EXPECT_EQ(told(get(watch.port(), "/nothing")).substr(0, 3), "404");
}

TEST(Watch, ALoopThatStandsStillIsNotHealthy) {
    Watch watch({"127.0.0.1", 0, ""}, "test", 200ms);
    watch.report(std::make_shared<TestReport>(Readiness{true, "streaming", {}}));
    std::this_thread::sleep_for(300ms);
    for (const char* page : {"/healthz", "/readyz"})
        EXPECT_EQ(told(get(watch.port(), page)), "503 the loop has not turned for 0 s\n") << page;
    // The numbers are still there, with their age.
    EXPECT_NE(get(watch.port(), "/metrics").find("\ntest_report_age_seconds 0."),
              std::string::npos);
    watch.report(std::make_shared<TestReport>(Readiness{true, "streaming", {}}));
    EXPECT_EQ(told(get(watch.port(), "/healthz")), "200 ok\n");
}

TEST(Watch, MetricsAreThoseOfTheReportAndOfTheProcess) {
    Watch watch({"127.0.0.1", 0, ""}, "test");
    watch.report(std::make_shared<TestReport>(Readiness{}));
    const std::string page = told(get(watch.port(), "/metrics"));
    for (const char* line : {"200 # HELP test_x x\n", "\ntest_x 1\n", "\ntest_open_descriptors ",
                             "\ntest_descriptor_limit ", "\ntest_resident_memory_bytes ",
                             "\ntest_cpu_seconds_total ", "\ntest_report_age_seconds "})
        EXPECT_NE(page.find(line), std::string::npos) << line << page;
}

TEST(Watch, WithATokenStrangersSeeAWordAlone) {
    Watch watch({"127.0.0.1", 0, "0123456789abcdef"}, "test");
    watch.report(std::make_shared<TestReport>(Readiness{false, "connecting", "host secret"}));
    EXPECT_EQ(told(get(watch.port(), "/readyz")), "503 connecting\n");
    EXPECT_EQ(told(get(watch.port(), "/healthz")), "200 ok\n");
    for (const char* page : {"/metrics", "/metrics/accounts", "/nothing"}) {
        const std::string answer = get(watch.port(), page);
        EXPECT_EQ(told(answer).substr(0, 3), "401") << page;
        EXPECT_NE(answer.find("WWW-Authenticate: Bearer"), std::string::npos) << answer;
    }
    EXPECT_EQ(told(get(watch.port(), "/readyz", "Authorization: Bearer 0123456789abcdef\r\n")),
              "503 connecting: host secret\n");
}

TEST(Watch, AccountsAreListedWhileSomebodyAsks) {
    Watch watch({"127.0.0.1", 0, ""}, "test");
    EXPECT_FALSE(watch.wants_accounts());
    watch.report(std::make_shared<TestReport>(Readiness{}));
    EXPECT_EQ(told(get(watch.port(), "/metrics/accounts")).substr(0, 3), "404");
    watch.report(std::make_shared<TestReport>(Readiness{}, Report::Accounts::NotListed));
    auto page = std::async([&] { return told(get(watch.port(), "/metrics/accounts?top=7")); });
    while (!watch.wants_accounts()) std::this_thread::sleep_for(1ms);
    watch.report(std::make_shared<TestReport>(Readiness{}, Report::Accounts::Listed));
    EXPECT_NE(page.get().find("test_top 7\n"), std::string::npos);
    EXPECT_NE(get(watch.port(), "/metrics/accounts").find("test_top 50\n"), std::string::npos);
    for (const char* top : {"0", "501", "x", "", "7x", "-1"})
        EXPECT_EQ(told(get(watch.port(), std::string("/metrics/accounts?top=") + top)).substr(0, 3),
                  "400")
            << top;
}

TEST(TurnTimes, TheLongestIsOfTheLastMinuteOrTwo) {
    TurnTimes times;
    TurnTimes::Time now{1h};
    times.took(5s, now);
    times.took(1s, now += 30s);
    EXPECT_EQ(times.longest(), 5);
    times.took(2s, now += 31s);
    EXPECT_EQ(times.longest(), 5);
    times.took(1s, now += 61s);
    EXPECT_EQ(times.longest(), 2);
    times.took(1s, now += 300s);
    EXPECT_EQ(times.longest(), 1);
    EXPECT_EQ(times.histogram().sum(), 10);
}

}  // namespace http_tests
}  // namespace fatwal::service
