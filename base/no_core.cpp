#include "base/no_core.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

namespace usher::base {

void leave_no_core() noexcept {
    // Neither fails with these arguments.
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
}

}  // namespace usher::base
