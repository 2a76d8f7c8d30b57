#pragma once
#include <signal.h>

#include <functional>
#include <memory>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/config.hpp"
#include "gateway/upgrade/successor.hpp"

namespace usher::gateway {

/// One running gateway: everything that usherd is, put together and taken apart in the right order.
class Daemon {
public:
    /// Starts it: data directory, database, journal and its recovery, control API, listeners. When this returns the
    /// gateway serves. Whatever is wrong is an error that says what and where; nothing is left running.
    static base::Result<std::unique_ptr<Daemon>> start(Config config, const base::Clock& clock,
                                                       upgrade::Program program);
    /// The same, of a gateway that another process serves now and hands over through `older` (`usherctl upgrade`).
    static base::Result<std::unique_ptr<Daemon>> take_over(Config config, const base::Clock& clock,
                                                           upgrade::Program program, base::UniqueFd older);

    /// Stops at once what is still running; stop() first is kinder.
    virtual ~Daemon() = default;

    /// Reads certificates and the log file anew (SIGHUP). What cannot be read stays as it was, with an error in the
    /// log.
    virtual void reload() = 0;

    /// Takes the next signal that has come for the process, without waiting; 0 when there is none.
    using NextSignal = std::function<int()>;
    /// The control API wakes the thread that waits for signals with this one, and then asked() says what for.
    static constexpr int wake_signal = SIGUSR1;
    enum class Asked { nothing, drain, upgrade };
    virtual Asked asked() = 0;

    /// Hands over to a new process of the program. When it did, this one has its tunnels to finish: stop(). When it did
    /// not, the reason is in the log and in the status, and this one goes on, or cannot: then it is to be stopped too.
    enum class Upgraded { no, yes, broken };
    virtual Upgraded upgrade() = 0;

    /// Graceful stop, for `signal`: SIGTERM or SIGINT give live tunnels timeouts.drain, wake_signal gives them what the
    /// drain that was asked for says. No new connections and tunnels; at the deadline live ones end as SHUTDOWN; the
    /// journal is complete and as much of it shipped as the store takes within a few seconds. SIGTERM or SIGINT from
    /// `next` end the drain early, SIGHUP is reload().
    virtual void stop(int signal, const NextSignal& next) = 0;
};

}  // namespace usher::gateway
