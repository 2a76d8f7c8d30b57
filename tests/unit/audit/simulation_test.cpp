#include "tests/unit/audit/simulation.hpp"

#include <string>

#include "base/log.hpp"
#include "catch.hpp"

// Journal, recovery, shipper and store through histories of failures; a hundred thousand of them by
// tests/faults/journal_simulation.
namespace usher::audit::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t seeds = 40;
#else
constexpr std::uint64_t seeds = 300;
#endif

/// The failures that are made would fill the test's output.
struct QuietLog {
    QuietLog() { REQUIRE(base::configure_log({.file = "/dev/null"}).ok()); }
    ~QuietLog() { (void)base::configure_log({}); }  // standard error can always be logged to
};

TEST_CASE("no history of failures breaks a promise of the journal, its recovery and the shipper") {
    const QuietLog quiet;
    Figures sum;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const auto outcome = simulate(seed);
        INFO("seed " << seed << ": " << outcome.violation);
        REQUIRE(outcome.violation.empty());
        sum.power_cuts += outcome.figures.power_cuts;
        sum.kills += outcome.figures.kills;
        sum.starts_cut += outcome.figures.starts_cut;
        sum.lost_replies += outcome.figures.lost_replies;
        sum.pruned += outcome.figures.pruned;
        sum.faults += outcome.figures.faults;
    }
    // The histories are of the kind that is meant.
    CHECK(sum.power_cuts > seeds);
    CHECK(sum.kills > seeds);
    CHECK(sum.starts_cut > seeds / 2);
    CHECK(sum.lost_replies > seeds / 2);
    CHECK(sum.pruned > seeds);
    CHECK(sum.faults > seeds);
}

TEST_CASE("zeros whose sync failed at one start are written again by the next") {
    const QuietLog quiet;
    // Histories in which what the zeros were to cover came back behind new records, and a start refused the journal.
    for (const std::uint64_t seed : {442, 5'697, 23'429}) {
        const auto outcome = simulate(seed);
        INFO("seed " << seed << ": " << outcome.violation);
        CHECK(outcome.violation.empty());
    }
}

TEST_CASE("what two failures in a row leave of a last batch is no damage") {
    const QuietLog quiet;
    // Sectors of a sync that failed behind a sector that a power cut left in part; and a start that was killed while it
    // covered a torn end. A start refused the journal.
    for (const std::uint64_t seed : {17'707, 35'929}) {
        const auto outcome = simulate(seed);
        INFO("seed " << seed << ": " << outcome.violation);
        CHECK(outcome.violation.empty());
    }
}

TEST_CASE("a seed replays") {
    const QuietLog quiet;
    const auto one = simulate(7), two = simulate(7);
    CHECK(one.figures.acknowledged == two.figures.acknowledged);
    CHECK(one.figures.stored == two.figures.stored);
    CHECK(one.figures.faults == two.figures.faults);
}

TEST_CASE("each bug that is planted is seen within a few seeds") {
    const QuietLog quiet;
    for (const auto planted : {Planted::sync_left_out, Planted::directory_sync_left_out, Planted::acknowledged_early,
                               Planted::watermark_before_commit, Planted::prune_ahead, Planted::torn_end_left,
                               Planted::closed_dropped, Planted::opened_not_awaited}) {
        std::string violation;
        std::uint64_t seed = 0;
        while (violation.empty() && ++seed <= 200) violation = simulate(seed, planted).violation;
        INFO("bug " << static_cast<int>(planted));
        CHECK_FALSE(violation.empty());
    }
}

}  // namespace
}  // namespace usher::audit::testing
