#pragma once
#include <map>
#include <optional>

#include "audit/audit.hpp"
#include "audit/event_block.hpp"
#include "audit/fleet_cursor.hpp"
#include "audit/recent_events.hpp"
#include "audit/tail_items.hpp"

namespace usher::audit {

/// Events of a block, from one of its picks to before another one.
struct SharedEvents {
    std::shared_ptr<const EventBlock> block;
    EventBlock::Picks picks;
    std::size_t begin = 0, end = 0;  ///< in picks
};

/// What stands around the sequence in the cursors of one batch: only that number changes from item to item.
struct CursorFrame {
    std::string before, behind;
    std::string around(std::uint64_t sequence) const { return before + std::to_string(sequence) + behind; }
};

/// Reads the stream of all gateways of a database from any position: this gateway's from its journal, as TailReader
/// does, the others' from the store, up to their watermarks. Each gateway's events come in their order, exactly once;
/// between gateways there is no order. Holds no queue. Where others read the same, it takes what they have read from
/// `recent`. Not thread-safe; blocks on files and database.
class FleetReader {
public:
    /// With `recent` what is there is taken from there.
    FleetReader(Journal& journal, Store& store, NamedFilter filter, RecentEvents* recent = nullptr);

    /// Items that are this reader's own, or else events that it shares, which have no cursor yet: that is in `frame`.
    struct Batch : TailReader::Batch {
        std::vector<SharedEvents> shared;
        CursorFrame frame;
        bool empty() const noexcept { return items.empty() && shared.empty(); }
    };

    /// Where to start; `patient` as in next(). Where the database does not say who the others are, those that the
    /// cursor does not name join from where they are when it does. A cursor of a gateway that is not of this database,
    /// or that lies beyond this gateway's end, is invalid_argument. Of another gateway it may lie beyond what the store
    /// has, since that gateway's own tail shows what is on its disk: its events go on when the store is there.
    base::Result<void> start_after(const FleetCursor& after, bool patient);
    base::Result<void> start_since(base::UtcTime since);
    base::Result<void> start_now(bool patient);

    /// The others have got so far. One that was not there before is read from its first event on. Those that are no
    /// longer among the newest are left out from now on.
    void know(const FleetWatermarks& watermarks);

    /// As TailReader::next(), of one gateway at a time, in turns. Items carry the cursor of the whole stream. An error
    /// that is about the store of other gateways ends no stream that follows: with `patient` they are left alone until
    /// know() is called again.
    /// Shared events are at most 256, and 256 KiB as they are sent, or one that is larger.
    base::Result<Batch> next(bool patient);
    /// Goes back to before `items`, which are the last ones that next() gave: they are read again.
    void unread(const TailItems& items, std::size_t first);
    /// The others are left alone now, see next().
    bool paused() const noexcept { return paused_; }
    /// Leaves them alone: the store does not answer.
    void pause() noexcept { paused_ = true; }

    std::uint64_t own_position() const noexcept { return own_.position(); }
    /// Where the whole stream is.
    FleetCursor position() const;
    /// Up to where each gateway's events are known to be: this one's on disk, the others' in the store.
    Sequences watermarks() const;
    /// The database has more gateways than are shown.
    bool incomplete() const noexcept { return incomplete_; }

private:
    struct Other {
        TailPlace place;
        std::uint64_t watermark = 0;
    };
    /// nullopt: there are none to know, or the database is away and `patient` bears it.
    base::Result<std::optional<FleetWatermarks>> learn(bool patient);
    base::Result<Batch> next_own();
    base::Result<Batch> next_of(Other& other, bool patient);
    /// Takes what is shared of the events behind `place` and before `until`, and moves it there. False: there is
    /// nothing of that here, and it has not been moved.
    base::Result<bool> share(Batch& batch, TailPlace& place, std::uint64_t until, bool patient);
    bool position_is_whole() const noexcept { return known_ && store_.shared(); }
    CursorFrame frame_of(const base::Uuid& gateway) const;
    void set_cursors(Batch& batch, const base::Uuid& gateway) const;

    Journal& journal_;
    Store& store_;
    const NamedFilter filter_;
    RecentEvents* const recent_;
    TailReader own_;
    std::optional<base::UtcTime> since_;  ///< of own_
    std::map<base::Uuid, Other> others_;
    bool known_ = false;       ///< the others are known: one that is not among them comes after the start
    bool incomplete_ = false;  ///< see incomplete()
    bool paused_ = false;      ///< the store failed; see next()
    bool own_came_last_ = false;
    base::Uuid last_other_;  ///< whose events came last, of the others
};

}  // namespace usher::audit
