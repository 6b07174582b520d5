#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <string>

#include <zmq.hpp>

#include "fatwal/client/keys.h"
#include "fatwal/client/subscription.h"

namespace fatwal {
namespace keys_tests {

using client::Keys;

// Those of ZeroMQ's own documentation (man zmq_curve).
const std::string kPublic = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
const std::string kSecret = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";
const std::string kServer = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

// A key file that is there as long as this.
class KeyFile {
public:
    explicit KeyFile(const std::string& text, mode_t mode = 0600)
        : path_(testing::TempDir() + "key-" + std::to_string(getpid())) {
        std::ofstream(path_) << text;
        chmod(path_.c_str(), mode);
    }
    ~KeyFile() { std::remove(path_.c_str()); }
    KeyFile(const KeyFile&) = delete;
    KeyFile& operator=(const KeyFile&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::string refusal(const std::function<void()>& work) {
    try {
        work();
    } catch (const std::invalid_argument& error) {
        EXPECT_EQ(std::string(error.what()).find(kSecret), std::string::npos) << error.what();
        return error.what();
    }
    return "";
}
std::string refusal(const Keys& keys) {
    return refusal([&] { keys.check(); });
}
std::string refusal_of_file(const std::string& path) {
    return refusal([&] { (void)Keys::from_file(path, kServer); });
}

TEST(KeysTest, APairAndTheServersKeyAreAccepted) {
    EXPECT_EQ(refusal(Keys{kServer, kPublic, kSecret}), "");
}

TEST(KeysTest, WhatIsNoKeyIsRefusedWithWhatToDo) {
    const auto contains = [](const std::string& text, const char* words) {
        return text.find(words) != std::string::npos;
    };
    const std::string space = kServer.substr(1) + " ";
    for (const std::string& bad : {std::string(), kServer.substr(1), kServer + "1", space,
                                   std::string(40, '#'), std::string(40, '\xff')}) {
        EXPECT_TRUE(contains(refusal(Keys{bad, kPublic, kSecret}), "`fatwal keygen` printed"))
            << bad;
        EXPECT_TRUE(contains(refusal(Keys{kServer, bad, kSecret}), "makes a pair")) << bad;
        EXPECT_TRUE(contains(refusal(Keys{kServer, kPublic, bad}), "makes a pair")) << bad;
    }
    EXPECT_TRUE(contains(refusal(Keys{kServer, kServer, kSecret}), "take both from one file"));
}

TEST(KeysTest, ASubscriptionRefusesThemWhenItIsMade) {
    zmq::context_t context;
    client::SubscriptionOptions options;
    options.control = {"inproc://nowhere"};
    options.keys = Keys{kServer, kPublic, "secret"};
    EXPECT_NE(refusal([&] { client::Subscription(context, options); }), "");
}

TEST(KeysTest, AreReadFromACertificateOfZeroMq) {
    const std::string text =
        "#   ****  Generated on 2026-11-28 by pyzmq  ****\n"
        "#   public-key = \"not this\"\n\nmetadata\n    name = \"w\"\ncurve\n"
        "    public-key = \"" +
        kPublic + "\"\n    secret-key = \"" + kSecret + "\"\n";
    const KeyFile file(text);
    const Keys keys = Keys::from_file(file.path(), kServer);
    EXPECT_EQ(keys, (Keys{kServer, kPublic, kSecret}));
    // As an editor may leave it.
    const KeyFile without_newline(text.substr(0, text.size() - 1));
    EXPECT_EQ(Keys::from_file(without_newline.path(), kServer), keys);
}

TEST(KeysTest, AFileThatOthersCanReadOrThatHoldsNoPairIsRefused) {
    const std::string text =
        "curve\n    public-key = \"" + kPublic + "\"\n    secret-key = \"" + kSecret + "\"\n";
    for (const mode_t mode : {0640, 0604, 0620, 0601}) {
        const KeyFile file(text, mode);
        EXPECT_NE(refusal_of_file(file.path()).find("chmod 600 " + file.path()), std::string::npos);
    }
    for (const std::string& bad :
         {std::string(), std::string("curve"), "public-key = \"" + kPublic + "\"",
          "secret-key = \"" + kSecret + "\"", text.substr(0, text.size() - 3)}) {
        const KeyFile file(bad);
        EXPECT_NE(refusal_of_file(file.path()).find("does not hold a public-key"),
                  std::string::npos)
            << bad;
    }
    EXPECT_NE(refusal_of_file("/nowhere").find("`fatwal keygen /nowhere` makes one"),
              std::string::npos);
    EXPECT_NE(refusal_of_file("/").find("cannot be read"), std::string::npos);
}

}  // namespace keys_tests
}  // namespace fatwal
