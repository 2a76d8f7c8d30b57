#include "gateway/sinks/otlp_answer.hpp"

#include "catch.hpp"
#include "usher/otlp/status.pb.h"

using namespace usher;
using base::Errc;
using gateway::otlp::judge;
using grpc::StatusCode;

namespace {

opentelemetry::proto::collector::logs::v1::ExportLogsServiceResponse rejected(std::int64_t records,
                                                                              const std::string& why) {
    opentelemetry::proto::collector::logs::v1::ExportLogsServiceResponse out;
    out.mutable_partial_success()->set_rejected_log_records(records);
    out.mutable_partial_success()->set_error_message(why);
    return out;
}

gateway::otlp::Answer answer_of(StatusCode code, const std::string& text = "why", const std::string& details = "") {
    return judge(grpc::Status(code, text, details), {}, "h.example:1");
}

std::string retry_info(std::int64_t seconds, int nanos, const std::string& type = "google.rpc.RetryInfo") {
    usher::otlp::RetryInfo info;
    info.mutable_retry_delay()->set_seconds(seconds);
    info.mutable_retry_delay()->set_nanos(nanos);
    usher::otlp::Status status;
    status.add_details()->set_type_url("type.googleapis.com/google.rpc.DebugInfo");
    auto& detail = *status.add_details();
    detail.set_type_url("type.googleapis.com/" + type);
    detail.set_value(info.SerializeAsString());
    return status.SerializeAsString();
}

}  // namespace

TEST_CASE("an answer without a rejected record confirms, whatever it says besides") {
    CHECK(judge(grpc::Status::OK, {}, "h").outcome);
    CHECK(judge(grpc::Status::OK, rejected(0, "a warning"), "h").outcome);
    CHECK(judge(grpc::Status::OK, rejected(-1, ""), "h").outcome);
}

TEST_CASE("a rejected record is refused for ever") {
    const auto answer = judge(grpc::Status::OK, rejected(2, "too old\n\x1b[31m"), "h");
    REQUIRE_FALSE(answer.outcome);
    CHECK(answer.outcome.error().code == Errc::invalid_argument);
    CHECK(answer.outcome.error().message == "the receiver rejects 2 records: too old\\x0a\\x1b[31m");
    CHECK_FALSE(answer.connection_bad);
    CHECK(judge(grpc::Status::OK, rejected(1, std::string(5000, 'x')), "h").outcome.error().message.size() < 400);
}

TEST_CASE("only INVALID_ARGUMENT blames the records") {
    const auto refused = answer_of(StatusCode::INVALID_ARGUMENT);
    CHECK(refused.outcome.error().code == Errc::invalid_argument);
    CHECK_FALSE(refused.connection_bad);
    for (const auto code : {StatusCode::CANCELLED, StatusCode::UNKNOWN, StatusCode::NOT_FOUND,
                            StatusCode::ALREADY_EXISTS, StatusCode::PERMISSION_DENIED, StatusCode::UNAUTHENTICATED,
                            StatusCode::FAILED_PRECONDITION, StatusCode::ABORTED, StatusCode::OUT_OF_RANGE,
                            StatusCode::UNIMPLEMENTED, StatusCode::INTERNAL, StatusCode::UNAVAILABLE,
                            StatusCode::DATA_LOSS, StatusCode::DEADLINE_EXCEEDED, StatusCode::RESOURCE_EXHAUSTED}) {
        INFO(code);
        REQUIRE_FALSE(answer_of(code).outcome);
        CHECK(answer_of(code).outcome.error().code == Errc::unavailable);
        CHECK(answer_of(code).too_much == (code == StatusCode::RESOURCE_EXHAUSTED));
        CHECK(answer_of(code).connection_bad == (code != StatusCode::RESOURCE_EXHAUSTED));
    }
    CHECK(answer_of(StatusCode::UNAUTHENTICATED).outcome.error().message == "h.example:1: UNAUTHENTICATED: why");
    CHECK(answer_of(StatusCode::DEADLINE_EXCEEDED).outcome.error().message == "no answer from h.example:1 in time");
}

TEST_CASE("a receiver says how long it wants to be left alone, within a bound") {
    using base::Microseconds;
    CHECK(answer_of(StatusCode::UNAVAILABLE, "", retry_info(3, 500'000'000)).pause == Microseconds{3'500'000});
    CHECK(answer_of(StatusCode::UNAVAILABLE, "", retry_info(1'000'000, 0)).pause == gateway::otlp::pause_max);
    CHECK(answer_of(StatusCode::UNAVAILABLE, "", retry_info(300, 999'999'999)).pause == gateway::otlp::pause_max);
    CHECK(answer_of(StatusCode::UNAVAILABLE, "", retry_info(-5, -1)).pause == Microseconds{0});
    CHECK(answer_of(StatusCode::UNAVAILABLE, "", retry_info(3, 0, "google.rpc.Other")).pause == Microseconds{0});
    CHECK(answer_of(StatusCode::UNAVAILABLE, "", "\xff\xff").pause == Microseconds{0});
    CHECK(answer_of(StatusCode::UNAVAILABLE).pause == Microseconds{0});
    // Then it is its load that is too much, not the request.
    CHECK_FALSE(answer_of(StatusCode::RESOURCE_EXHAUSTED, "", retry_info(3, 0)).too_much);
}
