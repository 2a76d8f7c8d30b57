#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/sinks/outlet.hpp"
#include "audit/sinks/settings.hpp"
#include "audit/sinks/sink_store.hpp"
#include "audit/store.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::audit::sinks {

/// How a sink is.
struct Status {
    Settings settings;
    std::uint64_t forwarded_sequence = 0;   ///< everything up to here is behind the sink
    std::uint64_t lag_records = 0;          ///< in the store and not forwarded
    std::optional<base::Microseconds> lag;  ///< how long ago the oldest of them was recorded; nullopt: there is none
    std::string error;                      ///< why forwarding stands still; empty: it does not
    std::optional<base::UtcTime> failing_since;
    std::uint64_t delivered = 0, failures = 0, missing = 0;  ///< since the start; `missing`: gone before they were sent
    std::uint64_t parked = 0;                                ///< of this gateway
};

/// Forwards the store's records of one gateway to each sink that is configured, each on a thread of its own with a
/// cursor of its own (decision 31). No sink knows of another, and none holds up the gateway: a receiver that is away
/// costs its lag, and a try now and then (Backoff), with an error in the log when it begins and every ten minutes.
/// Thread-safe.
class Sinks {
public:
    struct Dependencies {
        base::Uuid gateway;
        base::sql::Database& database;
        Store& store;
        const base::Clock& clock;
        /// The last sequence of this gateway that is in the store; wait-free, any thread.
        std::function<std::uint64_t()> shipped;
        /// Told on a sink's thread; must not block.
        std::function<void(const std::string& sink, std::uint64_t events)> on_delivered;
        std::function<void(const std::string& sink)> on_failure;
    };

    /// Makes what speaks to a sink's receiver. invalid_argument where its files cannot be used.
    using MakeOutlet = std::function<base::Result<std::unique_ptr<Outlet>>(const Settings&)>;

    /// Starts all of them. invalid_argument where a sink's files or filter cannot be used. What is referred to outlives
    /// it.
    static base::Result<std::unique_ptr<Sinks>> start(const std::vector<Settings>& settings, Dependencies dependencies,
                                                      const MakeOutlet& make);
    /// stop().
    ~Sinks();
    Sinks(const Sinks&) = delete;
    Sinks& operator=(const Sinks&) = delete;

    std::vector<Status> status() const;
    SinkStore& store() noexcept;
    /// Parked records are tried again soon: somebody has asked for it in the store.
    void look_for_retries();
    /// Until everything up to `sequence` is behind each sink whose receiver answers, or `timeout` has passed. False
    /// then.
    bool wait_forwarded(std::uint64_t sequence, base::Microseconds timeout);
    /// Ends what is under way; what is not confirmed is sent again by whoever comes next. Idempotent.
    void stop();

private:
    class Forwarder;
    struct Shared;
    Sinks();
    std::unique_ptr<Shared> shared_;
    std::vector<std::unique_ptr<Forwarder>> forwarders_;
};

}  // namespace usher::audit::sinks
