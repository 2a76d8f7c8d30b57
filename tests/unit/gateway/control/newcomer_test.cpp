// What is taken away at a gateway that has not heard of it yet, since it came by another one.
#include "base/ids.hpp"
#include "gateway_fixture.hpp"
#include "tests/unit/base/sql/test_database.hpp"
#include "usher/v1/account.grpc.pb.h"
#include "usher/v1/session.grpc.pb.h"

using namespace usher;
using test::ClientCall;
using test::TestGateway;

TEST_CASE("a session or an account that another gateway has made just now can be taken away here") {
    const char* server = test::postgresql_server();
    if (server == nullptr) return;
    test::PostgresqlTestDatabase shared(server);
    TestGateway gateway({}, shared.url());
    // The other one; nobody tells this one what it does.
    const auto database = TestGateway::must(base::sql::open_database(shared.url()));
    const auto directory = TestGateway::must(auth::Directory::open(*database, gateway.clock));
    const auto sessions = TestGateway::must(auth::Sessions::open(*database, gateway.clock, {}));
    const auto account = [&](const std::string& username) {
        auth::Account made;
        made.username = username;
        auto hash = auth::hash_password(base::Secret(std::string_view("correct horse")), {1, 8192});
        return TestGateway::must(
            directory->create_account(made, *hash, [](const auth::Change&) { return base::Result<void>{}; }));
    };
    const auto sign_in = [&](const auth::Account& of) {
        return TestGateway::must(sessions->create(of, "192.0.2.7", {})).session;
    };
    const auto still_there = [&](const auth::SessionPtr& session) {
        if (!sessions->refresh()) FAIL("the database does not answer");
        return sessions->valid(*session);
    };
    const auto channel = gateway.local();
    const auto stub = v1::SessionService::NewStub(channel);
    const auto revoke = [&](const v1::RevokeSessionsRequest& request) {
        ClientCall call;
        v1::RevokeSessionsResponse response;
        return stub->RevokeSessions(&call, request, &response);
    };

    const auto alice = account("alice");
    const auto session = sign_in(alice);
    v1::RevokeSessionsRequest request;
    request.set_session_id(session->id);
    CHECK(revoke(request).ok());
    CHECK_FALSE(still_there(session));
    // That was it.
    CHECK(revoke(request).error_code() == grpc::StatusCode::NOT_FOUND);
    request.set_session_id(base::new_uuid(gateway.clock).to_string());
    CHECK(revoke(request).error_code() == grpc::StatusCode::NOT_FOUND);

    const auto bob = account("bob");
    const auto of_bob = sign_in(bob);
    request.set_account("accounts/bob");
    CHECK(revoke(request).ok());
    CHECK_FALSE(still_there(of_bob));

    const auto carol = account("carol");
    const auto of_carol = sign_in(carol);
    v1::DeleteAccountRequest gone;
    gone.set_name("accounts/carol");
    {
        ClientCall call;
        google::protobuf::Empty nothing;
        CHECK(v1::AccountService::NewStub(channel)->DeleteAccount(&call, gone, &nothing).ok());
    }
    CHECK_FALSE(still_there(of_carol));
}
