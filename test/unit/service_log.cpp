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

}  // namespace log_tests
}  // namespace fatwal::service
