#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>

namespace usher::wire {

/// What one coroutine waits for and another part of the same thread brings about. A set() without a waiter is
/// remembered for the next wait(). It costs a pointer while nobody waits.
class AsyncEvent {
public:
    AsyncEvent() = default;
    AsyncEvent(const AsyncEvent&) = delete;
    AsyncEvent& operator=(const AsyncEvent&) = delete;

    /// Lets the waiter go on, from the executor's queue and not from inside of this call.
    void set() {
        if (!waiter_) {
            set_ = true;
            return;
        }
        std::exchange(waiter_, nullptr)->resume();
    }

    /// At most one wait() at a time. The event must outlive it.
    boost::asio::awaitable<void> wait() {
        if (std::exchange(set_, false)) co_return;
        co_await boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void()>(
            [this](auto handler) { waiter_ = std::make_unique<Holder<decltype(handler)>>(std::move(handler)); },
            boost::asio::use_awaitable);
    }

private:
    struct Waiter {
        virtual ~Waiter() = default;
        virtual void resume() = 0;
    };
    template <class Handler>
    struct Holder final : Waiter {
        explicit Holder(Handler h) : handler(std::move(h)) {}
        void resume() override { boost::asio::post(boost::asio::get_associated_executor(handler), std::move(handler)); }
        Handler handler;
    };

    std::unique_ptr<Waiter> waiter_;
    bool set_ = false;
};

}  // namespace usher::wire
