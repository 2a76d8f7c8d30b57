#include "wire/async_event.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <vector>

#include "catch.hpp"

namespace asio = boost::asio;
using usher::wire::AsyncEvent;

namespace {

asio::awaitable<void> wait_twice(AsyncEvent& event, std::vector<int>& log) {
    co_await event.wait();
    log.push_back(1);
    co_await event.wait();
    log.push_back(2);
}

}  // namespace

TEST_CASE("an event wakes its waiter from the queue, and is remembered once without one") {
    asio::io_context io;
    AsyncEvent event;
    std::vector<int> log;
    event.set();
    event.set();  // still one
    asio::co_spawn(io, wait_twice(event, log), asio::detached);
    io.run_for(std::chrono::milliseconds{1});
    io.restart();
    io.poll();
    CHECK(log == std::vector<int>{1});
    event.set();
    CHECK(log == std::vector<int>{1});  // not from inside of set()
    io.restart();
    io.poll();
    CHECK(log == std::vector<int>{1, 2});
}

TEST_CASE("an event that goes takes its waiter along") {
    asio::io_context io;
    std::vector<int> log;
    {
        AsyncEvent event;
        asio::co_spawn(io, wait_twice(event, log), asio::detached);
        io.poll();
    }
    io.restart();
    io.poll();
    CHECK(log.empty());
}
