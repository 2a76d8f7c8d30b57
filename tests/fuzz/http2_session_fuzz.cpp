#include <map>
#include <string>
#include <vector>

#include "tests/fuzz/require.hpp"
#include "wire/http2/server_session.hpp"

using namespace usher::wire;
using http2::ServerSession;
using usher::fuzz::require;

namespace {

/// An echo over each tunnel, which checks that the session keeps to its own order of events.
struct Echo final : ServerSession::Owner {
    ServerSession* session = nullptr;
    struct Stream {
        std::string waiting, sending;
        bool tunnel = false, client_ended = false, ended = false;
    };
    std::map<std::int32_t, Stream> streams;

    void on_request(std::int32_t id, http1::Request request, bool ended) override {
        require(streams.count(id) == 0);
        require((request.method == "CONNECT") == request.destination.has_value());
        Stream& stream = streams[id];
        stream.client_ended = ended;
        stream.tunnel = request.destination.has_value();
        if (stream.tunnel)
            session->establish(id);
        else
            session->respond(id, http1::Response(404));
    }
    void on_rejected(http1::Rejection rejection) override { require(rejection.status >= 400); }
    void on_data(std::int32_t id, std::string_view bytes) override {
        require(streams.count(id) == 1 && !streams[id].client_ended && !bytes.empty());
        streams[id].waiting += bytes;
    }
    void on_end(std::int32_t id) override {
        require(streams.count(id) == 1 && !streams[id].client_ended);
        streams[id].client_ended = true;
    }
    void on_sent(std::int32_t id) override {
        require(streams.count(id) == 1 && !streams[id].sending.empty());
        streams[id].sending.clear();
    }
    void on_window(std::int32_t) override {}
    void on_closed(std::int32_t id, bool, std::size_t unsent) override {
        require(unsent <= streams[id].sending.size());
        require(streams.erase(id) == 1);
    }

    void work(usher::base::MonoTime now) {
        for (auto& [id, stream] : streams) {
            if (!stream.tunnel || stream.ended || !stream.sending.empty()) continue;
            const std::size_t n = std::min(session->room(id), stream.waiting.size());
            if (n > 0) {
                stream.sending = stream.waiting.substr(0, n);
                stream.waiting.erase(0, n);
                session->consumed(id, n, now);
                session->send(id, stream.sending);
            } else if (stream.waiting.empty() && stream.client_ended) {
                stream.ended = true;
                session->end(id);
            }
        }
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto bytes = usher::fuzz::text_of(data, size);
    Echo echo;
    http2::Limits limits;
    limits.streams = 8;
    ServerSession session(echo, limits);
    echo.session = &session;
    usher::base::MonoTime now{std::chrono::seconds{1}};
    std::vector<char> out(32 * 1024);
    // The first byte says how the rest is cut into pieces; the preface is given, for nobody guesses it.
    const std::size_t piece = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes[0]);
    bool goes_on = session.receive("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now);
    for (std::size_t at = 1; goes_on && at < bytes.size(); at += piece) {
        goes_on = session.receive(bytes.substr(at, piece), now);
        echo.work(now);
        while (session.fill(out) > 0) echo.work(now);
        now += std::chrono::milliseconds{1};
        require(session.open_streams() <= limits.streams + 1);
    }
    while (session.fill(out) > 0) continue;
    if (!goes_on) require(session.over() || !session.failure().empty());
    return 0;
}
