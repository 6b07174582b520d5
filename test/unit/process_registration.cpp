#include <gtest/gtest.h>

#include "portal/process/registration.h"

namespace fatwal::process {
namespace registration_tests {

using access::Json;

const std::string kKey = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

Json device() { return {{"external_id", "e"}, {"name", "n"}, {"public_key", kKey}}; }

// "" when it is good, else the reason and the field.
std::string verdict(const Json& body, Role role = Role::Client) {
    const auto read = read_device(role, body.dump());
    const auto* bad = std::get_if<BadRequest>(&read);
    return bad == nullptr ? "" : bad->reason + ' ' + bad->field;
}

TEST(Registration, TakesWhatHasAColumn) {
    Json said = device();
    said["device_serial"] = "s";
    said["device_uuid"] = nullptr;
    said["newer"] = Json::array({1});
    Json of_client = device();
    of_client["device_serial"] = "s";
    EXPECT_EQ(std::get<Json>(read_device(Role::Client, said.dump())), of_client);
    EXPECT_EQ(std::get<Json>(read_device(Role::Gateway, said.dump())), device());
}

TEST(Registration, AKeyIsTheOneBase64OfThirtyTwoBytes) {
    const auto with = [](std::string key) {
        Json said = device();
        said["public_key"] = std::move(key);
        return verdict(said);
    };
    EXPECT_EQ(with(kKey), "");
    // The last digit of 32 bytes has two bits that are nothing's: other values of them are other
    // texts of the same key.
    for (const char last : {'h', 'i', 'j'}) {
        std::string other = kKey;
        other[42] = last;
        EXPECT_EQ(with(other), "invalid_field public_key") << last;
    }
    for (const std::string& other :
         {kKey.substr(0, 43), kKey + '=', kKey.substr(0, 42) + "==", std::string("k"),
          kKey.substr(0, 20) + '-' + kKey.substr(21), '=' + kKey.substr(1)})
        EXPECT_EQ(with(other), "invalid_field public_key") << other;
}

TEST(Registration, TextsAreShortAndPlain) {
    for (const char* name : {"external_id", "name", "device_uuid"}) {
        const auto with = [&](const Json& value) {
            Json said = device();
            said[name] = value;
            return verdict(said);
        };
        EXPECT_EQ(with(std::string(255, 'x')), "");
        EXPECT_EQ(with("\xc3\xbc \xf0\x9f\x92\xbb"), "");
        const std::string bad = std::string("invalid_field ") + name;
        for (const Json& value :
             {Json(std::string(256, 'x')), Json(""), Json(5), Json::array(), Json("a\nb"),
              Json(std::string(1, '\0')), Json("\xc2\x85"), Json("\xe2\x80\xa8")})
            EXPECT_EQ(with(value), bad) << value;
    }
    for (const char* name : {"external_id", "name", "public_key"}) {
        Json said = device();
        said.erase(name);
        EXPECT_EQ(verdict(said), std::string("missing_field ") + name);
    }
}

TEST(Registration, WhatIsNoObjectIsRefused) {
    for (const char* text : {"", "null", "[]", "{", "{\"name\":\"\xff\"}", "{} {}"})
        EXPECT_EQ(std::get<BadRequest>(read_device(Role::Client, text)).reason, "invalid_json")
            << text;
}

}  // namespace registration_tests
}  // namespace fatwal::process
