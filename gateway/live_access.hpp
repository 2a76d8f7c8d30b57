#pragma once
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list_hook.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "audit/journal/journal.hpp"
#include "auth/sessions.hpp"
#include "base/clock.hpp"
#include "base/net.hpp"
#include "gateway/enforcement.hpp"
#include "usher/v1/access.pb.h"
#include "wire/buffer_pool.hpp"

namespace usher::gateway {

class LiveRegistry;

using usher::v1::AccessRecord;
using CloseReason = usher::v1::CloseReason;

/// The bound on what a crash may leave unrecorded of one access (ADVERSARIES §3.1 A2).
inline constexpr std::uint64_t unlogged_bytes_max = 16u << 20;
/// At this many bytes beyond the last durable event the relay stops until the next one is durable: each direction may
/// have one more read in hand.
inline constexpr std::uint64_t gate_after_bytes = unlogged_bytes_max - 2 * wire::BufferPool::bulk_bytes;
/// At half of it a PROGRESS is on its way, so that the bound is hardly ever felt.
inline constexpr std::uint64_t progress_after_bytes = gate_after_bytes / 2;
inline constexpr base::Microseconds progress_after_time{3'000'000};
/// Bytes that have been unlogged for so long stop the relay too. An access is looked at once a second, so it is five
/// seconds at most.
inline constexpr base::Microseconds unlogged_time_max{4'000'000};
/// Each change says whom it may be about. Should one of them have said too little, or a session have ended unheard,
/// that is found within so long and the second in which the access is looked at.
inline constexpr base::Microseconds judged_again_after{5'000'000};
/// An access that moves nothing still says so now and then, which lets the journal drop old segments.
inline constexpr base::Microseconds heartbeat_after{std::chrono::minutes{10}};

/// One access from its admission to its end, on its worker's thread. It owns the record: once opened() it cannot go
/// without CLOSED (the destructor closes it as CLIENT_ERROR).
class LiveAccess {
public:
    LiveAccess(audit::Journal& journal, const base::Clock& clock, EnforcementQueue& orders,
               boost::asio::any_io_executor executor, AccessRecord record, base::Uuid id, auth::SessionPtr session,
               base::Destination destination);
    ~LiveAccess();
    LiveAccess(const LiveAccess&) = delete;
    LiveAccess& operator=(const LiveAccess&) = delete;

    const base::Uuid& id() const noexcept { return id_; }
    const auth::SessionPtr& session() const noexcept { return session_; }
    const base::Destination& destination() const noexcept { return destination_; }
    /// Where it came from, and the app's name.
    const std::string& client_ip() const noexcept { return client_ip_; }
    const std::string& app() const noexcept { return app_; }
    /// Before open() the record; behind it what PROGRESS and CLOSED say on top of what OPENED said.
    AccessRecord& record() {
        if (!record_) record_ = std::make_unique<AccessRecord>();
        return *record_;
    }

    /// Puts OPENED into the journal. Once.
    void open();
    /// Once, behind open(). Waits until it is durable; false when it cannot be, or was not within two seconds of
    /// open().
    boost::asio::awaitable<bool> durable();
    bool opened() const noexcept { return opened_; }

    /// Bytes that were handed to the app (up) or the client (down).
    void count_up(std::uint64_t bytes) {
        up_ += bytes;
        counted(bytes);
    }
    void count_down(std::uint64_t bytes) {
        down_ += bytes;
        counted(bytes);
    }
    /// Before each piece that is moved: whether its worker has been told to cut somebody. That may be this access.
    void look_at_orders() { orders_.look(); }
    std::uint64_t bytes_up() const noexcept { return up_; }
    std::uint64_t bytes_down() const noexcept { return down_; }

    /// Bytes that were counted and may not have arrived: upper bounds.
    struct OnTheWay {
        std::uint64_t up = 0, down = 0;
        bool client_is_gone = false;  ///< of one that is stalled
    };
    /// Who knows, while it can say; then nullptr. PROGRESS tells only what has arrived: a crash destroys what is in the
    /// sockets' buffers, and its record must never say more than what came.
    void on_the_way(std::function<OnTheWay(bool stalled)> who) { on_the_way_ = std::move(who); }

    /// True while too much is unlogged: the relay reads nothing until gate() returns.
    bool gated() const noexcept { return unlogged() >= gate_after_bytes || late_ || journal_failed_; }
    boost::asio::awaitable<void> gate();

    /// When it was last found to be allowed, for whoever judges it again now and then.
    base::MonoTime judged_at() const noexcept { return judged_at_; }
    void set_judged_at(base::MonoTime now) noexcept { judged_at_ = now; }

    /// Once a second or so: PROGRESS where it is due. Returns whether the access has moved bytes since the last call.
    bool tick(base::MonoTime now);
    /// Nothing has moved since tick(), all that did is on record, and nobody waits: until it moves again, which wakes
    /// it at its worker's registry, there is nothing to see but that time passes.
    bool quiet() const noexcept {
        return opened_ && !closed_ && !progress_in_flight_ && !journal_failed_ && !late_ && !stalled_up_ &&
               up_ + down_ == seen_ && unlogged() == 0;
    }
    /// When tick() has something to do though nothing moves.
    base::MonoTime heartbeat_at() const noexcept { return last_event_ + heartbeat_after; }
    base::MonoTime opened_at() const noexcept { return opened_mono_; }
    base::MonoTime last_moved() const noexcept { return last_moved_; }
    bool journal_failed() const noexcept { return journal_failed_; }

    /// What it rests until may have changed.
    void look_soon() noexcept {
        if (resting_) wake();
    }
    /// While the app takes nothing, nobody reads from the client, so its reset has to be looked for.
    void set_stalled_up(bool stalled) noexcept {
        stalled_up_ = stalled;
        if (resting_) wake();
    }
    bool client_is_gone() const { return stalled_up_ && on_the_way_ && on_the_way_(true).client_is_gone; }

    /// How the owner is made to stop; set by the tunnel. Called at most once.
    void on_cut(std::function<void()> stop) { stop_ = std::move(stop); }
    /// Ends the access for `reason`, whatever it is doing. Only the first cut counts.
    void cut(CloseReason::Value reason) { cut(reason, {clock_.mono(), 0}); }
    /// The same on an order: since when it had waited, and the number of the oldest one that waited beside it. 0: it
    /// was no order.
    struct Order {
        base::MonoTime at{};
        std::uint64_t oldest = 0;
    };
    void cut(CloseReason::Value reason, const Order& order);
    bool was_cut() const noexcept { return cut_reason_.has_value(); }

    /// What is still in kernel buffers and will not be delivered: taken off the figures, which are then a lower bound.
    void undelivered_up(std::uint64_t bytes);
    void undelivered_down(std::uint64_t bytes);
    void mark_uncertain() noexcept { uncertain_ = true; }

    /// Puts the final record into the journal: CLOSED after opened(), else DENIED. A cut's reason wins over `reason`.
    void close(CloseReason::Value reason);
    bool closed() const noexcept { return closed_; }

    /// Where its worker keeps it, and whether it is not looked at until it moves: for the registry.
    void set_place(LiveRegistry& registry, std::size_t place) noexcept {
        registry_ = &registry;
        place_ = place;
    }
    std::size_t place() const noexcept { return place_; }
    void set_resting(bool resting) noexcept { resting_ = resting; }
    /// Has what tick() reads brought near.
    void prefetch() const noexcept {
        __builtin_prefetch(&cut_reason_);
        __builtin_prefetch(&last_moved_);
        __builtin_prefetch(&up_);
    }
    using Links = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;
    Links of_session, of_app;  ///< its worker's

private:
    /// Figures of both directions.
    struct Figures {
        std::uint64_t up = 0, down = 0;
        std::uint64_t total() const noexcept { return up + down; }
    };
    std::uint64_t unlogged() const noexcept { return up_ + down_ - std::min(up_ + down_, logged_); }
    Figures arrived() const;
    void counted(std::uint64_t bytes) {
        if (resting_) wake();
        if (const auto order = orders_.oldest(); order != 0) passed(order, bytes);
        if (!progress_in_flight_ && up_ + down_ >= stamped_at_ + progress_after_bytes) progress();
    }
    void passed(std::uint64_t order, std::uint64_t bytes) noexcept;
    void wake() noexcept;
    void progress();
    void look_at_unlogged(base::MonoTime now);
    void stamp(AccessRecord& record, Figures figures) const;
    audit::JournalAppend on_top(audit::RecordType type, const AccessRecord& record) const;

    struct Shared;  // what a journal completion touches; outlives the access
    audit::Journal& journal_;
    const base::Clock& clock_;
    EnforcementQueue& orders_;
    base::Uuid id_;
    auth::SessionPtr session_;
    base::Destination destination_;
    std::string client_ip_, app_;
    /// As record() says: a message takes three times what it says, and many accesses are idle for days.
    std::unique_ptr<AccessRecord> record_;
    std::string said_;  ///< OPENED as it went into the journal, and what changed until it was durable
    std::shared_ptr<Shared> shared_;
    std::function<void()> stop_;
    std::optional<CloseReason::Value> cut_reason_;
    std::optional<base::MonoTime> cut_at_, revoked_at_;
    std::uint64_t waiting_order_ = 0;  ///< the oldest one that waited when bytes last passed beside one
    std::uint64_t passed_ = 0;         ///< since then
    std::function<OnTheWay(bool stalled)> on_the_way_;
    base::UtcTime opened_utc_;
    base::MonoTime opened_mono_, last_moved_, last_event_, judged_at_;
    base::MonoTime logged_until_;  ///< what had arrived then is durable
    std::uint64_t up_ = 0, down_ = 0, seen_ = 0;
    std::uint64_t stamped_at_ = 0;  ///< up_ + down_ at the last PROGRESS
    Figures stamped_;               ///< what it says; never less than the one before
    std::uint64_t logged_ = 0;      ///< the total of the last durable one
    bool progress_in_flight_ = false, opened_ = false, closed_ = false, journal_failed_ = false;
    bool late_ = false;
    bool stalled_up_ = false;
    bool uncertain_ = false, cut_by_order_ = false;
    bool resting_ = false;
    std::size_t place_ = 0;
    LiveRegistry* registry_ = nullptr;
};

}  // namespace usher::gateway
