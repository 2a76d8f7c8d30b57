#include "gateway/control/unary.hpp"

#include <exception>
#include <utility>

#include "base/log.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/awaited.hpp"
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

using LaterWork = std::function<void(const Caller&, const Finish&)>;

grpc::ServerUnaryReactor* run(const ServiceContext& context, Executor& executor, grpc::CallbackServerContext* call,
                              const Method& method, std::string resource, LaterWork work) {
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
    const bool queued = executor.post([&context, reactor, method, allowed, caller = std::move(*caller),
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
            work(*now, [reactor](grpc::Status status) { reactor->Finish(std::move(status)); });
        }
    });
    if (!queued) reactor->Finish(overloaded());
    return reactor;
}

}  // namespace

grpc::ServerUnaryReactor* unary(const ServiceContext& context, grpc::CallbackServerContext* call, const Method& method,
                                std::string resource, Work work) {
    return run(context, context.executor, call, method, std::move(resource),
               [method, work = std::move(work)](const Caller& caller, const Finish& finish) {
                   finish(perform(work, caller, method.action));
               });
}

grpc::ServerUnaryReactor* urgent(const ServiceContext& context, grpc::CallbackServerContext* call, const Method& method,
                                 std::string resource, std::function<void(const Caller&, Finish)> work,
                                 Newcomer newcomer) {
    const auto guarded = [method](const Finish& finish, const std::function<void()>& step) {
        try {
            step();
        } catch (const std::exception& e) {
            base::log_error("a control call failed unexpectedly", {{"call", method.action}, {"error", e.what()}});
            finish(internal_error());
        }
    };
    return run(context, context.urgent, call, method, std::move(resource),
               [&context, method, guarded, work = std::move(work), newcomer = std::move(newcomer)](
                   const Caller& caller, const Finish& finish) {
                   guarded(finish, [&] {
                       if (!newcomer.known || !context.gateway.store.shared() || newcomer.known())
                           return work(caller, finish);
                       const auto go_on = [method, guarded, caller, finish, work](const base::Result<void>& found) {
                           guarded(finish, [&] {
                               if (!found) return finish(to_status(found.error(), method.action));
                               work(caller, finish);
                           });
                       };
                       if (newcomer.limit) return ask_within(context.executor, *newcomer.limit, newcomer.look, go_on);
                       const bool queued =
                           context.executor.post([guarded, finish, go_on, look = newcomer.look](bool stopped) {
                               if (stopped) return finish(stopping());
                               guarded(finish, [&] { go_on(look()); });
                           });
                       if (!queued) finish(overloaded());
                   });
               });
}

}  // namespace usher::gateway::control
