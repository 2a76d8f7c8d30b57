#include "gateway/connection.hpp"

#include <openssl/crypto.h>

#include <boost/asio/steady_timer.hpp>
#include <cstring>

#include "base/log.hpp"
#include "base/secret.hpp"
#include "gateway/multiplexer.hpp"
#include "gateway/session_api.hpp"
#include "gateway/tunnel.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using wire::http1::RequestParser;
using wire::http1::Response;

namespace {
/// After a refusal the client may still be sending; what it sends is read and dropped for a moment, so that the reset
/// which unread bytes would cause does not destroy the answer on its way.
constexpr base::Microseconds linger_time{1'000'000};
constexpr std::size_t linger_bytes = 256 * 1024;

/// Takes the first `count` bytes away and leaves no copy of what moved up: it may be a password.
void drop_front(std::string& text, std::size_t count) {
    const std::size_t left = text.size() - count;
    std::memmove(text.data(), text.data() + count, left);
    OPENSSL_cleanse(text.data() + left, count);
    text.resize(left);
}
}  // namespace

Connection::Connection(Worker& worker, asio::ip::tcp::socket socket, Peer peer, tls::ContextPtr context)
    : worker_(worker),
      peer_(std::move(peer)),
      context_(std::move(context)),
      stream_(std::move(socket), context_.get(), worker.pool()) {}

Connection::~Connection() { base::wipe(buffered_); }

void Connection::set_deadline(base::Microseconds from_now) {
    deadline_ = worker_.services().clock.mono() + from_now;
    be_timed();
}

void Connection::clear_deadline() noexcept {
    deadline_.reset();
    be_timed();
}

void Connection::serve_as(Multiplexer* multiplexer) noexcept {
    multiplexer_ = multiplexer;
    be_timed();
}

void Connection::check_deadline(base::MonoTime now) {
    if (multiplexer_ != nullptr) return multiplexer_->check_deadline(now);
    if (!deadline_ || now < *deadline_) return;
    clear_deadline();
    expired_ = true;
    stream_.abort(false);
}

void Connection::drain() {
    if (multiplexer_ != nullptr) multiplexer_->drain();
}

void Connection::shut_down() {
    if (multiplexer_ != nullptr) return multiplexer_->shut_down();
    if (access_ != nullptr) access_->cut(CloseReason::SHUTDOWN);
    stream_.abort(false);
}

asio::awaitable<bool> Connection::send(const Response& response) {
    std::string bytes = response.to_http1();
    const bool sent = co_await stream_.write_all(bytes) == wire::IoStatus::done;
    base::wipe(bytes);  // a token may be in it
    co_return sent;
}

asio::awaitable<bool> Connection::establish() {
    co_return co_await stream_.write_all(wire::http1::connect_established()) == wire::IoStatus::done;
}

asio::awaitable<void> Connection::run() {
    auto& services = worker_.services();
    const auto& timeouts = services.config.timeouts;
    set_deadline(timeouts.handshake);
    const wire::IoStatus status = co_await stream_.handshake();
    if (status != wire::IoStatus::done) {
        services.metrics.handshakes_failed.Increment();
        base::log_debug("a TLS handshake failed", {{"error", expired_ ? "timeout" : stream_.last_error()}});
        co_return;
    }
    services.metrics.handshakes_ok.Increment();
    // A client with Nagle's algorithm holds its first request back until the end of its handshake is acknowledged.
    stream_.acknowledge_now();
    peer_.device_key = stream_.peer_key_sha256();
    if (stream_.protocol() == "h2") co_return co_await serve_http2();
    set_deadline(timeouts.header);
    while (co_await serve_one()) set_deadline(timeouts.keep_alive);
    stream_.abort(false);
}

asio::awaitable<void> Connection::serve_http2() {
    Multiplexer multiplexer(worker_, stream_, peer_);
    serve_as(&multiplexer);
    if (worker_.services().phase.load(std::memory_order_relaxed) != Phase::serving) multiplexer.drain();
    co_await multiplexer.run();
    serve_as(nullptr);
}

asio::awaitable<std::optional<bool>> Connection::read_request(wire::http1::Request& request) {
    auto& services = worker_.services();
    RequestParser parser;
    bool started = false;
    for (;;) {
        std::size_t consumed = 0;
        const auto state = parser.feed(buffered_, consumed);
        drop_front(buffered_, consumed);
        if (state == RequestParser::State::complete) break;
        if (state == RequestParser::State::rejected) co_return co_await refuse(parser.rejection());
        if (parser.started() && !started) {
            // From the first byte on the head has this long as a whole, however slowly its bytes drip.
            started = true;
            set_deadline(services.config.timeouts.header);
        }
        auto block = worker_.pool().take();
        std::size_t count = 0;
        wire::IoStatus status = stream_.try_read({block.data(), wire::BufferPool::chunk_bytes}, count);
        if (status == wire::IoStatus::would_block) {
            block.reset();
            if (co_await stream_.wait_readable()) continue;
            status = wire::IoStatus::failed;
        }
        if (status != wire::IoStatus::done) {
            if (parser.started()) {
                AccessRecord record = new_record(peer_, services.clock.utc());
                deny(record, expired_ ? "request-timeout" : "request-truncated");
                worker_.record_denial(std::move(record));
            }
            co_return false;
        }
        buffered_.append(block.data(), count);  // is empty here, so that no growth leaves a copy
        OPENSSL_cleanse(block.data(), count);   // a token, or a password behind the head, may have been in it
    }
    request = std::move(parser.request());
    co_return std::nullopt;
}

asio::awaitable<bool> Connection::serve_one() {
    // What reading takes is gone before the tunnel, which may be there for days.
    wire::http1::Request request;
    const std::optional<bool> over = co_await read_request(request);
    if (over) co_return *over;
    if (request.destination) {
        clear_deadline();
        auto tunnel = run_tunnel(*this, std::make_unique<wire::http1::Request>(std::exchange(request, {})));
        const bool lingers = co_await std::move(tunnel);
        if (lingers) co_await linger();
        co_return false;
    }
    const bool keep = co_await serve_session_api(*this, request);
    request.wipe_credentials();
    if (!keep) co_await linger();
    co_return keep;
}

asio::awaitable<bool> Connection::refuse(wire::http1::Rejection rejection) {
    auto& services = worker_.services();
    AccessRecord record = new_record(peer_, services.clock.utc());
    deny(record, "malformed-" + std::string(rejection.reason));
    worker_.record_denial(std::move(record));
    Response response(rejection.status);
    response.close().no_store().text(rejection.reason);
    if (co_await send(response)) co_await linger();
    co_return false;
}

asio::awaitable<bool> Connection::read_body(std::size_t count, std::string& body) {
    set_deadline(worker_.services().config.timeouts.header);
    body.reserve(count);
    while (body.size() < count) {
        if (buffered_.empty()) {
            auto block = worker_.pool().take();
            std::size_t n = 0;
            const wire::IoStatus status = stream_.try_read({block.data(), wire::BufferPool::chunk_bytes}, n);
            if (status == wire::IoStatus::done) buffered_.assign(block.data(), n);
            OPENSSL_cleanse(block.data(), n);  // a password may have been in it
            block.reset();
            if (status == wire::IoStatus::would_block && co_await stream_.wait_readable()) continue;
            if (status != wire::IoStatus::done) co_return false;
        }
        const std::size_t n = std::min(count - body.size(), buffered_.size());
        body.append(buffered_, 0, n);
        drop_front(buffered_, n);
    }
    co_return true;
}

asio::awaitable<void> Connection::linger() {
    set_deadline(linger_time);
    base::wipe(buffered_);
    buffered_ = std::string();
    if (co_await stream_.shutdown_send() != wire::IoStatus::done) co_return;
    std::size_t dropped = 0;
    while (dropped < linger_bytes) {
        auto block = worker_.pool().take();
        std::size_t count = 0;
        const wire::IoStatus status = stream_.try_read({block.data(), wire::BufferPool::chunk_bytes}, count);
        block.reset();
        dropped += count;
        if (status == wire::IoStatus::done) continue;
        if (status != wire::IoStatus::would_block || !co_await stream_.wait_readable()) co_return;
    }
}

}  // namespace usher::gateway
