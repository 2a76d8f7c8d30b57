#include <set>

#include "auth/sessions.hpp"
#include "catch.hpp"
#include "tests/unit/auth/sessions_support.hpp"

using namespace usher;
using namespace usher::test;
using auth::SessionEnd;
using base::Errc;
using Mode = UnreliableDatabase::Mode;
using namespace std::chrono_literals;
using Fixture = SessionsFixture;

TEST_CASE("sessions that another gateway opened, used or ended are taken over") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.idle = 1h, .absolute = 24h});
        const Elsewhere other(test, f);
        CHECK(must(f.sessions->refresh()).nobody());
        auto theirs = must(other->create(f.alice, "192.0.2.9", f.laptop));
        const auto ours = f.sign_in(f.alice);
        CHECK_FALSE(f.accepts(theirs.token));
        CHECK_FALSE(must(f.sessions->refresh()).nobody());
        CHECK(f.accepts(theirs.token));
        CHECK_FALSE(must(other->refresh()).nobody());
        CHECK(other->authenticate(ours.token.reveal()));

        f.clock.advance(50min);
        CHECK(other->authenticate(ours.token.reveal()));
        must(other->sweep().database);
        CHECK(must(f.sessions->refresh()).nobody());
        CHECK(f.sessions->expires_at(*ours.session) == test_start + 110min);

        must(other->end(ours.session->id, SessionEnd::signed_out, unrecorded));
        CHECK_FALSE(must(f.sessions->refresh()).nobody());
        CHECK_FALSE(f.accepts(ours.token));
        CHECK(f.heard == std::vector<std::pair<std::string, SessionEnd>>{{ours.session->id, SessionEnd::revoked}});
    });
}

TEST_CASE("what another gateway says that it changed is looked at, and what it does not say is not") {
    for_each_backend([](TestDatabase& test) {
        using auth::ChangeKind;
        Fixture f(test, {.idle = 1h, .absolute = 24h});
        const Elsewhere other(test, f);
        auto first = must(other->create(f.alice, "192.0.2.9", f.laptop));
        auto second = must(other->create(f.alice, "192.0.2.9", f.laptop));

        CHECK(must(f.sessions->refresh(std::vector<auth::SharedChange>{})).nobody());
        CHECK_FALSE(must(f.sessions->refresh({{ChangeKind::session_begun, first.session->id}})).nobody());
        CHECK(f.accepts(first.token));
        CHECK_FALSE(f.accepts(second.token));
        // Heard again, or about what is not there, it changes nothing; nor does a word that the rows do not bear out.
        CHECK(must(f.sessions->refresh({{ChangeKind::session_begun, first.session->id},
                                        {ChangeKind::session_ended, first.session->id},
                                        {ChangeKind::session_ended, base::new_uuid(f.clock).to_string()}}))
                  .nobody());
        CHECK(f.accepts(first.token));

        CHECK_FALSE(must(f.sessions->refresh({{ChangeKind::sessions_of, f.alice.id}})).nobody());
        CHECK(f.accepts(second.token));

        f.clock.advance(10min);
        must(other->renew_second_factor(*first.session));
        const auto here = f.sessions->find(first.session->id);
        CHECK_FALSE(f.sessions->second_factor_age(*here));
        CHECK_FALSE(must(f.sessions->refresh({{ChangeKind::session_proved, first.session->id}})).nobody());
        CHECK(f.sessions->second_factor_age(*here) == 0min);

        auth::Posture said;
        said.os = "debian";
        said.disk_encrypted = true;
        int recorded = 0;
        const auto record = [&] { return ++recorded, base::Result<void>(); };
        CHECK(must(other->set_posture(*other->find(first.session->id), said, record)));
        CHECK_FALSE(must(other->set_posture(*other->find(first.session->id), said, record)));
        CHECK(recorded == 1);
        CHECK_FALSE(here->posture.get());
        CHECK_FALSE(must(f.sessions->refresh({{ChangeKind::session_proved, first.session->id}})).nobody());
        REQUIRE(here->posture.get());
        CHECK(*here->posture.get() == said);
        CHECK(must(f.sessions->refresh({{ChangeKind::session_proved, first.session->id}})).nobody());
        // What is known here may be behind: an old word is news again when another gateway has heard a new one.
        auto changed = said;
        changed.disk_encrypted = false;
        CHECK(must(other->set_posture(*other->find(first.session->id), changed, record)));
        CHECK_FALSE(must(f.sessions->set_posture(*here, said, record)));
        CHECK(recorded == 3);
        CHECK_FALSE(must(other->refresh({{ChangeKind::session_proved, first.session->id}})).nobody());
        CHECK(*other->find(first.session->id)->posture.get() == said);
        const auto refuses = [] { return base::Result<void>(base::Error{base::Errc::unavailable, "no record"}); };
        CHECK_FALSE(other->set_posture(*other->find(first.session->id), changed, refuses).ok());
        CHECK(*other->find(first.session->id)->posture.get() == said);
        // And after a restart.
        CHECK(*must(auth::Sessions::open(*other.database, f.clock, f.limits))->find(first.session->id)->posture.get() ==
              said);

        must(other->end(first.session->id, SessionEnd::signed_out, unrecorded));
        CHECK_FALSE(must(f.sessions->refresh({{ChangeKind::session_ended, first.session->id}})).nobody());
        CHECK_FALSE(f.accepts(first.token));
        must(other->end_account(f.alice.id, SessionEnd::revoked, unrecorded));
        CHECK_FALSE(must(f.sessions->refresh({{ChangeKind::sessions_of, f.alice.id}})).nobody());
        CHECK_FALSE(f.accepts(second.token));
        CHECK(f.heard == std::vector<std::pair<std::string, SessionEnd>>{{first.session->id, SessionEnd::revoked},
                                                                         {second.session->id, SessionEnd::revoked}});
    });
}

TEST_CASE("what idled out here but was used elsewhere keeps its row") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.idle = 1h, .absolute = 24h});
        const auto made = f.sign_in(f.alice);
        const Elsewhere other(test, f);
        f.clock.advance(50min);
        CHECK(other->authenticate(made.token.reveal()));
        must(other->flush());
        f.clock.advance(20min);
        // Where gateways share a database it is asked first; and in any case the row stays.
        const auto expired = f.sessions->sweep().expired;
        CHECK(expired.empty() == (test.dialect() == base::sql::Dialect::postgresql));
        CHECK(f.stored() == 1);
        CHECK(other->authenticate(made.token.reveal()));
        // Used by nobody, it goes.
        f.clock.advance(2h);
        f.sessions->sweep();
        other->sweep();
        CHECK(f.stored() == 0);
    });
}

TEST_CASE("what is taken away goes from the database, although it is over here and in use elsewhere") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {.idle = 1h, .absolute = 24h});
        const auto made = f.sign_in(f.alice);
        const Elsewhere other(test, f);
        f.clock.advance(50min);
        CHECK(other->authenticate(made.token.reveal()));
        f.clock.advance(20min);
        CHECK_FALSE(f.accepts(made.token));
        must(f.sessions->erase(made.session->id));
        CHECK_FALSE(must(other->refresh()).nobody());
        CHECK_FALSE(other->authenticate(made.token.reveal()));
        CHECK(f.stored() == 0);

        // All of an account until some moment: who signed in since stays.
        const auto old = f.sign_in(f.alice);
        const auto until = f.clock.utc();
        f.clock.advance(1s);
        const auto young = f.sign_in(f.alice);
        must(f.sessions->end_account(f.alice.id, SessionEnd::revoked, {}, until));
        CHECK_FALSE(f.accepts(old.token));
        CHECK(f.accepts(young.token));
        CHECK(f.stored() == 1);
    });
}

TEST_CASE("a row that was not written here is refused by name") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.sign_in(f.alice);
        const auto refused = [&](const std::string& change) {
            f.tamper("UPDATE sessions SET " + change);
            const auto opened = auth::Sessions::open(*f.database, f.clock, f.limits);
            INFO(change);
            REQUIRE_FALSE(opened.ok());
            CHECK(opened.error().code == Errc::data_loss);
            CHECK(opened.error().message.find(made.session->id) != std::string::npos);
            // A gateway that runs keeps what it knows.
            CHECK_FALSE(f.sessions->refresh().ok());
            CHECK(f.accepts(made.token));
        };
        refused("device_name = 'a\nb'");
        f.tamper("UPDATE sessions SET device_name = ''");
        // Times with which reckoning would overflow.
        refused("expires_at = 9223372036854775807");
        f.tamper("UPDATE sessions SET expires_at = created_at + 1");
        refused("last_used_at = -9223372036854775807");
        f.tamper("UPDATE sessions SET last_used_at = created_at");
        refused("second_factor_at = 9223372036854775807");
        f.tamper("UPDATE sessions SET second_factor_at = NULL");
        refused("created_at = -1");
    });
}

TEST_CASE("a program of before reads what devices say without their names, and what it writes is read") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.sign_in(f.alice);
        const auto id = made.session->id;
        auth::Posture said;
        said.os = "debian";
        said.device_name = "alices-laptop";
        said.language = "de-DE";
        REQUIRE(must(f.sessions->set_posture(*made.session, said, unrecorded)));
        const auto reopened = [&] { return must(auth::Sessions::open(*f.database, f.clock, f.limits)); };
        CHECK(*reopened()->find(id)->posture.get() == said);
        std::string known_before;
        must(f.database->transaction([&](base::sql::Transaction& t) -> base::Result<void> {
            known_before = t.execute("SELECT posture FROM sessions")[0].text(0);
            return {};
        }));
        CHECK(known_before == "os=debian\n");

        f.tamper("UPDATE sessions SET posture = 'os=fedora\n'");
        said.os = "fedora";
        CHECK(*reopened()->find(id)->posture.get() == said);
        // As all was before there were names.
        f.tamper("UPDATE sessions SET posture_names = NULL");
        CHECK(*reopened()->find(id)->posture.get() == said.without_names());
        for (const auto* bad : {"posture_names = 'os=debian\n'", "posture_names = 'x'", "posture = 'model=x\n'"}) {
            f.tamper("UPDATE sessions SET posture = '', posture_names = ''");
            f.tamper("UPDATE sessions SET " + std::string(bad));
            CHECK(error_of(auth::Sessions::open(*f.database, f.clock, f.limits)).code == Errc::data_loss);
        }
    });
}

TEST_CASE("more changes than are looked at one by one take in others too, and say so") {
    for_each_backend([](TestDatabase& test) {
        using auth::ChangeKind;
        Fixture f(test);
        const auto made = f.sign_in(f.alice);
        const Elsewhere other(test, f);
        auth::Posture said;
        said.disk_encrypted = false;
        REQUIRE(must(other->set_posture(*other->find(made.session->id), said, unrecorded)));
        // What is taken in here is no news when it is heard of itself.
        std::vector<auth::SharedChange> changes;
        for (int i = 0; i < 501; ++i)
            changes.push_back({ChangeKind::session_proved, base::new_uuid(f.clock).to_string()});
        CHECK(must(f.sessions->refresh(changes)).sessions == std::vector<std::string>{made.session->id});
        CHECK(must(f.sessions->refresh({{ChangeKind::session_proved, made.session->id}})).nobody());
    });
}

TEST_CASE("what is found of a session while it is asked whether it was used elsewhere is said") {
    for_each_backend([](TestDatabase& test) {
        if (test.dialect() != base::sql::Dialect::postgresql) return;  // which nobody else uses
        Fixture f(test, {.idle = 1h, .absolute = 24h});
        const auto told = f.sign_in(f.alice), ended = f.sign_in(f.alice), expired = f.sign_in(f.bob);
        const Elsewhere other(test, f);
        f.clock.advance(50min);
        CHECK(other->authenticate(told.token.reveal()));
        must(other->flush());
        auth::Posture said;
        said.disk_encrypted = false;
        REQUIRE(must(other->set_posture(*other->find(told.session->id), said, unrecorded)));
        must(other->end(ended.session->id, SessionEnd::signed_out, unrecorded));
        f.clock.advance(20min);
        auto affected = f.sessions->sweep().affected.sessions;
        const std::set<std::string> all(affected.begin(), affected.end());
        CHECK(all == std::set<std::string>{told.session->id, ended.session->id, expired.session->id});
    });
}
