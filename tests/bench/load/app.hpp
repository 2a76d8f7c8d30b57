#pragma once

namespace bench {

/// The application behind the proxy under test: three listeners on 127.0.0.1, one epoll thread.
///   source  reads 8 bytes (a big-endian count), sends that many bytes of pattern(), ends its direction
///   sink    reads 8 bytes (a count) and then that many bytes, which the kernel discards; answers with one byte 'k'
///   echo    sends back what it reads, and ends its direction when the other side has
/// Prints one JSON line with the three ports and serves until standard input ends. Returns the exit code.
int run_app();

}  // namespace bench
