#include "auth/posture.hpp"

#include "auth/policy.hpp"
#include "auth/policy_support.hpp"

using namespace usher;
using namespace usher::test;
using auth::Context;
using auth::Posture;
using auth::PosturePtr;
using auth::PostureTest;
using auth::Rule;
using auth::RuleField;
using auth::Version;

namespace {

PostureTest condition(std::string_view text) {
    auto parsed = PostureTest::parse(text);
    if (!parsed) FAIL(parsed.error().message);
    return *parsed;
}

PosturePtr said(const std::vector<std::string>& facts) {
    auto posture = auth::posture_of(facts);
    if (!posture) FAIL(posture.error().message);
    return std::make_shared<const Posture>(*posture);
}

Context of(PosturePtr posture) {
    Context context;
    context.posture = std::move(posture);
    return context;
}

Rule staff_with(const std::vector<std::string>& conditions) {
    Rule rule{{}, {"staff"}, {}};
    for (const auto& text : conditions) rule.posture.push_back(condition(text));
    return rule;
}

std::string decision(std::vector<auth::Policy> policies, const Context& context) {
    const auto account = staff();
    const auth::DirectorySnapshot directory(1, {account}, {crm()}, std::move(policies));
    return auth::decide(directory, account, *directory.app("crm"), context).text();
}

}  // namespace

TEST_CASE("versions are numbers, and what is missing counts as nought") {
    CHECK(*Version::parse("12") < *Version::parse("12.1"));
    CHECK(*Version::parse("9") < *Version::parse("12"));
    CHECK(*Version::parse("22.04") == *Version::parse("22.4"));
    CHECK(*Version::parse("1.2.3.4") > *Version::parse("1.2.3"));
    CHECK(*Version::parse("12.0") == *Version::parse("12"));
    for (const auto* bad :
         {"", ".", "12.", ".1", "1..2", "1.2.3.4.5", "12a", "-1", "+1", " 1", "1234567890", "rolling"})
        CHECK_FALSE(Version::parse(bad));
}

TEST_CASE("conditions are read strictly and said the same way again") {
    for (const auto& [text, canonical] : std::vector<std::pair<std::string, std::string>>{
             {"disk_encrypted", "disk_encrypted"},
             {" not  firewall ", "not firewall"},
             {"os_version>=12.4", "os_version >= 12.4"},
             {"agent_version  !=  0.1.0", "agent_version != 0.1.0"},
             {"os=debian", "os = debian"},
             {"time_zone = Europe/Berlin", "time_zone = Europe/Berlin"},
             {"network_type != wireless", "network_type != wireless"},
             {"screen=1920x1080", "screen = 1920x1080"},
             {"device_name=alices-laptop", "device_name = alices-laptop"},
             {"os_name = Debian GNU/Linux 12 (bookworm)", "os_name = Debian GNU/Linux 12 (bookworm)"},
             {"brand != LENOVO", "brand != LENOVO"},
             {"model = 20XW", "model = 20XW"},
             {"language != de-DE", "language != de-DE"},
             {"battery_percent>20", "battery_percent > 20"},
             {"storage_bytes >= 0", "storage_bytes >= 0"},
             {"storage_free_bytes>=20GiB", "storage_free_bytes >= 20GiB"},
             {"os_version < 12", "os_version < 12"}}) {
        INFO(text);
        CHECK(condition(text).to_string() == canonical);
        CHECK(condition(canonical) == condition(text));
    }
    for (const std::string_view bad : std::vector<std::string_view>{"",
                                                                    "not",
                                                                    "not not firewall",
                                                                    "disk_encrypted = yes",
                                                                    "not os",
                                                                    "os",
                                                                    "os_version",
                                                                    "os_version >= twelve",
                                                                    "os > debian",
                                                                    "os =",
                                                                    "os == debian",
                                                                    "os_version =< 12",
                                                                    "OS = debian",
                                                                    "colour = red",
                                                                    "os = a\tb",
                                                                    "not os_version >= 12",
                                                                    "disk_encrypted firewall",
                                                                    "os_version >= 12 or 13",
                                                                    "battery_percent",
                                                                    "not battery_percent",
                                                                    "battery_percent >= 101",
                                                                    "battery_percent >= 20%",
                                                                    "battery_percent = 1KiB",
                                                                    "battery_percent > -1",
                                                                    "battery_percent > 07",
                                                                    "battery_percent = 1.5",
                                                                    "storage_bytes > much",
                                                                    "storage_bytes > 1GB",
                                                                    "storage_bytes > 01GiB",
                                                                    "storage_bytes > 1 GiB",
                                                                    "storage_bytes > 9223372036854775808",
                                                                    "storage_bytes > 8589934592GiB",
                                                                    "screen",
                                                                    "screen > 1920x1080",
                                                                    "device_name",
                                                                    "language > de",
                                                                    "name = x",
                                                                    "not model"}) {
        INFO(bad);
        const auto parsed = PostureTest::parse(bad);
        REQUIRE_FALSE(parsed.ok());
        CHECK(parsed.error().message.find("expected disk_encrypted") != std::string::npos);
    }
    CHECK_FALSE(PostureTest::parse("os = " + std::string(300, 'x')).ok());
    // As it is kept it is read again, the longest one too.
    CHECK_FALSE(PostureTest::parse("os=" + std::string(197, 'x')).ok());
    const auto longest = condition("os=" + std::string(195, 'x'));
    CHECK(condition(longest.to_string()) == longest);
}

TEST_CASE("what a device does not say is neither so nor otherwise") {
    const auto known = said({"disk_encrypted", "not firewall", "os = debian", "os_version = 12.4"});
    CHECK(condition("disk_encrypted").holds(*known));
    CHECK_FALSE(condition("not disk_encrypted").holds(*known));
    CHECK(condition("not firewall").holds(*known));
    CHECK_FALSE(condition("firewall").holds(*known));
    CHECK_FALSE(condition("screen_lock").holds(*known));
    CHECK_FALSE(condition("not screen_lock").holds(*known));
    CHECK(condition("os = debian").holds(*known));
    CHECK(condition("os != ubuntu").holds(*known));
    CHECK_FALSE(condition("time_zone != UTC").holds(*known));
    for (const auto* name : {"device_name", "brand", "model", "os_name", "language"}) {
        const std::string field(name);
        const auto named_a = said({field + " = A"});
        CHECK(condition(field + " = A").holds(*named_a));
        CHECK(condition(field + " != a").holds(*named_a));
        CHECK_FALSE(condition(field + " != A").holds(*named_a));
        CHECK_FALSE(condition(field + " != A").holds(*known));
    }
    for (const auto* yes : {"os_version >= 12", "os_version > 12", "os_version < 13", "os_version <= 12.4",
                            "os_version = 12.4", "os_version != 12"})
        CHECK(condition(yes).holds(*known));
    for (const auto* no : {"os_version >= 12.5", "os_version < 12.4", "os_version = 12", "agent_version >= 0"})
        CHECK_FALSE(condition(no).holds(*known));
    // A version that is none is not compared.
    Posture odd;
    odd.os_version = "rolling";
    CHECK_FALSE(condition("os_version >= 0").holds(odd));
    CHECK_FALSE(condition("os_version != 1").holds(odd));
}

TEST_CASE("numbers are compared as numbers, and bytes by their size") {
    const auto known =
        said({"battery_percent = 80", "storage_bytes = 256GiB", "storage_free_bytes = 9", "screen = 1x1"});
    for (const auto* yes :
         {"battery_percent = 80", "battery_percent != 8", "battery_percent >= 9", "battery_percent > 79",
          "battery_percent <= 80", "battery_percent < 100", "storage_bytes = 274877906944", "storage_bytes = 262144MiB",
          "storage_bytes > 255GiB", "storage_free_bytes < 10", "storage_free_bytes <= 1KiB", "screen != 2x2"})
        CHECK(condition(yes).holds(*known));
    for (const auto* no :
         {"battery_percent = 8", "battery_percent > 80", "battery_percent < 80", "battery_percent != 80",
          "storage_bytes >= 257GiB", "storage_free_bytes >= 10", "screen = 2x2"})
        CHECK_FALSE(condition(no).holds(*known));
    // Nought is said; nothing is not.
    CHECK(condition("storage_free_bytes = 0").holds(*said({"storage_free_bytes = 0"})));
    for (const auto* unknown :
         {"storage_free_bytes < 1GiB", "storage_bytes != 1", "battery_percent >= 0", "screen != 1x1"})
        CHECK_FALSE(condition(unknown).holds(Posture{}));
}

TEST_CASE("facts say what is, each once") {
    const std::vector<std::string> facts{"agent_version = 0.1.0", "battery_percent = 0",   "device_uid = 00ff",
                                         "not disk_encrypted",    "os = debian",           "screen = 1920x1080",
                                         "storage_bytes = 1000",  "time_zone = Asia/Tokyo"};
    CHECK(auth::facts_of(*said(facts)) == facts);
    CHECK(auth::facts_of(*said({"storage_bytes = 1KiB"})) == std::vector<std::string>{"storage_bytes = 1024"});
    for (const auto& bad : std::vector<std::vector<std::string>>{{"os != debian"},
                                                                 {"os_version >= 12"},
                                                                 {"os = a", "os = b"},
                                                                 {"firewall", "not firewall"},
                                                                 {"battery_percent = 1", "battery_percent = 1"},
                                                                 {"storage_bytes >= 1"},
                                                                 {"shape = round"}})
        CHECK_FALSE(auth::posture_of(bad).ok());
    const std::vector<std::string> second{"os = a", "os != b"};
    CHECK(auth::posture_of(second).error().message.starts_with("[1]: 'os != b' says what something is not"));
}

TEST_CASE("a report is read strictly, and kept as it was") {
    const Posture::Texts names{{"brand", "LENOVO"},
                               {"device_name", "alices-laptop"},
                               {"language", "de-DE"},
                               {"model", "20XW"},
                               {"os_name", "Debian GNU/Linux 12 (bookworm)"}};
    Posture::Texts all{{"agent_version", "0.1.0"}, {"battery_percent", "80"}, {"device_uid", "00ff"},
                       {"disk_encrypted", "yes"},  {"firewall", "no"},        {"network_type", "wired"},
                       {"os", "debian"},           {"os_version", "12.4"},    {"screen", "1920x1080"},
                       {"screen_lock", "yes"},     {"storage_bytes", "1000"}, {"storage_free_bytes", "0"},
                       {"time_zone", "Asia/Tokyo"}};
    const auto rest = all;
    all.insert(names.begin(), names.end());
    const auto posture = Posture::from_texts(all);
    REQUIRE(posture.ok());
    CHECK(posture->to_texts() == all);
    CHECK(posture->names().to_texts() == names);
    CHECK(posture->without_names().to_texts() == rest);
    CHECK(posture->disk_encrypted == true);
    CHECK(posture->firewall == false);
    CHECK(Posture::from_lines(posture->to_lines()) == *posture);
    CHECK(Posture::from_lines("") == Posture{});
    for (const auto* bad :
         {"os", "os=debian", "=x\n", "os=debian\nos=ubuntu\n", "os_version=1\nos=a\n", "firewall=true\n", "\n"})
        CHECK_FALSE(Posture::from_lines(bad));
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, std::string>>{{"shape", "round"},
                                                          {"firewall", "true"},
                                                          {"firewall", ""},
                                                          {"os", ""},
                                                          {"os", "a\nb"},
                                                          {"os", "\xff"},
                                                          {"battery_percent", "101"},
                                                          {"battery_percent", "-1"},
                                                          {"storage_bytes", "1e9"},
                                                          {"storage_bytes", "007"},
                                                          {"storage_bytes", "99999999999999999999"},
                                                          {"device_name", "a\x1b[2J"},
                                                          {"model", ""},
                                                          {"device", "x"},
                                                          {"os_name", std::string(201, 'x')},
                                                          {"os", std::string(201, 'x')}}) {
        const auto refused = Posture::from_texts({{name, value}});
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().message.starts_with(name + ": "));
    }
}

TEST_CASE("a rule may ask what the device says of itself") {
    const auto rule = staff_with({"disk_encrypted", "os_version >= 12"});
    CHECK(rule.matches(staff(), of(said({"disk_encrypted", "os_version = 12"}))));
    CHECK(rule.first_unmet(staff(), of(said({"disk_encrypted", "os_version = 11"}))) == RuleField::posture);
    CHECK(rule.first_unmet(staff(), of(said({"disk_encrypted"}))) == RuleField::posture);
    CHECK(rule.first_unmet(staff(), {}) == RuleField::posture);
    CHECK(rule.first_unmet(named("bob"), {}) == RuleField::group);
    // It says something of devices and nothing of people.
    Rule alone;
    alone.posture.push_back(condition("firewall"));
    CHECK(alone.empty());
    CHECK_FALSE(alone.matches(staff(), of(said({"firewall"}))));
}

TEST_CASE("that a device has to say something else is told only where nothing else is missing") {
    const auto asks = policy("p", {staff_with({"disk_encrypted"})});
    CHECK(decision({asks}, of(said({"disk_encrypted"}))) == "allow-rule p/allow[0] by group and posture");
    CHECK(decision({asks}, {}) == "posture-needed p/allow[0]");
    CHECK(decision({asks}, of(said({"not disk_encrypted"}))) == "posture-needed p/allow[0]");
    CHECK(decision({policy("p", asks.allow, {Rule{{"alice"}, {}, {}}})}, {}) == "deny-rule p/deny[0] by account");
    // A deny rule takes hold of what is known to be bad.
    const auto denies = policy("p", {Rule{{}, {"staff"}, {}}}, {staff_with({"not disk_encrypted"})});
    CHECK(decision({denies}, of(said({"not disk_encrypted"}))) == "deny-rule p/deny[0] by group and posture");
    CHECK(decision({denies}, of(said({"disk_encrypted"}))) == "allow-rule p/allow[0] by group");
    CHECK(decision({denies}, {}) == "allow-rule p/allow[0] by group");
    auto fresh = staff_with({"firewall"});
    fresh.mfa_within = std::chrono::hours{1};
    CHECK(decision({policy("p", {fresh})}, {}) == "posture-needed p/allow[0]");
    CHECK(decision({policy("p", {fresh})}, of(said({"firewall"}))) == "second-factor-needed p/allow[0]");
}
