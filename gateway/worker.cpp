#include "gateway/worker.hpp"

#include <netinet/tcp.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "audit/audit.hpp"
#include "auth/next_change.hpp"
#include "base/log.hpp"
#include "gateway/connection.hpp"
#include "gateway/dial/half_open.hpp"

namespace usher::gateway {
namespace asio = boost::asio;

namespace {
/// Between two looks at what the time alone has changed.
constexpr std::chrono::milliseconds shortest_rest{1};
/// How often deadlines are looked at: a deadline may be late by so much. One timer a worker instead of one a
/// connection.
constexpr std::chrono::milliseconds tick{200};
/// Each live access is looked at once in so many ticks: once a second.
constexpr std::size_t live_shares = 5;
/// So many at a time (about 0.1 ms), with more than 25,000 of them more: a worker that has many looks at its share in
/// parts of a tick, so that those who transfer are not kept waiting by those who are idle.
constexpr std::size_t live_at_a_time = 250;
constexpr std::size_t tick_parts_max = 20;
/// What is looked at soon is asked of the memory now: a page that nobody has read for a second costs a microsecond and
/// more.
constexpr std::size_t prefetch_ahead = 4;
/// ADVERSARIES §3.1 A3: what is open is closed when the journal has been unable to take records for so long.
constexpr base::Microseconds unhealthy_limit{10'000'000};
/// Without descriptors accept() would fail in a busy loop.
constexpr std::chrono::milliseconds accept_pause{100};
constexpr base::Microseconds pause_log_every{10'000'000};

std::unique_ptr<dial::Resolver> make_resolver(asio::io_context& io, Services& services) {
    dial::ResolverOptions options;
    options.servers = services.config.dns.servers;
    options.on_outcome = [&metrics = services.metrics](dial::ResolverOptions::Outcome outcome) {
        using Outcome = dial::ResolverOptions::Outcome;
        switch (outcome) {
            case Outcome::cached:
                return metrics.dns_cached.Increment();
            case Outcome::answered:
                return metrics.dns_answered.Increment();
            case Outcome::absent:
                return metrics.dns_absent.Increment();
            case Outcome::failed:
                return metrics.dns_failed.Increment();
        }
    };
    auto resolver = dial::Resolver::create(io, services.clock, std::move(options));
    if (!resolver) throw std::runtime_error("dns: " + resolver.error().message);
    return std::move(*resolver);
}

/// What each connection inherits from its listener (Linux copies these).
void set_inherited(int listener, base::Microseconds half_open) {
    const int on = 1;
    int error = ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 ? 0 : errno;
    if (error == 0) error = dial::set_half_open_limit(listener, half_open);
    if (error != 0) throw std::runtime_error(std::string("listen: a socket option: ") + std::strerror(error));
}

}  // namespace

Worker::Worker(Services& services, unsigned index, int listener,
               std::shared_ptr<const dial::OwnListeners> own_listeners)
    : services_(services),
      index_(index),
      listener_(listener),
      acceptor_(io_),
      ticker_(io_),
      own_listeners_(std::move(own_listeners)),
      resolver_(make_resolver(io_, services)),
      dialer_(io_, *resolver_, {services.config.timeouts.half_open, services.descriptors.dial_below}),
      connections_open_(services.metrics.worker_connections(index)) {
    orders_.on_waiting([this] { obey(); });
    set_inherited(listener, services.config.timeouts.half_open);
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
    acceptor_.assign(address.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), listener);
}

Worker::~Worker() { join(); }

void Worker::start() {
    asio::co_spawn(io_, accept_loop(), asio::detached);  // ends with the acceptor
    asio::co_spawn(io_, tick_loop(), asio::detached);    // ends with the ticker
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index_)).c_str());
        io_.run();
    });
}

void Worker::stop_accepting() {
    asio::post(io_, [this] {
        close_listener();
        for (Connection* connection : connections_) connection->drain();
    });
}

void Worker::shut_down() {
    asio::post(io_, [this] {
        stopping_ = true;
        close_listener();
        for (Connection* connection : connections_) connection->shut_down();
        if (connections_.empty()) shut_down_is_over();
    });
}

void Worker::close_listener() {
    if (!acceptor_.is_open()) return;
    // close() would leave it in the epoll set for as long as the process that took over holds it too.
    boost::system::error_code error;
    const int listener = acceptor_.release(error);
    if (error)
        acceptor_.close(error);
    else
        ::close(listener);
}

void Worker::shut_down_is_over() {
    over_.store(true);
    over_.notify_all();
}

void Worker::release() {
    asio::post(io_, [this] {
        // A cancel() alone is lost on a timer that has just fired: its loop would wait again, and join() for ever.
        finished_ = true;
        ticker_.cancel();
        work_.reset();
    });
}

void Worker::join() {
    if (thread_.joinable()) thread_.join();
}

asio::awaitable<void> Worker::accept_loop() {
    while (acceptor_.is_open()) {
        auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (!acceptor_.is_open()) co_return;
        if (!error) {
            // The last one that was let in waits here, and whoever comes after it in the kernel's queue.
            if (socket.native_handle() >= services_.descriptors.accept_below) co_await wait_for_descriptors();
            if (!acceptor_.is_open()) co_return;
            try {
                adopt(std::move(socket));
            } catch (const std::exception& e) {
                // Memory, most likely: one client is lost, and the next one must not be.
                base::log_error("a connection could not be taken on", {{"error", e.what()}});
            }
            continue;
        }
        if (error == asio::error::connection_aborted || error == asio::error::interrupted) continue;
        services_.metrics.accept_errors.Increment();
        if (!pause_logged_ || services_.clock.mono() - *pause_logged_ >= pause_log_every)
            base::log_warning("accepting a connection failed; pausing", {{"error", error.message()}});
        co_await wait_for_descriptors();
    }
}

/// Returns when clients may have one more descriptor, or the listener is closed; after one pause at least.
asio::awaitable<void> Worker::wait_for_descriptors() {
    services_.metrics.limited("descriptors");
    // Whoever opens and closes at the bound must not fill the log.
    const base::MonoTime now = services_.clock.mono();
    const bool say = !pause_logged_ || now - *pause_logged_ >= pause_log_every;
    if (say) {
        pause_logged_ = now;
        base::log_warning("no new connections for now: clients have all descriptors that are theirs",
                          {{"descriptors", services_.descriptors.limit}});
    }
    asio::steady_timer pause(io_);
    do {
        pause.expires_after(accept_pause);
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    } while (acceptor_.is_open() && !limits::descriptor_is_free_below(services_.descriptors.accept_below));
    if (say) base::log_info("connections are accepted again");
}

void Worker::adopt(asio::ip::tcp::socket socket) {
    boost::system::error_code error;
    const auto remote = socket.remote_endpoint(error);
    if (error) return;  // gone before it was looked at
    base::IpAddress ip;
    if (remote.address().is_v4())
        ip = base::IpAddress::v4(remote.address().to_v4().to_uint());
    else
        ip.bytes = remote.address().to_v6().to_bytes();
    Peer peer{ip.to_string(), remote.port()};

    services_.metrics.connections.Increment();
    auto entered = services_.connection_limits.enter(ip, services_.clock.mono());
    if (const auto* limit = std::get_if<const char*>(&entered)) return refuse_by_limit(peer, *limit);  // it closes
    socket.non_blocking(true, error);

    auto connection = std::make_unique<Connection>(*this, std::move(socket), std::move(peer), services_.tls.get());
    Connection* raw = connection.get();
    connections_.insert(raw);
    connection_count_.store(connections_.size(), std::memory_order_relaxed);
    services_.metrics.connections_open.Increment();
    connections_open_.Increment();
    // The worker owns the coroutine: it is in connections_ until its end, and shut_down() waits for the last one.
    asio::co_spawn(io_, raw->run(),
                   [this, slot = std::get<limits::ConnectionSlot>(std::move(entered)),
                    connection = std::move(connection)](std::exception_ptr failure) mutable {
                       if (failure) {
                           try {
                               std::rethrow_exception(failure);
                           } catch (const std::exception& e) {
                               // One connection's failure (memory, most likely) must not take the worker's others with
                               // it.
                               base::log_error("a connection ended with an exception", {{"error", e.what()}});
                           }
                       }
                       connections_.erase(connection.get());
                       connection_count_.store(connections_.size(), std::memory_order_relaxed);
                       connection.reset();
                       { const auto over = std::move(slot); }  // before the worker may end
                       services_.metrics.connections_open.Decrement();
                       connections_open_.Decrement();
                       if (stopping_ && connections_.empty()) shut_down_is_over();
                   });
}

void Worker::enter(LiveAccess& access) {
    live_.enter(access);
    if (!is_control(access.destination())) live_count_.fetch_add(1, std::memory_order_relaxed);
    services_.metrics.tunnels_open.Increment();
}

void Worker::leave(LiveAccess& access) noexcept {
    live_.leave(access);
    if (!is_control(access.destination())) live_count_.fetch_sub(1, std::memory_order_relaxed);
    services_.metrics.tunnels_open.Decrement();
}

void Worker::enforce(Enforcement what, std::function<void(std::uint64_t)> done) {
    orders_.put(std::move(what), services_.clock, std::move(done));
    // For a worker that moves nothing just now.
    asio::post(io_, [this] { orders_.look(); });
}

void Worker::obey() noexcept {
    const auto orders = orders_.take();
    for (const auto& order : orders) order.done(judge(order.what, {order.at, orders.front().number}));
}

std::uint64_t Worker::judge(const Enforcement& what, const LiveAccess::Order& order) {
    std::uint64_t count = 0;
    Gatekeeper::Judge judge(services_.gatekeeper);
    // A cut only marks and closes sockets; the access leaves live_ later, from its own coroutine.
    live_.each(what.affected, [&](LiveAccess& access) {
        if (access.was_cut()) return;
        auto reason = judge(access);
        if (!reason) {
            access.look_soon();  // what it waits for may come sooner now
            return;
        }
        if (*reason == CloseReason::REVOKED && access.session()->id == what.signed_out)
            reason = CloseReason::SIGNED_OUT;
        access.cut(*reason, order);
        ++count;
    });
    return count;
}

void Worker::count_accesses(std::shared_ptr<const std::vector<std::string>> session_ids,
                            std::function<void(std::uint64_t)> done) {
    asio::post(io_, [this, session_ids = std::move(session_ids), done = std::move(done)] {
        std::uint64_t count = 0;
        for (const auto& id : *session_ids) count += live_.of_session(id);
        done(count);
    });
}

void Worker::append_denial(const AccessRecord& denied) {
    AccessRecord record = denied;
    const base::Uuid id = base::new_uuid(services_.clock);
    record.set_access_id(id.to_string());
    auto append = audit::encode(record);
    append.can_wait = true;
    services_.journal.append(std::move(append), [](base::Result<std::uint64_t> result) {
        if (!result) base::log_error("a denial could not be recorded", {{"error", result.error().message}});
    });
}

void Worker::record_denial(AccessRecord record) {
    services_.metrics.denied(record.reasons().empty() ? "" : record.reasons(0));
    if (!record.account_id().empty()) return append_denial(record);
    merge_denial(std::move(record));
}

void Worker::merge_denial(AccessRecord record) {
    if (auto now = merger_.offer(std::move(record), services_.clock.mono())) append_denial(*now);
}

void Worker::record_limit(AccessRecord record, const char* limit) {
    record.clear_reasons();  // what allowed it does not matter any more
    deny(record, std::string("limit-") + limit);
    services_.metrics.limited(limit);
    services_.metrics.denied(record.reasons(0));
    merge_denial(std::move(record));
}

void Worker::refuse_by_limit(const Peer& peer, const char* limit) {
    record_limit(new_record(peer, services_.clock.utc()), limit);
}

std::size_t Worker::tick_parts() const {
    constexpr std::size_t in_one_part = live_shares * live_at_a_time;
    return std::clamp<std::size_t>((live_.size() + in_one_part - 1) / in_one_part, 1, tick_parts_max);
}

void Worker::look_at_journal(base::MonoTime now) {
    if (services_.journal.status().healthy)
        unhealthy_since_.reset();
    else if (!unhealthy_since_)
        unhealthy_since_ = now;
}

void Worker::check_live(base::MonoTime now, std::size_t shares) {
    orders_.look();  // what an order ends must not be found here first: it would say another reason
    const auto& timeouts = services_.config.timeouts;
    const bool give_up = unhealthy_since_ && now - *unhealthy_since_ >= unhealthy_limit;
    judge_by_time();
    const auto control_age = services_.gatekeeper.control_age();
    if (services_.gatekeeper.control_loss_matters(std::exchange(control_age_, control_age), control_age)) judge_all();
    const auto mfa_within = services_.gatekeeper.shortest_mfa_within();
    const auto factor_is_old = [&](const auth::Session& session) {
        const auto age = mfa_within ? services_.sessions.second_factor_age(session) : std::nullopt;
        return age && *age >= *mfa_within;
    };
    Gatekeeper::Judge judge(services_.gatekeeper);
    const auto is_due = [&](const LiveRegistry::Place& place) { return give_up || place.look_at <= now; };
    // A share of them each time, so that many that are idle keep nobody waiting for long.
    for (std::size_t left = (live_.size() + shares - 1) / shares; left > 0; --left) {
        if (next_live_ >= live_.size()) next_live_ = 0;
        if (const auto later = next_live_ + prefetch_ahead; later < live_.size() && is_due(live_.at(later)))
            live_.at(later).access->prefetch();
        LiveRegistry::Place& place = live_.at(next_live_++);
        if (!is_due(place)) {
            place.passed_at = now;
            continue;
        }
        LiveAccess& access = *place.access;
        if (access.was_cut()) continue;
        if (access.tick(now)) services_.sessions.touch(*access.session());
        if (give_up)
            access.cut(CloseReason::JOURNAL_FAILED);
        else if (access.client_is_gone())
            access.cut(CloseReason::CLIENT_ERROR);
        else if (now - access.last_moved() >= timeouts.idle)
            access.cut(CloseReason::IDLE_TIMEOUT);
        else if (timeouts.max_duration.count() > 0 && now - access.opened_at() >= timeouts.max_duration)
            access.cut(CloseReason::MAX_DURATION);
        else if (now - access.judged_at() >= judged_again_after || !services_.sessions.valid(*access.session()) ||
                 factor_is_old(*access.session())) {
            access.set_judged_at(now);
            if (const auto reason = judge(access)) access.cut(*reason);
        }
        if (!access.was_cut()) live_.look_again(access, now, next_look(access, now, mfa_within));
    }
}

base::MonoTime Worker::next_look(const LiveAccess& access, base::MonoTime now,
                                 std::optional<base::Microseconds> mfa_within) const {
    if (!access.quiet()) return base::MonoTime::min();
    const auto& timeouts = services_.config.timeouts;
    auto next = std::min({access.last_moved() + timeouts.idle, access.judged_at() + judged_again_after,
                          access.heartbeat_at(), services_.sessions.ends_at(*access.session())});
    if (timeouts.max_duration.count() > 0) next = std::min(next, access.opened_at() + timeouts.max_duration);
    const auto age = mfa_within ? services_.sessions.second_factor_age(*access.session()) : std::nullopt;
    return age ? std::min(next, now + std::max(*mfa_within - *age, base::Microseconds{0})) : next;
}

void Worker::judge_by_time() {
    orders_.look();
    const base::UtcTime utc = services_.clock.utc();
    if (services_.gatekeeper.time_matters(std::exchange(judged_at_, utc), utc)) judge_all();
}

asio::awaitable<bool> Worker::wait_for_tick(std::chrono::steady_clock::duration length) {
    using Steady = std::chrono::steady_clock;
    const auto end = Steady::now() + length;
    // The clock may stand still, and many a moment may come within this one.
    auto earliest = Steady::now() + shortest_rest;
    for (;;) {
        auto until = end;
        const base::UtcTime utc = services_.clock.utc();
        // Behind what was judged last, for time has gone on meanwhile.
        const auto next = auth::next_time_that_matters(*services_.directory.snapshot(), std::min(judged_at_, utc));
        const auto longest = std::chrono::ceil<base::Microseconds>(length);
        if (const auto left = auth::time_until(next, utc, longest); left < longest)
            until = std::min(end, std::max(earliest, Steady::now() + left));
        ticker_.expires_at(until);
        auto [error] = co_await ticker_.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error || finished_) co_return false;
        if (until == end) co_return true;
        const auto begun = Steady::now();
        judge_by_time();
        // Judging many accesses at many moments leaves nine tenths of the time to those that transfer.
        earliest = Steady::now() + std::max<Steady::duration>(shortest_rest, 9 * (Steady::now() - begun));
    }
}

asio::awaitable<void> Worker::tick_loop() {
    std::size_t part = 0;
    while (!finished_) {
        const std::size_t parts = tick_parts();
        if (!co_await wait_for_tick(tick / parts)) break;
        const base::MonoTime now = services_.clock.mono();
        if (part == 0) look_at_journal(now);
        check_live(now, live_shares * parts);
        if (++part < parts) continue;
        part = 0;
        timed_.check(now);
        for (const auto& record : merger_.due(now)) append_denial(record);
    }
    for (const auto& record : merger_.due(base::MonoTime::max())) append_denial(record);
}

}  // namespace usher::gateway
