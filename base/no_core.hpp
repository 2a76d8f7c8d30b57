#pragma once

namespace usher::base {

/// Keeps what this process has in memory (passwords, tokens, keys) out of core dumps, and out of reach of other
/// processes of the same user: no core file, no dump by systemd-coredump, no ptrace(2), nothing of /proc/PID but for
/// root (PR_SET_DUMPABLE of prctl(2), RLIMIT_CORE). Programs that it executes have the limit, and may be traced again.
/// Called first by each main().
void leave_no_core() noexcept;

}  // namespace usher::base
