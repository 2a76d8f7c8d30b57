#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "audit/audit.hpp"
#include "audit/retention_runner.hpp"
#include "audit/sinks/sinks.hpp"
#include "auth/affected.hpp"
#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/hashing_worker.hpp"
#include "auth/second_factor.hpp"
#include "auth/sessions.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/control/operation.hpp"
#include "gateway/control/tail_limits.hpp"
#include "gateway/control/tunnel_origin.hpp"
#include "gateway/open_accesses.hpp"

namespace usher::gateway::control {

class Revocations;
class TwoPerson;

/// What the control API stands on. All of it outlives the server; all of it is thread-safe.
struct ControlDependencies {
    auth::Directory& directory;
    auth::Sessions& sessions;
    auth::HashingWorker& hashing;
    auth::SecondFactors& second_factors;
    audit::Journal& journal;
    audit::Store& store;
    audit::Shipper& shipper;
    const base::Clock& clock;
    Revocations& revocations;
    CountOpenAccesses open_accesses;
    /// Cuts what is no longer allowed, on all workers, and returns how many accesses it cut, when that is done.
    std::function<std::uint64_t(const auth::Affected&)> enforce;
    /// What GatewayService moves; without one there is no such service.
    Operation* operation = nullptr;
    /// What RetentionService moves; without one there is no such service, and no classes and holds to apply.
    audit::RetentionRunner* retention = nullptr;
    /// What DeviceService moves; without one there is no such service.
    auth::Devices* devices = nullptr;
    /// What SinkService moves; without them there is no such service.
    audit::sinks::Sinks* sinks = nullptr;
    TailLimits tails{};
    /// Without one, one administrator is enough for what deletes audit data.
    TwoPerson* two_person = nullptr;
};

/// The gRPC services of proto/usher/v1. Two servers that share nothing but what they serve:
///  - the local one listens on a Unix socket; whoever may open it is the local administrator. It has health and
///  reflection too;
///  - the tunnel one listens nowhere; it gets connected sockets by serve_tunnel(), and each call on them must prove its
///  caller.
/// So a call that came through a tunnel cannot be taken for the local administrator: no code path leads from one to the
/// other. Thread-safe.
class ControlServer {
public:
    /// Listens on `socket_path` (mode 0600). A socket file that nobody serves is replaced; one that is served, or any
    /// other file, is failed_precondition. Sets the process's umask for a moment: call it before threads create files.
    static base::Result<std::unique_ptr<ControlServer>> start(std::string socket_path,
                                                              ControlDependencies dependencies);
    /// stop(0), and waits for calls that are still at work.
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

    /// Serves one tunnel: `fd` is a connected stream socket (one end of a socketpair), taken over in every case. Calls
    /// on it are never the local administrator: each needs "authorization: Bearer TOKEN" metadata of a valid session
    /// whose account has the role. unavailable once stop() was called.
    /// Sessions that are bound to the tunnel's device key may call on it, and acts are on record as from its address.
    base::Result<void> serve_tunnel(int fd, TunnelOrigin origin = {});

    /// Ends streams, refuses new calls, and waits for those at work, at most `deadline`. Idempotent.
    void stop(base::Microseconds deadline);

private:
    ControlServer();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace usher::gateway::control
