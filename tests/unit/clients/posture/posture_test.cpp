#include "clients/posture/posture.hpp"

#include "clients/common/json.hpp"
#include "clients/posture/declined.hpp"
#include "clients/posture/fixture_tree.hpp"
#include "clients/posture/report.hpp"
#include "clients/usher/posture_view.hpp"
#include "clients/usher/up/posture_plan.hpp"

using namespace std::chrono_literals;
using namespace usher::base;
using namespace usher::clients;
using namespace usher::clients::agent;
using Field = PostureField;
using Outcome = ReportResult::Outcome;

namespace {

constexpr const char* machine = "0123456789abcdef0123456789abcdef";
/// The bytes 0 to 31.
constexpr const char* tenant_text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
/// Made with: printf 'usher device uid v1\n0123456789abcdef0123456789abcdef' |
///   openssl dgst -sha256 -mac HMAC -macopt hexkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
constexpr const char* known_uid = "81feab2a680e6c6a7a65877babf2ffbb389d410d2db6e08832c94f8906e21ffc";

Posture a_posture() {
    Posture posture;
    posture[Field::os] = "debian";
    posture[Field::battery_percent] = "80";
    posture[Field::device_name] = "alices-laptop";
    posture.machine_id = machine;
    return posture;
}

PostureFields fields(std::initializer_list<Field> list) {
    PostureFields set;
    for (const Field field : list) set.set(index_of(field));
    return set;
}

GatewayAnswer answer(int status) {
    GatewayAnswer made;
    made.head.status = status;
    return made;
}

}  // namespace

TEST_CASE("a device's uid is the HMAC that the contract says", "[posture]") {
    const auto tenant = parse_tenant_key(tenant_text);
    REQUIRE(tenant.has_value());
    CHECK(device_uid(*tenant, machine) == known_uid);
    auto other = *tenant;
    other[31] ^= 1;
    CHECK(device_uid(other, machine) != known_uid);
}

TEST_CASE("a tenant's key is 43 characters of base64url", "[posture]") {
    const std::string good = tenant_text;
    for (const std::string& bad : {std::string(), good + "=", good + "A", good.substr(1), "+" + good.substr(1),
                                   good.substr(0, 42) + "9", " " + good.substr(1)})
        CHECK_FALSE(parse_tenant_key(bad).has_value());
}

TEST_CASE("the machine id is in no report", "[posture]") {
    const auto sent = addressed(a_posture(), *parse_tenant_key(tenant_text));
    const auto body = posture_body(sent);
    CHECK(body == std::string("{\"os\":\"debian\",\"device_uid\":\"") + known_uid +
                      "\",\"battery_percent\":\"80\",\"device_name\":\"alices-laptop\"}");
    CHECK(sent.machine_id.empty());
    CHECK(posture_body(a_posture()).find(machine) == std::string::npos);
    CHECK(posture_body(Posture{}) == "{}");
}

TEST_CASE("a gateway of before gets a report without names", "[posture]") {
    Posture all;
    for (const auto& info : posture_field_infos()) all[info.field] = "x";
    const auto body = parse_json_object(posture_body(all));
    const auto of_before = parse_json_object(posture_body(all, true));
    REQUIRE(body.ok());
    REQUIRE(of_before.ok());
    CHECK(body->size() == posture_field_count);
    CHECK(of_before->size() == posture_field_count - 5);
    for (const auto* name : {"device_name", "brand", "model", "os_name", "language"})
        CHECK_FALSE(of_before->contains(name));

    auto refusal = answer(400);
    const auto because = [&](const std::string& reason) {
        refusal.body = "{\"error\":\"malformed-posture\",\"reason\":\"" + reason + "\"}";
        return names_are_refused(refusal);
    };
    CHECK(because("brand: is nothing that a device says of itself"));
    CHECK(because("os_name: is nothing that a device says of itself"));
    for (const auto* other : {"os: is empty", "brandy: is nothing that a device says of itself", "", "is nothing"})
        CHECK_FALSE(because(other));
    for (const auto* body_of_another : {"", "brand: x", "[]", "{\"error\":\"malformed-posture\"}", "{\"reason\":1}"}) {
        refusal.body = body_of_another;
        CHECK_FALSE(names_are_refused(refusal));
    }
    CHECK(because("model: x"));
    refusal.head.status = 503;
    CHECK_FALSE(names_are_refused(refusal));
}

TEST_CASE("what is collected is what the tree tells, and nothing is guessed", "[posture]") {
    const FixtureTree fixture;
    ScreenLock no_desktop([](const StopSignal*) { return Desktop{}; });
    auto none = collect_posture(fixture.tree(), no_desktop, {});
    CHECK_FALSE(none[Field::agent_version].empty());
    CHECK_FALSE(none[Field::storage_bytes].empty());
    CHECK_FALSE(none[Field::device_name].empty());
    // What no tree tells: of the program, the file system and the kernel.
    for (const Field field : {Field::agent_version, Field::storage_bytes, Field::storage_free_bytes, Field::device_name,
                              Field::os_name, Field::language})
        none[field].clear();
    CHECK(none == Posture{});

    fixture.file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    fixture.file("/etc/machine-id", std::string(machine) + "\n");
    fixture.file("/sys/class/dmi/id/product_name", "20XW\n");
    fixture.file("/sys/class/power_supply/BAT0/type", "Battery\n");
    fixture.file("/sys/class/power_supply/BAT0/capacity", "77\n");
    fixture.link("/run/systemd/units/invocation:firewalld.service", "x");
    int asked = 0;
    ScreenLock lock([&](const StopSignal*) {
        ++asked;
        return Desktop{"MATE", {}, [](std::string_view, std::string_view) { return std::string("false"); }};
    });
    const auto all = collect_posture(fixture.tree(), lock, {});
    CHECK(all[Field::os] == "debian");
    CHECK(all[Field::os_version] == "12");
    CHECK(all[Field::battery_percent] == "80");
    CHECK(all[Field::firewall] == "yes");
    CHECK(all[Field::disk_encrypted].empty());
    CHECK(all[Field::screen_lock] == "no");
    CHECK(all[Field::model] == "20XW");
    CHECK(asked == 1);
    auto declined = collect_posture(fixture.tree(), lock, fields({Field::screen_lock, Field::os}));
    CHECK(asked == 1);  // nobody gets the answer
    CHECK(declined[Field::os].empty());
    declined[Field::os] = "debian";
    declined[Field::screen_lock] = "no";
    CHECK(declined == all);
    CHECK(all[Field::device_uid].empty());
    CHECK(all.machine_id == machine);
}

TEST_CASE("what is declined is not sent, and without device_uid nothing is made of the machine id", "[posture]") {
    auto posture = without(a_posture(), fields({Field::battery_percent, Field::device_uid}));
    CHECK(posture.machine_id.empty());
    CHECK(posture_body(addressed(posture, *parse_tenant_key(tenant_text))) ==
          "{\"os\":\"debian\",\"device_name\":\"alices-laptop\"}");
    posture = without(a_posture(), PostureFields{}.set());
    CHECK(posture == Posture{});

    DeviceClaims claims{"id", "name", "brand", "model", "os", "en"};
    withhold(claims, fields({Field::brand, Field::language}));
    CHECK(claims.device_id == "id");
    CHECK(claims.name == "name");
    CHECK(claims.brand.empty());
    CHECK(claims.language.empty());
    withhold(claims, PostureFields{}.set());
    CHECK(claims.device_id == "id");
    CHECK((claims.name + claims.model + claims.os).empty());
    claims.os = "os";
    withhold(claims, fields({Field::os}));  // the report's, not the sign-in's
    CHECK(claims.os == "os");
}

TEST_CASE("what is declined is kept, and comes back", "[posture]") {
    const FixtureTree fixture;
    const std::string path = fixture.at("/usher/posture.yaml");
    CHECK(load_declined(path)->none());
    for (const auto& declined : {fields({Field::screen, Field::model}), PostureFields{}, PostureFields{}.set()}) {
        REQUIRE(save_declined(path, declined).ok());
        CHECK(*load_declined(path) == declined);
    }
}

TEST_CASE("settings that are not understood are refused with their place", "[posture]") {
    CHECK(parse_declined("", "f")->none());
    CHECK(parse_declined("decline:\n", "f")->none());
    CHECK(*parse_declined("decline: [screen]", "f") == fields({Field::screen}));
    const auto error = [](const char* text) {
        const auto parsed = parse_declined(text, "f");
        REQUIRE_FALSE(parsed.ok());
        return parsed.error().message;
    };
    CHECK(error("decline: [scren]") == "f:1:11: unknown field 'scren'; did you mean 'screen'?");
    CHECK(error("declin: []") == "f:1:1: unknown key 'declin'; did you mean 'decline'?");
    CHECK(error("decline: screen") == "f:1:10: 'decline' is a list of fields, not text");
    CHECK(error("decline: [[screen]]").find("f:1:11: a field is its name") == 0);
    CHECK(error("- screen").find("f:1:1: a map with 'decline' was expected") == 0);
}

TEST_CASE("a gateway without a tenant is an older one, and one with a broken key is wrong", "[posture]") {
    CHECK_FALSE(tenant_of_answer("{\"session_id\":\"x\"}")->has_value());
    CHECK(tenant_of_answer(std::string("{\"tenant\":\"") + tenant_text + "\"}")->value()[31] == 31);
    for (const char* bad : {"", "[]", "{\"tenant\":1}", "{\"tenant\":null}", "{\"tenant\":\"short\"}"})
        CHECK_FALSE(tenant_of_answer(bad).ok());
}

TEST_CASE("each answer to a report has its meaning", "[posture]") {
    CHECK(report_result(answer(204)).outcome == Outcome::taken);
    CHECK(report_result(answer(204)).words.empty());
    CHECK(report_result(answer(404)).outcome == Outcome::older_gateway);
    CHECK(report_result(answer(404)).words.empty());
    for (const int status : {400, 401, 403, 413}) {
        CHECK(report_result(answer(status)).outcome == Outcome::refused);
        CHECK_FALSE(report_result(answer(status)).words.empty());
    }
    for (const int status : {429, 500, 502, 503}) {
        CHECK(report_result(answer(status)).outcome == Outcome::later);
        CHECK_FALSE(report_result(answer(status)).words.empty());
    }
}

TEST_CASE("a report is made once in a session, on each change, and again when it failed", "[posture]") {
    const MonoTime start{1h};
    auto posture = a_posture();
    PosturePlan plan;
    CHECK(plan.due("one", posture, start));
    plan.reported("one", posture, Outcome::later, start);
    CHECK(plan.due("one", posture, start + 1min));
    plan.reported("one", posture, Outcome::taken, start + 1min);
    CHECK_FALSE(plan.due("one", posture, start + 1h));
    CHECK(plan.due("one", posture, start + 1min + 1h));  // something else may have reported meanwhile
    CHECK(plan.due("two", posture, start + 2min));
    posture[Field::firewall] = "no";
    CHECK(plan.due("one", posture, start + 2min));
    posture = a_posture();
    posture[Field::device_name] = "bobs-laptop";
    CHECK(plan.due("one", posture, start + 2min));
    posture = a_posture();
    posture.machine_id.clear();
    CHECK(plan.due("one", posture, start + 2min));
}

TEST_CASE("battery and storage alone are told every ten minutes at most, but a declined one at once", "[posture]") {
    const MonoTime start{1h};
    auto posture = a_posture();
    PosturePlan plan;
    plan.reported("one", posture, Outcome::taken, start);
    posture[Field::battery_percent] = "70";
    CHECK_FALSE(plan.due("one", posture, start + 9min));
    CHECK(plan.due("one", posture, start + 10min));
    posture[Field::os] = "fedora";
    CHECK(plan.due("one", posture, start + 1min));
    posture = a_posture();
    posture[Field::battery_percent].clear();
    CHECK(plan.due("one", posture, start + 1min));
}

TEST_CASE("a gateway that takes no report is left alone for an hour", "[posture]") {
    const MonoTime start{1h};
    auto posture = a_posture();
    for (const auto outcome : {Outcome::older_gateway, Outcome::refused}) {
        PosturePlan plan;
        plan.reported("one", posture, outcome, start);
        posture[Field::battery_percent] += "0";
        CHECK_FALSE(plan.due("one", posture, start + 59min));
        CHECK(plan.due("one", posture, start + 60min));
        CHECK(plan.due("two", posture, start + 1min));
    }
}

TEST_CASE("the view shows what is sent, what is not known and what is declined", "[posture]") {
    PostureView view{addressed(a_posture(), *parse_tenant_key(tenant_text)), fields({Field::screen}),
                     PostureView::Gateway::takes_reports, "w"};
    const auto table = posture_table(view);
    const auto line = [&table](std::string_view name) {
        const auto at = table.find("\n" + std::string(name) + " ") + 1;
        return table.substr(at, table.find('\n', at) - at);
    };
    CHECK(line("os").find("debian") != std::string::npos);
    CHECK(line("os").find("in reports") != std::string::npos);
    CHECK(line("device_uid").find(std::string(known_uid).substr(0, 50)) != std::string::npos);
    CHECK(line("screen").find("declined") != std::string::npos);
    CHECK(line("firewall").find("not known") != std::string::npos);
    CHECK(line("device_name").find("at sign-in, in reports") != std::string::npos);

    auto object = parse_json_object(posture_json(view));
    REQUIRE(object.ok());
    CHECK(boost::json::serialize(object->at("posture")) == posture_body(view.posture));
    CHECK(object->at("at_sign_in").as_object().size() == 1);
    CHECK(object->at("not_known").as_array().size() == posture_field_count - 5);
    CHECK(object->at("declined").as_array().size() == 1);
    view.gateway = PostureView::Gateway::older;
    object = parse_json_object(posture_json(view));
    CHECK(object->at("posture").as_object().empty());
    CHECK(posture_table(view).find("in reports") == std::string::npos);
}
