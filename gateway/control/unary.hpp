#pragma once
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/control/caller.hpp"
#include "gateway/control/control_server.hpp"
#include "gateway/control/executor.hpp"
#include "gateway/control/methods.hpp"

namespace usher::gateway::control {

class TailHub;

/// What the services of one server share. Outlives the server.
struct ServiceContext {
    const ControlDependencies& gateway;
    const CallerPolicy& callers;
    Executor& executor;
    Executor& urgent;  ///< for what must not wait behind calls that wait for the database, and does not do so itself
    TailHub& tails;
};

/// Carries a unary call out: the caller is identified and its role checked on gRPC's thread, and `work` runs on the
/// executor, where it may block. `work` fills the response; it may use request and response until it returns, and is
/// destroyed after the call was answered. UNAUTHENTICATED, PERMISSION_DENIED (on record when the method changes
/// something: `resource` names what), RESOURCE_EXHAUSTED with a full queue; an exception is logged and INTERNAL.
grpc::ServerUnaryReactor* unary(const ServiceContext& context, grpc::CallbackServerContext* call, const Method& method,
                                std::string resource, std::function<base::Result<void>(const Caller&)> work);

/// Ends a call, once; any thread.
using Finish = std::function<void(grpc::Status)>;
/// How to find what an order is about where this gateway has not heard of it: it may have come by another one that
/// shares the database, a moment ago.
struct Newcomer {
    std::function<bool()> known;
    std::function<base::Result<void>()> look;   ///< reads the database
    std::optional<base::Microseconds> limit{};  ///< how long that may take; none: as long as the caller waits
};
/// As unary(), on the urgent executor, for what takes access away, and for what is said before: `work` must not wait
/// for the database, and calls `finish` when there is something to say. `response` is there until then. What is not
/// known here is looked for first, on the other executor, where several gateways share a database; where that fails the
/// call does.
grpc::ServerUnaryReactor* urgent(const ServiceContext& context, grpc::CallbackServerContext* call, const Method& method,
                                 std::string resource, std::function<void(const Caller&, Finish)> work,
                                 Newcomer newcomer = {});

}  // namespace usher::gateway::control
