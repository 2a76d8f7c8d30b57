#include "gateway/control/revocations.hpp"

#include <fstream>
#include <future>
#include <thread>

#include "gateway_fixture.hpp"

using namespace usher;
using gateway::control::Revocations;
using test::contains;
using test::TestGateway;
using Outcome = usher::v1::AdminRecord::Outcome;

namespace {

const gateway::control::Caller admin = [] {
    gateway::control::Caller caller;
    caller.actor = "root";
    caller.account_id = "01890000-0000-7000-8000-00000000000f";
    caller.role = auth::Role::administrator;
    return caller;
}();

/// Keeps everybody else from writing to the database until it goes.
class Held {
public:
    explicit Held(const std::string& directory)
        : database_(TestGateway::must(base::sql::open_database("sqlite:" + directory + "/usher.db"))) {
        std::promise<void> holds;
        thread_ = std::thread([this, &holds] {
            (void)database_->transaction([&](base::sql::Transaction& transaction) -> base::Result<void> {
                transaction.execute("UPDATE directory_state SET version = version WHERE id = 1");
                holds.set_value();
                release_.get_future().wait();
                return {};
            });
        });
        holds.get_future().wait();
    }
    ~Held() {
        release_.set_value();
        thread_.join();
    }

private:
    std::unique_ptr<base::sql::Database> database_;
    std::promise<void> release_;
    std::thread thread_;
};

/// Revocations of their own on what the gateway stands on.
struct Bench {
    TestGateway gateway;
    gateway::CutOff cut_off;
    std::unique_ptr<Revocations> revocations = open();

    ~Bench() { revocations.reset(); }
    std::string file() const { return gateway.directory_path + "/pending"; }
    base::Result<std::unique_ptr<Revocations>> try_open() {
        return Revocations::open({*gateway.directory,
                                  *gateway.sessions,
                                  *gateway.devices,
                                  *gateway.journal,
                                  gateway.clock,
                                  cut_off,
                                  [](const auth::Affected&) { return std::uint64_t{7}; },
                                  [](const auth::Affected&) { return std::uint64_t{7}; },
                                  {},
                                  file(),
                                  std::chrono::milliseconds{200}});
    }
    std::unique_ptr<Revocations> open() {
        auto opened = TestGateway::must(try_open());
        opened->start();
        return opened;
    }

    struct Answered {
        grpc::Status status;
        std::optional<Revocations::Done> done;
    };
    /// Where the answer will be.
    std::pair<Revocations::Answer, std::future<Answered>> answer() {
        auto promise = std::make_shared<std::promise<Answered>>();
        auto future = promise->get_future();
        return {[promise](grpc::Status status, const Revocations::Done* done) {
                    promise->set_value({std::move(status), done != nullptr ? std::optional(*done) : std::nullopt});
                },
                std::move(future)};
    }
    static Answered wait(std::future<Answered>& future) {
        REQUIRE(future.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
        return future.get();
    }
    Answered disable(const std::string& username) {
        auto [told, future] = answer();
        revocations->disable_account(username, admin, told);
        return wait(future);
    }
    void wait_durable() const {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (revocations->pending() > 0) {
            REQUIRE(std::chrono::steady_clock::now() < end);
            std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the rate of looking
        }
    }
    std::string kept() const {
        std::ifstream in(file());
        return {std::istreambuf_iterator<char>(in), {}};
    }
    std::vector<int> outcomes() const {
        std::vector<int> all;
        for (const auto& act : gateway.acts()) all.push_back(act.outcome());
        return all;
    }
};

}  // namespace

TEST_CASE("what the database takes at once is answered, and nothing is left of it") {
    Bench bench;
    const auto alice = bench.gateway.account("alice", auth::Role::employee);
    const auto session = bench.gateway.sign_in(alice).session;
    const auto answered = bench.disable("alice");
    REQUIRE(answered.status.ok());
    CHECK(answered.done->account->status == auth::AccountStatus::disabled);
    CHECK(answered.done->ended_sessions == 1);
    CHECK(answered.done->closed_accesses == 7);
    CHECK(session->ended);
    CHECK_FALSE(bench.cut_off.covers_account(alice.id));
    CHECK(bench.kept().empty());
    CHECK(bench.outcomes() == std::vector<int>{Outcome::DONE});
}

TEST_CASE("while the database hangs it is in force and on record, is said to be no more than that, and is made good") {
    Bench bench;
    const auto alice = bench.gateway.account("alice", auth::Role::employee);
    const auto bob = bench.gateway.account("bob", auth::Role::employee);
    const auto session = bench.gateway.sign_in(alice).session, other = bench.gateway.sign_in(bob).session;
    {
        const Held held(bench.gateway.directory_path);
        auto [answer, future] = bench.answer();
        bench.revocations->disable_account("alice", admin, answer);
        CHECK(bench.cut_off.covers(*session));
        CHECK_FALSE(bench.cut_off.covers(*other));
        CHECK(bench.outcomes() == std::vector<int>{Outcome::DONE});
        const auto answered = Bench::wait(future);
        CHECK(answered.status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
        CHECK(contains(answered.status.error_message(), "cut off at this gateway"));
        CHECK(bench.revocations->pending() == 1);
        CHECK(bench.revocations->pending_on(alice.id));
        CHECK_FALSE(session->ended);
        const auto kept = gateway::parse_revocations(bench.kept());
        REQUIRE(kept.ok());
        REQUIRE(kept->size() == 1);
        CHECK((*kept)[0].actor == "root");
        // Others do not wait behind it to be in force.
        auto [again, later] = bench.answer();
        bench.revocations->revoke_sessions_of("bob", admin, again);
        CHECK(bench.cut_off.covers(*other));
        CHECK(Bench::wait(later).status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
    }
    bench.wait_durable();
    CHECK(bench.gateway.directory->snapshot()->account_by_id(alice.id)->status == auth::AccountStatus::disabled);
    CHECK(session->ended);
    CHECK(other->ended);
    CHECK_FALSE(bench.cut_off.covers(*session));
    CHECK(bench.kept().empty());
    auto outcomes = bench.outcomes();
    std::sort(outcomes.begin(), outcomes.end());
    CHECK(outcomes == std::vector<int>{Outcome::DONE, Outcome::DONE, Outcome::DONE, Outcome::DONE, Outcome::FAILED,
                                       Outcome::FAILED});
}

TEST_CASE("a gateway that starts again knows who was cut off, before the database does") {
    Bench bench;
    const auto alice = bench.gateway.account("alice", auth::Role::employee);
    const auto device = bench.gateway.device(alice);
    {
        const Held held(bench.gateway.directory_path);
        auto [answer, future] = bench.answer();
        bench.revocations->change_device(device.id, auth::DeviceAct::lose, admin, answer);
        CHECK(bench.cut_off.covers_device(device.key_sha256));
        Bench::wait(future);
        auto [late, unanswered] = bench.answer();
        bench.revocations->delete_account("alice", admin, late);
        // As a crash would leave it: nothing but the file is taken over, with what was told to be pending.
        const auto kept = bench.kept();
        CHECK(Bench::wait(unanswered).status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
    }
    bench.revocations.reset();
    bench.cut_off.set({});
    if (bench.kept().empty()) return;  // the database took both before the end
    auto opened = TestGateway::must(bench.try_open());
    CHECK((bench.cut_off.covers_device(device.key_sha256) || bench.cut_off.covers_account(alice.id)));
    bench.revocations = std::move(opened);
    bench.revocations->start();
    bench.wait_durable();
    CHECK(bench.gateway.directory->snapshot()->account_by_id(alice.id) == nullptr);
    CHECK(bench.kept().empty());
}

TEST_CASE("what is not there any more is refused, and nobody stays cut off by it") {
    Bench bench;
    const auto alice = bench.gateway.account("alice", auth::Role::employee);
    // Another gateway of the database was faster.
    auto other = TestGateway::must(auth::Directory::open(*bench.gateway.database, bench.gateway.clock));
    REQUIRE(other->delete_account("alice", {}).ok());
    for (const bool disable : {true, false}) {
        auto [answer, future] = bench.answer();
        if (disable)
            bench.revocations->disable_account("alice", admin, answer);
        else
            bench.revocations->delete_account("alice", admin, answer);
        CHECK(Bench::wait(future).status.error_code() == grpc::StatusCode::NOT_FOUND);
        CHECK_FALSE(bench.cut_off.covers_account(alice.id));
    }
    CHECK(bench.outcomes() == std::vector<int>{Outcome::DONE, Outcome::FAILED, Outcome::DONE, Outcome::FAILED});
    auto [answer, future] = bench.answer();
    bench.revocations->revoke_session("01890000-0000-7000-8000-000000000001", admin, answer);
    CHECK(Bench::wait(future).status.error_code() == grpc::StatusCode::NOT_FOUND);
}

TEST_CASE("an order is about the account that it was given for, not about another one that has its name by now") {
    Bench bench;
    const auto alice = bench.gateway.account("alice", auth::Role::employee);
    auto other = TestGateway::must(auth::Directory::open(*bench.gateway.database, bench.gateway.clock));
    const auto unrecorded = [](const auth::Change&) { return base::Result<void>{}; };
    REQUIRE(other->delete_account("alice", unrecorded).ok());
    const auto hash = auth::hash_password(base::Secret(std::string_view("correct horse")), {1, 8192});
    const auto namesake = TestGateway::must(other->create_account(alice, *hash, unrecorded));
    REQUIRE(namesake.id != alice.id);
    // This gateway has not heard of it.
    REQUIRE(bench.gateway.directory->snapshot()->account_by_id(alice.id) != nullptr);
    CHECK(bench.disable("alice").status.error_code() == grpc::StatusCode::NOT_FOUND);
    const auto now = TestGateway::must(auth::Directory::open(*bench.gateway.database, bench.gateway.clock))->snapshot();
    REQUIRE(now->account_by_id(namesake.id) != nullptr);
    CHECK(now->account_by_id(namesake.id)->status == auth::AccountStatus::active);
    const auto deleted = bench.gateway.directory->delete_account("alice", unrecorded, alice.id);
    REQUIRE_FALSE(deleted.ok());
    CHECK(deleted.error().code == base::Errc::not_found);
}

TEST_CASE("a process that goes on has what was pending in it, and what another one has written down meanwhile") {
    Bench bench;
    const auto alice = bench.gateway.account("alice", auth::Role::employee);
    const auto bob = bench.gateway.account("bob", auth::Role::employee);
    {
        const Held held(bench.gateway.directory_path);
        bench.disable("alice");
        bench.revocations->stop();
        REQUIRE(bench.revocations->read_again().ok());
        CHECK(bench.revocations->pending() == 1);  // what is in the file is here already

        // The other one has taken alice's for done, and has one about bob.
        gateway::Revocation about_bob;
        about_bob.kind = gateway::Revocation::Kind::account_disabled;
        about_bob.id = about_bob.account_id = bob.id;
        about_bob.at = bench.gateway.clock.utc();
        about_bob.action = "account.disable";
        about_bob.resource = "accounts/bob";
        about_bob.actor = "root";
        std::ofstream(bench.file()) << gateway::to_line(about_bob) << "\n";
        REQUIRE(bench.revocations->read_again().ok());
        CHECK(bench.revocations->pending() == 2);
        for (const auto& id : {alice.id, bob.id}) CHECK(contains(bench.kept(), id));
        for (const auto& id : {alice.id, bob.id}) CHECK(bench.cut_off.covers_account(id));
    }
    bench.revocations->start();
    bench.wait_durable();
    const auto directory = bench.gateway.directory->snapshot();
    for (const char* name : {"alice", "bob"})
        CHECK(directory->account_by_username(name)->status == auth::AccountStatus::disabled);
    CHECK(bench.kept().empty());
}

TEST_CASE("a file that cannot be read again is moved aside, and what was pending stays in force") {
    Bench bench;
    const auto alice = bench.gateway.account("alice", auth::Role::employee);
    const Held held(bench.gateway.directory_path);
    bench.disable("alice");
    bench.revocations->stop();
    std::ofstream(bench.file()) << "of another version\n";
    const auto again = bench.revocations->read_again();
    REQUIRE_FALSE(again.ok());
    CHECK(contains(again.error().message, "line 1"));
    CHECK(contains(again.error().message, "it is " + bench.file() + ".unread now"));
    CHECK(contains(bench.kept(), alice.id));
    std::ifstream aside(bench.file() + ".unread");
    CHECK(std::string(std::istreambuf_iterator<char>(aside), {}) == "of another version\n");
    CHECK(bench.cut_off.covers_account(alice.id));
}

TEST_CASE("a file of pending revocations that cannot be read keeps the gateway from starting") {
    Bench bench;
    bench.revocations.reset();
    std::ofstream(bench.file()) << "{\"kind\":\"session\"";
    const auto opened = bench.try_open();
    REQUIRE_FALSE(opened.ok());
    CHECK(contains(opened.error().message, bench.file() + ": line 1 has no end"));
}
