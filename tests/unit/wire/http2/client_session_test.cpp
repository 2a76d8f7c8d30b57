#include "wire/http2/client_session.hpp"

#include <chrono>
#include <map>
#include <memory>

#include "catch.hpp"
#include "wire/http2/server_session.hpp"

using namespace usher::wire;
using namespace usher::wire::http2;
using usher::base::MonoTime;

namespace {

struct Streams {
    std::map<std::int32_t, std::string> data;
    std::map<std::int32_t, bool> ended, closed;
    std::vector<std::int32_t> sent;
};

/// A client's and a server's session, joined without a network.
struct Joined {
    struct Client final : ClientSession::Owner, Streams {
        void on_response(std::int32_t id, ResponseHead head, bool over) override {
            heads[id] = std::move(head);
            if (over) ended[id] = true;
        }
        void on_going_away() override { told_to_go = true; }
        void on_pong() override { ++pongs; }
        void on_data(std::int32_t id, std::string_view bytes) override { data[id] += bytes; }
        void on_end(std::int32_t id) override { ended[id] = true; }
        void on_sent(std::int32_t id) override { sent.push_back(id); }
        void on_window(std::int32_t) override {}
        void on_closed(std::int32_t id, bool reset, std::size_t) override { closed[id] = reset; }
        std::map<std::int32_t, ResponseHead> heads;
        bool told_to_go = false;
        int pongs = 0;
    } client_owner;
    struct Server final : ServerSession::Owner, Streams {
        void on_request(std::int32_t id, http1::Request request, bool) override {
            requests.insert_or_assign(id, std::move(request));
        }
        void on_rejected(http1::Rejection rejection) override { rejected.emplace_back(rejection.reason); }
        void on_data(std::int32_t id, std::string_view bytes) override { data[id] += bytes; }
        void on_end(std::int32_t id) override { ended[id] = true; }
        void on_sent(std::int32_t id) override { sent.push_back(id); }
        void on_window(std::int32_t) override {}
        void on_closed(std::int32_t id, bool reset, std::size_t) override { closed[id] = reset; }
        std::map<std::int32_t, http1::Request> requests;
        std::vector<std::string> rejected;
    } server_owner;

    explicit Joined(Limits limits = {}) : server(server_owner, limits) { settle(); }

    void settle() {
        std::vector<char> block(64 * 1024);
        for (bool moved = true; moved;) {
            moved = false;
            while (const std::size_t n = client.fill(block)) {
                server.receive({block.data(), n}, now);
                moved = true;
            }
            while (const std::size_t n = server.fill(block)) {
                client.receive({block.data(), n}, now);
                moved = true;
            }
        }
    }
    std::int32_t tunnel() {
        const auto id = client.connect("crm.example:443", "Bearer secret");
        REQUIRE(id > 0);
        settle();
        server.establish(id);
        settle();
        REQUIRE(client_owner.heads.at(id).status == 200);
        return id;
    }

    MonoTime now{std::chrono::seconds{1}};
    ClientSession client{client_owner};
    ServerSession server;
};

}  // namespace

TEST_CASE("a client's CONNECT becomes a tunnel that carries bytes both ways and ends in halves") {
    Joined joined;
    const auto id = joined.tunnel();
    const auto& request = joined.server_owner.requests.at(id);
    CHECK(request.method == "CONNECT");
    CHECK(request.destination->to_string() == "crm.example:443");
    CHECK(*request.field("proxy-authorization") == "Bearer secret");

    joined.client.send(id, "up");
    joined.server.send(id, "down");
    joined.settle();
    CHECK(joined.server_owner.data[id] == "up");
    CHECK(joined.client_owner.data[id] == "down");
    CHECK(joined.client_owner.sent == std::vector<std::int32_t>{id});

    joined.client.end(id);
    joined.settle();
    CHECK(joined.server_owner.ended[id]);
    CHECK(joined.client_owner.closed.count(id) == 0);
    joined.server.send(id, "more");
    joined.server.end(id);
    joined.settle();
    CHECK(joined.client_owner.data[id] == "downmore");
    CHECK(joined.client_owner.closed.at(id) == false);
    CHECK(joined.client.open_streams() == 0);
}

TEST_CASE("what a client's program does not take is not sent by the server") {
    Joined joined;
    const auto id = joined.tunnel();
    const std::string block(64 * 1024, 'x');
    std::size_t sent = 0;
    while (const std::size_t room = joined.server.room(id)) {
        const auto n = std::min(room, block.size());
        joined.server.send(id, std::string_view(block).substr(0, n));
        joined.settle();
        sent += n;
    }
    CHECK(sent == FlowLimits{}.window);
    // A sibling goes on.
    const auto other = joined.tunnel();
    joined.server.send(other, "still");
    joined.settle();
    CHECK(joined.client_owner.data[other] == "still");

    joined.client.consumed(id, sent, joined.now);
    joined.settle();
    CHECK(joined.server.room(id) > 0);
}

TEST_CASE("a refusal comes with its fields and its text") {
    Joined joined;
    const auto id = joined.client.connect("crm.example:443", "Bearer secret");
    joined.settle();
    http1::Response response(403);
    response.field("proxy-status", "usher; error=http_request_denied").text("no policy allows it");
    joined.server.respond(id, response);
    joined.settle();
    const auto& head = joined.client_owner.heads.at(id);
    CHECK(head.status == 403);
    CHECK(head.field("proxy-status") == "usher; error=http_request_denied");
    CHECK(head.field("nothing").empty());
    CHECK(joined.client_owner.data[id].find("no policy allows it") == 0);
    CHECK(joined.client_owner.ended[id]);
}

TEST_CASE("a request without content is answered on its stream") {
    Joined joined;
    const auto id = joined.client.request("GET", "gate.example:8443", "/.usher/v1/apps", "Bearer secret");
    joined.settle();
    CHECK(joined.server_owner.requests.at(id).target == "/.usher/v1/apps");
    http1::Response response(200);
    response.json("{}");
    joined.server.respond(id, response);
    joined.settle();
    CHECK(joined.client_owner.data[id] == "{}");
    CHECK(joined.client_owner.closed.at(id) == false);
}

TEST_CASE("a client opens no more streams than the server takes, and none after GOAWAY") {
    Limits limits;
    limits.streams = 2;
    Joined joined(limits);
    const auto first = joined.tunnel();
    (void)joined.tunnel();
    CHECK_FALSE(joined.client.may_open());
    CHECK(joined.client.connect("crm.example:443", "Bearer secret") == -1);
    joined.client.reset(first, ErrorCode::cancel);
    joined.settle();
    CHECK(joined.server_owner.closed.at(first));
    CHECK(joined.client.may_open());

    joined.server.drain();
    joined.settle();
    CHECK(joined.client_owner.told_to_go);
    CHECK_FALSE(joined.client.may_open());
    CHECK(joined.client.open_streams() == 1);
}

TEST_CASE("a ping is answered, so that a dead path can be told from a quiet one") {
    Joined joined;
    joined.client.ping();
    joined.settle();
    CHECK(joined.client_owner.pongs == 1);
}

TEST_CASE("a client says GOAWAY and the connection is over with its last stream") {
    Joined joined;
    const auto id = joined.tunnel();
    joined.client.finish();
    joined.settle();
    CHECK_FALSE(joined.client.over());
    joined.client.end(id);
    joined.server.end(id);
    joined.settle();
    CHECK(joined.client.over());
}
