#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/operation.hpp"
#include "gateway/control/services.hpp"
#include "usher/v1/gateway.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

constexpr std::int64_t drain_seconds_max = 24 * 3600;

template <class Request>
Result<std::optional<base::Microseconds>> read_deadline(const Request& request) {
    if (!request.has_deadline()) return std::optional<base::Microseconds>{};
    const auto& given = request.deadline();
    const bool well_formed = given.seconds() >= 0 && given.nanos() >= 0 && given.nanos() <= 999'999'999;
    if (!well_formed || given.seconds() > drain_seconds_max ||
        (given.seconds() == drain_seconds_max && given.nanos() > 0))
        return {Errc::invalid_argument, "deadline: must be from 0 s to 24 h"};
    return std::optional(base::Microseconds{given.seconds() * 1'000'000 + given.nanos() / 1'000});
}

/// As it goes on record.
std::string describe(const std::optional<base::Microseconds>& deadline) {
    if (!deadline) return {};
    return "{\"deadline\":" + base::json_quote(base::format_duration(*deadline)) + "}";
}

class GatewayServiceImpl final : public v1::GatewayService::CallbackService {
public:
    explicit GatewayServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* GetGatewayStatus(Call* call, const v1::GetGatewayStatusRequest*, v1::GatewayStatus* response) override {
        return unary(context_, call, method("GatewayService/GetGatewayStatus"), {},
                     [this, response](const Caller&) -> Result<void> {
                         fill(*response);
                         return {};
                     });
    }

    Reactor* DrainGateway(Call* call, const v1::DrainGatewayRequest* request, v1::GatewayStatus* response) override {
        return unary(context_, call, method("GatewayService/DrainGateway"), "gateway",
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto deadline = read_deadline(*request);
                         if (!deadline) return std::move(deadline).error();
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         if (auto ok = recorder.record({"gateway.drain", "gateway", {}, describe(*deadline)}); !ok)
                             return ok;
                         context_.gateway.operation->drain(*deadline);
                         fill(*response);
                         return {};
                     });
    }

    Reactor* UpgradeGateway(Call* call, const v1::UpgradeGatewayRequest* request,
                            v1::GatewayStatus* response) override {
        return unary(context_, call, method("GatewayService/UpgradeGateway"), "gateway",
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto deadline = read_deadline(*request);
                         if (!deadline) return std::move(deadline).error();
                         const auth::Change change{"gateway.upgrade", "gateway", {}, describe(*deadline)};
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         if (auto ok = recorder.record(change); !ok) return ok;
                         auto& journal = context_.gateway.journal;
                         auto failed = [&journal, caller, change](const base::Error& why) {
                             AdminRecorder(journal, caller).failed(change, why);
                         };
                         auto begun = context_.gateway.operation->upgrade(
                             {*deadline, request->end_previous(), std::move(failed)});
                         if (!begun) return recorder.failed(std::move(begun).error());
                         fill(*response);
                         return {};
                     });
    }

private:
    void fill(v1::GatewayStatus& status) const {
        const auto now = context_.gateway.operation->status();
        status.set_gateway_id(context_.gateway.journal.gateway_id().to_string());
        status.set_version(USHER_VERSION);
        status.set_process_id(now.process_id);
        *status.mutable_started_at() = to_proto(now.started_at);
        status.set_state(now.draining ? v1::GatewayStatus::DRAINING : v1::GatewayStatus::SERVING);
        status.set_tunnels(now.tunnels);
        if (now.drain_deadline) *status.mutable_drain_deadline() = to_proto(*now.drain_deadline);
        status.set_upgrading(now.upgrading);
        status.set_upgrade_error(now.upgrade_error);
        if (!now.predecessor) return;
        auto& predecessor = *status.mutable_predecessor();
        predecessor.set_process_id(now.predecessor->process_id);
        predecessor.set_version(now.predecessor->version);
        predecessor.set_tunnels(now.predecessor->tunnels);
        if (now.predecessor->deadline) *predecessor.mutable_deadline() = to_proto(*now.predecessor->deadline);
    }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_gateway_service(const ServiceContext& context) {
    return std::make_unique<GatewayServiceImpl>(context);
}

}  // namespace usher::gateway::control
