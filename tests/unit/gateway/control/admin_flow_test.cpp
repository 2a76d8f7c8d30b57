#include <sys/stat.h>

#include <fstream>

#include "gateway_fixture.hpp"
#include "usher/v1/account.grpc.pb.h"
#include "usher/v1/audit.grpc.pb.h"
#include "usher/v1/resource.grpc.pb.h"
#include "usher/v1/session.grpc.pb.h"

using namespace usher;
using test::ClientCall;
using test::contains;
using test::TestGateway;
namespace v1 = usher::v1;
using Outcome = v1::AdminRecord::Outcome;

namespace {

const std::string password = "canary-password-1";

grpc::Status create(v1::AccountService::Stub& stub, const std::string& username, v1::Account& out,
                    const std::string& secret = password) {
    v1::CreateAccountRequest request;
    request.mutable_account()->set_username(username);
    request.mutable_account()->set_department("Finance");
    request.set_password(secret);
    ClientCall call;
    return stub.CreateAccount(&call, request, &out);
}

/// Every byte that the gateway keeps.
std::string everything_stored(const std::string& directory) {
    std::string out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        if (!entry.is_regular_file()) continue;
        std::ifstream file(entry.path(), std::ios::binary);
        out.append(std::istreambuf_iterator<char>(file), {});
    }
    return out;
}

}  // namespace

TEST_CASE("the socket is made with mode 0600; a stale one is replaced, anything else is left alone") {
    TestGateway gateway;
    struct stat found {};
    REQUIRE(::stat(gateway.socket().c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);

    using gateway::control::ControlServer;
    const auto served = ControlServer::start(gateway.socket(), gateway.dependencies());
    REQUIRE_FALSE(served.ok());
    CHECK(contains(served.error().message, "another process serves it"));

    const auto file = gateway.directory_path + "/file";
    std::ofstream(file) << "kept";
    const auto blocked = ControlServer::start(file, gateway.dependencies());
    REQUIRE_FALSE(blocked.ok());
    CHECK(contains(blocked.error().message, "is no socket"));
    CHECK(std::filesystem::file_size(file) == 4);

    const auto stale = gateway.directory_path + "/stale.sock";
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    stale.copy(address.sun_path, stale.size());
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(fd);
    CHECK(ControlServer::start(stale, gateway.dependencies()).ok());
    CHECK_FALSE(ControlServer::start("/tmp/" + std::string(200, 'x'), gateway.dependencies()).ok());
}

TEST_CASE("an account lives its life through the API, each act on record with before and after and no secret") {
    TestGateway gateway;
    const auto stub = v1::AccountService::NewStub(gateway.local());
    v1::Account account;
    REQUIRE(create(*stub, "Alice", account).ok());
    CHECK(account.name() == "accounts/alice");
    CHECK(account.role() == v1::Role::EMPLOYEE);
    CHECK(create(*stub, "alice", account).error_code() == grpc::StatusCode::ALREADY_EXISTS);
    CHECK(contains(create(*stub, "bob", account, "short").error_message(), "has 5 characters, expected at least 15"));

    v1::UpdateAccountRequest update;
    update.mutable_account()->set_name("accounts/alice");
    update.mutable_account()->set_department("Sales");
    update.mutable_account()->set_display_name("not named by the mask");
    {
        ClientCall call;
        CHECK(contains(stub->UpdateAccount(&call, update, &account).error_message(), "update_mask: is missing"));
    }
    update.mutable_update_mask()->add_paths("status");
    {
        ClientCall call;
        CHECK(contains(stub->UpdateAccount(&call, update, &account).error_message(), "'status' cannot be updated"));
    }
    update.mutable_update_mask()->set_paths(0, "department");
    {
        ClientCall call;
        REQUIRE(stub->UpdateAccount(&call, update, &account).ok());
    }
    CHECK(account.department() == "Sales");
    CHECK(account.display_name().empty());

    const auto session = gateway.sign_in(*gateway.directory->snapshot()->account_by_username("alice"));
    v1::SetPasswordRequest set;
    set.set_name("alice");
    set.set_password("canary-password-2");
    {
        ClientCall call;
        REQUIRE(stub->SetPassword(&call, set, &account).ok());
    }
    CHECK_FALSE(gateway.sessions->valid(*session.session));
    const auto hash = gateway.directory->credentials(account.account_id());
    REQUIRE(hash.ok());
    CHECK(auth::verify_password(hash->password_hash, base::Secret(std::string_view("canary-password-2"))));

    const auto second = gateway.sign_in(*gateway.directory->snapshot()->account_by_username("alice"));
    v1::DisableAccountRequest disable;
    disable.set_name("accounts/alice");
    {
        ClientCall call;
        REQUIRE(stub->DisableAccount(&call, disable, &account).ok());
    }
    CHECK(account.status() == v1::AccountStatus::DISABLED);
    CHECK_FALSE(gateway.sessions->valid(*second.session));
    v1::DeleteAccountRequest erase;
    erase.set_name("accounts/alice");
    google::protobuf::Empty empty;
    {
        ClientCall call;
        REQUIRE(stub->DeleteAccount(&call, erase, &empty).ok());
    }
    {
        ClientCall call;
        CHECK(stub->DeleteAccount(&call, erase, &empty).error_code() == grpc::StatusCode::NOT_FOUND);
    }
    CHECK(gateway.enforced == 5);  // the directory has its own changes enforced; what is taken away is enforced before
                                   // the database has it, and after

    const auto acts = gateway.acts();
    std::vector<std::string> actions;
    for (const auto& act : acts) {
        actions.push_back(act.action());
        CHECK(act.actor() == "local");
        CHECK(act.outcome() == Outcome::DONE);
        CHECK(act.resource() == "accounts/alice");
        CHECK_FALSE(contains(act.before_json() + act.after_json(), "argon2"));
    }
    CHECK(actions == std::vector<std::string>{"account.create", "account.update", "account.set-password",
                                              "account.disable", "account.delete"});
    CHECK(acts[0].before_json().empty());
    CHECK(contains(acts[1].before_json(), "Finance"));
    CHECK(contains(acts[1].after_json(), "Sales"));
    CHECK(acts[4].after_json().empty());
    CHECK_FALSE(contains(everything_stored(gateway.directory_path), "canary-password"));
}

TEST_CASE("lists come in pages, and a page token of another list or none that was given is refused") {
    TestGateway gateway;
    const auto stub = v1::AccountService::NewStub(gateway.local());
    for (int i = 0; i < 7; ++i) gateway.account("user" + std::to_string(i), auth::Role::employee);
    std::vector<std::string> seen;
    std::string token;
    do {
        v1::ListAccountsRequest request;
        request.set_page_size(3);
        request.set_page_token(token);
        v1::ListAccountsResponse response;
        ClientCall call;
        REQUIRE(stub->ListAccounts(&call, request, &response).ok());
        CHECK(response.accounts_size() <= 3);
        for (const auto& account : response.accounts()) seen.push_back(account.username());
        if (!response.next_page_token().empty()) token = response.next_page_token();
        if (response.next_page_token().empty()) break;
    } while (true);
    CHECK(seen == std::vector<std::string>{"user0", "user1", "user2", "user3", "user4", "user5", "user6"});

    const auto refused = [&](std::int32_t size, const std::string& forged) {
        v1::ListAccountsRequest request;
        request.set_page_size(size);
        request.set_page_token(forged);
        v1::ListAccountsResponse response;
        ClientCall call;
        return stub->ListAccounts(&call, request, &response).error_code() == grpc::StatusCode::INVALID_ARGUMENT;
    };
    CHECK(refused(-1, ""));
    CHECK(refused(0, "x"));
    CHECK(refused(0, token + "A"));
    CHECK(refused(0, token.substr(1)));
    v1::ListAppsRequest apps;
    apps.set_page_token(token);
    v1::ListAppsResponse response;
    ClientCall call;
    CHECK(v1::ResourceService::NewStub(gateway.local())->ListApps(&call, apps, &response).error_code() ==
          grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("apps and policies are applied all or none, and an error names the resource and field") {
    TestGateway gateway;
    const auto stub = v1::ResourceService::NewStub(gateway.local());
    v1::ApplyRequest request;
    auto& app = *request.add_resources()->mutable_app();
    app.set_name("crm");
    for (const char* text : {"127.0.0.1:18080", "*.crm.corp.example:443", "10.20.0.0/16:5432", "[2001:db8::]:1-9"}) {
        app.add_destinations(text);
    }
    app.add_allow_addresses("127.0.0.0/8");
    auto& policy = *request.add_resources()->mutable_policy();
    policy.set_name("finance");
    policy.add_apps("crm");
    policy.add_allow()->add_departments("Finance");
    const auto apply = [&](v1::ApplyResponse& response) {
        ClientCall call;
        return stub->Apply(&call, request, &response);
    };
    v1::ApplyResponse first, again;
    REQUIRE(apply(first).ok());
    REQUIRE(first.items_size() == 2);
    CHECK(first.items(0).outcome() == v1::ApplyResponse::Outcome::CREATED);
    CHECK(first.items(1).kind() == "policy");
    REQUIRE(apply(again).ok());
    CHECK(again.items(1).outcome() == v1::ApplyResponse::Outcome::UNCHANGED);
    CHECK(again.policy_version() == first.policy_version());

    v1::GetAppRequest get;
    get.set_name("apps/crm");
    v1::App found;
    ClientCall call;
    REQUIRE(stub->GetApp(&call, get, &found).ok());
    CHECK(found.destinations_size() == 4);
    CHECK(found.allow_addresses(0) == "127.0.0.0/8");

    google::protobuf::Empty empty;
    v1::DeleteAppRequest erase;
    erase.set_name("crm");
    ClientCall erase_call;
    CHECK(stub->DeleteApp(&erase_call, erase, &empty).error_code() == grpc::StatusCode::FAILED_PRECONDITION);

    app.add_destinations("crm:0");
    CHECK(contains(apply(again).error_message(), "resources[0].destinations[4]: 'crm:0' is not host:port; expected"));
    app.mutable_destinations()->RemoveLast();
    app.add_allow_addresses("127.0.0.1/8");
    CHECK(contains(apply(again).error_message(), "resources[0].allow_addresses[1]: "));
    app.mutable_allow_addresses()->RemoveLast();
    policy.set_apps(0, "nowhere");
    CHECK(contains(apply(again).error_message(), "resources[1].apps[0]: "));
    request.add_resources();
    CHECK(contains(apply(again).error_message(), "resources[2]: is neither an app, a policy nor a department"));

    const auto acts = gateway.acts();
    REQUIRE(acts.size() == 2);
    CHECK(acts[0].action() == "app.apply");
    CHECK(acts[0].resource() == "apps/crm");
    CHECK(contains(acts[0].after_json(), "10.20.0.0/16:5432"));
}

TEST_CASE("sessions are listed by account and revoked with their counts") {
    TestGateway gateway;
    const auto stub = v1::SessionService::NewStub(gateway.local());
    const auto alice = gateway.account("alice", auth::Role::employee);
    const auto one = gateway.sign_in(alice), two = gateway.sign_in(alice), three = gateway.sign_in(alice);
    gateway.sign_in(gateway.account("bob", auth::Role::employee));

    v1::ListSessionsRequest list;
    list.set_account("alice");
    list.set_page_size(2);
    v1::ListSessionsResponse page, rest;
    {
        ClientCall call;
        REQUIRE(stub->ListSessions(&call, list, &page).ok());
    }
    REQUIRE(page.sessions_size() == 2);
    CHECK(page.sessions(0).username() == "alice");
    CHECK(page.sessions(0).open_accesses() == 3);
    list.set_page_token(page.next_page_token());
    {
        ClientCall call;
        REQUIRE(stub->ListSessions(&call, list, &rest).ok());
    }
    CHECK(rest.sessions_size() == 1);
    CHECK(rest.next_page_token().empty());
    list.set_account("bob");
    {
        ClientCall call;
        CHECK(stub->ListSessions(&call, list, &rest).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    }

    const auto revoke = [&](const v1::RevokeSessionsRequest& request, v1::RevokeSessionsResponse& response) {
        ClientCall call;
        return stub->RevokeSessions(&call, request, &response);
    };
    v1::RevokeSessionsRequest request;
    v1::RevokeSessionsResponse response;
    CHECK(revoke(request, response).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    request.set_session_id(one.session->id);
    REQUIRE(revoke(request, response).ok());
    CHECK(response.revoked_sessions() == 1);
    CHECK(response.closed_accesses() == 2);
    CHECK_FALSE(gateway.sessions->valid(*one.session));
    CHECK(revoke(request, response).error_code() == grpc::StatusCode::NOT_FOUND);
    request.set_account("accounts/alice");
    REQUIRE(revoke(request, response).ok());
    CHECK(response.revoked_sessions() == 2);
    CHECK_FALSE(gateway.sessions->valid(*three.session));

    const auto acts = gateway.acts();
    REQUIRE(acts.size() == 2);
    CHECK(acts[0].resource() == "sessions/" + one.session->id);
    CHECK(contains(acts[0].before_json(), "192.0.2.7"));
    CHECK(acts[1].resource() == "accounts/alice");
}
