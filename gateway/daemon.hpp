#pragma once
#include <functional>
#include <memory>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/config.hpp"

namespace usher::gateway {

/// One running gateway: everything that usherd is, put together and taken apart in the right order.
class Daemon {
public:
    /// Starts it: data directory, database, journal and its recovery, control API, listeners. When this returns the
    /// gateway serves. Whatever is wrong is an error that says what and where; nothing is left running.
    static base::Result<std::unique_ptr<Daemon>> start(Config config, const base::Clock& clock);

    /// Stops at once what is still running; stop() first is kinder.
    virtual ~Daemon() = default;

    /// Reads certificates and the log file anew (SIGHUP). What cannot be read stays as it was, with an error in the
    /// log.
    virtual void reload() = 0;

    /// Graceful stop: no new connections and tunnels, live ones get timeouts.drain, then end as SHUTDOWN; the journal
    /// is complete and as much of it shipped as the store takes within a few seconds. `hurry` is polled: true ends the
    /// drain early.
    virtual void stop(const std::function<bool()>& hurry) = 0;
};

}  // namespace usher::gateway
