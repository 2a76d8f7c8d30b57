#include <nghttp2/nghttp2.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "load/loads.hpp"
#include "load/pattern.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

/// One HTTP/2 connection of one thread. Each tunnel sends its bytes once it is open, and is done when they have come
/// back.
class Connection {
public:
    struct Stream {
        std::string_view bytes;
        std::size_t sent = 0;
        std::size_t back = 0;
        bool ends = true;  ///< END_STREAM behind its bytes
        std::function<void()> done;
    };

    Connection(const TlsClient& tls, const Route& route)
        : authority_(route.target), authorization_(route.authorization), tunnel_(tls, without_connect(route)) {
        nghttp2_session_callbacks* callbacks = nullptr;
        nghttp2_session_callbacks_new(&callbacks);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        nghttp2_session_client_new(&session_, callbacks, this);
        nghttp2_session_callbacks_del(callbacks);
        const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20},
                                                   {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
        nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 2);
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 1 << 24);
    }
    ~Connection() { nghttp2_session_del(session_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void open(std::string_view bytes, bool ends, std::function<void()> done) {
        const auto field = [](std::string_view name, std::string_view value) {
            return nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                              reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
                              value.size(), NGHTTP2_NV_FLAG_NONE};
        };
        const nghttp2_nv fields[] = {field(":method", "CONNECT"), field(":authority", authority_),
                                     field("proxy-authorization", authorization_)};
        auto stream = std::make_unique<Stream>(Stream{bytes, 0, 0, ends, std::move(done)});
        nghttp2_data_provider provider{{}, read_data};
        provider.source.ptr = stream.get();
        // Deferred by read_data() until the tunnel is open.
        const std::int32_t id = nghttp2_submit_request(session_, nullptr, fields, 3, &provider, stream.get());
        if (id < 0) throw std::runtime_error(std::string("CONNECT: ") + nghttp2_strerror(id));
        waiting_.insert(stream.get());
        streams_.emplace(id, std::move(stream));
    }
    /// Another byte through each tunnel that is held.
    void again(std::string_view bytes) {
        for (auto& [id, stream] : streams_) {
            *stream = Stream{bytes, 0, 0, true, {}};
            nghttp2_session_resume_data(session_, id);
        }
    }
    std::size_t open_streams() const { return streams_.size(); }

    /// Sends what there is, then takes what comes within the time.
    void turn(int timeout_ms) {
        std::string out;
        const std::uint8_t* data = nullptr;
        for (ssize_t n; (n = nghttp2_session_mem_send(session_, &data)) > 0;)
            out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
        if (!out.empty()) tunnel_.write(out);
        char in[65536];
        const std::size_t n = tunnel_.read_some(in, sizeof in, timeout_ms);
        if (n > 0 && nghttp2_session_mem_recv(session_, reinterpret_cast<std::uint8_t*>(in), n) < 0)
            throw std::runtime_error("the proxy's HTTP/2 cannot be read");
        if (!failure_.empty()) throw std::runtime_error(failure_);
    }

private:
    static Route without_connect(Route route) {
        route.authorization.clear();
        return route;
    }
    Stream* find(std::int32_t id) {
        const auto found = streams_.find(id);
        return found == streams_.end() ? nullptr : found->second.get();
    }

    static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                         const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
        if (std::string_view(reinterpret_cast<const char*>(name), name_size) != ":status") return 0;
        const std::string status(reinterpret_cast<const char*>(value), value_size);
        if (status != "200") static_cast<Connection*>(user)->failure_ = "CONNECT was answered: " + status;
        return 0;
    }
    static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
        auto& self = *static_cast<Connection*>(user);
        if (frame->hd.type == NGHTTP2_GOAWAY) self.failure_ = "the proxy sent GOAWAY";
        if (frame->hd.type != NGHTTP2_HEADERS) return 0;
        if (Stream* stream = self.find(frame->hd.stream_id)) {
            self.waiting_.erase(stream);
            nghttp2_session_resume_data(session, frame->hd.stream_id);
        }
        return 0;
    }
    static ssize_t read_data(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room, std::uint32_t* flags,
                             nghttp2_data_source* source, void* user) {
        auto& self = *static_cast<Connection*>(user);
        auto& stream = *static_cast<Stream*>(source->ptr);
        if (self.waiting_.count(&stream) != 0 || (!stream.ends && stream.sent == stream.bytes.size()))
            return NGHTTP2_ERR_DEFERRED;
        const std::size_t n = std::min(room, stream.bytes.size() - stream.sent);
        std::memcpy(to, stream.bytes.data() + stream.sent, n);
        stream.sent += n;
        if (stream.ends && stream.sent == stream.bytes.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(n);
    }
    static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                       void* user) {
        auto& self = *static_cast<Connection*>(user);
        Stream* stream = self.find(id);
        if (stream == nullptr) return 0;
        if (stream->back + size > stream->bytes.size() ||
            std::memcmp(data, stream->bytes.data() + stream->back, size) != 0)
            self.failure_ = "the echo differs from what was sent";
        stream->back += size;
        if (stream->back == stream->bytes.size() && stream->done) std::exchange(stream->done, nullptr)();
        return 0;
    }
    static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
        auto& self = *static_cast<Connection*>(user);
        if (code != NGHTTP2_NO_ERROR) self.failure_ = "a stream was reset: " + std::to_string(code);
        self.waiting_.erase(self.find(id));
        self.streams_.erase(id);
        return 0;
    }

    std::string authority_, authorization_;
    Tunnel tunnel_;
    nghttp2_session* session_ = nullptr;
    std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
    std::set<Stream*> waiting_;  ///< for their 200
    std::string failure_;
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

int http2_short(const Route& route, const Amount& amount) {
    const TlsClient tls(true);
    Connection connection(tls, route);
    const auto start = Clock::now();
    std::uint64_t begun = 0;
    while (begun < amount.count || connection.open_streams() > 0) {
        for (; begun < amount.count && connection.open_streams() < amount.concurrency; ++begun)
            connection.open(std::string_view(pattern()).substr(0, 1024), true, {});
        connection.turn(30'000);
    }
    std::printf("{\"tunnels\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(amount.count),
                seconds_since(start));
    return 0;
}

int http2_setup(const Route& route, const Amount& amount) {
    const TlsClient tls(true);
    Connection connection(tls, route);
    std::vector<double> milliseconds(amount.count);
    const auto start = Clock::now();
    const auto due = [&](std::uint64_t i) {
        return start + std::chrono::duration_cast<Clock::duration>(
                           std::chrono::duration<double>(static_cast<double>(i) / amount.rate));
    };
    std::uint64_t begun = 0;
    while (begun < amount.count || connection.open_streams() > 0) {
        for (; begun < amount.count && due(begun) <= Clock::now(); ++begun)
            connection.open("u", true, [&, begun] { milliseconds[begun] = seconds_since(due(begun)) * 1000; });
        const auto left = begun < amount.count ? due(begun) - Clock::now() : Clock::duration(std::chrono::seconds(30));
        connection.turn(static_cast<int>(
            std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(left).count())));
    }
    const double seconds = seconds_since(start);
    std::sort(milliseconds.begin(), milliseconds.end());
    const auto at = [&](double share) {
        return milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))];
    };
    std::printf("{\"tunnels\": %zu, \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f}\n",
                milliseconds.size(), seconds, at(0.5), at(0.99), milliseconds.back());
    return 0;
}

int http2_idle(const Route& route, const Amount& amount) {
    const TlsClient tls(true);
    std::vector<std::unique_ptr<Connection>> connections;
    const auto start = Clock::now();
    for (std::uint64_t begun = 0; begun < amount.count;) {
        auto& connection = *connections.emplace_back(std::make_unique<Connection>(tls, route));
        std::uint64_t back = 0;
        const auto streams = std::min<std::uint64_t>(1000, amount.count - begun);
        for (std::uint64_t i = 0; i < streams; ++i, ++begun) {
            connection.open("u", false, [&] { ++back; });
            while (i + 1 - back >= amount.concurrency) connection.turn(30'000);
        }
        while (back < streams) connection.turn(30'000);
    }
    std::printf("{\"tunnels\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(amount.count),
                seconds_since(start));
    std::fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    for (auto& connection : connections) {
        connection->again("v");
        while (connection->open_streams() > 0) connection->turn(30'000);
    }
    return 0;
}

}  // namespace bench
