// Runs many histories of tests/unit/audit/simulation.hpp: journal_simulation [--seeds N] [--first S]. A history that
// breaks a promise is named with its seed; run it again with --first SEED --seeds 1. Exit code 1 when there was one.
#include <charconv>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string_view>

#include "base/log.hpp"
#include "tests/unit/audit/simulation.hpp"

namespace {

using usher::audit::testing::Figures;

bool number(std::string_view text, std::uint64_t& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size();
}

void add(Figures& sum, const Figures& one) {
    sum.lives += one.lives;
    sum.starts_cut += one.starts_cut;
    sum.power_cuts += one.power_cuts;
    sum.kills += one.kills;
    sum.faults += one.faults;
    sum.acknowledged += one.acknowledged;
    sum.accesses += one.accesses;
    sum.stored += one.stored;
    sum.lost_replies += one.lost_replies;
    sum.pruned += one.pruned;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t seeds = 1000, first = 1;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view option = argv[i];
        std::uint64_t* value = option == "--seeds" ? &seeds : option == "--first" ? &first : nullptr;
        if (value == nullptr || i + 1 == argc || !number(argv[i + 1], *value)) {
            std::cerr << "usage: journal_simulation [--seeds N] [--first S]\n";
            return 2;
        }
    }
    // The failures that are made would fill the terminal.
    if (auto quiet = usher::base::configure_log({.file = "/dev/null"}); !quiet) {
        std::cerr << "journal_simulation: " << quiet.error().message << "\n";
        return 1;
    }
    Figures sum;
    std::uint64_t violations = 0;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        const auto outcome = usher::audit::testing::simulate(seed);
        add(sum, outcome.figures);
        if (outcome.violation.empty()) continue;
        ++violations;
        std::cout << "seed " << seed << ": " << outcome.violation << std::endl;
    }
    std::cout << seeds << " seeds from " << first << ": " << violations << " violations; starts " << sum.lives
              << ", starts cut short " << sum.starts_cut << ", power cuts " << sum.power_cuts << ", kills " << sum.kills
              << ", operations failed " << sum.faults << ", commit replies lost " << sum.lost_replies
              << "; records acknowledged " << sum.acknowledged << ", stored " << sum.stored << ", accesses "
              << sum.accesses << ", removed from journals " << sum.pruned << "\n";
    return violations == 0 ? 0 : 1;
}
