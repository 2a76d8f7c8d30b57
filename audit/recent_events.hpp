#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "audit/event_block.hpp"
#include "audit/store.hpp"
#include "base/clock.hpp"

namespace usher::audit {

/// More than so is not kept of the newest events of all gateways, less the last block of each that is read.
inline constexpr std::size_t recent_bytes_max = 16u << 20;

/// More than so is not kept of what was made of them; half of it is dropped then, of the oldest.
inline constexpr std::size_t recent_made_bytes_max = 16u << 20;
/// For so long they are kept.
inline constexpr base::Microseconds recent_age_max{60'000'000};

/// The newest events of each gateway, so that those who follow share what it costs to read and to decode them: whoever
/// comes first to the end of what is kept reads on, for all. Who is behind it reads alone, and comes back here when it
/// has caught up. Thread-safe; blocks on files and database.
class RecentEvents {
public:
    RecentEvents(Journal& journal, Store& store, const base::Clock& clock, std::size_t bytes_max = recent_bytes_max,
                 std::size_t made_bytes_max = recent_made_bytes_max);

    struct Found {
        std::shared_ptr<const EventBlock> block;  ///< has the event behind `after`, and may begin before it
        bool at_end = false;                      ///< there is nothing newer now
    };
    /// What follows `after` in the events of `gateway`: this gateway's from the journal, another's from the store.
    /// Neither block nor at_end: not here, or not without a gap; whoever asks reads it alone. A block that is read for
    /// it has the answer for `filter`. An error is that of the read, for all who waited for it. With `wait_max` it is
    /// unavailable where another reader has not got an answer of the store for so long.
    base::Result<Found> behind(const base::Uuid& gateway, std::uint64_t after, const NamedFilter& filter,
                               std::optional<std::chrono::milliseconds> wait_max = {});

    /// Drops what was read before: what retention removes from the store must not live on here.
    void forget(base::MonoTime before);
    /// What was made of the events and is kept with them.
    std::size_t made_bytes() const noexcept { return *made_bytes_; }

private:
    struct Kept {
        std::shared_ptr<const EventBlock> block;
        base::MonoTime read_at;
    };
    struct Window {
        // Of the mutex below.
        bool reading = false;              ///< one reads on, the others wait for what it reads
        bool given_up = false;             ///< somebody has waited for it in vain: nobody else does
        std::condition_variable has_read;  ///< with the mutex below
        std::deque<Kept> blocks;           ///< one begins where the one before it ends
        std::uint64_t reads = 0;
        std::optional<base::Error> error;  ///< of the last read
    };
    /// Reads on for all, and lets those who wait look when it goes.
    class Turn {
    public:
        Turn(RecentEvents& events, Window& window) : events_(events), window_(window) {}
        ~Turn();
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

    private:
        RecentEvents& events_;
        Window& window_;
    };
    using Blocks = std::vector<std::shared_ptr<const EventBlock>>;

    enum class Place { behind, inside, at_end };
    Place look(const Window& window, std::uint64_t after, Found& found) const;
    base::Result<Found> read_on(Window& window, const base::Uuid& gateway, std::uint64_t after,
                                const NamedFilter& filter);
    base::Result<std::vector<JournalRecord>> read(const base::Uuid& gateway, std::uint64_t after) const;
    void keep(Window& window, const std::shared_ptr<const EventBlock>& block);
    /// `gone`: what is dropped is destroyed by the caller, without the lock.
    void drop_oldest(Window& window, Blocks& gone);
    void drop_older(Window& window, base::MonoTime before, Blocks& gone);
    void shed_made();

    Journal& journal_;
    Store& store_;
    const base::Clock& clock_;
    const std::size_t bytes_max_, made_bytes_max_;
    const MadeBytes made_bytes_ = std::make_shared<std::atomic<std::size_t>>(0);
    std::mutex mutex_;  ///< never held while something is read
    std::map<base::Uuid, std::shared_ptr<Window>> windows_;
    std::size_t bytes_ = 0;  ///< of all blocks
};

}  // namespace usher::audit
