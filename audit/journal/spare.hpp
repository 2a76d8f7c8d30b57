#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "audit/journal/file.hpp"
#include "audit/journal/format.hpp"
#include "base/result.hpp"

namespace usher::audit::journal {

/// The reserve: one preallocated segment that is ready before it is needed, so that neither a full disk nor a failed
/// sync finds the journal without a place to write. Used by one thread.
class Spare {
public:
    Spare(Disk& disk, std::string directory, std::uint64_t bytes)
        : disk_(disk), directory_(std::move(directory)), bytes_(bytes) {}

    bool ready() const noexcept { return file_ != nullptr; }

    /// Makes the spare, durably, unless there is one; takes over one that an earlier run left, if it is blank and
    /// whole.
    base::Result<void> prepare();

    struct Activated {
        std::unique_ptr<File> file;
        std::string path;
        std::uint64_t bytes;
    };
    /// Makes the spare the segment that `header` says, durably: header, sync, rename, sync of the directory. A segment
    /// of the same name, which then holds no durable record, is replaced. There is no spare afterwards, whether it
    /// succeeds or not.
    base::Result<Activated> activate(const SegmentHeader& header);

private:
    base::Result<bool> take_over();

    Disk& disk_;
    std::string directory_;
    std::uint64_t bytes_;
    std::unique_ptr<File> file_;
};

}  // namespace usher::audit::journal
