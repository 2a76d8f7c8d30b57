#include "clients/common/stop_signal.hpp"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace usher::clients {

StopSignal::StopSignal() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void StopSignal::set() noexcept {
    if (set_.exchange(true, std::memory_order_acq_rel)) return;
    const std::uint64_t one = 1;
    // The counter of a fresh eventfd takes a 1 without blocking, so only a signal can interrupt the write.
    while (::write(event_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
}

}  // namespace usher::clients
