#pragma once
#include <vector>

#include "clients/common/endpoint.hpp"
#include "clients/common/saved_session.hpp"
#include "clients/common/stop_signal.hpp"
#include "clients/common/tls_connection.hpp"

namespace usher::clients::agent {

constexpr std::size_t forward_connections_limit = 256;

/// Listens on every rule's local address and carries each accepted connection through a tunnel of its own, in a thread
/// of its own, until `stop` is set; then ends them all and returns. Past forward_connections_limit, new connections
/// wait to be accepted. Says "forwarding ..." on standard output when a listener is ready, and refusals on standard
/// error. Throws Failure where it cannot listen.
void run_forwarder(const std::vector<ForwardRule>& rules, const SavedSession& session, const TlsTrust& trust,
                   const StopSignal& stop);

}  // namespace usher::clients::agent
