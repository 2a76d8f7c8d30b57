#include "wire/http2/carrier.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>

#include "base/log.hpp"

namespace usher::wire::http2 {
namespace asio = boost::asio;

namespace {
/// After so many pieces without a wait the connection lets the thread's others run.
constexpr unsigned pieces_before_yield = 4;
constexpr std::size_t linger_bytes = 256 * 1024;
}  // namespace

asio::awaitable<void> Carrier::carry() {
    using namespace asio::experimental::awaitable_operators;
    co_await (guarded(read()) && guarded(write()));
    lose();
}

/// One half of the connection's work. Should it fail by an exception (memory, most likely), the other half ends too.
asio::awaitable<void> Carrier::guarded(asio::awaitable<void> half) {
    try {
        co_return co_await std::move(half);
    } catch (const std::exception& e) {
        base::log_error("an HTTP/2 connection ended with an exception", {{"error", e.what()}});
    }
    stream_.abort(false);
    reading_ = false;
    to_write_.set();
}

void Carrier::lose() {
    if (lost_) return;
    lost_ = true;
    on_lost();
}

asio::awaitable<void> Carrier::read() {
    for (unsigned reads = 0;; ++reads) {
        before_piece();
        auto block = pool_.take();
        std::size_t count = 0;
        const IoStatus status = stream_.try_read({block.data(), BufferPool::chunk_bytes}, count);
        if (status == IoStatus::would_block) {
            block.reset();
            reads = 0;
            if (co_await stream_.wait_readable()) continue;
        }
        if (status != IoStatus::done) {
            // Without its peer's direction no stream of the connection can be ended properly any more.
            stream_.abort(false);
            break;
        }
        const bool goes_on = session().receive({block.data(), count}, now());
        block.reset();
        if (!goes_on) break;
        wake_writer();
        if (reads >= pieces_before_yield) {
            reads = 0;
            co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        }
    }
    lose();
    reading_ = false;
    to_write_.set();
    // What still comes is dropped for a moment: unread, it would make a reset that destroys the GOAWAY on its way.
    for (std::size_t dropped = 0; dropped < linger_bytes && !stream_.aborted();) {
        auto block = pool_.take();
        std::size_t count = 0;
        const IoStatus status = stream_.try_read({block.data(), BufferPool::chunk_bytes}, count);
        block.reset();
        dropped += count;
        if (status == IoStatus::done) continue;
        if (status != IoStatus::would_block || !co_await stream_.wait_readable()) break;
    }
    stream_.abort(false);
}

asio::awaitable<void> Carrier::write() {
    for (unsigned writes = 0;;) {
        before_piece();
        // What reading left to send (a KeyUpdate's answer) goes first.
        if (!stream_.flushed() && !co_await stream_.wait_room()) break;
        auto block = pool_.take();
        const std::size_t count = session().fill({block.data(), BufferPool::chunk_bytes});
        if (count > 0) {
            if (stream_.put(std::move(block), count) != IoStatus::done) break;
            if (++writes >= pieces_before_yield) {
                writes = 0;
                co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
            }
            continue;
        }
        block.reset();
        if (!reading_ || session().over()) break;
        co_await to_write_.wait();
        writes = 0;
    }
    on_finished_sending();
    if (!stream_.aborted() && co_await stream_.shutdown_send() == IoStatus::done) co_return;
    lose();
    stream_.abort(false);
}

void Carrier::wake_writer() {
    if (session().wants_write()) to_write_.set();
}

}  // namespace usher::wire::http2
