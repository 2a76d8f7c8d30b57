#include "gateway/control/unary.hpp"

#include <exception>
#include <utility>

#include "base/log.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/status.hpp"

namespace usher::gateway::control {
namespace {

using Work = std::function<base::Result<void>(const Caller&)>;

grpc::Status perform(const Work& work, const Caller& caller, std::string_view action) {
    try {
        const auto done = work(caller);
        return done ? grpc::Status::OK : to_status(done.error(), action);
    } catch (const std::exception& e) {
        base::log_error("a control call failed unexpectedly", {{"call", action}, {"error", e.what()}});
        return internal_error();
    }
}

}  // namespace

grpc::ServerUnaryReactor* unary(const ServiceContext& context, grpc::CallbackServerContext* call, Method method,
                                std::string resource, Work work) {
    auto* reactor = call->DefaultReactor();
    auto caller = context.callers.identify(call->client_metadata(), call->peer());
    if (!caller) {
        reactor->Finish(unauthenticated());
        return reactor;
    }
    const bool allowed = satisfies(caller->role, method.need);
    if (!allowed && method.need != Need::administrator) {
        reactor->Finish(permission_denied());
        return reactor;
    }
    const bool queued = context.executor.post([&context, reactor, method, allowed, caller = std::move(*caller),
                                               resource = std::move(resource), work = std::move(work)](bool stopped) {
        if (!allowed) {
            AdminRecorder::refused(context.gateway.journal, caller, std::string(method.action), resource);
            reactor->Finish(permission_denied());
        } else if (stopped) {
            reactor->Finish(stopping());
        } else {
            // What was allowed when the call came may not be so after a wait in the queue.
            const auto now = context.callers.again(caller);
            if (!now) return reactor->Finish(unauthenticated());
            if (!satisfies(now->role, method.need)) return reactor->Finish(permission_denied());
            reactor->Finish(perform(work, *now, method.action));
        }
    });
    if (!queued) reactor->Finish(overloaded());
    return reactor;
}

}  // namespace usher::gateway::control
