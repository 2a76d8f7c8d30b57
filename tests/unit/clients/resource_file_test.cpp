#include "clients/usherctl/resource_file.hpp"

#include "catch.hpp"

using namespace usher::clients;
using namespace usher::clients::control;

namespace {

std::string error_of(std::string_view text) {
    const auto file = parse_resource_file(text, "r.yaml");
    return file.ok() ? "accepted" : file.error().message;
}

constexpr std::string_view example = R"(# resources.yaml
kind: app
name: crm
destinations: ["127.0.0.1:18080", "*.crm.corp.example:443"]
allow_addresses: ["127.0.0.0/8"]
---
kind: policy
name: finance-uses-crm
apps: [crm]
allow: [{departments: [Finance]}, {groups: [sales]}]
deny:  [{accounts: [mallory]}]
)";

}  // namespace

TEST_CASE("apps and policies are read as they are written") {
    const auto file = parse_resource_file(example, "r.yaml");
    REQUIRE(file.ok());
    REQUIRE(file->request.resources_size() == 2);
    const auto& app = file->request.resources(0).app();
    CHECK(app.name() == "crm");
    REQUIRE(app.destinations_size() == 2);
    CHECK(app.destinations(1) == "*.crm.corp.example:443");
    CHECK(app.allow_addresses(0) == "127.0.0.0/8");
    const auto& policy = file->request.resources(1).policy();
    CHECK(policy.apps(0) == "crm");
    REQUIRE(policy.allow_size() == 2);
    CHECK(policy.allow(0).departments(0) == "Finance");
    CHECK(policy.allow(1).groups(0) == "sales");
    CHECK(policy.deny(0).accounts(0) == "mallory");
}

TEST_CASE("an unknown key is named with its place and the key that was meant") {
    CHECK(error_of("kind: app\nname: crm\ndestinatons: [a:1]\n") ==
          "r.yaml:3:1: unknown key 'destinatons' in app; did you mean 'destinations'?");
    CHECK(error_of("kind: policy\nname: p\nallow: [{group: [a]}]\n") ==
          "r.yaml:3:10: unknown key 'group' in a rule; did you mean 'groups'?");
    CHECK(error_of("kind: ap\nname: p\n") ==
          "r.yaml:1:7: unknown kind 'ap'; kinds are app, policy, department, retention_class and hold; did you mean "
          "'app'?");
}

TEST_CASE("a wrong type is named with its place") {
    CHECK(error_of("kind: app\nname: [crm]\n") == "r.yaml:2:7: 'name' must be text, not a list");
    CHECK(error_of("kind: app\nname: crm\ndestinations: a:1\n") ==
          "r.yaml:3:15: 'destinations' must be a list of texts, not text");
    CHECK(error_of("kind: app\nname: crm\ndestinations: [{a: b}]\n") ==
          "r.yaml:3:16: 'destinations[0]' must be text, not a map");
    CHECK(error_of("kind: policy\nname: p\ndeny: [mallory]\n") ==
          "r.yaml:3:8: 'deny[0]' must be a map such as {groups: [sales]}, not text");
    CHECK(error_of("kind: app\nname: ~\n").find("must be text, not nothing") != std::string::npos);
}

TEST_CASE("what is missing is named") {
    CHECK(error_of("name: crm\n") == "r.yaml:1:1: 'kind' is missing: app, policy, department, retention_class or hold");
    CHECK(error_of("kind: app\n") == "r.yaml:1:1: 'name' is missing in app");
    CHECK(error_of("- a\n") == "r.yaml:1:1: a resource is a map with 'kind' and 'name', not a list");
    CHECK(error_of("# nothing\n") == "r.yaml: there is no resource in it");
    CHECK(error_of("") == "r.yaml: there is no resource in it");
}

TEST_CASE("a key twice, anchors, aliases and tags are refused") {
    CHECK(error_of("kind: app\nname: a\nname: b\n") == "r.yaml:3:1: the key 'name' is here twice");
    CHECK(error_of("kind: app\nname: &x a\n").find("anchors") != std::string::npos);
    CHECK(error_of("kind: app\nname: &x a\ndestinations: [*x]\n").find("anchors") != std::string::npos);
    CHECK(error_of("kind: app\nname: *x\n") != "accepted");
    CHECK(error_of("kind: app\nname: !!str a\n").find("tags") != std::string::npos);
    CHECK(error_of("kind: app\nname: &x [a]\n").find("anchors") != std::string::npos);
    CHECK(error_of("kind: app\n? [a]\n: b\n").find("a key must be text") != std::string::npos);
}

TEST_CASE("what is no YAML is refused with its place") {
    CHECK(error_of("kind: [app\n").rfind("r.yaml:", 0) == 0);
    CHECK(error_of("kind: \xff\n") == "r.yaml: not UTF-8 text");
    CHECK(error_of(std::string(50, '[')) != "accepted");
}

TEST_CASE("size and number are bounded") {
    CHECK(error_of(std::string(resource_file_limit_bytes + 1, '#')) == "r.yaml: larger than 1024 KiB; split it");
    std::string many;
    for (int i = 0; i < 1001; ++i) many += "---\nkind: app\nname: a" + std::to_string(i) + "\n";
    CHECK(error_of(many).find("more than 1000 resources") != std::string::npos);
}

TEST_CASE("an error of the server is shown where it came from") {
    const auto file = parse_resource_file(example, "r.yaml");
    REQUIRE(file.ok());
    CHECK(file->locate("resources[0].destinations[1]: no port") == "r.yaml:4:35: destinations[1]: no port");
    CHECK(file->locate("resources[1].allow[1].groups[0]: too long") == "r.yaml:10:45: allow[1].groups[0]: too long");
    CHECK(file->locate("resources[1].policy.apps[0]: no app 'crm'") == "r.yaml:9:8: apps[0]: no app 'crm'");
    CHECK(file->locate("resources[1].apps[7]: odd") == "r.yaml:9:7: apps[7]: odd");
    CHECK(file->locate("resources[0]: odd") == "r.yaml:2:1: odd");
    CHECK(file->locate("resources[9].name: odd") == "resources[9].name: odd");
    CHECK(file->locate("resources[0].name: \x1b[2J") == "r.yaml:3:7: name: \\x1b[2J");
    CHECK(file->locate("something else") == "something else");
}

TEST_CASE("what get prints is what apply reads") {
    const auto file = parse_resource_file(example, "r.yaml");
    REQUIRE(file.ok());
    const std::string printed =
        to_yaml(file->request.resources(0).app()) + to_yaml(file->request.resources(1).policy());
    const auto again = parse_resource_file(printed, "again.yaml");
    REQUIRE(again.ok());
    CHECK(again->request.SerializeAsString() == file->request.SerializeAsString());
}

TEST_CASE("hostile text survives the round through YAML and cannot command a terminal") {
    usher::v1::App app;
    app.set_name("a\"b\\c\x1b\n\xe2\x80\xae\xe5\xbc\xa0: - #{}[]");
    const auto printed = to_yaml(app);
    CHECK(printed.find('\x1b') == std::string::npos);
    CHECK(printed.find("\xe2\x80\xae") == std::string::npos);
    const auto again = parse_resource_file(printed, "again.yaml");
    REQUIRE(again.ok());
    CHECK(again->request.resources(0).app().name() == app.name());
}
