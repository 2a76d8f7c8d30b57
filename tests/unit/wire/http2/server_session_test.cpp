#include "wire/http2/server_session.hpp"

#include <algorithm>
#include <chrono>
#include <map>

#include "catch.hpp"
#include "tests/unit/wire/http2/frames.hpp"

using namespace usher::wire;
using namespace usher::wire::http2;
using namespace usher::test;
using usher::base::MonoTime;

namespace {

struct Recorder final : ServerSession::Owner {
    void on_request(std::int32_t id, http1::Request request, bool ended) override {
        requests.emplace(id, std::move(request));
        if (ended) ends.push_back(id);
    }
    void on_rejected(http1::Rejection rejection) override { rejected.emplace_back(rejection.reason); }
    void on_data(std::int32_t id, std::string_view bytes) override { data[id] += bytes; }
    void on_end(std::int32_t id) override { ends.push_back(id); }
    void on_sent(std::int32_t id) override { sent.push_back(id); }
    void on_window(std::int32_t id) override { windows.push_back(id); }
    void on_closed(std::int32_t id, bool reset, std::size_t unsent) override {
        closed.emplace(id, reset);
        lost += unsent;
    }

    std::map<std::int32_t, http1::Request> requests;
    std::map<std::int32_t, std::string> data;
    std::map<std::int32_t, bool> closed;
    std::size_t lost = 0;
    std::vector<std::int32_t> ends, sent, windows;
    std::vector<std::string> rejected;
};

struct Peer {
    Recorder seen;
    Limits limits;
    std::unique_ptr<ServerSession> made;
    MonoTime now{std::chrono::seconds{1000}};

    explicit Peer(Limits with = {}) : limits(with), made(std::make_unique<ServerSession>(seen, limits)) {}
    ServerSession& session() { return *made; }

    bool receive(std::string_view bytes) { return made->receive(bytes, now); }
    std::vector<frames::Seen> sent() {
        std::string all;
        std::vector<char> out(64 * 1024);
        while (const std::size_t n = made->fill(out)) all.append(out.data(), n);
        auto parsed = frames::parse(all);
        for (const auto& frame : parsed)
            if (frame.type == frames::goaway)
                said_goaway = frames::read_number(std::string_view(frame.payload).substr(4), 4);
        return parsed;
    }
    /// The error code of the GOAWAY that was sent; -1 when there was none.
    std::int64_t goaway() {
        (void)sent();
        return said_goaway;
    }
    std::int64_t said_goaway = -1;
    /// The client's first words, and that it has read ours.
    void greet(std::string_view own_settings = {}) {
        REQUIRE(receive(frames::hello(own_settings)));
        (void)sent();
        REQUIRE(receive(frames::frame(frames::settings, frames::ack, 0, "")));
    }
    void open_tunnel(std::int32_t id) {
        REQUIRE(receive(frames::connect(static_cast<std::uint32_t>(id))));
        session().establish(id);
        (void)sent();
    }
};

std::string data_of(const std::vector<frames::Seen>& all, std::uint32_t stream) {
    std::string out;
    for (const auto& frame : all)
        if (frame.type == frames::data && frame.stream == stream) out += frame.payload;
    return out;
}

constexpr std::int64_t calm = 11;

/// Sends `one` again and again; how often until the connection ended, and with what code. 200,000 at most.
template <class One>
std::pair<int, std::int64_t> flood(Peer& peer, One one) {
    for (int i = 0; i < 200'000; ++i) {
        const bool goes_on = peer.receive(one(i));
        if (!goes_on) return {i, peer.goaway()};
        (void)peer.sent();
    }
    return {200'000, -1};
}

}  // namespace

TEST_CASE("a tunnel over HTTP/2 carries bytes and both ends") {
    Peer peer;
    peer.greet();
    REQUIRE(peer.receive(frames::connect(1)));
    REQUIRE(peer.seen.requests.at(1).destination);
    CHECK(peer.seen.ends.empty());
    peer.session().establish(1);
    REQUIRE(peer.receive(frames::frame(frames::data, 0, 1, "hello") +
                         frames::frame(frames::data, frames::end_stream, 1, "!")));
    CHECK(peer.seen.data[1] == "hello!");
    CHECK(peer.seen.ends == std::vector<std::int32_t>{1});

    const std::string reply(30'000, 'r');
    CHECK(peer.session().room(1) == 65'535);
    peer.session().send(1, reply);
    CHECK(peer.session().room(1) == 0);
    CHECK(data_of(peer.sent(), 1) == reply);
    CHECK(peer.seen.sent == std::vector<std::int32_t>{1});
    CHECK(peer.session().room(1) == 35'535);
    peer.session().end(1);
    const auto last = peer.sent();
    REQUIRE(last.size() == 1);
    CHECK((last[0].flags & frames::end_stream) != 0);
    CHECK(peer.seen.closed == std::map<std::int32_t, bool>{{1, false}});
    CHECK(peer.session().open_streams() == 0);
}

TEST_CASE("a frame with its head fits one TLS record, whatever the size of what takes it") {
    Peer peer;
    peer.greet(std::string("\0\4\0\x10\0\0", 6));  // a window of 1 MiB
    REQUIRE(peer.receive(frames::frame(frames::window_update, 0, 0, frames::number(1 << 20))));
    peer.open_tunnel(1);
    const std::string bytes(200'000, 'b');
    peer.session().send(1, bytes);
    std::string all;
    std::vector<char> out(32 * 1024);
    while (const std::size_t n = peer.session().fill(out)) {
        CHECK(n <= out.size());
        all.append(out.data(), n);
    }
    const auto seen = frames::parse(all);
    CHECK(data_of(seen, 1) == bytes);
    for (const auto& frame : seen) CHECK(9 + frame.payload.size() <= 16'384);
}

TEST_CASE("what the owner has not consumed closes the stream's window, and not the connection's") {
    Limits limits;
    limits.flow.window = 65'535;
    Peer peer(limits);
    peer.greet();
    peer.open_tunnel(1);
    peer.open_tunnel(3);
    const std::string chunk(16'384, 'x');
    for (int i = 0; i < 3; ++i) REQUIRE(peer.receive(frames::frame(frames::data, 0, 1, chunk)));
    REQUIRE(peer.receive(frames::frame(frames::data, 0, 1, std::string(65'535 - 3 * 16'384, 'x'))));
    for (const auto& frame : peer.sent()) CHECK_FALSE((frame.type == frames::window_update && frame.stream == 1));
    // The sibling's bytes still come.
    REQUIRE(peer.receive(frames::frame(frames::data, 0, 3, chunk)));
    CHECK(peer.seen.data[3] == chunk);
    // One byte beyond the window is a violation.
    (void)peer.receive(frames::frame(frames::data, 0, 1, "y"));
    const auto sent = peer.sent();
    CHECK(std::any_of(sent.begin(), sent.end(),
                      [](const auto& f) { return f.type == frames::rst_stream && f.stream == 1; }));
}

TEST_CASE("a window grows for a stream that is taken as fast as it comes, up to its bound") {
    Limits limits;
    limits.flow.window = 65'536;
    limits.flow.window_max = 256 * 1024;
    Peer peer(limits);
    peer.greet();
    peer.open_tunnel(1);
    const std::string chunk(16'384, 'x');
    std::uint64_t opened = limits.flow.window, used = 0;
    for (int i = 0; i < 200; ++i) {
        REQUIRE(peer.receive(frames::frame(frames::data, 0, 1, chunk)));
        used += chunk.size();
        peer.session().consumed(1, chunk.size(), peer.now);
        for (const auto& frame : peer.sent())
            if (frame.type == frames::window_update && frame.stream == 1)
                opened += frames::read_number(frame.payload, 4);
        REQUIRE(opened - used <= limits.flow.window_max);
    }
    CHECK(opened - used > limits.flow.window);
}

TEST_CASE("many stalled streams together lie within the connection's bound") {
    Limits limits;
    limits.flow.buffered = 1u << 20;
    limits.flow.connection_window = 1u << 20;
    Peer peer(limits);
    peer.greet();
    std::int64_t window = limits.flow.connection_window;
    const auto update = [&] {
        for (const auto& frame : peer.sent())
            if (frame.type == frames::window_update && frame.stream == 0)
                window += frames::read_number(frame.payload, 4);
    };
    update();
    std::uint64_t taken = 0;
    const std::string chunk(16'000, 'x');
    for (std::uint32_t id = 1; window >= 16'000 && id < 800; id += 2) {
        REQUIRE(peer.receive(frames::connect(id)));
        peer.session().establish(static_cast<std::int32_t>(id));
        for (int i = 0; i < 10 && window >= 16'000; ++i) {
            REQUIRE(peer.receive(frames::frame(frames::data, 0, id, chunk)));
            window -= 16'000;
            taken += 16'000;
            update();
        }
    }
    CHECK(taken >= limits.flow.buffered);
    CHECK(taken <= limits.flow.buffered + limits.flow.connection_window);
    // Taking it all opens the window again.
    for (const auto& [id, bytes] : peer.seen.data) peer.session().consumed(id, bytes.size(), peer.now);
    update();
    CHECK(window >= static_cast<std::int64_t>(limits.flow.connection_window) / 2);
}

TEST_CASE("a refused request leaves a rejection, and the others go on") {
    Peer peer;
    peer.greet();
    REQUIRE(peer.receive(frames::connect(1, "no-port.corp")));
    CHECK(peer.seen.rejected == std::vector<std::string>{"authority-port"});
    CHECK(peer.seen.requests.empty());
    REQUIRE(peer.receive(frames::frame(frames::headers, frames::end_headers, 3,
                                       frames::block({{":method", "CONNECT"}, {":authority", "a:1"}, {"te", "x"}}))));
    CHECK(peer.seen.rejected == std::vector<std::string>{"authority-port", "http2-headers"});
    // Bytes behind a refusal are nobody's.
    REQUIRE(peer.receive(frames::frame(frames::data, 0, 1, "smuggled")));
    CHECK(peer.seen.data.empty());
    REQUIRE(peer.receive(frames::connect(5)));
    CHECK(peer.seen.requests.count(5) == 1);
}

TEST_CASE("fields behind the bytes of a tunnel end its stream") {
    Peer peer;
    peer.greet();
    peer.open_tunnel(1);
    REQUIRE(peer.receive(
        frames::frame(frames::headers, frames::end_headers | frames::end_stream, 1, frames::block({{"a", "b"}}))));
    const auto sent = peer.sent();
    CHECK(std::any_of(sent.begin(), sent.end(),
                      [](const auto& f) { return f.type == frames::rst_stream && f.stream == 1; }));
    CHECK(peer.seen.closed == std::map<std::int32_t, bool>{{1, true}});
}

TEST_CASE("what is not HTTP/2 ends the connection") {
    for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), std::string(200, '\0'),
                                     std::string(frames::preface) + std::string(100, '\xff')}) {
        Peer peer;
        (void)peer.receive(bytes);
        CHECK(peer.goaway() > 0);
        CHECK_FALSE(peer.receive("x"));
        CHECK(peer.session().failure() == "http2-protocol");
        CHECK(peer.session().over());
    }
}

TEST_CASE("floods of frames that cost a peer nothing end with GOAWAY") {
    const auto many = [](auto one) {
        Peer peer;
        INFO("type " << static_cast<int>(one(0)[3]) << ", flags " << static_cast<int>(one(0)[4]));
        peer.greet();
        peer.open_tunnel(1);
        const auto [count, code] = flood(peer, one);
        CHECK(count <= 1000);
        CHECK(code == calm);
        CHECK(peer.session().failure() == "http2-flood");
    };
    many([](int) { return frames::frame(frames::ping, 0, 0, "12345678"); });
    many([](int) { return frames::frame(frames::settings, 0, 0, ""); });
    many([](int) { return frames::frame(frames::ping, frames::ack, 0, "12345678"); });
    many([](int) { return frames::frame(frames::priority, 0, 1, std::string("\0\0\0\0\1", 5)); });
    many([](int) { return frames::frame(frames::window_update, 0, 0, frames::number(1)); });
    many([](int) { return frames::frame(frames::window_update, 0, 1, frames::number(1)); });
    many([](int) { return frames::frame(frames::data, 0, 1, ""); });
    many([](int) { return frames::frame(static_cast<frames::Type>(0xbe), 0, 0, "x"); });
}

TEST_CASE("rapid reset ends with GOAWAY; a client that works may reset as often") {
    {
        Peer peer;
        peer.greet();
        const auto [count, code] = flood(peer, [](int i) {
            const auto id = static_cast<std::uint32_t>(2 * i + 1);
            return frames::connect(id) + frames::frame(frames::rst_stream, 0, id, frames::number(8));
        });
        CHECK(count <= 1100);
        CHECK(code == calm);
    }
    Peer peer;
    peer.greet();
    for (int i = 0; i < 2000; ++i) {
        const auto id = static_cast<std::uint32_t>(4 * i + 1);
        REQUIRE(peer.receive(frames::connect(id) + frames::frame(frames::rst_stream, 0, id, frames::number(8))));
        REQUIRE(peer.receive(frames::connect(id + 2, "db.corp:5432", frames::end_headers | frames::end_stream)));
        peer.session().establish(static_cast<std::int32_t>(id + 2));
        peer.session().end(static_cast<std::int32_t>(id + 2));
        (void)peer.sent();
    }
}

TEST_CASE("making the gateway reset is counted like resetting (MadeYouReset)") {
    Peer peer;
    peer.greet();
    const auto [count, code] = flood(peer, [](int i) {
        const auto id = static_cast<std::uint32_t>(2 * i + 1);
        return frames::connect(id) + frames::frame(frames::window_update, 0, id, frames::number(0x7fffffff));
    });
    CHECK(count > 0);
    CHECK(count <= 110);
    CHECK(code == calm);
}

TEST_CASE("streams beyond the bound are refused, and a flood of them ends the connection") {
    Limits limits;
    limits.streams = 10;
    const auto more = [](int i) { return frames::connect(static_cast<std::uint32_t>(2 * i + 1)); };
    {
        Peer peer(limits);  // does not say that it knows the bound
        REQUIRE(peer.receive(frames::hello()));
        const auto [count, code] = flood(peer, more);
        CHECK(peer.seen.requests.size() == 10);
        CHECK(count <= 120);
        CHECK(code == calm);
    }
    Peer peer(limits);
    peer.greet();
    const auto [count, code] = flood(peer, more);
    CHECK(peer.seen.requests.size() == 10);
    CHECK(count <= 11);
    CHECK(code == 1);  // a violation
}

TEST_CASE("a head without end, and one that swells when it is decoded, end the connection") {
    {
        Peer peer;
        peer.greet();
        REQUIRE(peer.receive(frames::connect(1, "db.corp:1", 0)));
        const auto [count, code] = flood(peer, [](int) {
            return frames::frame(frames::continuation, 0, 1, frames::block({{"a", "b"}}));
        });
        CHECK(count <= 9);
        CHECK(code == calm);
    }
    Peer peer;
    peer.greet();
    // An entry of 4,000 bytes goes into the table; then each byte names it again (RFC 7541 §6.2.1, §6.1).
    const std::string value(3900, 'v');
    std::string head = frames::block({{":method", "CONNECT"}, {":authority", "a:1"}});
    head +=
        "\x40\x06"
        "cookie";
    head += "\x7f";  // 3,900 as an integer with a prefix of 7 bits: 127 + 3,773
    head += static_cast<char>(0x80 | (3773 & 0x7f));
    head += static_cast<char>(3773 >> 7);
    head += value;
    head += std::string(10'000, '\xbe');
    const bool goes_on = peer.receive(frames::frame(frames::headers, frames::end_headers, 1, head));
    CHECK_FALSE(goes_on);
    CHECK(peer.goaway() == calm);
    CHECK(peer.seen.requests.empty());
}

TEST_CASE("draining takes no new streams and ends with the last one") {
    Peer peer;
    peer.greet();
    peer.open_tunnel(1);
    peer.session().drain();
    CHECK(peer.goaway() == 0);
    (void)peer.receive(frames::connect(3));
    CHECK(peer.seen.requests.count(3) == 0);
    REQUIRE(peer.receive(frames::frame(frames::data, frames::end_stream, 1, "bye")));
    CHECK(peer.seen.data[1] == "bye");
    peer.session().end(1);
    (void)peer.sent();
    CHECK(peer.session().over());
}

TEST_CASE("what was given to send is let go of by a reset") {
    Peer peer;
    peer.greet();
    peer.open_tunnel(1);
    auto bytes = std::make_unique<std::string>(60'000, 'b');
    peer.session().send(1, *bytes);
    std::vector<char> out(32 * 1024);
    CHECK(peer.session().fill(out) > 16'000);
    CHECK(peer.session().unsent(1) > 0);
    peer.session().reset(1, ErrorCode::cancel);
    bytes.reset();
    CHECK(peer.session().unsent(1) == 0);
    const auto rest = peer.sent();
    CHECK(data_of(rest, 1).empty());
    CHECK(peer.seen.closed == std::map<std::int32_t, bool>{{1, true}});
}

TEST_CASE("what a stream leaves unsent is told, and its share of the connection's window goes to the others") {
    Peer peer;
    peer.greet();
    peer.open_tunnel(1);
    peer.open_tunnel(3);
    const std::string bytes(60'000, 'b');
    peer.session().send(1, bytes);
    CHECK(peer.session().room(3) == 65'535 - 60'000);
    peer.seen.windows.clear();
    REQUIRE(peer.receive(frames::frame(frames::rst_stream, 0, 1, frames::number(8))));
    CHECK(peer.seen.lost == 60'000);
    CHECK(peer.session().room(3) == 65'535);
    CHECK(peer.seen.windows == std::vector<std::int32_t>{0});
    peer.session().send(3, bytes);
    peer.session().drop(3);
    CHECK(data_of(peer.sent(), 3).empty());
}
