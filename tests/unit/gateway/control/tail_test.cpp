#include <thread>

#include "gateway_fixture.hpp"
#include "tests/unit/base/sql/test_database.hpp"
#include "usher/v1/account.grpc.pb.h"
#include "usher/v1/audit.grpc.pb.h"

using namespace usher;
using test::ClientCall;
using test::TestGateway;
namespace v1 = usher::v1;

namespace {

void append_denials(TestGateway& gateway, int count, std::size_t reason_bytes = 10) {
    for (int i = 0; i < count; ++i) {
        v1::AccessRecord access;
        access.set_access_id(base::new_uuid(gateway.clock).to_string());
        access.set_event(v1::AccessEventType::DENIED);
        access.set_username(i % 2 == 0 ? "even" : "odd");
        access.add_reasons(std::string(reason_bytes, 'r'));
        if (i + 1 < count) {
            gateway.journal->append(audit::encode(access), {});
        } else {
            REQUIRE(gateway.journal->append_and_wait(audit::encode(access)).ok());
        }
    }
}

/// Reads events, skipping heartbeats, until `count` came or the stream ended.
std::vector<v1::AuditEvent> read_events(grpc::ClientReader<v1::TailResponse>& reader, std::size_t count) {
    std::vector<v1::AuditEvent> out;
    v1::TailResponse item;
    while (out.size() < count && reader.Read(&item)) {
        if (item.has_event()) out.push_back(item.event());
    }
    return out;
}

}  // namespace

TEST_CASE("a tail sends what is durable and ends, or follows, in sequence order") {
    TestGateway gateway;
    append_denials(gateway, 600);
    const auto stub = v1::AuditService::NewStub(gateway.local());
    const auto cursor = audit::Cursor{gateway.journal->gateway_id(), 100}.to_string();

    v1::TailRequest request;
    request.set_after(cursor);
    request.set_filter("type = access");
    ClientCall call;
    auto reader = stub->Tail(&call, request);
    const auto events = read_events(*reader, 1000);
    CHECK(reader->Finish().ok());
    REQUIRE(events.size() == 500);
    for (std::size_t i = 0; i < events.size(); ++i) REQUIRE(events[i].sequence() == 101 + i);

    request.set_follow(true);
    request.set_after(events.back().cursor());
    request.set_filter("username = \"odd\"");
    ClientCall follow_call;
    auto follower = stub->Tail(&follow_call, request);
    follower->WaitForInitialMetadata();
    append_denials(gateway, 4);
    const auto odd = read_events(*follower, 2);
    REQUIRE(odd.size() == 2);
    // The records of both starts, and of the first tail's end, have sequences too.
    CHECK(odd[0].sequence() > events.back().sequence() + 2);
    CHECK(odd[1].sequence() > odd[0].sequence());
    follow_call.TryCancel();
    CHECK(follower->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("a tail in batches sends the same in fewer messages, to who is behind and to who follows") {
    TestGateway gateway;
    append_denials(gateway, 600);
    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::TailRequest request;
    request.set_batches(true);
    request.set_filter("type = access");
    request.set_after(audit::Cursor{gateway.journal->gateway_id(), 100}.to_string());
    std::vector<v1::AuditEvent> events;
    int messages = 0;
    const auto read = [&](grpc::ClientReader<v1::TailResponse>& reader, std::size_t count) {
        v1::TailResponse item;
        while (events.size() < count && reader.Read(&item)) {
            CHECK_FALSE(item.has_event());
            CHECK(item.events_size() <= 256);
            messages += item.events_size() > 0;
            for (const auto& event : item.events()) events.push_back(event);
        }
    };
    ClientCall call;
    auto reader = stub->Tail(&call, request);
    read(*reader, 1000);
    CHECK(reader->Finish().ok());
    REQUIRE(events.size() == 500);
    CHECK(messages <= 10);

    request.set_follow(true);
    request.set_after(events.back().cursor());
    ClientCall follow_call;
    auto follower = stub->Tail(&follow_call, request);
    follower->WaitForInitialMetadata();
    messages = 0;
    append_denials(gateway, 300);
    read(*follower, 800);
    REQUIRE(events.size() == 800);
    CHECK(messages < 200);  // it may be awake while they are appended
    for (std::size_t i = 1; i < events.size(); ++i) REQUIRE(events[i].sequence() > events[i - 1].sequence());
    follow_call.TryCancel();
    CHECK(follower->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("a tail from now on says where it is, and sends what comes after") {
    TestGateway gateway;
    append_denials(gateway, 5);
    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = access");
    ClientCall call;
    auto reader = stub->Tail(&call, request);
    v1::TailResponse item;
    REQUIRE(reader->Read(&item));
    // The record of its own start is left out by the filter, and lies behind.
    CHECK(item.heartbeat_cursor() == audit::Cursor{gateway.journal->gateway_id(), 6}.to_string());
    REQUIRE(item.watermarks_size() == 1);
    CHECK(item.watermarks(0).gateway_id() == gateway.journal->gateway_id().to_string());
    CHECK(item.watermarks(0).sequence() == 6);
    CHECK_FALSE(item.incomplete());
    append_denials(gateway, 1);
    REQUIRE(reader->Read(&item));
    CHECK(item.event().sequence() == 7);
}

TEST_CASE("a malformed start or filter of a tail is INVALID_ARGUMENT") {
    TestGateway gateway;
    const auto stub = v1::AuditService::NewStub(gateway.local());
    const auto status = [&](const v1::TailRequest& request) {
        ClientCall call;
        auto reader = stub->Tail(&call, request);
        CHECK(read_events(*reader, 1).empty());
        return reader->Finish();
    };
    v1::TailRequest request;
    request.set_after("x");
    CHECK(status(request).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    const auto own = gateway.journal->gateway_id().to_string(), foreign = base::new_uuid(gateway.clock).to_string();
    for (const std::string& after :
         {own + ":99", foreign + ":0", "2:" + own + ":99.", "2:" + own + ":0", "2:" + own + ":0," + foreign + ":0.",
          "2:" + own + ":0;DROP TABLE audit_events."}) {
        INFO(after);
        request.set_after(after);
        const auto refused = status(request);
        CHECK(refused.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
        CHECK(test::contains(refused.error_message(), "cursor"));
    }
    request.clear_after();
    request.set_filter("colour = 1");
    const auto refused = status(request);
    CHECK(refused.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK(test::contains(refused.error_message(), "filter:1:"));
}

TEST_CASE("a subscriber that stops reading holds up nobody, and reads everything once it goes on") {
    TestGateway gateway;
    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = access");
    request.set_after(audit::Cursor{gateway.journal->gateway_id(), 0}.to_string());
    ClientCall stalled_call, busy_call;
    auto stalled = stub->Tail(&stalled_call, request);
    stalled->WaitForInitialMetadata();
    auto busy = v1::AuditService::NewStub(gateway.local())->Tail(&busy_call, request);
    busy->WaitForInitialMetadata();
    // 12 MB: far more than a batch and what flow control lets through.
    append_denials(gateway, 3000, 4000);
    CHECK(read_events(*busy, 3000).size() == 3000);
    const auto late = read_events(*stalled, 3000);
    REQUIRE(late.size() == 3000);
    // Two that are no access: the starts of both.
    for (std::size_t i = 1; i < late.size(); ++i) REQUIRE(late[i].sequence() > late[i - 1].sequence());
    REQUIRE(late.back().sequence() == 3002);
    busy_call.TryCancel();
    stalled_call.TryCancel();
}

TEST_CASE("subscribers with filters of their own, at the head, behind it and stalled, each have theirs once") {
    TestGateway gateway;
    append_denials(gateway, 1000);
    const auto none = audit::Cursor{gateway.journal->gateway_id(), 0}.to_string();
    struct Subscriber {
        std::string filter;
        bool from_the_first;
        std::uint64_t first, step;  ///< of what it must see
    };
    // Behind the first thousand of them come the starts of the subscribers, which no filter lets through.
    const std::vector<Subscriber> wanted{{"type = access", false, 0, 1},
                                         {"type = access", true, 1, 1},
                                         {"username = \"even\"", false, 0, 2},
                                         {"username = \"even\"", true, 1, 2},
                                         {"username = \"odd\"", true, 2, 2}};
    std::vector<std::thread> threads;
    std::atomic<int> begun{0}, right{0};
    for (const auto& each : wanted)
        threads.emplace_back([&] {
            const auto stub = v1::AuditService::NewStub(gateway.local());
            v1::TailRequest request;
            request.set_follow(true);
            request.set_filter(each.filter);
            if (each.from_the_first) request.set_after(none);
            ClientCall call;
            auto reader = stub->Tail(&call, request);
            reader->WaitForInitialMetadata();
            ++begun;
            const std::size_t count = (each.from_the_first ? 3000 : 2000) / each.step;
            const auto events = read_events(*reader, count);
            bool good = events.size() == count;
            std::uint64_t at = each.first, last = 0;
            for (const auto& event : events) {
                // The first thousand are 1, 2 and so on; what comes later has others before it.
                if (each.from_the_first && at <= 1000) good = good && event.sequence() == at;
                at += each.step;
                good = good && event.sequence() > last;
                last = event.sequence();
                good = good && event.cursor() == audit::Cursor{gateway.journal->gateway_id(), last}.to_string();
                if (each.step == 2)
                    good = good && event.access().username() ==
                                       (each.filter.find("even") == std::string::npos ? "odd" : "even");
            }
            right += good;
            call.TryCancel();
        });
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = access");
    ClientCall call;
    const auto stub = v1::AuditService::NewStub(gateway.local());
    auto stalled = stub->Tail(&call, request);
    stalled->WaitForInitialMetadata();
    for (int tries = 0; begun < 5 && tries < 20'000; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    REQUIRE(begun == 5);
    for (int i = 0; i < 20; ++i) append_denials(gateway, 100, 1000);
    for (auto& thread : threads) thread.join();
    CHECK(right == 5);
    // It has read nothing while 2 MB went by.
    const auto late = read_events(*stalled, 2000);
    REQUIRE(late.size() == 2000);
    for (std::size_t i = 1; i < late.size(); ++i) REQUIRE(late[i].sequence() > late[i - 1].sequence());
    call.TryCancel();
}

namespace {

constexpr base::Microseconds hour{3'600'000'000}, for_ever = 1'000'000 * hour;

/// A tail of everything whose subscriber has not read yet, and has been cut off for it.
struct Stalled {
    explicit Stalled(base::Microseconds farewell)
        : gateway(limits(farewell)), stub(v1::AuditService::NewStub(gateway.local())) {
        request.set_follow(true);
        request.set_filter("type = access");
        request.set_after(audit::Cursor{gateway.journal->gateway_id(), 0}.to_string());
        reader = stub->Tail(&call, request);
        // 12 MB: far more than a batch and what flow control lets through.
        append_denials(gateway, 3000, 4000);
        // However slow this machine is, nobody else is cut off: time does not pass by itself.
        for (int tries = 0; cut == 0 && tries < 20'000; ++tries) {
            gateway.control_clock.advance(hour);
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
        REQUIRE(cut == 1);
    }
    gateway::control::TailLimits limits(base::Microseconds farewell) {
        gateway::control::TailLimits out;
        out.stall = hour;
        out.farewell = farewell;
        out.on_cut = [this] { ++cut; };
        out.on_subscribers = [this](std::size_t open) { subscribers = open; };
        return out;
    }

    std::atomic<int> cut{0};
    std::atomic<std::size_t> subscribers{0};
    TestGateway gateway;
    std::unique_ptr<v1::AuditService::Stub> stub;
    v1::TailRequest request;
    ClientCall call;
    std::unique_ptr<grpc::ClientReader<v1::TailResponse>> reader;
};

}  // namespace

TEST_CASE("a subscriber that takes nothing is cut off with the cursor to go on from, and misses nothing") {
    Stalled stalled(for_ever);
    const auto before = read_events(*stalled.reader, 3000);
    REQUIRE_FALSE(before.empty());
    CHECK(before.size() < 3000);
    const auto status = stalled.reader->Finish();
    CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    const auto& metadata = stalled.call.GetServerTrailingMetadata();
    const auto found = metadata.find(gateway::control::tail_cursor_key);
    REQUIRE(found != metadata.end());
    const std::string cursor(found->second.data(), found->second.size());
    CHECK(cursor == before.back().cursor());
    CHECK(test::contains(status.error_message(), "took nothing for 1h; the cursor to go on from is the trailing"));

    stalled.request.set_after(cursor);
    stalled.request.set_follow(false);
    ClientCall again;
    auto rest = stalled.stub->Tail(&again, stalled.request);
    const auto after = read_events(*rest, 3000);
    CHECK(rest->Finish().ok());
    REQUIRE(before.size() + after.size() == 3000);
    CHECK(after.front().sequence() > before.back().sequence());
}

// 24 MB to five readers take ThreadSanitizer longer than a call of the tests may last.
#if !defined(__SANITIZE_THREAD__)

TEST_CASE("while one subscriber stalls, what it costs is bounded and the others have everything") {
    std::atomic<int> cut{0};
    gateway::control::TailLimits limits;
    limits.stall = hour;
    limits.farewell = for_ever;
    limits.on_cut = [&] { ++cut; };
    TestGateway gateway(limits);
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = access");
    request.set_after(audit::Cursor{gateway.journal->gateway_id(), 0}.to_string());
    // One whose own library takes no more ahead of it than the 64 KiB that HTTP/2 begins with.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    const auto stub = v1::AuditService::NewStub(
        grpc::CreateCustomChannel("unix:" + gateway.socket(), grpc::InsecureChannelCredentials(), arguments));
    ClientCall stalled_call;
    auto stalled = stub->Tail(&stalled_call, request);
    stalled->WaitForInitialMetadata();
    std::vector<std::thread> others;
    std::atomic<int> had_half{0}, had_all{0};
    for (int i = 0; i < 4; ++i)
        others.emplace_back([&] {
            ClientCall call;
            auto reader = v1::AuditService::NewStub(gateway.local())->Tail(&call, request);
            auto events = read_events(*reader, 3000);
            had_half += events.size() == 3000;
            for (auto& event : read_events(*reader, 3000)) events.push_back(std::move(event));
            bool rising = events.size() == 6000;
            for (std::size_t n = 1; n < events.size(); ++n)
                rising = rising && events[n].sequence() > events[n - 1].sequence();
            had_all += rising;
            call.TryCancel();
        });
    // 24 MB, before and behind the moment at which the first one is cut off.
    append_denials(gateway, 3000, 4000);
    for (int tries = 0; had_half < 4 && tries < 60'000; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    CHECK(had_half == 4);
    gateway.control_clock.advance(hour);
    for (int tries = 0; cut == 0 && tries < 20'000; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    append_denials(gateway, 3000, 4000);
    for (auto& other : others) other.join();
    CHECK(had_all == 4);
    CHECK(cut == 1);
    // All that gRPC was ever given for it. What it was not given yet is a batch.
    const auto given = read_events(*stalled, 6000).size() * 4000;
    INFO(given << " bytes");
    CHECK(given < 256u << 10);
    CHECK(stalled->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
}
#endif

TEST_CASE("on a database that others share a tail shows them too, and says of each up to where everything was") {
    const char* server = test::postgresql_server();
    if (server == nullptr) return;
    test::PostgresqlTestDatabase shared(server);
    TestGateway gateway({}, shared.url());
    audit::JournalOptions options;
    options.directory = gateway.directory_path + "/other";
    const auto other = TestGateway::must(audit::Journal::open(options, gateway.clock));
    const auto append = [&](int count) {
        for (int i = 0; i < count; ++i) {
            v1::AccessRecord access;
            access.set_access_id(base::new_uuid(gateway.clock).to_string());
            access.set_event(v1::AccessEventType::DENIED);
            REQUIRE(other->append_and_wait(audit::encode(access)).ok());
        }
    };
    append(3);
    const auto shipper = audit::Shipper::start(*other, *gateway.store, gateway.clock);
    REQUIRE(shipper->wait_shipped(3, base::Microseconds{10'000'000}));

    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = access");
    ClientCall call;
    auto reader = stub->Tail(&call, request);
    v1::TailResponse item;
    REQUIRE(reader->Read(&item));
    CHECK(test::contains(item.heartbeat_cursor(), other->gateway_id().to_string() + ":3"));
    REQUIRE(item.watermarks_size() == 2);
    for (const auto& watermark : item.watermarks()) {
        if (watermark.gateway_id() == other->gateway_id().to_string()) CHECK(watermark.sequence() == 3);
    }
    append(2);
    for (std::uint64_t sequence : {4u, 5u}) {
        REQUIRE(reader->Read(&item));
        CHECK(item.event().gateway_id() == other->gateway_id().to_string());
        CHECK(item.event().sequence() == sequence);
    }
    // From behind the first of them, at the same gateway or another one.
    const auto events = [&](const std::string& after) {
        v1::TailRequest from;
        from.set_after(after);
        from.set_filter("type = access");
        ClientCall again;
        auto rest = stub->Tail(&again, from);
        const auto out = read_events(*rest, 100);
        CHECK(rest->Finish().ok());
        return out;
    };
    CHECK(events(item.event().cursor()).empty());
    CHECK(events(other->gateway_id().to_string() + ":2").size() == 3);
    call.TryCancel();
}

TEST_CASE("a subscriber that does not even take leave is reset, and nothing of it is left") {
    Stalled stalled(base::Microseconds{0});
    for (int tries = 0; stalled.subscribers > 0 && tries < 20'000; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    CHECK(stalled.subscribers == 0);
    CHECK(read_events(*stalled.reader, 3000).size() < 3000);
    CHECK_FALSE(stalled.reader->Finish().ok());
}

TEST_CASE("a tail of a tunnel ends as UNAUTHENTICATED when its session does") {
    TestGateway gateway;
    const auto auditor = gateway.sign_in(gateway.account("carol", auth::Role::auditor));
    const auto stub = v1::AuditService::NewStub(gateway.tunnel());
    v1::TailRequest request;
    request.set_follow(true);
    ClientCall call(auditor.token);
    auto reader = stub->Tail(&call, request);
    v1::TailResponse item;
    REQUIRE(reader->Read(&item));
    REQUIRE(gateway.sessions->end(auditor.session->id, auth::SessionEnd::revoked, {}).ok());
    // The event wakes the stream, which looks at its caller first: it must not be sent.
    append_denials(gateway, 1);
    CHECK(read_events(*reader, 1).empty());
    CHECK(reader->Finish().error_code() == grpc::StatusCode::UNAUTHENTICATED);
}

TEST_CASE("subscribers are bounded in number") {
    TestGateway gateway;
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = access");  // else each sees the starts of all others
    std::vector<std::unique_ptr<ClientCall>> calls;
    std::vector<std::unique_ptr<grpc::ClientReader<v1::TailResponse>>> readers;
    std::unique_ptr<v1::AuditService::Stub> stub;
    for (int i = 0; i < 256; ++i) {
        if (i % 90 == 0) stub = v1::AuditService::NewStub(gateway.local());  // 100 streams a connection
        calls.push_back(std::make_unique<ClientCall>());
        readers.push_back(stub->Tail(calls.back().get(), request));
    }
    for (auto& reader : readers) reader->WaitForInitialMetadata();
    ClientCall call;
    auto reader = stub->Tail(&call, request);
    CHECK(read_events(*reader, 1).empty());
    CHECK(reader->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    for (auto& open : calls) open->TryCancel();
}

TEST_CASE("stop ends streams, refuses new tunnels and returns within its deadline") {
    TestGateway gateway;
    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::TailRequest request;
    request.set_follow(true);
    ClientCall call;
    auto reader = stub->Tail(&call, request);
    reader->WaitForInitialMetadata();
    std::thread stopping([&] { gateway.server->stop(base::Microseconds{5'000'000}); });
    read_events(*reader, 1);
    CHECK(reader->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
    stopping.join();
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK(gateway.server->serve_tunnel(fds[1]).error().code == base::Errc::unavailable);
    ::close(fds[0]);
}

TEST_CASE("the audit's state and the accesses in the store are answered") {
    TestGateway gateway;
    append_denials(gateway, 5);
    REQUIRE(gateway.shipper->wait_shipped(5, base::Microseconds{10'000'000}));
    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::AuditStatus status;
    ClientCall call;
    REQUIRE(stub->GetAuditStatus(&call, {}, &status).ok());
    CHECK(status.gateway_id() == gateway.journal->gateway_id().to_string());
    CHECK(status.durable_sequence() == 5);
    CHECK(status.shipped_sequence() == 5);
    v1::ListAccessesRequest list;
    list.set_filter("username = \"odd\"");
    v1::ListAccessesResponse accesses;
    ClientCall list_call;
    REQUIRE(stub->ListAccesses(&list_call, list, &accesses).ok());
    CHECK(accesses.accesses_size() == 2);
}
