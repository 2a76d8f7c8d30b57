#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "audit/journal/file.hpp"
#include "audit/journal/inspect.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::audit::journal {

struct RepairOptions {
    bool accept_loss = false;   ///< false: say what would be done, and change nothing
    std::uint64_t through = 0;  ///< give up the records up to this one where there are none: the store has them
};

/// What repair() does to one file.
struct Repaired {
    std::string file;
    std::string kept_as;              ///< where its damaged bytes stay; empty when there were none
    std::uint64_t saved = 0;          ///< records that go on as they were
    std::uint64_t lost = 0;           ///< records in whose place a CORRUPTION record stands
    std::vector<std::string> losses;  ///< a sentence each, the same as in the first CORRUPTION record of each stretch
};

/// The way out for a journal that a gateway refuses. Each damaged segment is written anew: what can be read stays as it
/// is, and each record that cannot be read becomes a CORRUPTION record of the same sequence, which is shipped as any
/// other, so that the loss is on the record and sequences stay dense. The damaged file is kept beside it. A torn end is
/// left to the next start.
///
/// Changes nothing without accept_loss; takes the directory's lock all the same, so failed_precondition while a gateway
/// runs on it. Killed at any moment, it can be run again. Empty: there is nothing to repair. Errors: not_found when
/// there is no journal; failed_precondition for files of a newer Usher; data_loss when nothing says whose journal it
/// is.
base::Result<std::vector<Repaired>> repair(Disk& disk, const std::string& directory, const RepairOptions& options,
                                           const base::Clock& clock);

}  // namespace usher::audit::journal
