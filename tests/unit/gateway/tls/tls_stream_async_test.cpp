#include "wire/tls_stream_async.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <cstdio>
#include <optional>

#include "catch.hpp"
#include "tests/unit/gateway/tls/tls_pair.hpp"

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using usher::test::pattern;
using usher::wire::BufferPool;
using usher::wire::IoStatus;
using usher::wire::TlsStream;
using Pair = usher::test::TlsPair;

static_assert(boost::beast::is_async_read_stream<TlsStream>::value);
static_assert(boost::beast::is_async_write_stream<TlsStream>::value);

namespace {

/// A handler that can be cancelled, and what it was told.
struct Outcome {
    asio::cancellation_signal cancel;
    std::optional<error_code> error;
    std::size_t count = 0;

    auto handler() {
        return asio::bind_cancellation_slot(cancel.slot(), [this](error_code e, std::size_t n) {
            error = e;
            count = n;
        });
    }
    auto shutdown_handler() {
        return asio::bind_cancellation_slot(cancel.slot(), [this](error_code e) { error = e; });
    }
};

constexpr auto nobody = [] {};

std::string receive_all(SSL* client) {
    std::string got, chunk(20'000, '\0');
    std::size_t n = 0;
    while (SSL_read_ex(client, chunk.data(), chunk.size(), &n) == 1) got.append(chunk, 0, n);
    return got;
}

void send_all(SSL* client, std::string_view data) {
    std::size_t n = 0;
    SSL_write_ex(client, data.data(), data.size(), &n);
}

/// Writes of the pattern until the peer's host takes no more; the last of them is under way. How many bytes were taken.
std::size_t fill(Pair& pair, const std::string& data, Outcome& last) {
    const int small = 16 * 1024;
    ::setsockopt(pair.stream->socket().native_handle(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    std::size_t taken = 0;
    do {
        taken += last.count;
        REQUIRE(taken + BufferPool::chunk_bytes < data.size());
        last.error.reset();
        last.count = 0;
        pair.stream->async_write_some(asio::buffer(data) + taken, last.handler());
        pair.io.restart();
        pair.io.poll();
    } while (last.error);
    return taken;
}

}  // namespace

TEST_CASE("Asio's own operations over the stream: futures") {
    Pair pair(GENERATE(TLS1_2_VERSION, TLS1_3_VERSION));
    pair.shake();
    const std::string body = pattern(200'000);
    std::string line;
    auto until = asio::async_read_until(*pair.stream, asio::dynamic_buffer(line, 1000), "\r\n\r\n", asio::use_future);
    pair.together([&] { send_all(pair.client, "PUT / HTTP/1.1\r\nhost: a\r\n\r\n"); });
    CHECK(until.get() == line.size());
    CHECK(line == "PUT / HTTP/1.1\r\nhost: a\r\n\r\n");

    std::string got(body.size(), '\0');
    auto read = asio::async_read(*pair.stream, asio::buffer(got), asio::use_future);
    pair.together([&] { send_all(pair.client, body); });
    CHECK(read.get() == body.size());
    CHECK(got == body);

    auto write = asio::async_write(*pair.stream, asio::buffer(body), asio::use_future);
    std::string back(body.size(), '\0');
    pair.together([&] {
        std::size_t n = 0;
        for (std::size_t at = 0; at < back.size(); at += n)
            if (SSL_read_ex(pair.client, back.data() + at, back.size() - at, &n) != 1) return;
    });
    CHECK(write.get() == body.size());
    CHECK(back == body);

    auto end = asio::async_read(*pair.stream, asio::buffer(got), asio::use_future);
    pair.together([&] { SSL_shutdown(pair.client); });
    error_code failed;
    try {
        (void)end.get();
    } catch (const boost::system::system_error& e) {
        failed = e.code();
    }
    CHECK(failed == asio::error::eof);
}

TEST_CASE("Asio's own operations over the stream: a coroutine, with openssl's s_client") {
    const std::string version = GENERATE("-tls1_2", "-tls1_3");
    usher::test::TlsIdentity identity;
    asio::io_context io{1};
    BufferPool pool;
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    const std::string answer = identity.directory + "/answer";
    const std::string command = "openssl s_client -quiet -verify_return_error " + version +
                                " -verify_hostname localhost" + " -CAfile " + identity.authority() +
                                " -connect 127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()) + " > " +
                                answer + " 2> /dev/null";
    FILE* const client = ::popen(command.c_str(), "w");
    REQUIRE(client != nullptr);
    std::fputs("how many letters\nhas this\n", client);
    std::fflush(client);

    TlsStream stream(acceptor.accept(), identity.context.get(), pool);
    auto talk = [](TlsStream& s) -> asio::awaitable<std::string> {
        if (co_await s.handshake() != IoStatus::done) co_return "no handshake";
        std::string text;
        const auto first =
            co_await asio::async_read_until(s, asio::dynamic_buffer(text, 4096), '\n', asio::use_awaitable);
        text.erase(0, first);
        co_await asio::async_read_until(s, asio::dynamic_buffer(text, 4096), '\n', asio::use_awaitable);
        const std::string counted = std::to_string(text.size() - 1) + "\n";
        co_await asio::async_write(s, asio::buffer(counted), asio::use_awaitable);
        co_await s.async_shutdown(asio::use_awaitable);
        // s_client answers an end with its own.
        error_code error;
        auto token = asio::redirect_error(asio::use_awaitable, error);
        co_await s.async_read_some(asio::buffer(text), token);
        if (error == asio::error::eof) co_return "ended";
        co_return error.message();
    };
    auto talked = asio::co_spawn(io, talk(stream), asio::use_future);
    io.run();
    const int exit_status = ::pclose(client);
    CHECK(talked.get() == "ended");
    CHECK(exit_status == 0);
    FILE* const file = std::fopen(answer.c_str(), "r");
    REQUIRE(file != nullptr);
    char line[64] = {};
    CHECK(std::fgets(line, sizeof line, file) != nullptr);
    std::fclose(file);
    CHECK(std::string(line) == "8\n");
}

TEST_CASE("Asio's own operations over the stream: callbacks, a read and a write at the same time") {
    Pair pair;
    pair.shake();
    const std::string sent = pattern(3'000'001);
    std::string got(sent.size(), '\0');
    Outcome read, write, shutdown;
    asio::async_read(*pair.stream, asio::buffer(got), read.handler());
    asio::async_write(*pair.stream, asio::buffer(sent), [&](error_code error, std::size_t count) {
        write.error = error;
        write.count = count;
        pair.stream->async_shutdown(shutdown.shutdown_handler());
    });
    pair.together([&] {  // gives back what it gets
        std::string chunk(20'000, '\0');
        std::size_t n = 0, written = 0;
        while (SSL_read_ex(pair.client, chunk.data(), chunk.size(), &n) == 1)
            if (SSL_write_ex(pair.client, chunk.data(), n, &written) != 1) return;
        SSL_shutdown(pair.client);
    });
    CHECK(write.error == error_code());
    CHECK(write.count == sent.size());
    CHECK(shutdown.error == error_code());
    CHECK(read.error == error_code());
    CHECK(read.count == sent.size());
    CHECK(got == sent);
}

TEST_CASE("a handler is never called by the function that begins its operation") {
    Pair pair;
    pair.shake();
    std::thread([&] { send_all(pair.client, "abc"); }).join();
    std::string into(10, '\0');
    Outcome read, empty_read, write, empty_write, shutdown;
    pair.stream->async_read_some(asio::buffer(into), read.handler());
    pair.stream->async_write_some(asio::buffer("xyz", 3), write.handler());
    CHECK_FALSE(read.error);
    CHECK_FALSE(write.error);
    pair.together(nobody);
    CHECK(read.error == error_code());
    CHECK(into.substr(0, read.count) == "abc");
    CHECK(write.count == 3);

    // Nothing to move is done at once, as with any stream of Asio.
    pair.stream->async_read_some(asio::mutable_buffer(), empty_read.handler());
    pair.stream->async_write_some(asio::const_buffer(), empty_write.handler());
    CHECK_FALSE(empty_read.error);
    CHECK_FALSE(empty_write.error);
    pair.together(nobody);
    CHECK(empty_read.error == error_code());
    CHECK(empty_write.error == error_code());
    pair.stream->async_shutdown(shutdown.shutdown_handler());
    CHECK_FALSE(shutdown.error);
    pair.together(nobody);
    CHECK(shutdown.error == error_code());
}

TEST_CASE("small buffers that are written together go as one record, and the first one with room is read into") {
    Pair pair;
    pair.shake();
    const std::vector<asio::const_buffer> parts{asio::buffer("", 0), asio::buffer("head ", 5), asio::buffer("body", 4)};
    Outcome write, read;
    pair.stream->async_write_some(parts, write.handler());
    std::string record(100, '\0');
    std::size_t n = 0;
    pair.together([&] { SSL_read_ex(pair.client, record.data(), record.size(), &n); });
    CHECK(write.count == 9);
    CHECK(record.substr(0, n) == "head body");

    std::string into(3, '\0');
    pair.stream->async_read_some(std::vector<asio::mutable_buffer>{{}, asio::buffer(into)}, read.handler());
    pair.together([&] { send_all(pair.client, "abcdef"); });
    CHECK(read.count == 3);
    CHECK(into == "abc");
}

TEST_CASE("a read that is cancelled has read nothing") {
    const auto type =
        GENERATE(asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total);
    Pair pair;
    pair.shake();
    std::string into(6, '\0');
    Outcome read;
    asio::async_read(*pair.stream, asio::buffer(into), read.handler());
    pair.io.restart();
    pair.io.poll();
    REQUIRE_FALSE(read.error);
    read.cancel.emit(asio::cancellation_type::partial);  // what async_read lets through
    pair.together(nobody);
    CHECK(read.error == asio::error::operation_aborted);

    Outcome some;
    pair.stream->async_read_some(asio::buffer(into), some.handler());
    pair.io.restart();
    pair.io.poll();
    some.cancel.emit(type);
    // The bytes are there when the handler is called, and stay there.
    pair.together([&] { send_all(pair.client, "abcdef"); });
    CHECK(some.error == asio::error::operation_aborted);
    CHECK(some.count == 0);

    Outcome again;
    asio::async_read(*pair.stream, asio::buffer(into), again.handler());
    pair.together(nobody);
    CHECK(again.error == error_code());
    CHECK(into == "abcdef");
}

TEST_CASE("a write that is cancelled says what it has taken, and the stream goes on behind that") {
    const auto type = GENERATE(asio::cancellation_type::terminal, asio::cancellation_type::partial);
    Pair pair;
    pair.shake();
    const std::string data = pattern(32u << 20);
    Outcome last, next, shutdown;
    std::size_t taken = fill(pair, data, last);
    last.cancel.emit(type);
    pair.together(nobody);
    REQUIRE(last.error == asio::error::operation_aborted);
    CHECK(last.count > 0);
    taken += last.count;

    // One that has taken nothing, for what was before it has not gone; unless the kernel has made room meanwhile.
    pair.stream->async_write_some(asio::buffer(data) + taken, next.handler());
    pair.io.restart();
    pair.io.poll();
    if (!next.error) {
        next.cancel.emit(type);
        pair.together(nobody);
        CHECK(next.error == asio::error::operation_aborted);
    }
    taken += next.count;

    const std::string tail(data, taken, 1'000'000);
    std::string got;
    asio::async_write(*pair.stream, asio::buffer(tail), [&](error_code error, std::size_t) {
        next.error = error;
        pair.stream->async_shutdown(shutdown.shutdown_handler());
    });
    pair.together([&] { got = receive_all(pair.client); });
    CHECK(next.error == error_code());
    CHECK(shutdown.error == error_code());
    CHECK(got == data.substr(0, taken + tail.size()));
}

TEST_CASE("an end that is cancelled can be begun again, and comes behind what was taken") {
    Pair pair;
    pair.shake();
    const std::string data = pattern(32u << 20);
    Outcome last, shutdown, again;
    std::size_t taken = fill(pair, data, last);
    last.cancel.emit(asio::cancellation_type::terminal);
    pair.together(nobody);
    taken += last.count;
    pair.stream->async_shutdown(shutdown.shutdown_handler());
    pair.io.restart();
    pair.io.poll();
    if (!shutdown.error) {  // the kernel has not made room meanwhile
        shutdown.cancel.emit(asio::cancellation_type::terminal);
        pair.together(nobody);
        CHECK(shutdown.error == asio::error::operation_aborted);
    }
    std::string got;
    pair.stream->async_shutdown(again.shutdown_handler());
    pair.together([&] { got = receive_all(pair.client); });
    CHECK(again.error == error_code());
    CHECK(got == data.substr(0, taken));
    CHECK(SSL_get_error(pair.client, 0) == SSL_ERROR_ZERO_RETURN);
}

TEST_CASE("after its end is sent the stream still reads, and writes no more") {
    Pair pair;
    pair.shake();
    Outcome shutdown, twice, read, write;
    std::string into(5, '\0');
    pair.stream->async_shutdown(shutdown.shutdown_handler());
    pair.together(nobody);
    CHECK(shutdown.error == error_code());
    pair.stream->async_shutdown(twice.shutdown_handler());
    pair.together(nobody);
    CHECK(twice.error == error_code());
    asio::async_read(*pair.stream, asio::buffer(into), read.handler());
    std::string got;
    pair.together([&] {
        got = receive_all(pair.client);
        send_all(pair.client, "still");
    });
    CHECK(got.empty());
    CHECK(read.error == error_code());
    CHECK(into == "still");
    pair.stream->async_write_some(asio::buffer("x", 1), write.handler());
    pair.together(nobody);
    REQUIRE(write.error);
    CHECK(write.error->category() == asio::error::get_ssl_category());
    CHECK(write.count == 0);
}

TEST_CASE("how a stream fails is told in the words of Asio") {
    Pair pair;
    pair.shake();
    const int fd = pair.client_socket.native_handle();
    std::string into(5, '\0');
    Outcome read, write;
    pair.stream->async_read_some(asio::buffer(into), read.handler());
    SECTION("without close_notify") {
        pair.together([&] { ::shutdown(fd, SHUT_WR); });
        CHECK(read.error == error_code(asio::ssl::error::stream_truncated));
    }
    SECTION("with a reset") {
        pair.client_socket.set_option(asio::socket_base::linger(true, 0));
        pair.client_socket.close();
        pair.together(nobody);
        CHECK(read.error == error_code(asio::error::connection_reset));
    }
    SECTION("with bytes that are no record") {
        pair.together([&] { ::send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0); });
        REQUIRE(read.error);
        CHECK(read.error->category() == asio::error::get_ssl_category());
    }
    SECTION("aborted by ourselves") {
        const std::string data = pattern(32u << 20);
        (void)fill(pair, data, write);
        pair.stream->abort(true);
        pair.together(nobody);
        CHECK(read.error == asio::error::operation_aborted);
        CHECK(write.error == asio::error::operation_aborted);
        Outcome late_read, late_write, late_shutdown;
        pair.stream->async_read_some(asio::buffer(into), late_read.handler());
        pair.stream->async_write_some(asio::buffer(data), late_write.handler());
        pair.stream->async_shutdown(late_shutdown.shutdown_handler());
        pair.together(nobody);
        for (const auto* late : {&late_read, &late_write, &late_shutdown})
            CHECK(late->error == asio::error::bad_descriptor);
    }
}
