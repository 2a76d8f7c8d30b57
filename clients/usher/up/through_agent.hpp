#pragma once
#include <optional>

#include "clients/common/endpoint.hpp"
#include "clients/common/packet_connection.hpp"
#include "clients/common/saved_session.hpp"

namespace usher::clients::agent {

/// A tunnel on the running agent's connections; nullopt when there is no agent of this user, or it is signed in as
/// somebody else: then the command makes a connection of its own. An error is the refusal: permission_denied,
/// unauthenticated or unavailable, in words. At most 80 s.
base::Result<std::optional<PacketConnection>> tunnel_through_agent(const SavedSession& session,
                                                                   const Endpoint& destination,
                                                                   const StopSignal* stop = nullptr);

/// What the running agent says of itself, as JSON; nullopt when none runs.
base::Result<std::optional<std::string>> ask_agent_status();

}  // namespace usher::clients::agent
