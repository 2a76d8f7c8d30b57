#include "auth/sessions.hpp"

#include <sodium.h>

#include <set>
#include <thread>

#include "catch.hpp"
#include "tests/unit/auth/sessions_support.hpp"

using namespace usher;
using namespace usher::test;
using auth::SessionEnd;
using base::Errc;
using Mode = UnreliableDatabase::Mode;
using namespace std::chrono_literals;
using Fixture = SessionsFixture;

TEST_CASE("a session is authenticated by its token and survives a restart") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.sign_in(f.alice);
        CHECK(made.token.size() == 43);
        auto session = f.sessions->authenticate(made.token.reveal());
        REQUIRE(session == made.session);
        CHECK(session->account_id == f.alice.id);

        f.clock.advance(1h);
        f.restart();
        session = f.sessions->authenticate(made.token.reveal());
        REQUIRE(session);
        CHECK(session->id == made.session->id);
        CHECK(session->account_id == f.alice.id);
        CHECK(session->client_ip == "192.0.2.1");
        CHECK(session->device == f.laptop);
        CHECK(session->created_at == test_start);
        CHECK(session->expires_at == test_start + 24h * 7);
        CHECK(f.sessions->find(session->id) == session);
    });
}

TEST_CASE("a token with any bit flipped, cut or lengthened authenticates nothing") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.sign_in(f.alice);
        const std::string token(made.token.reveal());
        for (std::size_t bit = 0; bit < token.size() * 8; ++bit) {
            std::string other = token;
            other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
            REQUIRE_FALSE(f.sessions->authenticate(other));
        }
        for (const auto& other : {std::string(), token.substr(0, 42), token + "A", token + "=", " " + token,
                                  token + "\n", token + std::string(1, '\0'), std::string(4096, 'A'), token + token}) {
            CHECK_FALSE(f.sessions->authenticate(other));
        }
        CHECK(f.accepts(made.token));
    });
}

TEST_CASE("the database holds the hash of the token and not the token") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.sign_in(f.alice);
        std::array<unsigned char, 32> hash;
        crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(made.token.reveal().data()), 43);
        must(f.database->read([&](base::sql::Transaction& t) -> base::Result<void> {
            const auto rows = t.execute("SELECT token_sha256 FROM sessions");
            REQUIRE(rows.size() == 1);
            CHECK(rows[0].blob(0) == std::string(hash.begin(), hash.end()));
            return {};
        }));
        // Each sign-in has a token and an id of its own.
        std::set<std::string> tokens, ids;
        for (int i = 0; i < 40; ++i) {
            const auto another = f.sign_in(f.alice);
            tokens.insert(std::string(another.token.reveal()));
            ids.insert(another.session->id);
        }
        CHECK(tokens.size() == 40);
        CHECK(ids.size() == 40);
    });
}

TEST_CASE("a session idles out, and use keeps it alive until its absolute limit") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.idle = 1h, .absolute = 3h});
        const auto used = f.sign_in(f.alice);
        const auto idle = f.sign_in(f.alice);
        CHECK(f.sessions->expires_at(*used.session) == test_start + 1h);
        f.clock.advance(59min);
        CHECK(f.accepts(used.token));
        CHECK(f.sessions->expires_at(*used.session) == test_start + 1h + 59min);
        f.clock.advance(1min);
        CHECK_FALSE(f.sessions->valid(*idle.session));
        CHECK_FALSE(f.accepts(idle.token));
        // Late traffic does not bring it back.
        f.sessions->touch(*idle.session);
        CHECK_FALSE(f.accepts(idle.token));

        const auto swept = f.sessions->sweep();
        must(swept.database);
        CHECK(swept.expired == std::vector<auth::SessionPtr>{idle.session});
        CHECK(f.heard == std::vector<std::pair<std::string, SessionEnd>>{{idle.session->id, SessionEnd::expired}});
        CHECK(f.stored() == 1);

        for (int i = 0; i < 3; ++i) {
            f.clock.advance(38min);
            f.sessions->touch(*used.session);
            CHECK(f.sessions->valid(*used.session));
        }
        CHECK(f.sessions->expires_at(*used.session) == test_start + 3h);
        f.clock.advance(6min);
        CHECK_FALSE(f.accepts(used.token));
        CHECK(f.sessions->sweep().expired.size() == 1);
        CHECK(f.stored() == 0);
    });
}

TEST_CASE("the idle limit goes on from the last use across a restart, and expired rows are removed") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.idle = 1h, .absolute = 24h});
        const auto used = f.sign_in(f.alice);
        const auto idle = f.sign_in(f.alice);
        f.clock.advance(30min);
        CHECK(f.accepts(used.token));
        must(f.sessions->sweep().database);
        f.clock.advance(40min);
        f.restart();
        CHECK_FALSE(f.sessions->find(idle.session->id));
        CHECK_FALSE(f.accepts(idle.token));
        REQUIRE(f.sessions->find(used.session->id));
        CHECK(f.sessions->expires_at(*f.sessions->find(used.session->id)) == test_start + 90min);
        CHECK(f.stored() == 2);
        must(f.sessions->sweep().database);
        CHECK(f.stored() == 1);
        f.clock.advance(20min);
        f.restart();
        CHECK_FALSE(f.accepts(used.token));
    });
}

TEST_CASE("a step of the wall clock neither ends nor prolongs a session") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.idle = 1h, .absolute = 3h});
        const auto made = f.sign_in(f.alice);
        f.clock.step_utc(test_start + 24h * 3650);
        CHECK(f.sessions->sweep().expired.empty());
        CHECK(f.accepts(made.token));
        f.clock.step_utc(test_start - 24h * 3650);
        f.clock.advance(1h);
        CHECK_FALSE(f.accepts(made.token));
    });
}

TEST_CASE("a stored session never lives longer than the limits of today allow") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.idle = 10h, .absolute = 100h});
        const auto made = f.sign_in(f.alice);
        f.limits = {.idle = 10h, .absolute = 2h};
        f.restart();
        CHECK(f.sessions->expires_at(*f.sessions->find(made.session->id)) == test_start + 2h);
        // A row of the future, as a wall clock leaves that was put right.
        f.clock.step_utc(test_start - 1000h);
        f.restart();
        CHECK(f.sessions->expires_at(*f.sessions->find(made.session->id)) == test_start - 998h);
    });
}

TEST_CASE("an ended session is gone at once and after a restart") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.sign_in(f.alice), other = f.sign_in(f.alice);
        int recorded = 0;
        must(f.sessions->end(made.session->id, SessionEnd::signed_out, [&]() -> base::Result<void> {
            CHECK(f.accepts(made.token));  // on record before it is in force
            ++recorded;
            return {};
        }));
        CHECK(recorded == 1);
        CHECK(made.session->ended);
        CHECK_FALSE(f.sessions->valid(*made.session));
        CHECK_FALSE(f.accepts(made.token));
        CHECK_FALSE(f.sessions->find(made.session->id));
        CHECK(f.heard == std::vector<std::pair<std::string, SessionEnd>>{{made.session->id, SessionEnd::signed_out}});
        CHECK(error_of(f.sessions->end(made.session->id, SessionEnd::revoked, unrecorded)).code == Errc::not_found);
        CHECK(error_of(f.sessions->end("", SessionEnd::revoked, unrecorded)).code == Errc::not_found);
        // Who had the token is told why, and nobody else anything.
        REQUIRE(f.sessions->ended(made.token.reveal()));
        CHECK(f.sessions->ended(made.token.reveal())->why == SessionEnd::signed_out);
        CHECK(f.sessions->ended(made.token.reveal())->account_id == f.alice.id);
        CHECK_FALSE(f.sessions->ended(other.token.reveal()));
        CHECK_FALSE(f.sessions->ended(""));
        CHECK_FALSE(f.sessions->ended(std::string(43, 'A')));
        f.restart();
        CHECK_FALSE(f.accepts(made.token));
        CHECK(f.accepts(other.token));
    });
}

TEST_CASE("all sessions of an account end together, and nobody else's") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        std::vector<auth::Sessions::Created> of_alice;
        for (int i = 0; i < 5; ++i) of_alice.push_back(f.sign_in(f.alice));
        const auto of_bob = f.sign_in(f.bob);
        CHECK(must(f.sessions->end_account(f.alice.id, SessionEnd::revoked, unrecorded)) == 5);
        for (const auto& made : of_alice) CHECK_FALSE(f.accepts(made.token));
        CHECK(f.accepts(of_bob.token));
        CHECK(f.heard.size() == 5);
        CHECK(f.stored() == 1);
        CHECK(must(f.sessions->end_account(f.alice.id, SessionEnd::revoked, unrecorded)) == 0);
    });
}

TEST_CASE("an end that cannot be recorded does not happen") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.sign_in(f.alice);
        const auto refuse = []() -> base::Result<void> { return {Errc::unavailable, "the journal is full"}; };
        CHECK(error_of(f.sessions->end(made.session->id, SessionEnd::revoked, refuse)).message ==
              "the journal is full");
        CHECK_FALSE(f.sessions->end_account(f.alice.id, SessionEnd::revoked, refuse).ok());
        CHECK(f.accepts(made.token));
        CHECK(f.heard.empty());
        CHECK(f.stored() == 1);
    });
}

TEST_CASE("a revocation is in force although the database is away, and its row goes when it is back") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto one = f.sign_in(f.alice), two = f.sign_in(f.alice), kept = f.sign_in(f.bob);
        f.unreliable.mode = Mode::away;
        const auto error = error_of(f.sessions->end(one.session->id, SessionEnd::revoked, unrecorded));
        CHECK(error.code == Errc::unavailable);
        CHECK(error.message.find("is cut on this gateway") != std::string::npos);
        CHECK_FALSE(f.sessions->end_account(f.alice.id, SessionEnd::revoked, unrecorded).ok());
        CHECK_FALSE(f.accepts(one.token));
        CHECK_FALSE(f.accepts(two.token));
        CHECK(f.heard.size() == 2);
        CHECK(f.accepts(kept.token));
        CHECK(error_of(f.sessions->sweep().database).code == Errc::unavailable);
        CHECK(f.stored() == 3);

        f.unreliable.mode = Mode::works;
        // A row that waits to be deleted is no session that another gateway opened.
        CHECK(must(f.sessions->refresh()).nobody());
        must(f.sessions->sweep().database);
        CHECK(f.stored() == 1);
        f.restart();
        CHECK(f.accepts(kept.token));
    });
}

TEST_CASE("a sign-in whose commit got no answer leaves no session behind") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        f.unreliable.mode = Mode::answer_lost;
        CHECK(error_of(f.sessions->create(f.alice, "192.0.2.1", {})).code == Errc::unavailable);
        f.unreliable.mode = Mode::works;
        CHECK(f.stored() == 1);
        CHECK(f.sessions->list({}, {}, 10).empty());
        must(f.sessions->sweep().database);
        CHECK(f.stored() == 0);
    });
}

TEST_CASE("a sign-in by what is no longer so opens no session") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        // The password that was verified has been replaced meanwhile, at the very same moment.
        must(f.directory->set_password("alice", {test_hash}, no_record));
        CHECK(error_of(f.sessions->create(f.alice, "192.0.2.1", {})).code == Errc::failed_precondition);
        const auto now = *f.directory->snapshot()->account_by_username("alice");
        const auto made = f.sign_in(now);
        const auto disabled = must(f.directory->set_status("alice", auth::AccountStatus::disabled, no_record));
        CHECK(error_of(f.sessions->create(disabled, "192.0.2.1", {})).code == Errc::failed_precondition);
        must(f.directory->delete_account("bob", no_record));
        CHECK(error_of(f.sessions->create(f.bob, "192.0.2.1", {})).code == Errc::failed_precondition);
        CHECK(error_of(f.sessions->create(named("ghost"), "192.0.2.1", {})).code == Errc::failed_precondition);
        // The row of a deleted account's session goes with it.
        must(f.directory->delete_account("alice", no_record));
        CHECK(f.stored() == 0);
    });
}

TEST_CASE("device claims are bounded and checked") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto refused = [&](auth::DeviceClaims device) {
            const auto error = error_of(f.sessions->create(f.alice, "192.0.2.1", device));
            CHECK(error.code == Errc::invalid_argument);
            return error.message.substr(0, error.message.find(':'));
        };
        CHECK(refused({.device_id = std::string(201, 'x')}) == "device.device_id");
        CHECK(refused({.name = "a\x1b[2J"}) == "device.name");
        CHECK(refused({.brand = "\xc3"}) == "device.brand");
        CHECK(refused({.model = "a\nb"}) == "device.model");
        CHECK(refused({.os = std::string(1, '\0')}) == "device.os");
        CHECK(refused({.language = "\x7f"}) == "device.language");
        CHECK(error_of(f.sessions->create(f.alice, std::string(300, '1'), {})).code == Errc::invalid_argument);
        CHECK(f.stored() == 0);
    });
}

TEST_CASE("the oldest session of an account makes room for a new one, and the total is bounded") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.per_account = 3, .total = 4});
        std::vector<auth::Sessions::Created> made;
        for (int i = 0; i < 5; ++i) made.push_back(f.sign_in(f.alice));
        CHECK(made[2].displaced.nobody());
        CHECK(made[3].displaced.sessions == std::vector<std::string>{made[0].session->id});
        CHECK(f.heard == std::vector<std::pair<std::string, SessionEnd>>{{made[0].session->id, SessionEnd::displaced},
                                                                         {made[1].session->id, SessionEnd::displaced}});
        CHECK_FALSE(f.accepts(made[0].token));
        CHECK_FALSE(f.accepts(made[1].token));
        CHECK(f.accepts(made[4].token));
        CHECK(f.stored() == 3);
        const auto of_bob = f.sign_in(f.bob);
        CHECK(error_of(f.sessions->create(f.bob, "192.0.2.1", {})).code == Errc::resource_exhausted);
        must(f.sessions->end(of_bob.session->id, SessionEnd::signed_out, unrecorded));
        f.sign_in(f.bob);
    });
}

TEST_CASE("sessions are listed by id, in pages, of all or of one account") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        std::set<std::string> ids, of_alice;
        for (int i = 0; i < 10; ++i) {
            const auto id = f.sign_in(i % 2 == 0 ? f.alice : f.bob).session->id;
            ids.insert(id);
            if (i % 2 == 0) of_alice.insert(id);
        }
        const auto all = [&](std::string_view account) {
            std::vector<std::string> listed;
            for (std::string after;;) {
                const auto page = f.sessions->list(account, after, 3);
                if (page.empty()) return listed;
                for (const auto& session : page) listed.push_back(session->id);
                after = listed.back();
            }
        };
        CHECK(all("") == std::vector<std::string>(ids.begin(), ids.end()));
        CHECK(all(f.alice.id) == std::vector<std::string>(of_alice.begin(), of_alice.end()));
        CHECK(all("nobody").empty());
    });
}

TEST_CASE("nobody is authenticated after the end of a session has returned, however many try") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.per_account = 300});
        std::vector<auth::Sessions::Created> made;
        for (int i = 0; i < 200; ++i) made.push_back(f.sign_in(f.alice));
        std::vector<std::atomic<bool>> over(made.size());
        std::atomic<int> late{0}, attempts{0};
        std::atomic<bool> stop{false};
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (std::size_t i = t; !stop || attempts < 1'000; i = (i + 7) % made.size()) {
                    const bool was_over = over[i];
                    if (f.sessions->authenticate(made[i].token.reveal()) && was_over) ++late;
                    ++attempts;
                }
            });
        }
        // Half one by one, half by their account, and the sweep at the same time.
        threads.emplace_back([&] {
            while (!stop) (void)f.sessions->sweep();
        });
        bool good = true;
        for (std::size_t i = 0; i < 100; ++i) {
            good = f.sessions->end(made[i].session->id, SessionEnd::revoked, unrecorded).ok() && good;
            over[i] = true;
        }
        const auto ended = f.sessions->end_account(f.alice.id, SessionEnd::revoked, unrecorded);
        for (std::size_t i = 100; i < made.size(); ++i) over[i] = true;
        stop = true;
        for (auto& thread : threads) thread.join();
        CHECK(good);
        CHECK(must(ended) == 100);
        CHECK(late == 0);
        CHECK(attempts >= 1'000);
        CHECK(f.heard.size() == 200);
        CHECK(f.stored() == 0);
    });
}

TEST_CASE("a sign-in that races with the end of an account's sessions leaves none behind") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.per_account = 1000});
        std::thread signing([&] {
            // Until the account has changed, which the database itself tells.
            while (f.sessions->create(f.alice, "192.0.2.1", {}).ok()) {
            }
        });
        while (f.sessions->list(f.alice.id, {}, 5).size() < 5) std::this_thread::yield();
        const auto changed = f.directory->set_password("alice", {test_hash}, no_record);
        const auto ended = f.sessions->end_account(f.alice.id, SessionEnd::revoked, unrecorded);
        signing.join();
        must(changed);
        CHECK(must(ended) >= 5);
        CHECK(f.sessions->list({}, {}, 10).empty());
        CHECK(f.stored() == 0);
    });
}
