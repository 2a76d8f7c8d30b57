#pragma once
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "clients/usher/up/request_body.hpp"
#include "wire/plain_socket.hpp"

namespace usher::clients::agent {

/// What went through the agent since it began.
struct Traffic {
    std::uint64_t bytes_up = 0, bytes_down = 0, tunnels = 0;
    std::size_t open = 0;
};

/// The proper end of what is sent to a local program.
inline boost::asio::awaitable<bool> end_of(wire::PlainSocket& socket) {
    socket.shutdown_send();
    co_return !socket.aborted();
}
template <class Local>
boost::asio::awaitable<bool> end_of(Local& local) {
    return local.end();
}

/// Moves bytes both ways between a local program and its tunnel until both directions have ended, carrying each
/// half-close through. Neither side is read faster than the other takes. All references must outlive run(). It is the
/// gateway's relay seen from the other end, without a record to keep; `Local` is wire::PlainSocket or PacketSocket.
template <class Local>
class LocalRelay {
public:
    LocalRelay(Local& local, wire::TunnelEnd& tunnel, wire::BufferPool& pool, Traffic& traffic)
        : local_(local), tunnel_(tunnel), pool_(pool), traffic_(traffic) {}

    /// `early` goes up first. With `body`, only what belongs to it goes up, and the rest is dropped; `on_answered` is
    /// called when the tunnel's direction has ended. Returns whether both directions ended properly; else both ends are
    /// closed, with a reset where the program must not take a broken stream for a whole one.
    template <class OnAnswered>
    boost::asio::awaitable<bool> run(std::string early, RequestBody* body, OnAnswered on_answered) {
        using namespace boost::asio::experimental::awaitable_operators;
        co_await (upload(std::move(early), body) && download(std::move(on_answered)));
        co_return !broken_;
    }

private:
    static constexpr unsigned chunks_before_yield = 16;

    void broke() {
        if (std::exchange(broken_, true)) return;
        tunnel_.abort(true);
        local_.abort(true);
    }

    /// An app that has ended its direction may be done with the other one too: that is no break.
    void takes_no_more() {
        if (!answered_) broke();
    }

    boost::asio::awaitable<bool> put(std::string_view bytes) {
        while (!bytes.empty()) {
            const std::size_t room = tunnel_.room();
            if (room == 0) {
                if (!co_await tunnel_.wait_room()) co_return false;
                continue;
            }
            auto block = pool_.take();
            const auto part = bytes.substr(0, std::min(room, wire::BufferPool::chunk_bytes));
            std::copy(part.begin(), part.end(), block.data());
            if (tunnel_.put(std::move(block), part.size()) != wire::IoStatus::done) co_return false;
            traffic_.bytes_up += part.size();
            bytes.remove_prefix(part.size());
        }
        co_return true;
    }

    boost::asio::awaitable<void> upload(std::string early, RequestBody* body) {
        if (!early.empty() && !co_await put(early)) co_return takes_no_more();
        early = std::string();
        for (unsigned chunks = 0;; ++chunks) {
            const std::size_t room = tunnel_.room();
            if (room == 0 && (body == nullptr || !body->over())) {
                if (!co_await tunnel_.wait_room()) co_return takes_no_more();
                continue;
            }
            auto block = pool_.take();
            std::size_t count = 0;
            const std::size_t most = room == 0 ? wire::BufferPool::chunk_bytes : room;
            const auto status = local_.try_read({block.data(), std::min(most, wire::BufferPool::chunk_bytes)}, count);
            if (status == wire::IoStatus::would_block) {
                block.reset();
                chunks = 0;
                if (!co_await local_.wait_readable()) co_return broke();
                continue;
            }
            if (status == wire::IoStatus::failed) co_return broke();
            if (status == wire::IoStatus::eof) {
                block.reset();
                if (co_await tunnel_.shutdown_send() != wire::IoStatus::done) takes_no_more();
                co_return;
            }
            if (body != nullptr) {
                count = body->take({block.data(), count});
                if (body->malformed()) co_return broke();
                if (count == 0) continue;
            }
            if (tunnel_.put(std::move(block), count) != wire::IoStatus::done) co_return takes_no_more();
            traffic_.bytes_up += count;
            if (chunks >= chunks_before_yield) {
                chunks = 0;
                co_await yield();
            }
        }
    }

    template <class OnAnswered>
    boost::asio::awaitable<void> download(OnAnswered on_answered) {
        for (unsigned chunks = 0;; ++chunks) {
            auto block = pool_.take();
            std::size_t count = 0;
            const auto status = tunnel_.try_read({block.data(), wire::BufferPool::chunk_bytes}, count);
            if (status == wire::IoStatus::would_block) {
                block.reset();
                chunks = 0;
                if (!co_await tunnel_.wait_readable()) co_return broke();
                continue;
            }
            if (status == wire::IoStatus::failed) co_return broke();
            if (status == wire::IoStatus::eof) {
                answered_ = true;
                block.reset();
                if (!co_await end_of(local_)) co_return broke();
                on_answered();
                co_return;
            }
            for (std::string_view left(block.data(), count); !left.empty();) {
                std::size_t sent = 0;
                const auto wrote = local_.try_write(left, sent);
                traffic_.bytes_down += sent;
                left.remove_prefix(sent);
                if (wrote == wire::IoStatus::failed) co_return broke();
                if (wrote == wire::IoStatus::would_block && !co_await local_.wait_writable()) co_return broke();
            }
            if (chunks >= chunks_before_yield) {
                chunks = 0;
                co_await yield();
            }
        }
    }

    static boost::asio::awaitable<void> yield() {
        co_await boost::asio::post(co_await boost::asio::this_coro::executor, boost::asio::use_awaitable);
    }

    Local& local_;
    wire::TunnelEnd& tunnel_;
    wire::BufferPool& pool_;
    Traffic& traffic_;
    bool broken_ = false;
    bool answered_ = false;
};

}  // namespace usher::clients::agent
