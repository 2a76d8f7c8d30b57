#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "tests/fuzz/require.hpp"
#include "wire/tls_records.hpp"

using namespace usher::wire;
using usher::fuzz::require;

namespace {

/// A server with a certificate of its own making.
SSL_CTX* server_context() {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = X509_new();
    require(key != nullptr && certificate != nullptr);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400);
    X509_set_pubkey(certificate, key);
    require(X509_sign(certificate, key, EVP_sha256()) > 0);
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    require(SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_num_tickets(context, 0);
    return context;
}

struct Peers {
    Peers(SSL_CTX* server_side, SSL_CTX* client_side, bool older) {
        require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
        server = std::make_unique<TlsRecords>(fds[0], server_side, pool);
        client = SSL_new(client_side);
        SSL_set_fd(client, fds[1]);
        if (older) SSL_set_max_proto_version(client, TLS1_2_VERSION);
        SSL_set_connect_state(client);
        IoStatus here = IoStatus::would_block;
        for (int turn = 0; turn < 8 && (here != IoStatus::done || !SSL_is_init_finished(client)); ++turn) {
            (void)SSL_do_handshake(client);
            if (here == IoStatus::would_block) here = server->shake();
            require(server->try_flush() == IoStatus::done);
        }
        require(here == IoStatus::done && SSL_is_init_finished(client));
    }
    ~Peers() {
        SSL_free(client);
        for (const int fd : fds) ::close(fd);
    }

    int fds[2] = {-1, -1};
    BufferPool pool;
    std::unique_ptr<TlsRecords> server;
    SSL* client = nullptr;
};

}  // namespace

/// Behind a handshake: bytes of the peer's records, bytes that somebody on the way has put among them, new keys and
/// answers, in an order and in pieces that the input tells. What is read is what the peer sent, or the beginning of it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static SSL_CTX* const server_side = server_context();
    static SSL_CTX* const client_side = SSL_CTX_new(TLS_client_method());
    auto input = usher::fuzz::text_of(data, std::min<std::size_t>(size, 4096));
    const auto next = [&]() -> unsigned {
        if (input.empty()) return 0;
        const auto byte = static_cast<unsigned char>(input.front());
        input.remove_prefix(1);
        return byte;
    };
    Peers peers(server_side, client_side, next() % 2 == 1);
    std::string sent, got, room;
    bool changed = false, over = false;
    while (!input.empty() && !over) {
        const unsigned what = next(), count = next() + 1;
        switch (what % 4) {
            case 0:
            case 1: {
                const std::string bytes(count * (what % 4 == 0 ? 1 : 77), static_cast<char>(what));
                if (SSL_write(peers.client, bytes.data(), static_cast<int>(bytes.size())) > 0) sent += bytes;
                break;
            }
            case 2: {
                const auto bytes = input.substr(0, count);
                input.remove_prefix(bytes.size());
                changed = changed || !bytes.empty();
                (void)::send(peers.fds[1], bytes.data(), bytes.size(), MSG_NOSIGNAL);
                break;
            }
            default:
                if (count % 2 == 0) (void)SSL_key_update(peers.client, SSL_KEY_UPDATE_REQUESTED);
                room.assign(count * 100, 'a');
                if (peers.server->flushed() && peers.server->encrypt(room) == IoStatus::done)
                    (void)peers.server->try_flush();
                while (SSL_read(peers.client, room.data(), static_cast<int>(room.size())) > 0) continue;
        }
        room.resize(what % 3 == 0 ? BufferPool::bulk_bytes : count);
        for (IoStatus status = IoStatus::done; status == IoStatus::done;) {
            std::size_t n = 0;
            status = peers.server->try_read(room, n);
            require(n <= room.size() && (n > 0) == (status == IoStatus::done));
            got.append(room, 0, n);
            if (status == IoStatus::failed) over = true;
        }
        require(got.size() <= sent.size() && sent.compare(0, got.size(), got) == 0);
        require(changed || (!over && got == sent));
    }
    return 0;
}
