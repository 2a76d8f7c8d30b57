#include "gateway/multiplexer.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>

#include "base/log.hpp"
#include "gateway/session_api.hpp"
#include "gateway/tunnel.hpp"

namespace usher::gateway {
namespace asio = boost::asio;

namespace {
/// After so many reads without a wait the connection lets the worker's others run.
constexpr unsigned reads_before_yield = 16;
constexpr base::Microseconds linger_time{1'000'000};
constexpr std::size_t linger_bytes = 256 * 1024;
}  // namespace

Multiplexer::Multiplexer(Worker& worker, wire::TlsStream& stream, const Peer& peer)
    : worker_(worker), stream_(stream), peer_(peer), session_(*this, wire::http2::Limits{}) {}

asio::awaitable<void> Multiplexer::run() {
    using namespace asio::experimental::awaitable_operators;
    auto& services = worker_.services();
    deadline_ = services.clock.mono() + services.config.timeouts.header;
    co_await (guarded(read()) && guarded(write()));
    lose();
    if (!session_.failure().empty()) on_rejected({400, session_.failure()});
    while (!streams_.empty()) co_await last_gone_.wait();
}

/// One half of the connection's work. Should it fail by an exception (memory, most likely), the other half ends too,
/// and run() still waits for the streams.
asio::awaitable<void> Multiplexer::guarded(asio::awaitable<void> half) {
    try {
        co_return co_await std::move(half);
    } catch (const std::exception& e) {
        base::log_error("an HTTP/2 connection ended with an exception", {{"error", e.what()}});
    }
    stream_.abort(false);
    reading_ = false;
    to_write_.set();
}

/// No stream can go on: the client gets and sends nothing any more.
void Multiplexer::lose() {
    if (lost_) return;
    lost_ = true;
    for (auto& [id, exchange] : streams_) exchange->on_lost();
}

asio::awaitable<void> Multiplexer::read() {
    for (unsigned reads = 0;; ++reads) {
        auto block = worker_.pool().take();
        std::size_t count = 0;
        const wire::IoStatus status = stream_.try_read({block.data(), wire::BufferPool::chunk_bytes}, count);
        if (status == wire::IoStatus::would_block) {
            block.reset();
            reads = 0;
            if (co_await stream_.wait_readable()) continue;
        }
        if (status != wire::IoStatus::done) {
            // Without its client's direction no stream of the connection can be ended properly any more.
            stream_.abort(false);
            break;
        }
        const bool goes_on = session_.receive({block.data(), count}, worker_.services().clock.mono());
        block.reset();
        if (!goes_on) break;
        wake_writer();
        if (reads >= reads_before_yield) {
            reads = 0;
            co_await asio::post(worker_.io(), asio::use_awaitable);
        }
    }
    lose();
    reading_ = false;
    to_write_.set();
    // What still comes is dropped for a moment: unread, it would make a reset that destroys the GOAWAY on its way.
    for (std::size_t dropped = 0; dropped < linger_bytes && !stream_.aborted();) {
        auto block = worker_.pool().take();
        std::size_t count = 0;
        const wire::IoStatus status = stream_.try_read({block.data(), wire::BufferPool::chunk_bytes}, count);
        block.reset();
        dropped += count;
        if (status == wire::IoStatus::done) continue;
        if (status != wire::IoStatus::would_block || !co_await stream_.wait_readable()) break;
    }
    stream_.abort(false);
}

asio::awaitable<void> Multiplexer::write() {
    for (;;) {
        // What reading left to send (a KeyUpdate's answer) goes first.
        if (!stream_.flushed() && !co_await stream_.wait_room()) break;
        auto block = worker_.pool().take();
        const std::size_t count = session_.fill({block.data(), wire::BufferPool::chunk_bytes});
        if (count > 0) {
            if (stream_.put(std::move(block), count) != wire::IoStatus::done) break;
            continue;
        }
        block.reset();
        if (!reading_ || session_.over()) break;
        co_await to_write_.wait();
    }
    drained_ = true;
    deadline_ = worker_.services().clock.mono() + linger_time;
    if (!stream_.aborted() && co_await stream_.shutdown_send() == wire::IoStatus::done) co_return;
    lose();
    stream_.abort(false);
}

void Multiplexer::wake_writer() {
    if (session_.wants_write()) to_write_.set();
}

asio::awaitable<void> Multiplexer::serve(StreamExchange& exchange, wire::http1::Request request) {
    if (request.destination) {
        (void)co_await run_tunnel(exchange, std::move(request));
        co_return;
    }
    (void)co_await serve_session_api(exchange, request);
    request.wipe_credentials();
}

void Multiplexer::finished(std::int32_t id) {
    streams_.erase(id);
    if (!streams_.empty()) return;
    deadline_ = worker_.services().clock.mono() + worker_.services().config.timeouts.keep_alive;
    last_gone_.set();
}

void Multiplexer::on_request(std::int32_t id, wire::http1::Request request, bool ended) {
    deadline_.reset();
    auto& exchange = *streams_.emplace(id, std::make_unique<StreamExchange>(*this, id, ended)).first->second;
    // run() outlives the coroutine: it waits for the last stream.
    asio::co_spawn(worker_.io(), serve(exchange, std::move(request)), [this, id](std::exception_ptr failure) {
        if (failure) {
            try {
                std::rethrow_exception(failure);
            } catch (const std::exception& e) {
                base::log_error("a stream ended with an exception", {{"error", e.what()}});
            }
        }
        // Whatever was not said by now will not be.
        if (StreamExchange* served = find(id)) served->abandon();
        finished(id);
    });
}

void Multiplexer::on_rejected(wire::http1::Rejection rejection) {
    AccessRecord record = new_record(peer_, worker_.services().clock.utc());
    deny(record, "malformed-" + std::string(rejection.reason));
    worker_.record_denial(std::move(record));
}

StreamExchange* Multiplexer::find(std::int32_t id) {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
}

void Multiplexer::on_data(std::int32_t id, std::string_view bytes) {
    if (StreamExchange* exchange = find(id))
        exchange->on_data(bytes);
    else
        session_.consumed(id, bytes.size(), worker_.services().clock.mono());
}

void Multiplexer::on_end(std::int32_t id) {
    if (StreamExchange* exchange = find(id)) exchange->on_end();
}

void Multiplexer::on_sent(std::int32_t id) {
    if (StreamExchange* exchange = find(id)) exchange->on_sent();
}

void Multiplexer::on_window(std::int32_t id) {
    if (id != 0) {
        if (StreamExchange* exchange = find(id)) exchange->on_window();
        return;
    }
    for (auto& [each, exchange] : streams_) exchange->on_window();
}

void Multiplexer::on_closed(std::int32_t id, bool reset, std::size_t unsent) {
    if (StreamExchange* exchange = find(id)) exchange->on_closed(reset, unsent);
}

void Multiplexer::check_deadline(base::MonoTime now) {
    for (auto& [id, exchange] : streams_) exchange->check_deadline(now);
    if (!deadline_ || now < *deadline_) return;
    if (drained_) {
        deadline_.reset();
        return stream_.abort(false);
    }
    // A request that crosses the GOAWAY is known to the client not to have been served.
    deadline_ = now + linger_time;
    drain();
}

void Multiplexer::drain() {
    drained_ = true;
    session_.drain();
    wake_writer();
}

void Multiplexer::shut_down() {
    for (auto& [id, exchange] : streams_)
        if (exchange->access() != nullptr) exchange->access()->cut(CloseReason::SHUTDOWN);
    stream_.abort(false);
}

}  // namespace usher::gateway
