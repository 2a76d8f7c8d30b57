#pragma once
#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace usher::clients::agent {

/// Where the running agent of this user is found: "$XDG_RUNTIME_DIR/usher", else "$XDG_STATE_HOME/usher" or
/// "~/.local/state/usher". Holds the socket "agent.sock" and the lock "agent.lock".
base::Result<std::string> agent_directory();

/// The one agent of this user: as long as it lives nobody else can become it, and the socket listens.
struct AgentHome {
    base::UniqueFd lock;
    base::UniqueFd listener;  ///< SOCK_SEQPACKET, non-blocking, mode 0600
    std::string socket_path;
    ~AgentHome();
    AgentHome(base::UniqueFd held, base::UniqueFd listening, std::string path)
        : lock(std::move(held)), listener(std::move(listening)), socket_path(std::move(path)) {}
    AgentHome(AgentHome&&) = default;
    AgentHome& operator=(AgentHome&&) = delete;
};

/// Becomes the agent of `directory` (made with mode 0700 where it is missing; refused when others may write there).
/// `about` says in the lock who holds it ("process 123, 127.0.0.1:1080"). already_exists names the one that runs.
base::Result<AgentHome> become_agent(const std::string& directory, const std::string& about);

/// A blocking connection to the running agent, whose process belongs to this user; nullopt when there is none.
base::Result<std::optional<base::UniqueFd>> connect_agent(const std::string& directory);

/// Whether the process at the other end of a Unix socket belongs to this user.
bool is_own_peer(int socket);

}  // namespace usher::clients::agent
