#pragma once
#include <sys/types.h>

#include <optional>

#include "base/result.hpp"

namespace usher::clients::agent {

/// The user that holds the other end of `socket`, an accepted TCP connection of this machine. Asks the kernel
/// (sock_diag(7)); one system call or two, never blocks. nullopt: nobody holds it any more. An error: the kernel does
/// not tell.
base::Result<std::optional<uid_t>> peer_owner(int socket);

}  // namespace usher::clients::agent
