#pragma once
#include <sys/types.h>

#include "base/unique_fd.hpp"

namespace usher::gateway::upgrade {

/// A descriptor of the process (pidfd_open(2)), which means it and no later one of the same number; none when there is
/// no such process.
base::UniqueFd open_process(::pid_t process_id);

/// SIGKILL, and waits until it is gone, at most `wait_ms`; false past it.
bool kill_process(int process, int wait_ms);

}  // namespace usher::gateway::upgrade
