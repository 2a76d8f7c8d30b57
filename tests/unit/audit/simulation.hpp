#pragma once
#include <cstdint>
#include <string>

namespace usher::audit::testing {

/// Bugs that can be planted around the code under test, so that it is known what the simulation sees.
enum class Planted {
    none,
    sync_left_out,            ///< fdatasync answers and does nothing
    directory_sync_left_out,  ///< fsync of the directory answers and does nothing
    acknowledged_early,       ///< an append counts as durable when it is queued
    watermark_before_commit,  ///< the store's watermark moves in a transaction of its own, before the events
    torn_end_left,            ///< a start does not remove what a crash cut short
    prune_ahead,              ///< the journal is told that the store has what it has not
    closed_dropped,           ///< a start does not close what a crash left open
    opened_not_awaited,       ///< an access begins before its OPENED is durable
};

struct Figures {
    std::uint64_t lives = 0;       ///< starts that succeeded
    std::uint64_t starts_cut = 0;  ///< starts that a fault or a crash ended
    std::uint64_t power_cuts = 0;
    std::uint64_t kills = 0;
    std::uint64_t faults = 0;  ///< operations that were made to fail
    std::uint64_t acknowledged = 0;
    std::uint64_t accesses = 0;
    std::uint64_t stored = 0;  ///< events in the store at the end
    std::uint64_t lost_replies = 0;
    std::uint64_t pruned = 0;  ///< records that left the journal
};

struct Outcome {
    std::string violation;  ///< what promise was broken; empty when none was
    Figures figures;
};

/// One history of a journal, its recovery, its shipper and a store, decided by `seed` alone: producers append, the disk
/// fails, fills, forgets and loses power, the process dies at any file operation, the next start too, and the store is
/// away or hides that it has committed. Single-threaded and without real time, so that a seed replays.
///
/// The promises that are checked: what was acknowledged, or once recovered, is found by every later start as it was;
/// sequences are dense; the journal keeps what the store does not have; the store ends with every event exactly once,
/// in order and equal to the journal's; an access that has begun has its OPENED first and exactly one CLOSED last.
Outcome simulate(std::uint64_t seed, Planted planted = Planted::none);

}  // namespace usher::audit::testing
