#include "gateway_fixture.hpp"
#include "usher/v1/gateway.grpc.pb.h"

using namespace usher;
using test::ClientCall;
using test::contains;
using test::TestGateway;
namespace v1 = usher::v1;

namespace {

grpc::Status drain(TestGateway& gateway, const v1::DrainGatewayRequest& request, v1::GatewayStatus& status) {
    const auto stub = v1::GatewayService::NewStub(gateway.local());
    ClientCall call;
    return stub->DrainGateway(&call, request, &status);
}

}  // namespace

TEST_CASE("the status names the process, its gateway and its tunnels") {
    TestGateway gateway;
    const auto stub = v1::GatewayService::NewStub(gateway.local());
    ClientCall call;
    v1::GatewayStatus status;
    REQUIRE(stub->GetGatewayStatus(&call, {}, &status).ok());
    CHECK(status.gateway_id() == gateway.journal->gateway_id().to_string());
    CHECK(status.process_id() == 4711);
    CHECK(status.started_at().seconds() == 1);
    CHECK(status.tunnels() == 7);
    CHECK(status.state() == v1::GatewayStatus::SERVING);
    CHECK_FALSE(status.has_drain_deadline());
    CHECK(gateway.acts().empty());
}

TEST_CASE("a drain is on record with its deadline before it begins, and asked again it begins again") {
    TestGateway gateway;
    v1::DrainGatewayRequest request;
    v1::GatewayStatus status;
    REQUIRE(drain(gateway, request, status).ok());
    CHECK(status.state() == v1::GatewayStatus::DRAINING);
    CHECK(status.drain_deadline().seconds() == 2);
    request.mutable_deadline()->set_seconds(24 * 3600);
    REQUIRE(drain(gateway, request, status).ok());
    request.mutable_deadline()->set_seconds(0);
    request.mutable_deadline()->set_nanos(5'000'000);
    REQUIRE(drain(gateway, request, status).ok());

    using Limits = std::vector<std::optional<base::Microseconds>>;
    CHECK(gateway.operation.drains ==
          Limits{std::nullopt, base::Microseconds{86'400'000'000}, base::Microseconds{5'000}});
    const auto acts = gateway.acts();
    REQUIRE(acts.size() == 3);
    for (const auto& act : acts) {
        CHECK(act.action() == "gateway.drain");
        CHECK(act.actor() == "local");
        CHECK(act.outcome() == v1::AdminRecord::Outcome::DONE);
    }
    CHECK(contains(acts[1].after_json(), R"("deadline")"));
}

TEST_CASE("a drain of a deadline that cannot be is refused, and nothing is on record or begun") {
    TestGateway gateway;
    const auto [seconds, nanos] = GENERATE(table<std::int64_t, std::int32_t>(
        {{-1, 0}, {0, -1}, {0, 1'000'000'000}, {24 * 3600, 1}, {24 * 3600 + 1, 0}, {INT64_MAX, 999'999'999}}));
    v1::DrainGatewayRequest request;
    request.mutable_deadline()->set_seconds(seconds);
    request.mutable_deadline()->set_nanos(nanos);
    v1::GatewayStatus status;
    const auto answer = drain(gateway, request, status);
    CHECK(answer.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK(contains(answer.error_message(), "deadline: must be from 0 s to 24 h"));
    CHECK(gateway.operation.drains.empty());
    CHECK(gateway.acts().empty());
}

TEST_CASE("an upgrade is on record before it begins, and once more when it did not happen") {
    TestGateway gateway;
    const auto stub = v1::GatewayService::NewStub(gateway.local());
    v1::UpgradeGatewayRequest request;
    request.mutable_deadline()->set_seconds(60);
    request.set_end_previous(true);
    v1::GatewayStatus status;
    ClientCall call;
    REQUIRE(stub->UpgradeGateway(&call, request, &status).ok());
    REQUIRE(gateway.operation.upgrades.size() == 1);
    CHECK(gateway.operation.upgrades[0].limit == base::Microseconds{60'000'000});
    CHECK(gateway.operation.upgrades[0].end_previous);
    using Outcome = v1::AdminRecord::Outcome;
    REQUIRE(gateway.acts().size() == 1);
    CHECK(gateway.acts()[0].action() == "gateway.upgrade");
    CHECK(gateway.acts()[0].outcome() == Outcome::DONE);
    // The new process could not be prepared.
    gateway.operation.upgrades[0].failed(base::Error{base::Errc::unavailable, "no such program"});
    REQUIRE(gateway.acts().size() == 2);
    CHECK(gateway.acts()[1].outcome() == Outcome::FAILED);
    CHECK(gateway.acts()[1].detail() == "no such program");

    gateway.operation.refuse_upgrade = true;
    ClientCall again;
    const auto refused = stub->UpgradeGateway(&again, request, &status);
    CHECK(refused.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
    CHECK(refused.error_message() == "not now");
    REQUIRE(gateway.acts().size() == 4);
    CHECK(gateway.acts()[3].outcome() == Outcome::FAILED);
}
