#include "audit/sinks/syslog_message.hpp"

#include "audit/ocsf/ocsf.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::sinks::header_field;
using audit::sinks::syslog_frame;

namespace {

v1::AuditEvent event(std::uint64_t sequence = 7) {
    v1::AuditEvent out;
    out.set_gateway_id("0198c0de-0000-7000-8000-00000000aaaa");
    out.set_sequence(sequence);
    set(*out.mutable_recorded_at(), noon + base::Microseconds{123'456});
    *out.mutable_access() = access(base::Uuid{}, v1::AccessEventType::CLOSED, 1, 2);
    return out;
}

}  // namespace

TEST_CASE("a message has the header of RFC 5424, and its length in octets before it") {
    const auto frame = syslog_frame(event(), "gw1");
    const auto space = frame.find(' ');
    const std::string message = frame.substr(space + 1);
    CHECK(frame.substr(0, space) == std::to_string(message.size()));
    const std::string header =
        "<110>1 2025-06-15T15:06:40.123456Z gw1 usherd - access [meta sequenceId=\"7\"][origin software=\"usherd\" "
        "swVersion=\"" USHER_VERSION "\"] ";
    CHECK(message == header + audit::ocsf::to_ocsf(event(), audit::ocsf::Charset::ascii));
}

TEST_CASE("what is worth a look is a notice") {
    auto denied = event();
    denied.mutable_access()->set_verdict(v1::Verdict::DENIED);
    CHECK(syslog_frame(denied, "gw").find(" <109>1 ") != std::string::npos);
    auto failed = event();
    failed.mutable_session()->set_event(v1::SessionRecord::Event::SIGN_IN_FAILED);
    const auto frame = syslog_frame(failed, "gw");
    CHECK(frame.find(" <109>1 ") != std::string::npos);
    CHECK(frame.find(" - session [") != std::string::npos);
    auto corrupt = event();
    corrupt.mutable_system()->set_event(v1::SystemRecord::Event::CORRUPTION);
    CHECK(syslog_frame(corrupt, "gw").find(" <107>1 ") != std::string::npos);
}

TEST_CASE("the sequence starts again where RFC 5424 ends it") {
    CHECK(syslog_frame(event(2'147'483'647), "gw").find("sequenceId=\"2147483647\"") != std::string::npos);
    CHECK(syslog_frame(event(2'147'483'648), "gw").find("sequenceId=\"1\"") != std::string::npos);
}

TEST_CASE("no host name can end a header field or the message") {
    CHECK(header_field("", 10) == "-");
    CHECK(header_field("gw 1\n<0>\x7f\xc3\xa4", 20) == "gw_1_<0>___");
    CHECK(header_field("abcdef", 3) == "abc");
    const auto frame = syslog_frame(event(), "evil\n9 <0>1 - - - - - -");
    CHECK(frame.find('\n') == std::string::npos);
    CHECK(frame.find(" evil_9_<0>1_-_-_-_-_-_- usherd ") != std::string::npos);
}

TEST_CASE("a message fits into what a receiver must take, and is ASCII, whatever the event says") {
    auto hostile = event();
    for (int i = 0; i < 50; ++i) hostile.mutable_access()->add_reasons(std::string(1000, '\xc3'));
    hostile.mutable_access()->set_username("\n<0>1 \xe2\x80\xa8" + std::string(4000, '\x01'));
    const auto frame = syslog_frame(hostile, std::string(1000, 'h'));
    CHECK(frame.size() <= 8'192);
    CHECK(std::all_of(frame.begin(), frame.end(), [](char c) { return c >= 32 && c < 127; }));
}
