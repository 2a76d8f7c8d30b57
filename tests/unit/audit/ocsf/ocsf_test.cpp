// protobuf's maps, which hold the members of an object that was read, have one member more where its headers are
// compiled for ThreadSanitizer than in the library. Nothing here has threads.
#if !defined(__SANITIZE_THREAD__)

#include "audit/ocsf/ocsf.hpp"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <functional>

#include "base/text.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;

namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

Struct parsed(const std::string& line) {
    CHECK(base::is_utf8(line));
    CHECK(line.find('\n') == std::string::npos);
    Struct out;
    const auto status = google::protobuf::util::JsonStringToMessage(line, &out);
    INFO(line);
    REQUIRE(status.ok());
    return out;
}

/// The member at "a.b.c"; array elements by their number.
const Value& at(const Struct& object, const std::string& path) {
    static const Value none;
    const auto dot = path.find('.');
    const auto found = object.fields().find(path.substr(0, dot));
    if (found == object.fields().end()) return none;
    const Value* value = &found->second;
    std::string rest = dot == std::string::npos ? "" : path.substr(dot + 1);
    if (value->has_list_value()) {
        if (value->list_value().values_size() == 0) return none;
        value = &value->list_value().values(0);
        rest = rest.find('.') == std::string::npos ? "" : rest.substr(rest.find('.') + 1);
    }
    return rest.empty() ? *value : at(value->struct_value(), rest);
}

double number(const Struct& object, const std::string& path) {
    INFO(path);
    const Value& value = at(object, path);
    REQUIRE(value.kind_case() == Value::kNumberValue);
    return value.number_value();
}
std::string text(const Struct& object, const std::string& path) { return at(object, path).string_value(); }

/// What the schema asks of every event.
void check_frame(const Struct& event) {
    CHECK(number(event, "type_uid") == number(event, "class_uid") * 100 + number(event, "activity_id"));
    CHECK(number(event, "category_uid") == static_cast<int>(number(event, "class_uid")) / 1000);
    CHECK(number(event, "severity_id") >= 1);
    CHECK(number(event, "time") > 1e12);
    CHECK(text(event, "metadata.version") == "1.3.0");
    CHECK(text(event, "metadata.product.vendor_name") == "Usher");
    CHECK_FALSE(text(event, "metadata.product.name").empty());
}

v1::AccessRecord closed() {
    auto record = access(base::Uuid{}, v1::AccessEventType::CLOSED, 100, 2000);
    record.set_access_id("0198c0de-0000-7000-8000-000000000001");
    record.set_gateway_id("0198c0de-0000-7000-8000-00000000aaaa");
    record.set_sequence(42);
    record.set_account_id("acc");
    record.set_session_id("ses");
    record.set_client_ip("192.0.2.7");
    record.set_client_port(50000);
    record.set_destination_host("crm.corp.example");
    record.set_destination_ip("10.0.0.5");
    record.set_destination_port(443);
    record.set_policy("staff");
    record.set_policy_version(7);
    record.set_duration_us(1'500'000);
    set(*record.mutable_closed_at(), noon + base::Microseconds{1'500'000});
    record.set_close_reason(v1::CloseReason::CLIENT_CLOSED);
    record.add_reasons("allow-rule staff");
    return record;
}

v1::AuditEvent event_of(const std::function<void(v1::AuditEvent&)>& fill) {
    v1::AuditEvent event;
    event.set_gateway_id("0198c0de-0000-7000-8000-00000000aaaa");
    event.set_sequence(9);
    set(*event.mutable_recorded_at(), noon);
    fill(event);
    return event;
}

}  // namespace

TEST_CASE("an access is Network Activity with its user, ends and traffic") {
    const auto event = parsed(audit::ocsf::to_ocsf(closed()));
    check_frame(event);
    CHECK(number(event, "class_uid") == 4001);
    CHECK(number(event, "activity_id") == 2);
    CHECK(number(event, "time") == 1'750'000'001'500.0);
    CHECK(number(event, "start_time") == 1'750'000'000'000.0);
    CHECK(number(event, "end_time") == 1'750'000'001'500.0);
    CHECK(number(event, "duration") == 1500);
    CHECK(number(event, "status_id") == 1);
    CHECK(number(event, "action_id") == 1);
    CHECK(number(event, "disposition_id") == 1);
    CHECK(text(event, "status_code") == "CLIENT_CLOSED");
    CHECK(text(event, "actor.user.name") == "alice");
    CHECK(text(event, "actor.user.uid") == "acc");
    CHECK(text(event, "actor.session.uid") == "ses");
    CHECK(text(event, "src_endpoint.ip") == "192.0.2.7");
    CHECK(number(event, "src_endpoint.port") == 50000);
    CHECK(text(event, "dst_endpoint.hostname") == "crm.corp.example");
    CHECK(text(event, "dst_endpoint.ip") == "10.0.0.5");
    CHECK(number(event, "dst_endpoint.port") == 443);
    CHECK(text(event, "authorizations.0.policy.name") == "staff");
    CHECK(number(event, "traffic.bytes_out") == 100);
    CHECK(number(event, "traffic.bytes_in") == 2000);
    CHECK(number(event, "traffic.bytes") == 2100);
    CHECK(number(event, "connection_info.protocol_num") == 6);
    CHECK(number(event, "connection_info.direction_id") == 1);
    CHECK(text(event, "metadata.correlation_uid") == "0198c0de-0000-7000-8000-000000000001");
    CHECK(text(event, "metadata.uid") == "0198c0de-0000-7000-8000-00000000aaaa:42");
    CHECK(number(event, "metadata.sequence") == 42);
    CHECK(at(event, "unmapped.cut").kind_case() == Value::KIND_NOT_SET);
}

TEST_CASE("what became of an access is its activity and its disposition") {
    const auto of = [](v1::AccessEventType::Value event, v1::Verdict::Value verdict, v1::CloseReason::Value reason) {
        auto record = closed();
        record.set_event(event);
        record.set_verdict(verdict);
        record.set_close_reason(reason);
        const auto out = parsed(audit::ocsf::to_ocsf(record));
        check_frame(out);
        return std::vector<int>{static_cast<int>(number(out, "activity_id")),
                                static_cast<int>(number(out, "status_id")), static_cast<int>(number(out, "action_id")),
                                static_cast<int>(number(out, "disposition_id"))};
    };
    using Event = v1::AccessEventType;
    using Verdict = v1::Verdict;
    using Reason = v1::CloseReason;
    CHECK(of(Event::OPENED, Verdict::ALLOWED, Reason::UNSPECIFIED) == std::vector<int>{1, 1, 1, 1});
    CHECK(of(Event::PROGRESS, Verdict::ALLOWED, Reason::UNSPECIFIED) == std::vector<int>{6, 1, 1, 1});
    CHECK(of(Event::CLOSED, Verdict::ALLOWED, Reason::APP_CLOSED) == std::vector<int>{2, 1, 1, 1});
    CHECK(of(Event::CLOSED, Verdict::ALLOWED, Reason::IDLE_TIMEOUT) == std::vector<int>{3, 1, 1, 1});
    CHECK(of(Event::CLOSED, Verdict::ALLOWED, Reason::REVOKED) == std::vector<int>{3, 1, 1, 24});
    CHECK(of(Event::CLOSED, Verdict::FAILED, Reason::APP_UNREACHABLE) == std::vector<int>{4, 2, 1, 27});
    CHECK(of(Event::DENIED, Verdict::DENIED, Reason::UNSPECIFIED) == std::vector<int>{5, 2, 2, 2});
}

TEST_CASE("a denial without a user or a destination has what the schema asks for all the same") {
    v1::AccessRecord record;
    record.set_event(v1::AccessEventType::DENIED);
    record.set_verdict(v1::Verdict::DENIED);
    set(*record.mutable_opened_at(), noon);
    set(*record.mutable_last_at(), noon + base::Microseconds{3'000'000});
    record.set_count(12);
    const auto event = parsed(audit::ocsf::to_ocsf(record));
    check_frame(event);
    CHECK(text(event, "actor.user.name") == "unknown");
    CHECK(text(event, "dst_endpoint.name") == "unknown");
    CHECK(text(event, "src_endpoint.name") == "unknown");
    CHECK(number(event, "count") == 12);
    CHECK(number(event, "end_time") == number(event, "start_time") + 3000);
    CHECK(number(event, "time") == number(event, "end_time"));

    record.set_destination_host("192.0.2.9");
    const auto to_address = parsed(audit::ocsf::to_ocsf(record));
    CHECK(text(to_address, "dst_endpoint.ip") == "192.0.2.9");
    CHECK(text(to_address, "dst_endpoint.hostname").empty());
}

TEST_CASE("sign-ins, acts and the gateway's own events have classes of their own") {
    const auto signed_in = parsed(audit::ocsf::to_ocsf(event_of([](v1::AuditEvent& e) {
        auto* session = e.mutable_session();
        session->set_event(v1::SessionRecord::Event::SIGN_IN_FAILED);
        session->set_username("mallory");
        session->set_reason("wrong-password");
        session->set_client_ip("192.0.2.1");
        session->set_count(3);
    })));
    check_frame(signed_in);
    CHECK(number(signed_in, "class_uid") == 3002);
    CHECK(number(signed_in, "activity_id") == 1);
    CHECK(number(signed_in, "status_id") == 2);
    CHECK(text(signed_in, "status_code") == "wrong-password");
    CHECK(text(signed_in, "user.name") == "mallory");
    CHECK(text(signed_in, "service.name") == "usher");
    CHECK(number(signed_in, "count") == 3);
    CHECK(number(signed_in, "metadata.logged_time") == 1'750'000'000'000.0);

    const auto changed = parsed(audit::ocsf::to_ocsf(event_of(
        [](v1::AuditEvent& e) { e.mutable_session()->set_event(v1::SessionRecord::Event::PASSWORD_CHANGED); })));
    check_frame(changed);
    CHECK(number(changed, "type_uid") == 300103);
    CHECK(text(changed, "user.name") == "unknown");

    const auto act = parsed(audit::ocsf::to_ocsf(event_of([](v1::AuditEvent& e) {
        auto* admin = e.mutable_admin();
        admin->set_actor("local");
        admin->set_action("account.create");
        admin->set_resource("accounts/alice");
        admin->set_outcome(v1::AdminRecord::Outcome::DONE);
        admin->set_after_json(R"({"username":"alice"})");
    })));
    check_frame(act);
    CHECK(number(act, "type_uid") == 600301);
    CHECK(text(act, "actor.user.name") == "local");
    CHECK(text(act, "api.operation") == "account.create");
    CHECK(text(act, "src_endpoint.name") == "localhost");
    CHECK(text(act, "resources.0.name") == "accounts/alice");
    CHECK(text(act, "resources.0.type") == "accounts");
    CHECK(text(act, "unmapped.after_json") == R"({"username":"alice"})");

    const auto refused = parsed(audit::ocsf::to_ocsf(event_of([](v1::AuditEvent& e) {
        e.mutable_admin()->set_action("session.revoke");
        e.mutable_admin()->set_outcome(v1::AdminRecord::Outcome::REFUSED);
    })));
    CHECK(number(refused, "type_uid") == 600304);
    CHECK(number(refused, "status_id") == 2);

    const auto started = parsed(audit::ocsf::to_ocsf(
        event_of([](v1::AuditEvent& e) { e.mutable_system()->set_event(v1::SystemRecord::Event::STARTED); })));
    check_frame(started);
    CHECK(number(started, "type_uid") == 600203);
    CHECK(text(started, "app.name") == "usherd");
    const auto stepped = parsed(audit::ocsf::to_ocsf(
        event_of([](v1::AuditEvent& e) { e.mutable_system()->set_event(v1::SystemRecord::Event::CLOCK_STEP); })));
    check_frame(stepped);
    CHECK(number(stepped, "class_uid") == 0);
}

namespace {

/// Every text of a message, and of those in it, made `text`.
void fill(google::protobuf::Message& message, const std::string& text) {
    const auto& descriptor = *message.GetDescriptor();
    const auto& reflection = *message.GetReflection();
    for (int i = 0; i < descriptor.field_count(); ++i) {
        const auto* field = descriptor.field(i);
        if (field->is_repeated()) {
            for (int k = 0; k < 20; ++k) reflection.AddString(&message, field, text);
        } else if (field->cpp_type() == field->CPPTYPE_STRING) {
            reflection.SetString(&message, field, text);
        } else if (field->cpp_type() == field->CPPTYPE_UINT64) {
            reflection.SetUInt64(&message, field, UINT64_MAX);
        } else if (field->cpp_type() == field->CPPTYPE_UINT32) {
            reflection.SetUInt32(&message, field, UINT32_MAX);
        } else if (field->cpp_type() == field->CPPTYPE_MESSAGE && field->message_type()->name() == "Device") {
            fill(*reflection.MutableMessage(&message, field), text);
        }
    }
}

}  // namespace

TEST_CASE("no event is longer than its bound, whatever its texts are") {
    for (const auto& text : {std::string(5000, 'x'), std::string(5000, '\x01'), std::string(5000, '\xff'),
                             std::string(5000, '"'), std::string("\xf0\x9f\x99\x82\xf3\xb0\x80\x80"), [] {
                                 std::string two_bytes;
                                 while (two_bytes.size() < 5000) two_bytes += "\xc3\xa4";
                                 return two_bytes;
                             }()}) {
        auto record = closed();
        fill(record, text);
        const auto event = audit::ocsf::to_ocsf(record);
        CHECK(event.size() <= audit::ocsf::event_bytes_max);
        CHECK(parsed(event).fields().size() > 10);
        record.set_gateway_id(std::string(36, '0'));
        v1::AuditEvent whole = event_of([&](v1::AuditEvent& e) { *e.mutable_access() = record; });
        const auto ascii = audit::ocsf::to_ocsf(whole, audit::ocsf::Charset::ascii);
        CHECK(ascii.size() <= audit::ocsf::event_bytes_max);
        CHECK(std::all_of(ascii.begin(), ascii.end(), [](char c) { return c >= 32 && c < 127; }));
        (void)parsed(ascii);
        const auto as_json = parsed(event);
        if (text.size() > 256) CHECK(at(as_json, "unmapped.cut").bool_value());
        for (const int of : {6, 7, 8}) {
            const auto other = audit::ocsf::to_ocsf(event_of([&](v1::AuditEvent& e) {
                if (of == 6) fill(*e.mutable_admin(), text);
                if (of == 7) fill(*e.mutable_session(), text);
                if (of == 8) fill(*e.mutable_system(), text);
            }));
            CHECK(other.size() <= audit::ocsf::event_bytes_max);
            (void)parsed(other);
        }
    }
}

#endif
