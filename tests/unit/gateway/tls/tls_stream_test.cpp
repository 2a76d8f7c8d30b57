#include "wire/tls_stream.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <future>
#include <thread>

#include "base/clock.hpp"
#include "catch.hpp"
#include "gateway/tls/context.hpp"
#include "gateway/tls/generated_identity.hpp"

namespace asio = boost::asio;
using namespace usher::gateway::tls;
using asio::ip::tcp;
using usher::wire::BufferPool;
using usher::wire::IoStatus;
using usher::wire::TlsStream;

namespace {

/// A gateway-side stream on its own thread and a blocking OpenSSL client, joined by a real TCP connection.
struct Pair {
    Pair(int client_version = 0) {
        char name[] = "/tmp/usher-tls-XXXXXX";
        directory = ::mkdtemp(name);
        auto files = ensure_generated_identity(directory, usher::base::SystemClock().utc());
        REQUIRE(files);
        auto made = make_server_context(*files);
        REQUIRE(made);
        context = *made;
        tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        client_socket.connect(acceptor.local_endpoint());
        stream = std::make_unique<TlsStream>(acceptor.accept(), context.get(), pool);
        client_context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_load_verify_file(client_context, (directory + "/ca.pem").c_str());
        SSL_CTX_set_verify(client_context, SSL_VERIFY_PEER, nullptr);
        if (client_version != 0) SSL_CTX_set_max_proto_version(client_context, client_version);
        client = SSL_new(client_context);
        SSL_set1_host(client, "localhost");
        SSL_set_fd(client, client_socket.native_handle());
    }
    ~Pair() {
        SSL_free(client);
        SSL_CTX_free(client_context);
        std::filesystem::remove_all(directory);
    }
    /// Runs a coroutine of the gateway's side to its end while `other` runs the client on another thread.
    template <class T, class Client>
    T run(asio::awaitable<T> side, Client other) {
        auto future = asio::co_spawn(io, std::move(side), asio::use_future);
        std::thread thread(other);
        io.restart();
        io.run();
        thread.join();
        return future.get();
    }
    void shake() {
        REQUIRE(run(stream->handshake(), [this] { SSL_connect(client); }) == IoStatus::done);
        stream->socket().non_blocking(true);
    }

    std::string directory;
    asio::io_context io{1};
    BufferPool pool;
    ContextPtr context;
    tcp::socket client_socket{io};
    SSL_CTX* client_context = nullptr;
    SSL* client = nullptr;
    std::unique_ptr<TlsStream> stream;
};

asio::awaitable<std::pair<IoStatus, std::string>> read_to_end(TlsStream& stream) {
    std::string all, chunk(BufferPool::chunk_bytes, '\0');
    for (;;) {
        std::size_t n = 0;
        const IoStatus status = co_await stream.read_some(chunk, n);
        all.append(chunk, 0, n);
        if (status != IoStatus::done) co_return std::pair(status, std::move(all));
    }
}

std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>((i * 2654435761u) >> 13);
    return out;
}

}  // namespace

TEST_CASE("bytes of odd sizes arrive whole in both directions, under TLS 1.2 and 1.3") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const std::size_t size = GENERATE(1u, 16383u, 16384u, 16385u, 65536u, 65537u, 3'000'001u);
    Pair pair(version);
    pair.shake();
    CHECK(SSL_version(pair.client) == version);
    const std::string sent = pattern(size);
    auto [status, got] = pair.run(read_to_end(*pair.stream), [&] {
        std::size_t n = 0;
        SSL_write_ex(pair.client, sent.data(), sent.size(), &n);
        SSL_shutdown(pair.client);
    });
    CHECK(status == IoStatus::eof);
    CHECK(got == sent);

    // The client has ended its direction; ours still flows.
    std::string back;
    const auto wrote = pair.run(
        [](TlsStream& s, const std::string& data) -> asio::awaitable<IoStatus> {
            const IoStatus first = co_await s.write_all(data);
            if (first != IoStatus::done) co_return first;
            co_return co_await s.shutdown_send();
        }(*pair.stream, sent),
        [&] {
            std::string chunk(10'000, '\0');
            std::size_t n = 0;
            while (SSL_read_ex(pair.client, chunk.data(), chunk.size(), &n) == 1) back.append(chunk, 0, n);
        });
    CHECK(wrote == IoStatus::done);
    CHECK(back == sent);
    CHECK(SSL_get_error(pair.client, 0) == SSL_ERROR_ZERO_RETURN);
}

TEST_CASE("a connection that ends without close_notify is a failure, not an end") {
    Pair pair;
    pair.shake();
    auto [status, got] = pair.run(read_to_end(*pair.stream), [&] {
        std::size_t n = 0;
        SSL_write_ex(pair.client, "abc", 3, &n);
        ::shutdown(pair.client_socket.native_handle(), SHUT_WR);
    });
    CHECK(status == IoStatus::failed);
    CHECK(got == "abc");
}

TEST_CASE("bytes that are no TLS fail the handshake and abort() ends a wait") {
    Pair pair;
    CHECK(pair.run(pair.stream->handshake(), [&] {
        ::send(pair.client_socket.native_handle(), "GET / HTTP/1.1\r\n\r\n", 18, 0);
    }) == IoStatus::failed);

    Pair other;
    auto future = asio::co_spawn(other.io, other.stream->handshake(), asio::use_future);
    asio::post(other.io, [&] { other.stream->abort(true); });
    other.io.run();
    CHECK(future.get() == IoStatus::failed);
}

TEST_CASE("a client that offers another protocol only is refused, h2 is preferred") {
    Pair other;
    SSL_set_alpn_protos(other.client, reinterpret_cast<const unsigned char*>("\x02h3"), 3);
    CHECK(other.run(other.stream->handshake(), [&] { SSL_connect(other.client); }) == IoStatus::failed);
    Pair pair;
    SSL_set_alpn_protos(pair.client, reinterpret_cast<const unsigned char*>("\x08http/1.1\x02h2"), 12);
    pair.shake();
    const unsigned char* chosen = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(pair.client, &chosen, &length);
    CHECK(std::string(reinterpret_cast<const char*>(chosen), length) == "h2");
    CHECK(pair.stream->protocol() == "h2");

    Pair older;
    SSL_set_alpn_protos(older.client, reinterpret_cast<const unsigned char*>("\x08http/1.1"), 9);
    older.shake();
    CHECK(older.stream->protocol() == "http/1.1");
    Pair silent;
    silent.shake();
    CHECK(silent.stream->protocol().empty());
}

TEST_CASE("TLS 1.1 is refused") {
    Pair pair(TLS1_1_VERSION);
    CHECK(pair.run(pair.stream->handshake(), [&] { SSL_connect(pair.client); }) == IoStatus::failed);
}
