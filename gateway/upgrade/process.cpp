#include "gateway/upgrade/process.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace usher::gateway::upgrade {

// By number: Debian 12's libc has no names for these two.
base::UniqueFd open_process(::pid_t process_id) {
    return base::UniqueFd{static_cast<int>(::syscall(SYS_pidfd_open, process_id, 0))};
}

bool kill_process(int process, int wait_ms) {
    ::syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
    pollfd gone{process, POLLIN, 0};
    int ready;
    do {
        ready = ::poll(&gone, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

}  // namespace usher::gateway::upgrade
