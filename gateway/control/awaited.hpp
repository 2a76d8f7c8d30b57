#pragma once
#include <functional>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/control/executor.hpp"

namespace usher::gateway::control {

/// Calls `answer` exactly once, on a thread of the executor or of gRPC, or on this one: with nothing when `question`
/// has returned without an error, on the thread that it ran on and right behind it; with its error; with
/// resource_exhausted when the executor takes no more, unavailable when it stops; or with deadline_exceeded once
/// `limit` (of real time) has passed. A question whose time is up before it is begun is not asked; one that comes to an
/// end behind that is nobody's. What it throws is an error of its own (internal); `answer` must not throw.
void ask_within(Executor& executor, base::Microseconds limit, std::function<base::Result<void>()> question,
                std::function<void(const base::Result<void>&)> answer);

}  // namespace usher::gateway::control
