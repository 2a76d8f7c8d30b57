#include "gateway/sinks/otlp_request.hpp"

#include <map>

#include "audit/ocsf/ocsf.hpp"
#include "tests/unit/gateway/sinks/events.hpp"

using namespace usher;
using namespace usher::test;
using gateway::otlp::fill;
using gateway::otlp::Request;
using gateway::otlp::to_log_record;
namespace logs = opentelemetry::proto::logs::v1;

namespace {

template <class Attributes>
std::map<std::string, std::string> texts(const Attributes& attributes) {
    std::map<std::string, std::string> out;
    for (const auto& each : attributes)
        out[each.key()] = each.value().has_string_value() ? each.value().string_value()
                                                          : "#" + std::to_string(each.value().int_value());
    REQUIRE(out.size() == static_cast<std::size_t>(attributes.size()));  // no key twice
    return out;
}

constexpr std::uint64_t noon_nanos = 1'750'000'000'000'000'000;

}  // namespace

TEST_CASE("an access is a log record with the event as its body and what one looks for as attributes") {
    auto record = access(base::Uuid{}, v1::AccessEventType::CLOSED, 10, 20);
    record.set_account_id("account");
    record.set_session_id("session");
    record.set_client_ip("192.0.2.1");
    record.set_client_port(4711);
    record.set_destination_host("crm.corp.example");
    record.set_destination_port(443);
    record.set_enrolled_device_id("device");
    record.set_policy("finance-uses-crm");
    record.add_reasons("allowed by finance-uses-crm");
    record.add_reasons("more");
    record.set_close_reason(v1::CloseReason::IDLE_TIMEOUT);
    record.set_duration_us(5'000'000);
    set(*record.mutable_closed_at(), noon + base::Microseconds{5'000'000});
    const auto event = event_of(record);
    const auto log = to_log_record(event);
    CHECK(log.body().string_value() == audit::ocsf::to_ocsf(event));
    CHECK(log.time_unix_nano() == noon_nanos + 5'000'000'000);
    CHECK(log.observed_time_unix_nano() == noon_nanos + 123'456'000);
    CHECK(log.severity_number() == logs::SEVERITY_NUMBER_INFO);
    CHECK(log.severity_text() == "informational");
    CHECK(log.event_name() == "usher.access.closed");
    const std::map<std::string, std::string> expected{
        {"log.record.uid", std::string(a_gateway) + ":7"},
        {"usher.sequence", "#7"},
        {"user.name", "alice"},
        {"user.id", "account"},
        {"session.id", "session"},
        {"device.id", "device"},
        {"client.address", "192.0.2.1"},
        {"client.port", "#4711"},
        {"destination.address", "crm.corp.example"},
        {"destination.port", "#443"},
        {"usher.access.id", base::Uuid{}.to_string()},
        {"usher.app", "crm"},
        {"usher.policy", "finance-uses-crm"},
        {"usher.verdict", "ALLOWED"},
        {"usher.reason", "allowed by finance-uses-crm"},
        {"usher.bytes_up", "#10"},
        {"usher.bytes_down", "#20"},
        {"usher.duration_us", "#5000000"},
        {"usher.close_reason", "IDLE_TIMEOUT"},
    };
    CHECK(texts(log.attributes()) == expected);
}

TEST_CASE("what is not known is no attribute") {
    const auto denied = to_log_record(event_of(access(base::Uuid{}, v1::AccessEventType::DENIED)));
    auto attributes = texts(denied.attributes());
    CHECK(attributes.count("user.id") == 0);
    CHECK(attributes.count("client.port") == 0);
    CHECK(attributes.count("usher.bytes_up") == 0);
    CHECK(attributes.count("usher.count") == 0);
    CHECK(denied.severity_number() == logs::SEVERITY_NUMBER_INFO2);
    CHECK(denied.severity_text() == "notice");
    CHECK(denied.event_name() == "usher.access.denied");
    CHECK(denied.time_unix_nano() == noon_nanos);
}

TEST_CASE("merged denials say how many they are, and when the last one came") {
    auto merged = access(base::Uuid{}, v1::AccessEventType::DENIED);
    merged.set_count(12);
    set(*merged.mutable_last_at(), noon + base::Microseconds{3'000'000});
    const auto log = to_log_record(event_of(merged));
    CHECK(texts(log.attributes())["usher.count"] == "#12");
    CHECK(log.time_unix_nano() == noon_nanos + 3'000'000'000);
}

TEST_CASE("sign-ins, administrative acts and the gateway's own events have their names") {
    auto event = event_of({});
    auto& session = *event.mutable_session();
    session.set_event(v1::SessionRecord::Event::SIGN_IN_FAILED);
    session.set_username("alice");
    session.set_client_ip("192.0.2.1");
    session.set_reason("wrong-password");
    auto log = to_log_record(event);
    CHECK(log.event_name() == "usher.session.sign_in_failed");
    CHECK(log.severity_number() == logs::SEVERITY_NUMBER_INFO2);
    CHECK(log.time_unix_nano() == log.observed_time_unix_nano());
    CHECK(texts(log.attributes())["usher.reason"] == "wrong-password");
    CHECK(texts(log.attributes())["client.address"] == "192.0.2.1");

    auto& admin = *event.mutable_admin();
    admin.set_actor("bob");
    admin.set_actor_account_id("b");
    admin.set_action("account.create");
    admin.set_resource("accounts/alice");
    admin.set_outcome(v1::AdminRecord::Outcome::REFUSED);
    log = to_log_record(event);
    CHECK(log.event_name() == "usher.admin.refused");
    auto attributes = texts(log.attributes());
    CHECK(attributes["user.name"] == "bob");
    CHECK(attributes["user.id"] == "b");
    CHECK(attributes["usher.action"] == "account.create");
    CHECK(attributes["usher.resource"] == "accounts/alice");
    CHECK(attributes["usher.outcome"] == "REFUSED");

    event.mutable_system()->set_event(v1::SystemRecord::Event::CORRUPTION);
    log = to_log_record(event);
    CHECK(log.event_name() == "usher.system.corruption");
    CHECK(log.severity_number() == logs::SEVERITY_NUMBER_ERROR);
    event.mutable_system()->set_event(v1::SystemRecord::Event::RECOVERED);
    CHECK(to_log_record(event).severity_number() == logs::SEVERITY_NUMBER_WARN);
}

TEST_CASE("a long text is cut between two characters") {
    auto record = access(base::Uuid{}, v1::AccessEventType::OPENED);
    std::string name = "x";
    for (int i = 0; i < 200; ++i) name += "\xc3\xa4";
    record.set_username(name);
    CHECK(texts(to_log_record(event_of(record)).attributes())["user.name"] == name.substr(0, 255));
    record.set_username(std::string(256, 'y'));
    CHECK(texts(to_log_record(event_of(record)).attributes())["user.name"] == std::string(256, 'y'));
}

TEST_CASE("a time that OpenTelemetry cannot say is unknown") {
    auto event = event_of({});
    event.mutable_system()->set_event(v1::SystemRecord::Event::STARTED);
    event.mutable_recorded_at()->set_seconds(-1);
    CHECK(to_log_record(event).time_unix_nano() == 0);
    CHECK(to_log_record(event).observed_time_unix_nano() == 0);
}

TEST_CASE("a request says once whose records it has") {
    Request request;
    CHECK(fill(request, some_events(3), "gw1", 1 << 20) == 3);
    REQUIRE(request.resource_logs_size() == 1);
    const auto& resource = request.resource_logs(0);
    const std::map<std::string, std::string> expected{{"service.name", "usherd"},
                                                      {"service.version", USHER_VERSION},
                                                      {"service.instance.id", a_gateway},
                                                      {"host.name", "gw1"}};
    CHECK(texts(resource.resource().attributes()) == expected);
    REQUIRE(resource.scope_logs_size() == 1);
    CHECK(resource.scope_logs(0).scope().name() == "usher.audit");
    CHECK(resource.scope_logs(0).log_records_size() == 3);
    CHECK(fill(request, some_events(1), "\xff", 1 << 20) == 1);
    CHECK(texts(request.resource_logs(0).resource().attributes()).count("host.name") == 0);
}

TEST_CASE("a request keeps within its bytes, unless one record alone is over them") {
    const auto events = some_events(300);
    Request request;
    std::size_t taken = 0, requests = 0;
    while (taken < events.size()) {
        const auto filled = fill(request, std::span(events).subspan(taken), "gw1", 20'000);
        REQUIRE(filled > 1);
        REQUIRE(request.ByteSizeLong() <= 20'000);
        const auto& first = request.resource_logs(0).scope_logs(0).log_records(0);
        CHECK(texts(first.attributes())["usher.sequence"] == "#" + std::to_string(taken + 1));
        taken += filled;
        ++requests;
    }
    CHECK(requests > 5);
    CHECK(fill(request, events, "gw1", 10) == 1);
    CHECK(fill(request, {}, "gw1", 10) == 0);
}
