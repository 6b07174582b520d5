#include "service/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

namespace fatwal::service {
namespace log_tests {

// A pipe with a logger that writes into it.
class Logged {
public:
    explicit Logged(LogFormat format) {
        EXPECT_EQ(pipe2(ends_.data(), O_NONBLOCK), 0);
        logger_ = std::make_shared<spdlog::logger>("fatwald", std::make_shared<LogSink>(ends_[1]));
        if (format == LogFormat::Json) logger_->set_formatter(std::make_unique<JsonFormatter>());
    }
    ~Logged() {
        for (const int end : ends_) close(end);
    }
    Logged(const Logged&) = delete;
    Logged& operator=(const Logged&) = delete;

    spdlog::logger& operator*() { return *logger_; }
    [[nodiscard]] std::string read_all() const {
        std::string all;
        std::array<char, 65'536> buffer{};
        for (ssize_t size = 0; (size = read(ends_[0], buffer.data(), buffer.size())) > 0;)
            all.append(buffer.data(), static_cast<std::size_t>(size));
        return all;
    }

private:
    std::array<int, 2> ends_{};
    std::shared_ptr<spdlog::logger> logger_;
};

TEST(Log, ALineOfJsonHasTimeLevelAndMessage) {
    Logged log(LogFormat::Json);
    (*log).warn("line \"one\"\n  detail: two\x01\xff");
    const std::string line = log.read_all();
    ASSERT_EQ(line.find('\n'), line.size() - 1) << line;
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json.size(), 3U);
    EXPECT_EQ(json["level"], "warning");
    EXPECT_EQ(json["message"], "line \"one\"\n  detail: two\x01\xef\xbf\xbd");
    const std::string time = json["time"];
    EXPECT_TRUE(time.starts_with("20") && time.ends_with("Z") && time.find('T') == 10) << time;
}

TEST(Log, ALineOfJsonThatIsTooLongIsWhole) {
    for (const char* each : {"x", "\"", "\x01", "é", "\xff"}) {
        std::string text;
        for (int i = 0; i < 5000; ++i) text += each;
        Logged log(LogFormat::Json);
        (*log).info("{}", text);
        const std::string line = log.read_all();
        EXPECT_LE(line.size(), kLineBytes);
        EXPECT_GT(line.size(), kLineBytes - 64) << each;
        ASSERT_TRUE(nlohmann::json::accept(line)) << each;
        EXPECT_EQ(line.back(), '\n');
    }
}

TEST(Log, WhatNobodyReadsIsDroppedAndCounted) {
    for (const LogFormat format : {LogFormat::Text, LogFormat::Json}) {
        Logged log(format);
        for (int i = 0; i < 2000; ++i) (*log).info("{:0100}", i);
        (void)log.read_all();
        (*log).info("again");
        const std::string rest = log.read_all();
        const auto dropped = rest.find(" lines of the log were dropped, as nobody read them");
        ASSERT_NE(dropped, std::string::npos) << rest;
        EXPECT_GT(rest.find("again"), dropped);
        if (format == LogFormat::Json) {
            EXPECT_TRUE(nlohmann::json::accept(rest.substr(0, rest.find('\n')))) << rest;
        }
    }
}

// A logger whose lines are kept.
class Kept {
public:
    void info(const std::string& text) { logger_.info("{}", text); }
    RecentLines& operator*() { return *lines_; }
    std::vector<LogLine> behind(std::uint64_t number, std::size_t most = 10'000) {
        return lines_->behind(number, most, more);
    }
    bool more = false;

private:
    std::shared_ptr<RecentLines> lines_ = std::make_shared<RecentLines>();
    spdlog::logger logger_{"fatwald", lines_};
};

TEST(RecentLines, TheNewestAreKeptByTheirNumber) {
    Kept kept;
    EXPECT_TRUE(kept.behind(0).empty());
    constexpr std::uint64_t kGone = 7;
    for (std::uint64_t i = 1; i <= RecentLines::kMostLines + kGone; ++i)
        kept.info(std::to_string(i));
    const auto all = kept.behind(0);
    ASSERT_EQ(all.size(), RecentLines::kMostLines);
    for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(all[i].number, i + kGone + 1);
        EXPECT_EQ(all[i].text, std::to_string(all[i].number));
    }
    EXPECT_FALSE(kept.more);
    const std::uint64_t newest = all.back().number;
    EXPECT_EQ(kept.behind(kGone - 1, 2).front().number, kGone + 1);
    EXPECT_TRUE(kept.more);
    EXPECT_EQ(kept.behind(newest - 2, 1).front().number, newest - 1);
    EXPECT_TRUE(kept.more);
    EXPECT_EQ(kept.behind(newest - 1, 1).front().number, newest);
    EXPECT_FALSE(kept.more);
    for (const std::uint64_t number : {newest, newest + 1, ~std::uint64_t{0}}) {
        EXPECT_TRUE(kept.behind(number).empty());
        EXPECT_FALSE(kept.more);
    }
}

TEST(RecentLines, LongLinesAreCutAndTheirBytesBounded) {
    Kept kept;
    for (int i = 0; i < 400; ++i) kept.info('x' + std::string(2000, 'y'));
    kept.info("x" + std::string(RecentLines::kMostTextBytes - 2, 'y') + "é");
    const auto all = kept.behind(0);
    EXPECT_EQ(all.front().text.size(), RecentLines::kMostTextBytes);
    EXPECT_EQ(all.back().text.size(), RecentLines::kMostTextBytes - 1) << "no half of a character";
    EXPECT_EQ(all.size(), RecentLines::kMostBytes / RecentLines::kMostTextBytes);
    EXPECT_EQ(all.back().number, 401U);
}

TEST(RecentLines, TheLevelOfStandardErrorIsNotTheirs) {
    const auto before = spdlog::default_logger();
    const auto lines = std::make_shared<RecentLines>();
    testing::internal::CaptureStderr();
    begin_log("fatwald", LogLevel::Error, LogFormat::Text, lines);
    spdlog::debug("one");
    spdlog::info("two");
    spdlog::error("three");
    set_log_level(LogLevel::Debug);
    spdlog::debug("four");
    set_log_level(LogLevel::Off);
    spdlog::critical("five");
    spdlog::set_default_logger(before);
    const std::string written = testing::internal::GetCapturedStderr();
    std::string kept;
    bool more = false;
    for (const LogLine& line : lines->behind(0, 10, more)) {
        kept += line.text + ' ';
        EXPECT_EQ(line.level, line.text == "two"     ? LogLevel::Info
                              : line.text == "three" ? LogLevel::Error
                                                     : LogLevel::Critical);
        EXPECT_GE(line.unix_us, static_cast<std::int64_t>(lines->start()));
    }
    EXPECT_EQ(kept, "two three five ");
    for (const char* text : {"three", "four"}) EXPECT_NE(written.find(text), std::string::npos);
    for (const char* text : {"one", "two", "five"})
        EXPECT_EQ(written.find(text), std::string::npos) << written;
}

}  // namespace log_tests
}  // namespace fatwal::service
