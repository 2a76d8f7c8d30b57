#include "gateway_fixture.hpp"
#include "usher/v1/audit.grpc.pb.h"
#include "usher/v1/retention.grpc.pb.h"

using namespace usher;
using test::ClientCall;
using test::contains;
using test::TestGateway;
namespace v1 = usher::v1;

namespace {

/// One access in the store.
void append_denial(TestGateway& gateway) {
    v1::AccessRecord access;
    access.set_access_id(base::new_uuid(gateway.clock).to_string());
    access.set_event(v1::AccessEventType::DENIED);
    access.set_username("alice");
    const auto sequence = TestGateway::must(gateway.journal->append_and_wait(audit::encode(access)));
    REQUIRE(gateway.shipper->wait_shipped(sequence, base::Microseconds{10'000'000}));
}

/// Everything up to the stream's end.
std::vector<v1::AuditEvent> tail(const std::shared_ptr<grpc::Channel>& channel, const v1::TailRequest& request,
                                 const std::string& token = {}) {
    ClientCall call(token);
    auto reader = v1::AuditService::NewStub(channel)->Tail(&call, request);
    std::vector<v1::AuditEvent> out;
    v1::TailResponse item;
    while (reader->Read(&item))
        if (item.has_event()) out.push_back(item.event());
    CHECK(reader->Finish().ok());
    return out;
}

/// Waits for the record of a tail's end, which nobody waits for.
v1::AdminRecord last_end(TestGateway& gateway) {
    for (int tries = 0; tries < 2000; ++tries) {
        const auto acts = gateway.acts();
        if (!acts.empty() && acts.back().action() == "audit.tail-end") return acts.back();
        gateway.journal->wait_beyond(gateway.journal->durable_sequence(), base::Microseconds{10'000});
    }
    FAIL("the end of the tail is not on record");
    return {};
}

}  // namespace

TEST_CASE("each page of accesses is on record: who, from where, what was asked for and how many were given") {
    TestGateway gateway;
    for (int i = 0; i < 3; ++i) append_denial(gateway);
    const auto auditor = gateway.account("carol", auth::Role::auditor);
    const auto signed_in = gateway.sign_in(auditor);
    const auto stub = v1::AuditService::NewStub(gateway.tunnel({}, "198.51.100.7"));
    v1::ListAccessesRequest request;
    request.set_filter("username = \"alice\"");
    request.set_page_size(2);
    v1::ListAccessesResponse page;
    {
        ClientCall call(signed_in.token);
        REQUIRE(stub->ListAccesses(&call, request, &page).ok());
    }
    request.set_page_token(page.next_page_token());
    {
        ClientCall call(signed_in.token);
        REQUIRE(stub->ListAccesses(&call, request, &page).ok());
    }
    const auto acts = gateway.acts();
    REQUIRE(acts.size() == 2);
    for (const auto& act : acts) {
        CHECK(act.actor() == "carol");
        CHECK(act.actor_account_id() == auditor.id);
        CHECK(act.actor_session_id() == signed_in.session->id);
        CHECK(act.client_ip() == "198.51.100.7");
        CHECK(act.action() == "access.list");
        CHECK(act.resource() == "accesses");
        CHECK(act.outcome() == v1::AdminRecord::Outcome::DONE);
        CHECK(contains(act.request_json(), R"(username = \"alice\")"));
    }
    CHECK(acts[0].count() == 2);
    CHECK(acts[1].count() == 1);
    CHECK_FALSE(contains(acts[0].request_json(), "page_token"));
    CHECK(contains(acts[1].request_json(), request.page_token()));
}

TEST_CASE("a read that gives nothing because it is malformed leaves no record") {
    TestGateway gateway;
    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::ListAccessesRequest request;
    request.set_filter("colour = 1");
    v1::ListAccessesResponse page;
    ClientCall call;
    CHECK(stub->ListAccesses(&call, request, &page).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK(gateway.acts().empty());
}

TEST_CASE("parked records and holds are read on record") {
    TestGateway gateway;
    const auto stub = v1::AuditService::NewStub(gateway.local());
    {
        ClientCall call;
        v1::ListParkedRecordsResponse page;
        REQUIRE(stub->ListParkedRecords(&call, {}, &page).ok());
    }
    audit::JournalRecord record;
    record.sequence = 1;
    record.recorded_at = gateway.clock.utc();
    record.type = audit::RecordType::system;
    REQUIRE(gateway.store->park(base::Uuid{{1}}, record, {base::Errc::invalid_argument, "SQLSTATE 23514"}).ok());
    v1::GetParkedRecordRequest one;
    one.set_record(audit::Cursor{base::Uuid{{1}}, 1}.to_string());
    {
        ClientCall call;
        v1::ParkedRecord parked;
        REQUIRE(stub->GetParkedRecord(&call, one, &parked).ok());
    }
    {
        ClientCall call;
        v1::ListHoldsResponse page;
        REQUIRE(v1::RetentionService::NewStub(gateway.local())->ListHolds(&call, {}, &page).ok());
    }
    std::vector<std::string> read;
    for (const auto& act : gateway.acts()) read.push_back(act.action() + " " + act.resource());
    CHECK(read == std::vector<std::string>{"parked_record.list parked_records",
                                           "parked_record.get parked_records/" + one.record(), "hold.list holds"});
}

TEST_CASE("a tail that follows sees the record of its own start, once, and leaves one of its end") {
    TestGateway gateway;
    const auto stub = v1::AuditService::NewStub(gateway.local());
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = admin");
    ClientCall call;
    auto reader = stub->Tail(&call, request);
    v1::TailResponse item;
    REQUIRE(reader->Read(&item));
    CHECK(item.event().sequence() == 1);
    CHECK(item.event().admin().action() == "audit.tail");
    CHECK(item.event().admin().actor() == "local");
    CHECK(contains(item.event().admin().request_json(), R"("follow":true)"));
    // What comes next is what comes next: no record of having been given the first one.
    {
        ClientCall other;
        v1::ListParkedRecordsResponse page;
        REQUIRE(stub->ListParkedRecords(&other, {}, &page).ok());
    }
    REQUIRE(reader->Read(&item));
    CHECK(item.event().sequence() == 2);
    CHECK(item.event().admin().action() == "parked_record.list");
    call.TryCancel();
    while (reader->Read(&item)) {
    }
    reader->Finish();
    const auto end = last_end(gateway);
    CHECK(end.count() == 2);
    CHECK(end.resource() == "events");
    CHECK_FALSE(end.detail().empty());
}

TEST_CASE("a tail that does not follow ends with the record of its own start") {
    TestGateway gateway;
    append_denial(gateway);
    v1::TailRequest request;
    request.set_after(audit::Cursor{gateway.journal->gateway_id(), 0}.to_string());
    const auto events = tail(gateway.local(), request);
    REQUIRE(events.size() == 2);
    CHECK(events[0].has_access());
    CHECK(events[1].admin().action() == "audit.tail");
    CHECK(last_end(gateway).detail() == "everything was sent");
    CHECK(last_end(gateway).count() == 2);
}

TEST_CASE("a read whose record cannot be made is refused") {
    TestGateway gateway;
    append_denial(gateway);
    const auto stub = v1::AuditService::NewStub(gateway.local());
    gateway.journal->refuse = true;
    {
        ClientCall call;
        v1::ListAccessesResponse page;
        CHECK(stub->ListAccesses(&call, {}, &page).error_code() == grpc::StatusCode::UNAVAILABLE);
        CHECK(page.accesses_size() == 0);
    }
    {
        ClientCall call;
        v1::ListParkedRecordsResponse page;
        CHECK(stub->ListParkedRecords(&call, {}, &page).error_code() == grpc::StatusCode::UNAVAILABLE);
    }
    {
        v1::TailRequest all;
        all.set_after(audit::Cursor{gateway.journal->gateway_id(), 0}.to_string());
        ClientCall call;
        auto reader = stub->Tail(&call, all);
        v1::TailResponse item;
        CHECK_FALSE(reader->Read(&item));
        CHECK(reader->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
    }
    gateway.journal->refuse = false;
    CHECK(gateway.acts().empty());
}
