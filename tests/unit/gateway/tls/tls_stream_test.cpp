#include "wire/tls_stream.hpp"

#include "catch.hpp"
#include "tests/unit/gateway/tls/tls_pair.hpp"

namespace asio = boost::asio;
using usher::test::pattern;
using Pair = usher::test::TlsPair;
using usher::wire::BufferPool;
using usher::wire::IoStatus;
using usher::wire::TlsStream;

namespace {

asio::awaitable<std::pair<IoStatus, std::string>> read_to_end(TlsStream& stream,
                                                              std::size_t at_once = BufferPool::chunk_bytes) {
    std::string all, chunk(at_once, '\0');
    for (;;) {
        std::size_t n = 0;
        const IoStatus status = co_await stream.read_some(chunk, n);
        all.append(chunk, 0, n);
        if (status != IoStatus::done) co_return std::pair(status, std::move(all));
    }
}

}  // namespace

TEST_CASE("bytes of odd sizes arrive whole in both directions, under TLS 1.2 and 1.3") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const std::size_t size = GENERATE(1u, 16383u, 16384u, 16385u, 65536u, 65537u, 3'000'001u);
    Pair pair(version);
    pair.shake();
    CHECK(SSL_version(pair.client) == version);
    const std::string sent = pattern(size);
    const std::size_t at_once = GENERATE(BufferPool::chunk_bytes, BufferPool::bulk_bytes);
    auto [status, got] = pair.run(read_to_end(*pair.stream, at_once), [&] {
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

namespace {

/// Gives the stream `total` bytes of the pattern in as large pieces as it takes; the largest of them.
asio::awaitable<std::size_t> put_all(TlsStream& stream, BufferPool& pool, const std::string& data) {
    std::size_t largest = 0;
    for (std::size_t at = 0; at < data.size();) {
        const std::size_t room = stream.room();
        if (room == 0) {
            if (!co_await stream.wait_room()) co_return 0;
            continue;
        }
        const std::size_t count = std::min(room, data.size() - at);
        auto block = pool.take(BufferPool::size_for(room));
        std::copy_n(data.data() + at, count, block.data());
        if (stream.put(std::move(block), count) != IoStatus::done) co_return 0;
        largest = std::max(largest, count);
        at += count;
    }
    (void)co_await stream.shutdown_send();
    co_return largest;
}

}  // namespace

TEST_CASE("a peer that takes what comes is given more at once, and gets each byte") {
    Pair pair;
    pair.shake();
    const std::string sent = pattern(5'000'003);
    CHECK(pair.stream->room() == BufferPool::chunk_bytes);
    std::string got;
    const std::size_t largest = pair.run(put_all(*pair.stream, pair.pool, sent), [&] {
        std::string chunk(100'000, '\0');
        std::size_t n = 0;
        while (SSL_read_ex(pair.client, chunk.data(), chunk.size(), &n) == 1) got.append(chunk, 0, n);
    });
    CHECK(largest == BufferPool::bulk_bytes);
    CHECK(got == sent);
}

TEST_CASE("what a peer does not take leaves no room, and little of it when it takes some again") {
    Pair pair;
    pair.shake();
    const int small = 16 * 1024;
    ::setsockopt(pair.stream->socket().native_handle(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    std::size_t put = 0;
    while (const std::size_t room = pair.stream->room()) {
        REQUIRE(put < (64u << 20));
        auto block = pair.pool.take(BufferPool::size_for(room));
        std::fill_n(block.data(), room, 'x');
        REQUIRE(pair.stream->put(std::move(block), room) == IoStatus::done);
        put += room;
    }
    std::size_t got = 0;
    const bool again =
        pair.run([](TlsStream& s) -> asio::awaitable<bool> { co_return co_await s.wait_room(); }(*pair.stream),
                 [&] {
                     std::string chunk(16'384, '\0');
                     std::size_t n = 0;
                     while (got < put && SSL_read_ex(pair.client, chunk.data(), chunk.size(), &n) == 1) got += n;
                 });
    CHECK(again);
    CHECK(got == put);
    CHECK(pair.stream->room() == BufferPool::chunk_bytes);
}

TEST_CASE("a client's new keys change nothing in either direction") {
    Pair pair;
    pair.shake();
    const std::string sent = pattern(200'000);
    auto [status, got] = pair.run(read_to_end(*pair.stream), [&] {
        std::size_t n = 0;
        SSL_write_ex(pair.client, sent.data(), 70'000, &n);
        SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
        SSL_write_ex(pair.client, sent.data() + 70'000, sent.size() - 70'000, &n);
        SSL_shutdown(pair.client);
    });
    CHECK(status == IoStatus::eof);
    CHECK(got == sent);
    std::string back;
    const std::size_t largest = pair.run(put_all(*pair.stream, pair.pool, sent), [&] {
        std::string chunk(100'000, '\0');
        std::size_t n = 0;
        while (SSL_read_ex(pair.client, chunk.data(), chunk.size(), &n) == 1) back.append(chunk, 0, n);
    });
    CHECK(largest > 0);
    CHECK(back == sent);
}

TEST_CASE("a client that wants to negotiate again is told no, and what it had sent is there") {
    Pair pair(TLS1_2_VERSION);
    pair.shake();
    int negotiated = 1;
    auto [status, got] = pair.run(read_to_end(*pair.stream), [&] {
        std::size_t n = 0;
        SSL_write_ex(pair.client, "abc", 3, &n);
        SSL_renegotiate(pair.client);
        negotiated = SSL_do_handshake(pair.client);
        if (negotiated == 1) negotiated = SSL_read(pair.client, &n, 1);  // where the refusal is read
        ::shutdown(pair.client_socket.native_handle(), SHUT_WR);
    });
    CHECK(negotiated <= 0);
    CHECK(status == IoStatus::failed);
    CHECK(got == "abc");
}

TEST_CASE("blocks are of two sizes and go back to where they came from") {
    BufferPool pool;
    CHECK(BufferPool::size_for(1) == BufferPool::Size::chunk);
    CHECK(BufferPool::size_for(BufferPool::chunk_bytes) == BufferPool::Size::chunk);
    CHECK(BufferPool::size_for(BufferPool::chunk_bytes + 1) == BufferPool::Size::bulk);
    auto small = pool.take(), large = pool.take(BufferPool::Size::bulk);
    CHECK(small.plain_bytes() == BufferPool::chunk_bytes);
    CHECK(large.plain_bytes() == BufferPool::bulk_bytes);
    CHECK(large.capacity() >= BufferPool::bulk_bytes + BufferPool::bulk_bytes / 16'384 * 22);
    const char* const first = large.data();
    small = std::move(large);
    CHECK(small.capacity() == BufferPool::sealed(BufferPool::bulk_bytes));
    small.reset();
    CHECK(pool.take(BufferPool::Size::bulk).data() == first);
}

TEST_CASE("of a stream that somebody on the way has changed, only what came before the change is taken for bytes") {
    const std::string sent = pattern(40'000);
    for (unsigned seed = 1; seed <= 24; ++seed) {
        CAPTURE(seed);
        Pair pair(seed % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
        pair.shake();
        BIO* const records = BIO_new(BIO_s_mem());
        SSL_set0_wbio(pair.client, records);
        std::size_t n = 0;
        REQUIRE(SSL_write_ex(pair.client, sent.data(), sent.size(), &n) == 1);
        char* bytes = nullptr;
        const auto size = static_cast<std::size_t>(BIO_get_mem_data(records, &bytes));
        std::string wire(bytes, size);
        const std::size_t changed = (seed * 2654435761u >> 3) % size;
        if (seed % 3 == 0)
            wire.resize(changed);
        else if (seed % 3 == 1)
            wire[changed] = static_cast<char>(wire[changed] ^ (1 + seed % 255));
        else
            wire.insert(changed, std::string(1 + seed % 40, static_cast<char>(seed)));
        auto [status, got] = pair.run(read_to_end(*pair.stream, BufferPool::bulk_bytes), [&] {
            const int fd = pair.client_socket.native_handle();
            for (std::size_t at = 0; at < wire.size(); at += 1000 + seed * 97)
                (void)::send(fd, wire.data() + at, std::min<std::size_t>(1000 + seed * 97, wire.size() - at),
                             MSG_NOSIGNAL);
            ::shutdown(fd, SHUT_WR);
        });
        CHECK(status == IoStatus::failed);
        CHECK(got.size() <= changed);
        CHECK(got == sent.substr(0, got.size()));
    }
}
