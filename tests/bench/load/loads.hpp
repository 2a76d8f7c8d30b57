#pragma once

#include <cstdint>

#include "load/tunnel.hpp"

namespace bench {

struct Amount {
    std::uint64_t count = 0;   // tunnels, or bytes a stream
    unsigned concurrency = 1;  // threads, each with one tunnel at a time
    double rate = 0;           // tunnels begun a second (setup only)
};

/// Each prints one JSON line with what it did and returns the exit code; the first failure ends it (1, on standard
/// error).
int download(const Route& route, const Amount& amount);
int upload(const Route& route, const Amount& amount);
/// Tunnels one after the other: 1 KiB to the echo app and back, then a clean end.
int short_tunnels(const Route& route, const Amount& amount);
/// Tunnels begun at a fixed rate; the time from connect() until one byte has come back from the echo app.
int setup(const Route& route, const Amount& amount);
/// `concurrency` tunnels that stay open, each of which sends 64 KiB through the echo app now and then, together at a
/// fixed rate; the time from when such a transfer was due until its last byte has come back.
int transfers(const Route& route, const Amount& amount);
/// Opens tunnels, passes one byte through each and holds them all until standard input ends.
int idle(const Route& route, const Amount& amount);
/// The same as streams of one HTTP/2 connection, `concurrency` of them open at a time. The times of setup run from the
/// moment at which a tunnel was due, until one byte has come back.
int http2_short(const Route& route, const Amount& amount);
int http2_setup(const Route& route, const Amount& amount);
/// Holds them on connections of at most 1,000 streams.
int http2_idle(const Route& route, const Amount& amount);
/// 16 MiB through the echo app in odd pieces; fails unless each byte comes back as it went.
int verify(const Route& route);

}  // namespace bench
