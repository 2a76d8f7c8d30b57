// What is said before an account is deleted.
#include <chrono>
#include <future>

#include "base/ids.hpp"
#include "gateway_fixture.hpp"
#include "tests/unit/base/sql/test_database.hpp"
#include "usher/v1/account.grpc.pb.h"

using namespace usher;
using test::ClientCall;
using test::contains;
using test::TestGateway;

namespace {

v1::PreviewAccountDeletionResponse preview(TestGateway& gateway, const std::string& name = "accounts/alice") {
    ClientCall call;
    v1::PreviewAccountDeletionRequest request;
    request.set_name(name);
    v1::PreviewAccountDeletionResponse response;
    const auto status = v1::AccountService::NewStub(gateway.local())->PreviewAccountDeletion(&call, request, &response);
    if (!status.ok()) FAIL(status.error_message());
    return response;
}

void ship_open(TestGateway& gateway, const base::Uuid& from, const std::string& account_id) {
    v1::AccessRecord record;
    const auto id = base::new_uuid(gateway.clock);
    record.set_access_id(id.to_string());
    record.set_event(v1::AccessEventType::OPENED);
    record.set_account_id(account_id);
    record.mutable_opened_at()->set_seconds(base::to_micros(gateway.clock.utc()) / 1'000'000);
    auto append = audit::encode(record);
    const std::vector<audit::JournalRecord> batch{
        {1, gateway.clock.utc(), append.type, append.access_id, std::move(append.payload)}};
    const auto done = gateway.store->ingest(from, batch);
    if (!done) FAIL(done.error().message);
}

/// Keeps everybody else from a table.
class TableHolder {
public:
    TableHolder(const std::string& url, const std::string& table)
        : database_(TestGateway::must(base::sql::open_database(url))) {
        holder_ = std::async(std::launch::async, [this, table] {
            return database_->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
                tx.execute("LOCK TABLE " + table + " IN ACCESS EXCLUSIVE MODE");
                held_.set_value();
                enough_.get_future().wait();
                return {};
            });
        });
        held_.get_future().wait();
    }
    void let_go() {
        enough_.set_value();
        CHECK(holder_.get().ok());
    }

private:
    std::unique_ptr<base::sql::Database> database_;
    std::promise<void> held_, enough_;
    std::future<base::Result<void>> holder_;
};

}  // namespace

TEST_CASE("before a deletion everything that goes with the account is told, and nothing is changed") {
    TestGateway gateway;
    auto alice = gateway.account("alice", auth::Role::employee);
    gateway.sign_in(alice);
    gateway.sign_in(alice);
    gateway.sign_in(gateway.account("bob", auth::Role::employee));
    gateway.device(alice);
    const auto gone = gateway.device(alice);
    REQUIRE(gateway.devices->act(gone.id, auth::DeviceAct::unbind, {}).ok());
    const auto said = preview(gateway);
    CHECK(said.name() == "accounts/alice");
    CHECK(said.username() == "alice");
    CHECK(said.sessions() == 2);
    CHECK(said.devices() == 1);
    CHECK(said.open_accesses().here() == 6);  // three each, as the fixture says
    CHECK(said.open_accesses().elsewhere() == 0);
    CHECK(said.open_accesses().elsewhere_error().empty());
    CHECK(said.policies().empty());
    CHECK(gateway.acts().empty());
    CHECK(gateway.directory->snapshot()->account_by_username("alice") != nullptr);

    ClientCall call;
    v1::PreviewAccountDeletionRequest request;
    request.set_name("accounts/nobody");
    v1::PreviewAccountDeletionResponse response;
    CHECK(
        v1::AccountService::NewStub(gateway.local())->PreviewAccountDeletion(&call, request, &response).error_code() ==
        grpc::StatusCode::NOT_FOUND);
}

TEST_CASE("before a deletion it is said where what is open here is not known") {
    TestGateway gateway;
    gateway.sign_in(gateway.account("alice", auth::Role::employee));
    gateway.workers_answer = false;
    const auto said = preview(gateway);
    CHECK(said.sessions() == 1);
    CHECK(said.open_accesses().here() == 0);
    CHECK(said.open_accesses().here_error() == "what serves them has not answered in time");
}

TEST_CASE("before a deletion a name that is not there is looked for no longer than anybody waits") {
    const char* server = test::postgresql_server();
    if (server == nullptr) return;
    test::PostgresqlTestDatabase shared(server);
    TestGateway gateway({}, shared.url());
    const auto ask = [&] {
        ClientCall call;
        v1::PreviewAccountDeletionRequest request;
        request.set_name("accounts/nobody");
        v1::PreviewAccountDeletionResponse response;
        return v1::AccountService::NewStub(gateway.local())
            ->PreviewAccountDeletion(&call, request, &response)
            .error_code();
    };
    CHECK(ask() == grpc::StatusCode::NOT_FOUND);
    TableHolder holder(shared.url(), "directory_state");
    CHECK(ask() == grpc::StatusCode::DEADLINE_EXCEEDED);
    holder.let_go();
    CHECK(ask() == grpc::StatusCode::NOT_FOUND);
}

TEST_CASE("before a deletion what is open at other gateways is counted, or said not to be known") {
    const char* server = test::postgresql_server();
    if (server == nullptr) return;
    test::PostgresqlTestDatabase shared(server);
    TestGateway gateway({}, shared.url());
    const auto alice = gateway.account("alice", auth::Role::employee);
    gateway.sign_in(alice);
    for (int i = 0; i < 2; ++i) ship_open(gateway, base::new_uuid(gateway.clock), alice.id);
    ship_open(gateway, base::new_uuid(gateway.clock), "somebody-else");
    const auto said = preview(gateway);
    CHECK(said.open_accesses().here() == 3);
    CHECK(said.open_accesses().elsewhere() == 2);
    CHECK(said.open_accesses().elsewhere_gateways() == 2);
    CHECK(said.open_accesses().elsewhere_error().empty());

    TableHolder holder(shared.url(), "accesses");
    const auto began = std::chrono::steady_clock::now();
    // More than there are threads for those who wait for the database.
    std::vector<std::future<v1::PreviewAccountDeletionResponse>> asked;
    for (int i = 0; i < 5; ++i) asked.push_back(std::async(std::launch::async, [&] { return preview(gateway); }));
    for (auto& one : asked) {
        const auto answer = one.get();
        CHECK(answer.sessions() == 1);
        CHECK(answer.open_accesses().here() == 3);
        CHECK(answer.open_accesses().elsewhere() == 0);
        CHECK(answer.open_accesses().elsewhere_error() == "the database has not answered in time");
    }
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
    holder.let_go();
    CHECK(preview(gateway).open_accesses().elsewhere() == 2);
}
