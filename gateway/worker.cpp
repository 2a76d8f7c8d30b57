#include "gateway/worker.hpp"

#include <netinet/tcp.h>
#include <pthread.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "gateway/connection.hpp"

namespace usher::gateway {
namespace asio = boost::asio;

namespace {
/// How often deadlines are looked at: a deadline may be late by so much. One timer a worker instead of one a
/// connection.
constexpr std::chrono::milliseconds tick{200};
/// Each live access is looked at once in so many ticks: once a second.
constexpr std::size_t live_shares = 5;
/// ADVERSARIES §3.1 A3: what is open is closed when the journal has been unable to take records for so long.
constexpr base::Microseconds unhealthy_limit{10'000'000};
/// Without descriptors accept() would fail in a busy loop.
constexpr std::chrono::milliseconds accept_pause{100};
std::unique_ptr<dial::Resolver> make_resolver(asio::io_context& io, Services& services) {
    dial::ResolverOptions options;
    options.servers = services.config.dns.servers;
    auto resolver = dial::Resolver::create(io, services.clock, std::move(options));
    if (!resolver) throw std::runtime_error("dns: " + resolver.error().message);
    return std::move(*resolver);
}

/// What each connection inherits from its listener (Linux copies these). A peer that vanished without a word is found
/// within a minute: probes after 30 s of silence, and unacknowledged data for at most 60 s.
void set_inherited(int listener) {
    const auto set = [listener](int level, int name, int value) {
        if (::setsockopt(listener, level, name, &value, sizeof value) != 0)
            throw std::runtime_error(std::string("listen: a socket option: ") + std::strerror(errno));
    };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set(IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
}

}  // namespace

Worker::Worker(Services& services, unsigned index, int listener,
               std::shared_ptr<const dial::OwnListeners> own_listeners)
    : services_(services),
      index_(index),
      acceptor_(io_),
      ticker_(io_),
      own_listeners_(std::move(own_listeners)),
      resolver_(make_resolver(io_, services)),
      dialer_(io_, *resolver_) {
    set_inherited(listener);
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
        boost::system::error_code ignored;  // closing a listener has no failure that matters
        acceptor_.close(ignored);
        for (Connection* connection : connections_) connection->drain();
    });
}

void Worker::shut_down() {
    asio::post(io_, [this] {
        stopping_ = true;
        boost::system::error_code ignored;  // as above
        acceptor_.close(ignored);
        for (Connection* connection : connections_) connection->shut_down();
        if (connections_.empty()) finish();
    });
}

void Worker::finish() {
    // A cancel() alone is lost on a timer that has just fired: its loop would wait again, and join() for ever.
    finished_ = true;
    ticker_.cancel();
    work_.reset();
}

void Worker::join() {
    if (thread_.joinable()) thread_.join();
}

asio::awaitable<void> Worker::accept_loop() {
    while (acceptor_.is_open()) {
        auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (!acceptor_.is_open()) co_return;
        if (!error) {
            adopt(std::move(socket));
            continue;
        }
        if (error == asio::error::connection_aborted || error == asio::error::interrupted) continue;
        services_.metrics.accept_errors.Increment();
        base::log_warning("accepting a connection failed; pausing", {{"error", error.message()}});
        asio::steady_timer pause(io_, accept_pause);
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
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
    if (const char* limit = services_.limits.enter(peer.ip)) {
        services_.metrics.limited(limit);
        AccessRecord record = new_record(peer, services_.clock.utc());
        deny(record, std::string("limit-") + limit);
        record_denial(std::move(record));
        return;  // the socket closes
    }
    socket.non_blocking(true, error);

    services_.metrics.connections_open.Increment();
    const std::string address = peer.ip;
    auto connection = std::make_unique<Connection>(*this, std::move(socket), std::move(peer), services_.tls.get());
    Connection* raw = connection.get();
    connections_.insert(raw);
    // The worker owns the coroutine: it is in connections_ until its end, and shut_down() waits for the last one.
    asio::co_spawn(io_, raw->run(),
                   [this, address, connection = std::move(connection)](std::exception_ptr failure) mutable {
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
                       connection.reset();
                       services_.limits.leave(address);
                       services_.metrics.connections_open.Decrement();
                       if (stopping_ && connections_.empty()) finish();
                   });
}

void Worker::enter(LiveAccess& access) {
    access.set_place(live_.size());
    live_.push_back(&access);
    live_count_.store(live_.size(), std::memory_order_relaxed);
    services_.metrics.tunnels_open.Increment();
}

void Worker::leave(LiveAccess& access) noexcept {
    live_[access.place()] = live_.back();
    live_[access.place()]->set_place(access.place());
    live_.pop_back();
    live_count_.store(live_.size(), std::memory_order_relaxed);
    services_.metrics.tunnels_open.Decrement();
}

void Worker::enforce(std::string signed_out, std::function<void(std::uint64_t)> done) {
    asio::post(io_, [this, signed_out = std::move(signed_out), done = std::move(done)] {
        std::uint64_t count = 0;
        // A cut only marks and closes sockets; the access leaves live_ later, from its own coroutine.
        for (LiveAccess* access : live_) {
            if (access->was_cut()) continue;
            auto reason = services_.gatekeeper.judge(*access);
            if (!reason) continue;
            if (*reason == CloseReason::REVOKED && access->session()->id == signed_out)
                reason = CloseReason::SIGNED_OUT;
            access->cut(*reason);
            ++count;
        }
        done(count);
    });
}

void Worker::count_accesses(std::string session_id, std::function<void(std::uint64_t)> done) {
    asio::post(io_, [this, session_id = std::move(session_id), done = std::move(done)] {
        std::uint64_t count = 0;
        for (LiveAccess* access : live_) count += access->session()->id == session_id;
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
    if (auto now = merger_.offer(std::move(record), services_.clock.mono())) append_denial(*now);
}

void Worker::check_live(base::MonoTime now) {
    const auto& timeouts = services_.config.timeouts;
    const bool healthy = services_.journal.status().healthy;
    if (healthy)
        unhealthy_since_.reset();
    else if (!unhealthy_since_)
        unhealthy_since_ = now;
    const bool give_up = unhealthy_since_ && now - *unhealthy_since_ >= unhealthy_limit;
    // A share of them each time, so that many that are idle keep nobody waiting for long.
    for (std::size_t left = (live_.size() + live_shares - 1) / live_shares; left > 0; --left) {
        if (next_live_ >= live_.size()) next_live_ = 0;
        LiveAccess* const access = live_[next_live_++];
        if (access->was_cut()) continue;
        if (access->tick(now)) services_.sessions.touch(*access->session());
        if (give_up)
            access->cut(CloseReason::JOURNAL_FAILED);
        else if (now - access->last_moved() >= timeouts.idle)
            access->cut(CloseReason::IDLE_TIMEOUT);
        else if (timeouts.max_duration.count() > 0 && now - access->opened_at() >= timeouts.max_duration)
            access->cut(CloseReason::MAX_DURATION);
        else if (!services_.sessions.valid(*access->session())) {
            if (const auto reason = services_.gatekeeper.judge(*access)) access->cut(*reason);
        }
    }
}

asio::awaitable<void> Worker::tick_loop() {
    while (!finished_) {
        ticker_.expires_after(tick);
        auto [error] = co_await ticker_.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) break;
        const base::MonoTime now = services_.clock.mono();
        // check_deadline() only closes sockets; connections leave the set later, from their own coroutines.
        for (Connection* connection : connections_) connection->check_deadline(now);
        check_live(now);
        for (const auto& record : merger_.due(now)) append_denial(record);
    }
    for (const auto& record : merger_.due(base::MonoTime::max())) append_denial(record);
}

}  // namespace usher::gateway
