#include "tails/counting_reader.hpp"

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace usher::bench {
namespace {

/// As gRPC's client sets them once it has seen how fast the gateway is.
constexpr std::int32_t window = 4 << 20;
constexpr std::size_t read_bytes = 256 * 1024;

/// One message of gRPC behind the other: a byte, a length of four, and as many bytes.
class Messages {
public:
    explicit Messages(Counted& out) : out_(out) {}

    void add(const std::uint8_t* data, std::size_t size) {
        left_.insert(left_.end(), data, data + size);
        std::size_t at = 0;
        while (left_.size() - at >= 5) {
            const auto* head = left_.data() + at;
            const std::size_t length = std::size_t{head[1]} << 24 | std::size_t{head[2]} << 16 |
                                       std::size_t{head[3]} << 8 | std::size_t{head[4]};
            if (left_.size() - at < 5 + length) break;
            count(head + 5, head + 5 + length);
            at += 5 + length;
        }
        left_.erase(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    bool heartbeat() const noexcept { return heartbeat_; }

private:
    static std::uint64_t varint(const std::uint8_t*& at, const std::uint8_t* end) {
        std::uint64_t value = 0;
        for (int shift = 0; at != end && shift < 64; shift += 7) {
            const auto byte = *at++;
            value |= std::uint64_t{byte & 0x7fu} << shift;
            if (byte < 0x80) return value;
        }
        throw std::runtime_error("no varint");
    }

    /// Every field of TailResponse but `incomplete` has a length (wire type 2).
    void count(const std::uint8_t* at, const std::uint8_t* end) {
        while (at != end) {
            const auto tag = varint(at, end);
            const auto field = tag >> 3;
            const auto value = varint(at, end);
            if ((tag & 7) == 0) continue;
            if ((tag & 7) != 2 || value > static_cast<std::uint64_t>(end - at)) throw std::runtime_error("no message");
            at += value;
            if (field == v1::TailResponse::kEventFieldNumber || field == v1::TailResponse::kEventsFieldNumber)
                ++out_.events;
            heartbeat_ = heartbeat_ || field == v1::TailResponse::kHeartbeatCursorFieldNumber;
        }
    }

    Counted& out_;
    std::vector<std::uint8_t> left_;
    bool heartbeat_ = false;
};

struct Stream {
    explicit Stream(Counted& out) : messages(out) {}
    Messages messages;
    std::string request;
    std::size_t sent = 0;
    bool ended = false;
};

int connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("the socket's path is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error("cannot connect");
    return fd;
}

nghttp2_session* new_session(Stream& stream) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* data, std::size_t size, void* user) {
            try {
                static_cast<Stream*>(user)->messages.add(data, size);
                return 0;
            } catch (const std::runtime_error&) {
                return static_cast<int>(NGHTTP2_ERR_CALLBACK_FAILURE);
            }
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t, std::uint32_t, void* user) {
            static_cast<Stream*>(user)->ended = true;
            return 0;
        });
    nghttp2_session* session = nullptr;
    nghttp2_session_client_new(&session, callbacks, &stream);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, &settings, 1);
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, window);
    return session;
}

void ask(nghttp2_session* session) {
    const auto field = [](const char* name, const char* value) {
        return nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(name)),
                          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value)), std::strlen(name),
                          std::strlen(value), NGHTTP2_NV_FLAG_NONE};
    };
    const std::array fields{field(":method", "POST"),
                            field(":scheme", "http"),
                            field(":path", "/usher.v1.AuditService/Tail"),
                            field(":authority", "localhost"),
                            field("content-type", "application/grpc"),
                            field("te", "trailers")};
    nghttp2_data_provider body{};
    body.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room, std::uint32_t* flags,
                            nghttp2_data_source*, void* user) -> ssize_t {
        auto& one = *static_cast<Stream*>(user);
        const auto size = std::min(room, one.request.size() - one.sent);
        std::memcpy(to, one.request.data() + one.sent, size);
        one.sent += size;
        if (one.sent == one.request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(size);
    };
    if (nghttp2_submit_request(session, nullptr, fields.data(), fields.size(), &body, nullptr) < 0)
        throw std::runtime_error("cannot ask");
}

void send_all(nghttp2_session* session, int fd) {
    const std::uint8_t* data = nullptr;
    for (;;) {
        auto size = nghttp2_session_mem_send(session, &data);
        if (size == 0) return;
        while (size > 0) {
            const auto sent = ::send(fd, data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
            if (sent <= 0) throw std::runtime_error("cannot send");
            data += sent;
            size -= sent;
        }
    }
}

}  // namespace

Counted count_tail(const std::string& unix_socket, const v1::TailRequest& request, std::uint64_t events,
                   void (*begun)(void*), void* with) {
    Counted out;
    Stream stream(out);
    const auto body = request.SerializeAsString();
    stream.request = std::string(4, '\0') + static_cast<char>(body.size()) + body;
    int fd = -1;
    nghttp2_session* session = nullptr;
    bool told = false;
    try {
        if (body.size() > 255) throw std::runtime_error("the request is too long");
        fd = connect_to(unix_socket);
        session = new_session(stream);
        ask(session);
        std::vector<std::uint8_t> piece(read_bytes);
        while (out.events < events && !stream.ended) {
            send_all(session, fd);
            const auto got = ::recv(fd, piece.data(), piece.size(), 0);
            if (got <= 0 || nghttp2_session_mem_recv(session, piece.data(), static_cast<std::size_t>(got)) != got)
                break;
            if (!told && stream.messages.heartbeat()) begun(with);
            told = told || stream.messages.heartbeat();
        }
    } catch (const std::runtime_error&) {
        out.wrong = true;
    }
    if (session != nullptr) nghttp2_session_del(session);
    if (fd >= 0) ::close(fd);
    out.wrong = out.wrong || out.events != events;
    return out;
}

}  // namespace usher::bench
