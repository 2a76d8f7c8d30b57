#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
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

/// The bytes of what was made of blocks and is kept with them. Thread-safe.
using MadeBytes = std::shared_ptr<std::atomic<std::size_t>>;

/// Events of one gateway that follow each other without a gap, read and decoded once for all who follow. It holds them
/// serialized, less the cursor, which is not the same for everybody. Its events never change; thread-safe.
class EventBlock {
public:
    /// What somebody makes of a block and others can use as well.
    class Made {
    public:
        explicit Made(MadeBytes all) : all_(std::move(all)) {}
        virtual ~Made() { *all_ -= bytes_; }
        Made(const Made&) = delete;
        Made& operator=(const Made&) = delete;

    protected:
        /// It holds so much more than before.
        void grow(std::size_t bytes) const noexcept {
            bytes_ += bytes;
            *all_ += bytes;
        }

    private:
        const MadeBytes all_;
        mutable std::atomic<std::size_t> bytes_ = 0;
    };
    /// Places of events in the block, rising.
    using Picks = std::shared_ptr<const std::vector<std::uint32_t>>;

    /// Of `records`, which were read behind `after`. It ends before the first that is missing or cannot be read;
    /// nullptr when that is the first of all. Gaps are for each reader to find and to say. `filter` is answered at
    /// once. What is made of it later is counted in `made`.
    static std::shared_ptr<const EventBlock> make(const base::Uuid& gateway, std::uint64_t after,
                                                  const std::vector<JournalRecord>& records, const NamedFilter& filter,
                                                  MadeBytes made = std::make_shared<std::atomic<std::size_t>>(0));
    explicit EventBlock(MadeBytes made) : made_bytes_(std::move(made)) {}
    ~EventBlock() { forget_made(); }

    std::uint64_t first() const noexcept { return first_; }  ///< the first sequence that is in it
    std::uint64_t last() const noexcept { return first_ + size() - 1; }
    std::size_t size() const noexcept { return events_.size(); }
    /// What it holds, less what was made of it.
    std::size_t bytes() const noexcept { return bytes_.capacity() + events_.capacity() * sizeof(Event) + sizeof *this; }

    /// The serialized AuditEvent without its cursor.
    std::string_view body(std::size_t place) const;
    /// The event without its cursor, read from its body.
    void read(std::size_t place, usher::v1::AuditEvent& event) const;
    base::UtcTime recorded_at(std::size_t place) const { return events_[place].recorded_at; }

    /// The events that match. The answers of 32 texts are kept, the oldest goes first.
    Picks matching(const NamedFilter& filter) const;

    /// What `make` makes of the counter that is to know of it, or has made for `key` before: what was made for 32 keys
    /// is kept with the block, the one that was used least lately goes first. `make` is called under a lock.
    std::shared_ptr<const Made> made(const std::string& key,
                                     const std::function<std::shared_ptr<const Made>(MadeBytes)>& make) const;

    /// Keeps nothing any more of what was answered and made. Who has it keeps it.
    void forget_made() const;

private:
    struct Event {
        std::size_t end;  ///< of its body in bytes_
        base::UtcTime recorded_at;
    };
    struct Answer {
        std::string filter;
        Picks picks;
        std::size_t bytes() const noexcept { return filter.size() + picks->size() * sizeof(std::uint32_t) + 128; }
    };
    struct Kept {
        std::string key;
        std::shared_ptr<const Made> made;
    };

    Picks find(const std::string& text) const;
    void keep(Answer answer) const;

    std::uint64_t first_ = 0;
    std::string bytes_;
    std::vector<Event> events_;
    const MadeBytes made_bytes_;
    mutable std::mutex mutex_;  ///< of what follows
    mutable std::deque<Answer> answers_;
    mutable std::deque<Kept> kept_;
};

}  // namespace usher::audit
