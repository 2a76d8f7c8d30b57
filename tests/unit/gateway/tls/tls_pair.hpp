#pragma once
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "gateway/tls/context.hpp"
#include "gateway/tls/generated_identity.hpp"
#include "tests/unit/catch.hpp"
#include "wire/tls_stream.hpp"

namespace usher::test {

/// A gateway's certificate for `localhost`, in a folder of its own, and its context.
struct TlsIdentity {
    TlsIdentity() {
        char name[] = "/tmp/usher-tls-XXXXXX";
        directory = ::mkdtemp(name);
        auto files = gateway::tls::ensure_generated_identity(directory, base::SystemClock().utc());
        REQUIRE(files);
        auto made = gateway::tls::make_server_context(*files);
        REQUIRE(made);
        context = *made;
    }
    ~TlsIdentity() { std::filesystem::remove_all(directory); }
    TlsIdentity(const TlsIdentity&) = delete;
    TlsIdentity& operator=(const TlsIdentity&) = delete;

    std::string authority() const { return directory + "/ca.pem"; }

    std::string directory;
    gateway::tls::ContextPtr context;
};

/// A gateway-side stream on the test's thread and a blocking OpenSSL client on another, joined by a real TCP
/// connection.
struct TlsPair {
    explicit TlsPair(int client_version = 0) {
        boost::asio::ip::tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
        client_socket.connect(acceptor.local_endpoint());
        stream = std::make_unique<wire::TlsStream>(acceptor.accept(), identity.context.get(), pool);
        client_context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_load_verify_file(client_context, identity.authority().c_str());
        SSL_CTX_set_verify(client_context, SSL_VERIFY_PEER, nullptr);
        if (client_version != 0) SSL_CTX_set_max_proto_version(client_context, client_version);
        client = SSL_new(client_context);
        SSL_set1_host(client, "localhost");
        SSL_set_fd(client, client_socket.native_handle());
    }
    ~TlsPair() {
        SSL_free(client);
        SSL_CTX_free(client_context);
    }
    /// Runs what was begun on the gateway's side to its end while `other` runs the client.
    template <class Client>
    void together(Client other) {
        std::thread thread(other);
        io.restart();
        io.run();
        thread.join();
    }
    /// The same with a coroutine of the gateway's side.
    template <class T, class Client>
    T run(boost::asio::awaitable<T> side, Client other) {
        auto future = boost::asio::co_spawn(io, std::move(side), boost::asio::use_future);
        together(other);
        return future.get();
    }
    void shake() {
        REQUIRE(run(stream->handshake(), [this] { SSL_connect(client); }) == wire::IoStatus::done);
        stream->socket().non_blocking(true);
    }

    TlsIdentity identity;
    boost::asio::io_context io{1};
    wire::BufferPool pool;
    boost::asio::ip::tcp::socket client_socket{io};
    SSL_CTX* client_context = nullptr;
    SSL* client = nullptr;
    std::unique_ptr<wire::TlsStream> stream;
};

/// Bytes in which a lost or doubled piece shows.
inline std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>((i * 2654435761u) >> 13);
    return out;
}

}  // namespace usher::test
