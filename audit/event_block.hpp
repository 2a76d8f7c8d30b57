#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "audit/filter.hpp"
#include "audit/journal/journal.hpp"
#include "base/clock.hpp"

namespace usher::audit {

/// A filter and the text that it was parsed from: of equal texts one answer does for all.
struct NamedFilter {
    std::string text;
    Filter filter;
};

/// Events of one gateway that follow each other without a gap, read and decoded once for all who follow. It holds them
/// serialized, less the cursor, which is not the same for everybody. Its events never change; thread-safe.
class EventBlock {
public:
    /// What somebody makes of a block and others can use as well.
    struct Made {
        virtual ~Made() = default;
    };
    /// Places of events in the block, rising.
    using Picks = std::shared_ptr<const std::vector<std::uint32_t>>;

    /// Of `records`, which were read behind `after`. It ends before the first that is missing or cannot be read;
    /// nullptr when that is the first of all. Gaps are for each reader to find and to say. `filter` is answered at
    /// once.
    static std::shared_ptr<const EventBlock> make(const base::Uuid& gateway, std::uint64_t after,
                                                  const std::vector<JournalRecord>& records, const NamedFilter& filter);

    std::uint64_t first() const noexcept { return first_; }  ///< the first sequence that is in it
    std::uint64_t last() const noexcept { return first_ + size() - 1; }
    std::size_t size() const noexcept { return events_.size(); }
    /// What it holds, less what was made of it.
    std::size_t bytes() const noexcept { return bytes_.capacity() + events_.capacity() * sizeof(Event) + sizeof *this; }

    /// The serialized AuditEvent without its cursor.
    std::string_view body(std::size_t place) const;
    base::UtcTime recorded_at(std::size_t place) const { return events_[place].recorded_at; }

    /// The events that match. Each text is evaluated once, of the first 32.
    Picks matching(const NamedFilter& filter) const;

    /// What `make` made the first time that it was asked for with `key`. It is kept with the block; past 8 keys it is
    /// made each time. `make` is called under a lock and must not use this block's functions that may change.
    std::shared_ptr<const Made> made(const std::string& key,
                                     const std::function<std::shared_ptr<const Made>()>& make) const;

private:
    struct Event {
        std::size_t end;  ///< of its body in bytes_
        base::UtcTime recorded_at;
    };
    struct Answer {
        std::string filter;
        Picks picks;
    };
    struct Kept {
        std::string key;
        std::shared_ptr<const Made> made;
    };

    std::uint64_t first_ = 0;
    std::string bytes_;
    std::vector<Event> events_;
    mutable std::mutex mutex_;  ///< of what follows
    mutable std::vector<Answer> answers_;
    mutable std::vector<Kept> kept_;
};

}  // namespace usher::audit
