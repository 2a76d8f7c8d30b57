#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "auth/sessions.hpp"
#include "tests/unit/auth/support.hpp"

namespace usher::test {

/// Sessions of alice and bob, and what is heard of their ends.
struct SessionsFixture : DirectoryFixture {
    explicit SessionsFixture(TestDatabase& test, auth::SessionLimits l = {}) : DirectoryFixture(test), limits(l) {
        alice = create("alice");
        bob = create("bob");
        restart();
    }
    auth::SessionLimits limits;
    auth::Account alice, bob;
    std::unique_ptr<auth::Sessions> sessions;
    std::vector<std::pair<std::string, auth::SessionEnd>> heard;
    const auth::DeviceClaims laptop{"d-1", "Ann's laptop", "Acme", "A1", "Debian 12", "de"};

    void restart() {
        sessions = must(auth::Sessions::open(unreliable, clock, limits));
        sessions->set_listener([this](const auth::SessionPtr& session, auth::SessionEnd why) {
            CHECK(session->ended);
            heard.emplace_back(session->id, why);
        });
    }
    auth::Sessions::Created sign_in(const auth::Account& account) {
        return must(sessions->create(account, "192.0.2.1", laptop));
    }
    bool accepts(const base::Secret& token) { return sessions->authenticate(token.reveal()) != nullptr; }
    std::int64_t stored() {
        std::int64_t count = 0;
        must(database->read([&](base::sql::Transaction& t) -> base::Result<void> {
            count = t.execute("SELECT COUNT(*) FROM sessions")[0].integer(0);
            return {};
        }));
        return count;
    }
};

/// The sessions of another gateway on the fixture's database.
struct Elsewhere {
    Elsewhere(TestDatabase& test, const SessionsFixture& f)
        : database(test.open()), sessions(must(auth::Sessions::open(*database, f.clock, f.limits))) {}
    auth::Sessions* operator->() const { return sessions.get(); }
    std::unique_ptr<base::sql::Database> database;
    std::unique_ptr<auth::Sessions> sessions;
};

inline const std::function<base::Result<void>()> unrecorded;

}  // namespace usher::test
