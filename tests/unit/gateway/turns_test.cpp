#include "gateway/turns.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <stdexcept>
#include <string>

#include "catch.hpp"

namespace asio = boost::asio;
using usher::gateway::Turns;

TEST_CASE("between two turns runs what else is ready, and everybody has his turn") {
    asio::io_context io{1};
    Turns turns(io.get_executor());
    std::string seen;
    const auto transfer = [&](char name) -> asio::awaitable<void> {
        for (int i = 0; i < 3; ++i) {
            co_await turns.next();
            seen += name;
            // As a client's keystroke would be, that comes while a piece is moved.
            asio::post(io, [&] { seen += '.'; });
        }
    };
    for (const char name : {'a', 'b', 'c'}) asio::co_spawn(io, transfer(name), asio::detached);
    io.run();
    CHECK(seen == "a.b.c.a.b.c.a.b.c.");
}

TEST_CASE("a transfer that fails in its turn takes nobody's turn with it") {
    asio::io_context io{1};
    Turns turns(io.get_executor());
    std::string seen;
    const auto transfer = [&](char name) -> asio::awaitable<void> {
        co_await turns.next();
        seen += name;
        if (name == 'b') throw std::runtime_error("as memory that is missing");
    };
    for (const char name : {'a', 'b', 'c'})
        asio::co_spawn(io, transfer(name), [&](std::exception_ptr failure) { seen += failure ? '!' : '.'; });
    io.run();
    CHECK(seen == "a.b!c.");
}

TEST_CASE("whoever still waits at the end is let go of") {
    auto kept = std::make_shared<int>();
    {
        asio::io_context io{1};
        Turns turns(io.get_executor());
        asio::co_spawn(
            io,
            [&, held = kept]() -> asio::awaitable<void> {
                co_await turns.next();
                FAIL("nothing runs any more");
                (void)held;
            },
            asio::detached);
        io.run_one();
        CHECK(kept.use_count() > 1);
    }
    CHECK(kept.use_count() == 1);
}
