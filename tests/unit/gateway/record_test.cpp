#include "gateway/record.hpp"

#include "catch.hpp"

using namespace usher;
using namespace usher::gateway;

namespace {

auth::Posture everything() {
    const auth::Posture::Texts texts{
        {"agent_version", "0.1.0"},  {"battery_percent", "80"},  {"brand", "LENOVO"},    {"device_name", "new"},
        {"device_uid", "00ff"},      {"disk_encrypted", "yes"},  {"firewall", "no"},     {"language", "de-DE"},
        {"model", "20XW"},           {"network_type", "wired"},  {"os", "debian"},       {"os_name", "Debian 12"},
        {"os_version", "12.4"},      {"screen", "1920x1080"},    {"screen_lock", "yes"}, {"storage_bytes", "1000"},
        {"storage_free_bytes", "0"}, {"time_zone", "Asia/Tokyo"}};
    return auth::Posture::from_texts(texts).value();
}

const auth::DeviceClaims signed_in{"id", "old", "Lenovo", "20xw", "Debian 11", "en-GB"};

}  // namespace

TEST_CASE("what a device says of itself is on record so that it can be judged again") {
    auto device = to_proto(signed_in);
    add_posture(device, everything());
    CHECK(device.device_id() == "id");
    CHECK(device.name() == "new");
    CHECK(device.os() == "Debian 12");
    const auto again = posture_of(device);
    REQUIRE(again);
    CHECK(*again == everything());
}

TEST_CASE("what was said at a sign-in alone stands on record, and is nothing that was reported") {
    CHECK_FALSE(posture_of(to_proto(signed_in)));
    for (const bool with_the_rest : {false, true}) {
        auth::Posture said;
        said.model = "20XW";
        if (with_the_rest) said.os = "debian";
        auto device = to_proto(signed_in);
        add_posture(device, said);
        CHECK(device.name() == "old");
        CHECK(device.model() == "20XW");
        const auto again = posture_of(device);
        REQUIRE(again);
        CHECK(*again == said);
    }
}
