#include "clients/usherctl/output.hpp"

#include "base/text.hpp"
#include "catch.hpp"
#include "clients/usherctl/settings.hpp"
#include "clients/usherctl/tail.hpp"
#include "clients/usherctl/views.hpp"

using namespace usher::clients::control;
namespace v1 = usher::v1;

namespace {

v1::AccessRecord a_record() {
    v1::AccessRecord record;
    record.set_access_id("id");
    record.set_sequence(7);
    record.set_event(v1::AccessEventType::CLOSED);
    record.set_username("=cmd()");
    record.mutable_device()->set_name("laptop");
    record.set_app("crm");
    record.set_destination_host("crm.example");
    record.set_destination_port(443);
    record.mutable_opened_at()->set_seconds(1'764'000'000);
    record.set_duration_us(1'500'000);
    record.set_bytes_up(123'456'789);
    record.set_bytes_down(5);
    record.set_bytes_uncertain(true);
    record.set_verdict(v1::Verdict::ALLOWED);
    record.set_close_reason(v1::CloseReason::CLIENT_CLOSED);
    record.add_reasons("a");
    record.add_reasons("b, c");
    return record;
}

}  // namespace

TEST_CASE("JSON is one line with the names of the contract, and zeros are there") {
    const auto line = to_json_line(a_record());
    CHECK(line.find('\n') == line.size() - 1);
    CHECK(line.find("\"bytes_up\":\"123456789\"") != std::string::npos);
    CHECK(line.find("\"event\":\"CLOSED\"") != std::string::npos);
    CHECK(line.find("\"policy_version\":\"0\"") != std::string::npos);
}

TEST_CASE("CSV has as many cells as titles, exact numbers and guarded text") {
    const auto header = csv_header(*v1::AccessRecord::descriptor());
    const auto row = csv_row(a_record());
    CHECK(header.rfind("access_id,gateway_id,sequence,event,", 0) == 0);
    CHECK(header.find(",device.name,") != std::string::npos);
    CHECK(row.find(",'=cmd(),") != std::string::npos);
    CHECK(row.find(",123456789,5,true,ALLOWED,\"a; b, c\",") != std::string::npos);
    CHECK(row.find("2025-11-24T16:00:00.000000Z") != std::string::npos);
    // The one cell with commas has one of them.
    CHECK(std::count(row.begin(), row.end(), ',') == std::count(header.begin(), header.end(), ',') + 1);
}

TEST_CASE("the line of an event tells who, where, how much and why") {
    v1::AuditEvent event;
    event.mutable_recorded_at()->set_seconds(1'764'000'000);
    *event.mutable_access() = a_record();
    CHECK(
        line_of(event) ==
        "2025-11-24T16:00:00Z  CLOSED     =cmd() crm crm.example:443 up >= 118 MiB down >= 5 B 1.5 s client-closed\n");
    event.mutable_access()->set_username("\x1b]0;x\x07\n");
    const auto line = line_of(event);
    CHECK(line.find('\x1b') == std::string::npos);
    CHECK(std::count(line.begin(), line.end(), '\n') == 1);
}

TEST_CASE("a denial shows its reasons") {
    v1::AuditEvent event;
    auto& record = *event.mutable_access();
    record.set_event(v1::AccessEventType::DENIED);
    record.set_verdict(v1::Verdict::DENIED);
    record.set_username("alice");
    record.add_reasons("no-rule allows it");
    record.set_count(3);
    CHECK(line_of(event).find("alice - - no-rule allows it (3 times)") != std::string::npos);
}

TEST_CASE("times go through protobuf and back to the microsecond") {
    for (const std::int64_t us : {0LL, 1LL, 1'764'000'000'123'456LL, -1LL})
        CHECK(usher::base::to_micros(to_time(to_timestamp(usher::base::from_micros(us)))) == us);
}

TEST_CASE("--since takes durations and times") {
    const auto now = usher::base::parse_rfc3339("2026-11-23T10:00:00Z").value();
    CHECK(usher::base::format_rfc3339(*parse_since("1h", now)) == "2026-11-23T09:00:00.000000Z");
    CHECK(usher::base::format_rfc3339(*parse_since("2026-01-01T00:00:00Z", now)) == "2026-01-01T00:00:00.000000Z");
    CHECK_FALSE(parse_since("yesterday", now).ok());
    CHECK_FALSE(parse_since("36500000h", now).ok());
}

TEST_CASE("tries are ever further apart, up to 5 s, and near again after a success") {
    Backoff backoff;
    CHECK(backoff.next().count() == 200);
    CHECK(backoff.next().count() == 400);
    for (int i = 0; i < 10; ++i) (void)backoff.next();
    CHECK(backoff.next().count() == 5000);
    backoff.reset();
    CHECK(backoff.next().count() == 200);
}

TEST_CASE("config.yaml is read strictly and comes back as it was written") {
    const auto settings = parse_config(encode_config({"", "gate.example:8443", "/etc/ca \"1\".pem"}), "c.yaml");
    REQUIRE(settings.ok());
    CHECK(settings->gateway == "gate.example:8443");
    CHECK(settings->ca_file == "/etc/ca \"1\".pem");
    CHECK(parse_config("", "c.yaml")->empty());
    CHECK(parse_config("gatway: a:1\n", "c.yaml").error().message ==
          "c.yaml:1:1: unknown key 'gatway'; did you mean 'gateway'?");
    CHECK(parse_config("ca: [a]\n", "c.yaml").error().message == "c.yaml:1:5: 'ca' must be text, not a list");
    CHECK_FALSE(parse_config("socket: a\ngateway: b:1\n", "c.yaml").ok());
}
