#pragma once
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>

#include "base/log.hpp"
#include "base/result.hpp"

namespace usher::gateway {

/// Awaits something that answers through a callback on another thread. `start` gets the callback, which must be called
/// exactly once; the coroutine goes on on its own executor.
///
/// Callers give `start` a name before the expression that awaits: gcc 12 destroys a closure that is a temporary of a
/// co_await expression twice (GCC bug 99576 and its kin).
template <class T, class Start>
boost::asio::awaitable<T> await_callback(Start start) {
    auto executor = co_await boost::asio::this_coro::executor;
    auto initiate = [executor, start = std::move(start)](auto handler) mutable {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        start([shared, executor](T value) {
            boost::asio::post(executor,
                              [shared, value = std::move(value)]() mutable { std::move (*shared)(std::move(value)); });
        });
    };
    co_return co_await boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void(T)>(
        std::move(initiate), boost::asio::use_awaitable);
}

/// A few threads for what blocks on the database, behind a bounded queue.
class Background {
public:
    explicit Background(std::size_t threads = 2, std::size_t queue_limit = 256)
        : pool_(threads), queue_limit_(queue_limit) {}
    ~Background() { stop(); }

    /// Finishes what is queued and ends the threads.
    void stop() { pool_.join(); }

    /// Runs `work` on one of the threads; false when the queue is full and nothing was done.
    template <class Work>
    bool post(Work work) {
        if (queued_.fetch_add(1, std::memory_order_relaxed) >= queue_limit_) {
            queued_.fetch_sub(1, std::memory_order_relaxed);
            return false;
        }
        boost::asio::post(pool_, [this, work = std::move(work)]() mutable {
            queued_.fetch_sub(1, std::memory_order_relaxed);
            work();
        });
        return true;
    }

    /// Runs `work`, which returns a base::Result<T>, and awaits it. resource_exhausted when the queue is full.
    template <class T, class Work>
    boost::asio::awaitable<base::Result<T>> run(Work work) {
        return await_callback<base::Result<T>>([this, work = std::move(work)](auto done) mutable {
            const bool queued = post([done, work = std::move(work)]() mutable { done(guarded<T>(work)); });
            if (!queued)
                done(base::Result<T>(base::Errc::resource_exhausted, "too many requests wait for the database"));
        });
    }

    /// How many wait for a thread.
    std::size_t queued() const noexcept { return queued_.load(std::memory_order_relaxed); }

private:
    template <class T, class Work>
    static base::Result<T> guarded(Work& work) {
        try {
            return work();
        } catch (const std::exception& e) {
            // A pool thread must not die of one request; the operator sees what it was.
            base::log_error("a background task failed unexpectedly", {{"error", e.what()}});
            return base::Result<T>(base::Errc::internal, "internal error");
        }
    }

    boost::asio::thread_pool pool_;
    std::atomic<std::size_t> queued_{0};
    std::size_t queue_limit_;
};

}  // namespace usher::gateway
