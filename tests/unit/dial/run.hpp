#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

namespace usher::test {

/// A coroutine under way, and how it ended.
template <class T>
struct Task {
    std::optional<T> value;
    std::exception_ptr exception;
    boost::asio::cancellation_signal cancel;

    /// Whether the coroutine's frame is gone too, and with it its use of `cancel`.
    bool done() const noexcept { return finished; }
    bool finished = false;
};

template <class T>
boost::asio::awaitable<void> keep(Task<T>& task, boost::asio::awaitable<T> coroutine) {
    auto value = co_await std::move(coroutine);
    task.value.emplace(std::move(value));
}

/// Starts the coroutine; `task` must outlive it or the io_context.
template <class T>
void start(boost::asio::io_context& io, Task<T>& task, boost::asio::awaitable<T> coroutine) {
    boost::asio::co_spawn(io, keep(task, std::move(coroutine)),
                          boost::asio::bind_cancellation_slot(task.cancel.slot(), [&task](std::exception_ptr error) {
                              task.exception = error;
                              task.finished = true;
                          }));
}

/// Runs the loop until `until` holds; a test that hangs fails after ten seconds.
template <class Predicate>
void run_until(boost::asio::io_context& io, Predicate until) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!until()) {
        if (io.stopped()) io.restart();
        io.run_one_until(end);
        if (std::chrono::steady_clock::now() >= end) throw std::runtime_error("the test did not come to its end");
    }
}

template <class T>
T run(boost::asio::io_context& io, boost::asio::awaitable<T> coroutine) {
    Task<T> task;
    start(io, task, std::move(coroutine));
    run_until(io, [&] { return task.done(); });
    if (task.exception) std::rethrow_exception(task.exception);
    return std::move(*task.value);
}

}  // namespace usher::test
