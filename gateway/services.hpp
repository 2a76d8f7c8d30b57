#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "audit/journal/journal.hpp"
#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/password.hpp"
#include "auth/second_factor.hpp"
#include "auth/sessions.hpp"
#include "base/clock.hpp"
#include "gateway/background.hpp"
#include "gateway/config.hpp"
#include "gateway/control/tunnel_origin.hpp"
#include "gateway/enforcement.hpp"
#include "gateway/gatekeeper.hpp"
#include "gateway/limits/app_list_rates.hpp"
#include "gateway/limits/connection_limits.hpp"
#include "gateway/limits/descriptors.hpp"
#include "gateway/limits/tunnel_limits.hpp"
#include "gateway/metrics.hpp"
#include "gateway/open_accesses.hpp"
#include "gateway/tls/context.hpp"

namespace usher::gateway {

/// The TLS context that new connections get; swapped as a whole when certificates are reloaded.
class CurrentContext {
public:
    tls::ContextPtr get() const {
        std::lock_guard lock(mutex_);
        return context_;
    }
    void set(tls::ContextPtr context) {
        std::lock_guard lock(mutex_);
        context_ = std::move(context);
    }

private:
    mutable std::mutex mutex_;
    tls::ContextPtr context_;
};

/// How much of what comes is taken on.
enum class Phase {
    serving,   ///< everything
    leaving,   ///< what is on connections that are there; another process accepts the new ones
    draining,  ///< no new tunnels and no sign-ins
};

/// What every worker uses and the daemon owns. All of it is thread-safe and outlives the workers.
struct Services {
    const Config& config;
    const base::Clock& clock;
    auth::Directory& directory;
    auth::Sessions& sessions;
    auth::HashingWorker& hashing;
    auth::SignInThrottle& throttle;
    auth::SecondFactors& second_factors;
    auth::Devices& devices;
    audit::Journal& journal;
    Background& background;
    Metrics& metrics;
    Gatekeeper& gatekeeper;
    const CutOff& cut_off;
    limits::ConnectionLimits& connection_limits;
    limits::TunnelLimits& tunnel_limits;
    limits::AppListRates& app_list_rates;
    const limits::Descriptors descriptors;
    CurrentContext& tls;
    const std::atomic<Phase>& phase;
    /// Hands one end of a socketpair to the control API, for a tunnel from there.
    std::function<base::Result<void>(int fd, control::TunnelOrigin origin)> serve_control;
    /// Cuts what is no longer allowed, on all workers, and returns how many accesses that were. Blocks; never from a
    /// worker.
    std::function<std::uint64_t(const Enforcement& what)> enforce;
    CountOpenAccesses open_accesses;
};

}  // namespace usher::gateway
