#include "gateway/relay.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "wire/async_event.hpp"

namespace usher::gateway {
namespace asio = boost::asio;

namespace {
/// A turn is over behind so many bytes; a read counts as a chunk at least.
constexpr std::size_t bytes_a_turn = 4 * wire::BufferPool::chunk_bytes;

/// Who moves so much at once takes turns with the others: a record of TLS, which hardly a keystroke or a query fills.
constexpr std::size_t busy_bytes = 16 * 1024;

/// One direction's course: whether its chunks are filled, and when it is somebody else's turn.
class Pace {
public:
    using Size = wire::BufferPool::Size;
    /// What is to be read next.
    Size size() const noexcept { return size_; }
    /// It waited for one of its peers. True when it has to wait for its turn besides: one that moves little goes on
    /// at once.
    bool waited() noexcept {
        moved_ = 0;
        return busy_;
    }
    /// True when its turn is over.
    bool moved(std::size_t bytes) noexcept {
        size_ = bytes >= wire::BufferPool::chunk_bytes ? Size::bulk : Size::chunk;
        busy_ = bytes >= busy_bytes;
        moved_ += std::max(bytes, wire::BufferPool::chunk_bytes);
        if (moved_ < bytes_a_turn) return false;
        moved_ = 0;
        return true;
    }

private:
    Size size_ = Size::chunk;
    bool busy_ = false;
    std::size_t moved_ = 0;
};
}  // namespace

asio::awaitable<CloseReason::Value> Relay::run(std::string early) {
    wire::AsyncEvent upload_over;
    bool uploads = true;
    asio::co_spawn(co_await asio::this_coro::executor, upload(std::move(early)), [&](std::exception_ptr failure) {
        if (failure) threw(std::move(failure));
        uploads = false;
        upload_over.set();
    });
    try {
        co_await download();
    } catch (...) {
        threw(std::current_exception());
    }
    while (uploads) co_await upload_over.wait();
    if (failure_) std::rethrow_exception(failure_);
    co_return reason_;
}

/// Should a direction fail by an exception (memory, most likely), the other one ends too; run() throws it again when
/// both have ended.
void Relay::threw(std::exception_ptr failure) noexcept {
    failure_ = std::move(failure);
    failed(CloseReason::CLIENT_ERROR);
}

/// One direction ended properly; the first to do so is the reason on record.
void Relay::ended(CloseReason::Value reason) {
    if (reason_ == CloseReason::UNSPECIFIED) reason_ = reason;
}

/// One direction broke, so the other cannot go on. No close_notify is sent: the peer can tell this from an end.
void Relay::failed(CloseReason::Value reason) {
    ended(reason);
    settle();
    // What the side that broke can't get any more is still delivered to the other: closed without a reset.
    client_.abort(reason == CloseReason::CLIENT_ERROR);
    app_.abort(reason == CloseReason::CLIENT_ERROR);
    if (access_.bytes_up() + access_.bytes_down() > 0)
        access_.mark_uncertain();  // what its program had read cannot be known
}

/// The app takes nothing any more, but what it sent before may still be there: download() goes on to its end. The error
/// was reported to the write, so that end looks like a proper one to the read, and must not be passed on as one.
void Relay::app_broke() {
    app_broke_ = true;
    ended(CloseReason::APP_ERROR);
    if (app_.aborted()) failed(CloseReason::APP_ERROR);
}

void Relay::stop() {
    ended(CloseReason::REVOKED);
    settle();
    client_.abort(true);
    app_.abort(true);
}

void Relay::settle() {
    if (settled_) return;
    settled_ = true;
    access_.undelivered_up(app_.unacknowledged());
    access_.undelivered_down(client_.unacknowledged());
}

asio::awaitable<bool> Relay::to_app(std::string_view data) {
    while (!data.empty()) {
        access_.look_at_orders();
        if (access_.was_cut()) co_return false;
        std::size_t sent = 0;
        const wire::IoStatus status = app_.try_write(data, sent);
        access_.count_up(sent);
        data.remove_prefix(sent);
        if (status == wire::IoStatus::failed) co_return false;
        if (status == wire::IoStatus::done) continue;
        access_.set_stalled_up(true);
        const bool writable = co_await app_.wait_writable();
        access_.set_stalled_up(false);
        if (!writable) co_return false;
    }
    co_return true;
}

asio::awaitable<void> Relay::upload(std::string early) {
    if (!early.empty() && !co_await to_app(early)) co_return app_broke();
    early = std::string();
    for (Pace pace;;) {
        if (access_.gated()) co_await access_.gate();
        auto block = pool_.take(pace.size());
        std::size_t count = 0;
        const wire::IoStatus status = client_.try_read({block.data(), block.plain_bytes()}, count);
        if (status == wire::IoStatus::would_block) {
            block.reset();
            if (!co_await client_.wait_readable()) co_return failed(CloseReason::CLIENT_ERROR);
            if (pace.waited()) co_await turns_.next();
            continue;
        }
        if (status == wire::IoStatus::eof) {
            ended(CloseReason::CLIENT_CLOSED);
            app_.shutdown_send();
            co_return;
        }
        if (status == wire::IoStatus::failed) co_return failed(CloseReason::CLIENT_ERROR);
        if (!co_await to_app({block.data(), count})) co_return app_broke();
        block.reset();
        if (pace.moved(count)) co_await turns_.next();
    }
}

asio::awaitable<void> Relay::download() {
    for (Pace pace;;) {
        access_.look_at_orders();
        if (access_.gated()) co_await access_.gate();
        // What the client cannot take is not read from the app: it waits in the app's socket, and slows the app down.
        const std::size_t room = client_.room();
        if (room == 0) {
            if (!co_await client_.wait_room()) co_return failed(CloseReason::CLIENT_ERROR);
            if (pace.waited()) co_await turns_.next();
            continue;
        }
        auto block = pool_.take(wire::BufferPool::size_for(room));
        std::size_t count = 0;
        const wire::IoStatus status = app_.try_read({block.data(), std::min(room, block.plain_bytes())}, count);
        if (status == wire::IoStatus::would_block) {
            block.reset();
            const auto [error] = co_await app_.readable();
            if (error || app_.aborted()) co_return failed(CloseReason::APP_ERROR);
            if (pace.waited()) co_await turns_.next();
            continue;
        }
        if (status == wire::IoStatus::eof && app_broke_) co_return failed(CloseReason::APP_ERROR);
        if (status == wire::IoStatus::eof) {
            ended(CloseReason::APP_CLOSED);
            if (co_await client_.shutdown_send() != wire::IoStatus::done) failed(CloseReason::CLIENT_ERROR);
            co_return;
        }
        if (status == wire::IoStatus::failed) co_return failed(CloseReason::APP_ERROR);

        if (client_.put(std::move(block), count) != wire::IoStatus::done) co_return failed(CloseReason::CLIENT_ERROR);
        access_.count_down(count);  // what does not arrive is taken off by settle()
        if (pace.moved(count)) co_await turns_.next();
    }
}

}  // namespace usher::gateway
