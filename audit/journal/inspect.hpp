#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "audit/journal/file.hpp"
#include "audit/journal/format.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

/// What a journal's files hold, found out without changing them: no lock is taken and nothing is written, so that a
/// copied directory and one that a gateway is writing to can both be looked at.
namespace usher::audit::journal {

/// Something in the files that is not as a writer that was left alone leaves it.
struct Finding {
    enum class Kind {
        corrupt,  ///< what was durable is damaged or missing: no gateway starts on it
        newer,    ///< a later Usher wrote it: no gateway of this version starts on it
        torn,     ///< a last write that a crash cut short, or that is under way now: the next start removes it
        remnant,  ///< bytes where no record counts, such as a write that failed and was done again: never read
    };
    Kind kind = Kind::corrupt;
    std::string file;                 ///< its name within the directory
    std::uint64_t offset = 0;         ///< the first byte concerned
    std::uint64_t end = 0;            ///< behind the last one
    std::uint64_t first_missing = 0;  ///< the records that cannot be read; 0 when there are none
    std::uint64_t last_missing = 0;   ///< at least up to here: behind the last segment nobody can tell
    std::string found;                ///< what is there instead, for people
};

struct SegmentReport {
    std::string file;
    std::uint64_t bytes = 0;          ///< the file's size
    std::uint64_t first = 0;          ///< the sequence that its name says
    std::uint64_t last = 0;           ///< of the last record that can be read; first - 1 when there is none
    std::uint64_t records = 0;        ///< that can be read
    std::uint64_t end = 0;            ///< the offset behind the last one
    base::UtcTime first_at, last_at;  ///< when they were recorded; of no meaning without records
    std::vector<Finding> findings;
};

/// Called for each record that can be read, in order; the view lives for the call.
using Visit = std::function<void(const RecordView&)>;

/// Where a segment stands among the others.
struct SegmentPlace {
    std::uint64_t first = 1;            ///< the sequence that its name says
    std::optional<std::uint64_t> next;  ///< the first sequence of the segment behind it
    base::Uuid gateway;                 ///< nil: whatever its header says
};

/// Reads one whole segment, past damage to what can be read behind it. Pure.
SegmentReport inspect_segment(Bytes bytes, const SegmentPlace& place, const Visit& visit);

struct Inspection {
    base::Uuid gateway;  ///< nil when no file tells
    std::vector<SegmentReport> segments;
    std::vector<Finding> findings;           ///< of all files, in the order of the files
    std::array<std::uint64_t, 8> by_type{};  ///< records that can be read, by the number of their RecordType
    std::uint64_t records = 0;               ///< their sum
    std::uint64_t first = 0, last = 0;       ///< sequences of the first and last of them; 0 without
    base::UtcTime first_at, last_at;         ///< when they were recorded; of no meaning without records
    std::uint64_t open_accesses = 0;         ///< OPENED or PROGRESS without CLOSED

    /// Whether a gateway would refuse to start on it.
    bool refused() const noexcept;
};

/// Looks at every file of a journal's directory. `visit` may be empty; it sees each record once. not_found: the
/// directory holds no journal. Other errors are the file system's.
///
/// Beside a running gateway the answer is a moment's: what a segment that was removed meanwhile held is left out, and
/// the last segment is read again where its end was being written.
base::Result<Inspection> inspect(const Disk& disk, const std::string& directory, const Visit& visit);

}  // namespace usher::audit::journal
