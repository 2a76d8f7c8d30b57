#include "auth/second_factor.hpp"

#include <atomic>
#include <set>
#include <thread>

#include "auth/support.hpp"
#include "auth/totp.hpp"

using namespace usher;
using namespace usher::test;
using auth::SecondFactorProof;
using base::Errc;
using base::Secret;
using namespace std::chrono_literals;

namespace {

auth::SealingKeys keys_of(const std::string& fills) {
    std::vector<Secret> keys;
    for (const char fill : fills) keys.emplace_back(std::string(32, fill));
    return must(auth::SealingKeys::of(std::move(keys)));
}

struct Fixture : DirectoryFixture {
    explicit Fixture(TestDatabase& test) : DirectoryFixture(test), factors(*database, clock, keys_of("k")) {
        alice = create("alice");
        bob = create("bob");
    }
    auth::SecondFactors factors;
    auth::Account alice, bob;

    auth::NewSecondFactor enroll(const auth::Account& account) {
        auto made = factors.make(account.id);
        must(directory->enroll_second_factor(account.username, made, false, recorder.function()));
        return made;
    }
    std::optional<auth::StoredSecondFactor> stored(const auth::Account& account) {
        return must(directory->credentials(account.id)).second_factor;
    }
    std::optional<SecondFactorProof> check(const auth::Account& account, std::string_view code) {
        return must(factors.check(account.id, stored(account), Secret(code)));
    }
    /// One sign-in's worth of it.
    bool accepts(const auth::Account& account, std::string_view code) {
        const auto proof = check(account, code);
        return proof && must(factors.use(account.id, *proof));
    }
    std::string code(const auth::NewSecondFactor& factor, std::int64_t ahead = 0) {
        return std::string(auth::totp_code(factor.seed, auth::totp_step(clock.utc()) + ahead).reveal());
    }
};

}  // namespace

TEST_CASE("a code is good once, and so are those before it, also after a restart") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto factor = f.enroll(f.alice);
        CHECK(f.directory->snapshot()->account_by_username("alice")->second_factor);
        const auto now = f.code(factor), before = f.code(factor, -1), after = f.code(factor, 1);
        CHECK_FALSE(f.accepts(f.alice, "000000"));
        CHECK_FALSE(f.accepts(f.alice, ""));
        CHECK(f.accepts(f.alice, now));
        CHECK_FALSE(f.accepts(f.alice, now));
        CHECK_FALSE(f.accepts(f.alice, before));
        CHECK_FALSE(f.accepts(f.bob, after));

        const auto other = test.open();
        const auto directory = must(auth::Directory::open(*other, f.clock));
        auth::SecondFactors again(*other, f.clock, keys_of("k"));
        const auto read = must(directory->credentials(f.alice.id)).second_factor;
        CHECK_FALSE(must(again.check(f.alice.id, read, Secret(std::string_view(now)))));
        CHECK(must(again.check(f.alice.id, read, Secret(std::string_view(after)))));
        CHECK(f.accepts(f.alice, after));
        f.clock.advance(30s);
        CHECK_FALSE(f.accepts(f.alice, after));
        f.clock.advance(30s);
        CHECK(f.accepts(f.alice, f.code(factor)));
    });
}

TEST_CASE("of fifty uses of one code at the same time, over two gateways, one succeeds") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto other = test.open();
        auth::SecondFactors there(*other, f.clock, keys_of("k"));
        const auto factor = f.enroll(f.alice);
        for (const std::string& typed : {f.code(factor), std::string(factor.recovery_codes[3].reveal())}) {
            const auto proof = f.check(f.alice, typed);
            REQUIRE(proof);
            std::atomic<int> successes = 0, errors = 0;
            std::vector<std::thread> threads;
            for (int i = 0; i < 50; ++i) {
                threads.emplace_back([&, i] {
                    auto used = (i % 2 == 0 ? f.factors : there).use(f.alice.id, *proof);
                    if (!used)
                        ++errors;
                    else if (*used)
                        ++successes;
                });
            }
            for (auto& thread : threads) thread.join();
            INFO(errors);
            CHECK(successes == 1);
        }
    });
}

TEST_CASE("each recovery code stands once for a second factor, of its own account only") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto factor = f.enroll(f.alice);
        f.enroll(f.bob);
        REQUIRE(factor.recovery_codes.size() == 10);
        std::set<std::string> all;
        for (const auto& code : factor.recovery_codes) all.emplace(code.reveal());
        CHECK(all.size() == 10);
        const std::string first(factor.recovery_codes[0].reveal());
        CHECK(first.size() == 29);
        CHECK_FALSE(f.accepts(f.bob, first));
        CHECK(f.accepts(f.alice, first));
        CHECK_FALSE(f.accepts(f.alice, first));
        // As people type it.
        std::string typed(factor.recovery_codes[1].reveal());
        for (auto& c : typed) c = c == '-' ? ' ' : static_cast<char>(std::toupper(c));
        CHECK(f.accepts(f.alice, typed));
        CHECK_FALSE(f.accepts(f.alice, typed + "a"));
        CHECK(f.stored(f.alice)->recovery.size() == 8);
    });
}

TEST_CASE("a proof of a factor that was replaced meanwhile is worth nothing") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto factor = f.enroll(f.alice);
        const auto by_code = f.check(f.alice, f.code(factor));
        const auto by_recovery = f.check(f.alice, factor.recovery_codes[0].reveal());
        REQUIRE(by_code);
        REQUIRE(by_recovery);
        f.clock.advance(1s);
        f.enroll(f.alice);
        CHECK_FALSE(must(f.factors.use(f.alice.id, *by_code)));
        CHECK_FALSE(must(f.factors.use(f.alice.id, *by_recovery)));
        must(f.directory->reset_second_factor("alice", f.recorder.function()));
        CHECK_FALSE(f.stored(f.alice));
        CHECK_FALSE(f.directory->snapshot()->account_by_username("alice")->second_factor);
        std::vector<std::string> actions;
        for (const auto& change : f.recorder.changes) actions.push_back(change.action);
        CHECK(actions == std::vector<std::string>{"account.enroll-second-factor", "account.enroll-second-factor",
                                                  "account.reset-second-factor"});
    });
}

TEST_CASE("an enrolment is finished once, by a code of its seed, within ten minutes") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.factors.make(f.alice.id);
        CHECK_FALSE(must(f.factors.proved(f.alice.id, Secret(f.code(made)))));
        must(f.factors.begin(f.alice.id, made.sealed));
        CHECK_FALSE(must(f.factors.proved(f.alice.id, Secret(std::string("000000")))));
        CHECK_FALSE(must(f.factors.proved(f.bob.id, Secret(f.code(made)))));
        CHECK_FALSE(f.stored(f.alice));
        const auto proved = must(f.factors.proved(f.alice.id, Secret(f.code(made))));
        REQUIRE(proved);
        must(f.directory->enroll_second_factor("alice", *proved, true, no_record));
        CHECK(error_of(f.directory->enroll_second_factor("alice", *proved, true, no_record)).code ==
              Errc::failed_precondition);
        // The code that finished it is used up.
        CHECK_FALSE(f.accepts(f.alice, f.code(made)));
        CHECK(f.accepts(f.alice, f.code(made, 1)));

        const auto second = f.factors.make(f.alice.id);
        must(f.factors.begin(f.alice.id, second.sealed));
        f.clock.advance(auth::enrolment_limit);
        CHECK_FALSE(must(f.factors.proved(f.alice.id, Secret(f.code(second)))));
    });
}

TEST_CASE("a seed is sealed again under the new key when its code is used") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto factor = f.enroll(f.alice);
        auth::SecondFactors rotated(*f.database, f.clock, keys_of("nk"));
        auth::SecondFactors without(*f.database, f.clock, keys_of("n"));
        CHECK(error_of(without.check(f.alice.id, f.stored(f.alice), Secret(f.code(factor)))).code ==
              Errc::failed_precondition);
        CHECK(must(without.count_unopenable()) == 1);
        const auto proof = must(rotated.check(f.alice.id, f.stored(f.alice), Secret(f.code(factor))));
        REQUIRE(proof);
        CHECK(must(rotated.use(f.alice.id, *proof)));
        CHECK(f.stored(f.alice)->seed.key_id == rotated.keys().current_id());
        CHECK(must(without.count_unopenable()) == 0);
        CHECK(must(without.check(f.alice.id, f.stored(f.alice), Secret(f.code(factor, 1)))));
    });
}

TEST_CASE("a row that is moved to another account opens nothing") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto factor = f.enroll(f.alice);
        f.tamper("DELETE FROM recovery_codes");
        f.tamper("UPDATE second_factors SET account_id = '" + f.bob.id + "'");
        CHECK(error_of(f.factors.check(f.bob.id, f.stored(f.bob), Secret(f.code(factor)))).code == Errc::data_loss);
    });
}
