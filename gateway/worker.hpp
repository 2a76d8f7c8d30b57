#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "audit/denial_merger.hpp"
#include "gateway/dial/dialer.hpp"
#include "gateway/enforcement.hpp"
#include "gateway/live_access.hpp"
#include "gateway/live_registry.hpp"
#include "gateway/services.hpp"
#include "gateway/timed.hpp"
#include "gateway/turns.hpp"
#include "wire/buffer_pool.hpp"

namespace usher::gateway {

class Connection;

/// One thread with its own io_context, listener, resolver and buffers. A connection lives and dies on one worker;
/// whatever comes from other threads is posted to it.
class Worker {
public:
    /// `listener` is a bound, listening, non-blocking socket (SO_REUSEPORT), taken over. Throws std::runtime_error when
    /// the resolver cannot start: start-up ends.
    Worker(Services& services, unsigned index, int listener, std::shared_ptr<const dial::OwnListeners> own_listeners);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    void start();
    /// The listening socket, which stays the worker's. Before stop_accepting().
    int listener() const noexcept { return listener_; }
    /// No new connections from now on, nor new streams on those of HTTP/2; returns at once.
    void stop_accepting();
    /// Ends every connection; live accesses end as SHUTDOWN.
    void shut_down();
    /// Waits until that has happened. What is asked of the worker is answered until release().
    void wait_shut_down() { over_.wait(false); }
    /// Behind it: lets the thread run out. join() waits for it.
    void release();
    void join();

    /// Judges the live accesses that it may be about, before anything else is moved; `done` gets how many were cut, on
    /// this worker's thread. Thread-safe.
    void enforce(Enforcement what, std::function<void(std::uint64_t)> done);
    /// How many stand on the sessions; `done` as in enforce(). Thread-safe.
    void count_accesses(std::shared_ptr<const std::vector<std::string>> session_ids,
                        std::function<void(std::uint64_t)> done);
    /// Without those to the control API: whoever watches a drain must not hold it up.
    std::size_t live() const noexcept { return live_count_.load(std::memory_order_relaxed); }

    /// For its thread: what has a deadline.
    TimedList& timed() noexcept { return timed_; }

    std::size_t connections() const noexcept { return connection_count_.load(std::memory_order_relaxed); }

    // For connections, on the worker's thread.
    Services& services() noexcept { return services_; }
    boost::asio::io_context& io() noexcept { return io_; }
    wire::BufferPool& pool() noexcept { return pool_; }
    dial::Dialer& dialer() noexcept { return dialer_; }
    EnforcementQueue& orders() noexcept { return orders_; }
    Turns& turns() noexcept { return turns_; }
    const std::shared_ptr<const dial::OwnListeners>& own_listeners() const noexcept { return own_listeners_; }
    void enter(LiveAccess& access);
    void leave(LiveAccess& access) noexcept;
    /// Puts a denial on record. Floods of those without an account are merged into exact counts.
    void record_denial(AccessRecord record);
    /// A limit was reached (its key in the configuration): counted, and on record with what is known of who reached it.
    /// Floods of these are merged whoever it was.
    void record_limit(AccessRecord record, const char* limit);
    /// record_limit() of somebody who is not known.
    void refuse_by_limit(const Peer& peer, const char* limit);

private:
    /// Carries out what waits in orders_. One that could not be must not be lost: the process ends.
    void obey() noexcept;
    /// Cuts what would not be admitted any more, of those that it may be about; returns how many.
    std::uint64_t judge(const Enforcement& what, const LiveAccess::Order& order);
    void judge_all() { judge(Enforcement::of(auth::Affected::all()), {services_.clock.mono(), 0}); }
    boost::asio::awaitable<void> accept_loop();
    boost::asio::awaitable<void> wait_for_descriptors();
    boost::asio::awaitable<void> tick_loop();
    /// False when there are to be no more. What the time alone allows no more is cut at its moment meanwhile.
    boost::asio::awaitable<bool> wait_for_tick(std::chrono::steady_clock::duration length);
    void judge_by_time();
    void close_listener();
    void shut_down_is_over();
    void adopt(boost::asio::ip::tcp::socket socket);
    void look_at_journal(base::MonoTime now);
    /// In how many parts live accesses are looked at between two ticks.
    std::size_t tick_parts() const;
    /// Looks at one of so many shares of the live accesses.
    void check_live(base::MonoTime now, std::size_t shares);
    /// When an access that was looked at just now has to be again, if it does not move before. `mfa_within`: the
    /// shortest that a policy asks for.
    base::MonoTime next_look(const LiveAccess& access, base::MonoTime now,
                             std::optional<base::Microseconds> mfa_within) const;
    void append_denial(const AccessRecord& record);
    void merge_denial(AccessRecord record);

    Services& services_;
    unsigned index_;
    const int listener_;
    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
    boost::asio::ip::tcp::acceptor acceptor_;
    boost::asio::steady_timer ticker_;
    wire::BufferPool pool_;
    Turns turns_{io_.get_executor()};
    std::shared_ptr<const dial::OwnListeners> own_listeners_;
    std::unique_ptr<dial::Resolver> resolver_;
    dial::Dialer dialer_;
    audit::DenialMerger merger_;
    std::unordered_set<Connection*> connections_;
    TimedList timed_;
    std::atomic<std::size_t> connection_count_{0};  ///< of connections_, for other threads
    prometheus::Gauge& connections_open_;
    EnforcementQueue orders_;
    LiveRegistry live_;
    std::size_t next_live_ = 0;               ///< where check_live() goes on
    std::atomic<std::size_t> live_count_{0};  ///< as live() counts
    bool stopping_ = false, finished_ = false;
    std::atomic<bool> over_{false};  ///< shut down, and no connection is left
    std::optional<base::MonoTime> pause_logged_;
    std::optional<base::MonoTime> unhealthy_since_;
    base::Microseconds control_age_{0};  ///< as check_live() last saw it
    base::UtcTime judged_at_{};          ///< when judge_by_time() last asked whether time alone changes a judgement
    std::thread thread_;
};

}  // namespace usher::gateway
