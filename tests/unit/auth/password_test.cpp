#include "auth/password.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <limits>
#include <memory>

#include "auth/directory.hpp"
#include "auth/username.hpp"
#include "catch.hpp"

using namespace usher;
using base::Secret;
using namespace std::chrono_literals;

namespace {

/// The cheapest that Argon2id allows: these tests are not about the cost.
constexpr auth::HashCost cheap{1, 8192};

bool same(const std::string& stored, const std::string& tried) {
    const auto hash = auth::hash_password(Secret(std::string_view(stored)), cheap);
    REQUIRE(hash.ok());
    return auth::verify_password(*hash, Secret(std::string_view(tried)));
}

base::MonoTime at(base::Microseconds since) { return base::MonoTime{since + 1h}; }

/// Keeps the worker's thread at one hash until what is returned is called. When this returns nothing waits.
std::function<void()> keep_busy(auth::HashingWorker& worker) {
    const auto entered = std::make_shared<std::promise<void>>(), leave = std::make_shared<std::promise<void>>();
    worker.verify("", Secret(std::string("password")),
                  [entered, may_leave = leave->get_future().share()](base::Result<bool>) {
                      entered->set_value();
                      may_leave.wait();
                  });
    entered->get_future().wait();
    return [leave] { leave->set_value(); };
}

}  // namespace

TEST_CASE("a password is verified byte for byte, beyond 72 bytes, 128 bytes and NUL") {
    for (std::size_t length : {8u, 72u, 73u, 128u, 129u, 1023u, 1024u}) {
        INFO(length);
        const std::string password(length, 'p');
        CHECK(same(password, password));
        std::string other = password;
        other.back() = 'q';
        CHECK_FALSE(same(password, other));
        CHECK_FALSE(same(password, password.substr(0, length - 1)));
        CHECK_FALSE(same(password, password + 'p'));
    }
    const std::string with_nul("secret\0abcdef", 13);
    CHECK(same(with_nul, with_nul));
    CHECK_FALSE(same(with_nul, std::string("secret\0abcdeg", 13)));
    CHECK_FALSE(same(with_nul, "secret"));
}

TEST_CASE("a password that is too long is not hashed") {
    for (std::size_t length : {1025u, 100'000u}) {
        const auto hash = auth::hash_password(Secret(std::string(length, 'p')), cheap);
        REQUIRE_FALSE(hash.ok());
        CHECK(hash.error().code == base::Errc::invalid_argument);
    }
}

TEST_CASE("the same characters are the same password, however they were typed") {
    const std::string composed =
        "Stra\xc3\x9f"
        "e \xc3\xa9t\xc3\xa9 \xea\xb0\x80";  // NFC
    const std::string decomposed =
        "Stra\xc3\x9f"
        "e e\xcc\x81te\xcc\x81 \xe1\x84\x80\xe1\x85\xa1";  // NFD
    CHECK(same(composed, decomposed));
    CHECK(same(decomposed, composed));
    CHECK_FALSE(same(composed, "Strasse ete ka"));
    const std::string no_utf8("secret\xff password", 16);
    CHECK(auth::hash_password(Secret(std::string_view(no_utf8)), cheap).error().code == base::Errc::invalid_argument);
    CHECK_FALSE(same("secret password", no_utf8));
}

TEST_CASE("a hash of less cost than today's is outdated, one of the same or more is not") {
    const auto hash = auth::hash_password(Secret(std::string("correct horse")), {2, 16384});
    REQUIRE(hash.ok());
    CHECK_FALSE(auth::is_cheaper(*hash, {2, 16384}));
    CHECK_FALSE(auth::is_cheaper(*hash, {1, 8192}));
    CHECK(auth::is_cheaper(*hash, {3, 16384}));
    CHECK(auth::is_cheaper(*hash, {1, 32768}));
    CHECK_FALSE(auth::is_cheaper("no hash", {3, 32768}));
}

TEST_CASE("an encoded hash is salted Argon2id, and a malformed one matches nothing") {
    const Secret password(std::string("correct horse"));
    const auto hash = auth::hash_password(password);
    REQUIRE(hash.ok());
    CHECK(hash->rfind("$argon2id$v=19$m=19456,t=2,p=1$", 0) == 0);
    CHECK(*hash != *auth::hash_password(password));
    CHECK(auth::is_password_hash(*hash));
    for (const std::string& bad :
         {std::string(), std::string("x"), hash->substr(0, hash->size() - 1),
          std::string("$argon2i$") + hash->substr(10), *hash + std::string(1, '\0'), std::string(500, '$')}) {
        CHECK_FALSE(auth::verify_password(bad, password));
    }
}

TEST_CASE("the hashing worker answers on a thread of low priority") {
    auth::HashingWorker worker(8, cheap);
    std::promise<std::pair<int, bool>> answered;
    const auto hash = worker.hash_and_wait(Secret(std::string("correct horse")));
    REQUIRE(hash.ok());
    worker.verify(*hash, Secret(std::string("correct horse")), [&](base::Result<bool> equal) {
        const auto thread = static_cast<id_t>(::syscall(SYS_gettid));
        answered.set_value({::getpriority(PRIO_PROCESS, thread), equal.ok() && *equal});
    });
    const auto [priority, equal] = answered.get_future().get();
    CHECK(equal);
    CHECK(priority >= 10);
    CHECK(::getpriority(PRIO_PROCESS, 0) < 10);
}

TEST_CASE("an unknown account is refused after the work of a known one") {
    auth::HashingWorker worker(8, cheap);
    for (const char* hash : {"", "not a hash"}) {
        std::promise<base::Result<bool>> answered;
        worker.verify(hash, Secret(std::string("anything at all")),
                      [&](base::Result<bool> equal) { answered.set_value(std::move(equal)); });
        const auto equal = answered.get_future().get();
        REQUIRE(equal.ok());
        CHECK_FALSE(*equal);
    }
}

TEST_CASE("a full queue refuses at once, and what is queued at the end is answered") {
    std::atomic<int> unavailable{0}, full{0}, done{0};
    auto worker = std::make_unique<auth::HashingWorker>(2, cheap);
    const auto let_go = keep_busy(*worker);
    const auto count = [&](base::Result<bool> equal) {
        if (equal.ok())
            ++done;
        else if (equal.error().code == base::Errc::resource_exhausted)
            ++full;
        else if (equal.error().code == base::Errc::unavailable && ++unavailable == 2)
            let_go();
    };
    for (int i = 0; i < 5; ++i) worker->verify("", Secret(std::string("password")), count);
    CHECK(worker->queued() == 2);
    CHECK(full == 3);
    worker.reset();
    CHECK(unavailable == 2);
    CHECK(done == 0);
}

TEST_CASE("who is known has a queue of their own, and neither queue keeps the other from its turn") {
    std::promise<void> over;
    auth::HashingWorker worker(8, cheap);
    const auto let_go = keep_busy(worker);
    std::string order;  // of the hashing thread, until `over`
    int full = 0;
    const auto push = [&](char who, auth::HashingTurn turn) {
        worker.verify(
            "", Secret(std::string("password")),
            [&, who](base::Result<bool> result) {
                if (!result) {
                    ++full;
                    return;
                }
                order += who;
                if (order.size() == 16) over.set_value();
            },
            turn);
    };
    for (int i = 0; i < 20; ++i) push('a', {});  // a flood
    CHECK(full == 12);
    for (int i = 0; i < 8; ++i) push('k', {true, 0});
    CHECK(full == 12);
    CHECK(worker.queued() == 16);
    let_go();
    over.get_future().wait();
    CHECK(order == "kkkkakkkkaaaaaaa");
}

TEST_CASE("of those who are not known the least rank comes first, and takes the place of the highest") {
    std::promise<void> over;
    auth::HashingWorker worker(6, cheap);
    const auto let_go = keep_busy(worker);
    std::string order;  // of the hashing thread, until `over`
    std::string full;
    const auto push = [&](char who, unsigned rank) {
        worker.verify("", Secret(std::string("password")),
                      [&, who](base::Result<bool> result) {
                          if (!result) {
                              full += result.error().code == base::Errc::resource_exhausted ? who : '?';
                              return;
                          }
                          order += who;
                          if (order.size() == 6) over.set_value();
                      },
                      {false, rank});
    };
    for (const char who : {'a', 'b', 'c', 'd', 'e'}) push(who, 4);
    CHECK(worker.has_room({false, 100}));
    push('f', 4);
    CHECK_FALSE(worker.has_room({false, 4}));
    CHECK(worker.has_room({false, 3}));
    CHECK(worker.has_room({true, 0}));
    push('g', 4);
    CHECK(full == "g");  // no better than those who wait
    push('h', 5);
    CHECK(full == "gh");
    push('i', 1);
    push('j', 2);
    CHECK(full == "ghfe");
    push('k', 1);
    CHECK(full == "ghfed");
    let_go();
    over.get_future().wait();
    // The hash under way was the first turn, so the third one here is that of who waits for longest.
    CHECK(order == "ikajbc");
}

TEST_CASE("whoever waits in vain for a turn of their rank has one at last") {
    std::promise<void> over;
    std::atomic<int> better{0};
    std::function<void(base::Result<bool>)> again;
    int before = 0;  // those who came first
    auth::HashingWorker worker(64, cheap);
    again = [&](base::Result<bool> result) {
        if (!result) return;
        if (++better < 1000) worker.verify("", Secret(std::string("password")), again, {false, 0});
    };
    const auto let_go = keep_busy(worker);
    worker.verify("", Secret(std::string("password")),
                  [&](base::Result<bool>) {
                      before = better.exchange(1000);
                      over.set_value();
                  },
                  {false, 100});
    for (int i = 0; i < 20; ++i) worker.verify("", Secret(std::string("password")), again, {false, 0});
    let_go();
    over.get_future().wait();
    CHECK(before == 2);  // the hash under way was the first turn of four
}

/// Whether the password of the try counts.
bool looked_at(const auth::SignInThrottle::Verdict& verdict) { return verdict.allowed && !verdict.must_fail; }

TEST_CASE("a source's rank counts what was in vain there, once it is more than a burst where somebody has signed in") {
    auth::SignInThrottle throttle({4, 1ms, 1000, 0s}, {1000, 1ms, 1000, 0s}, {1000, 1ms, 1000, 0s});
    auto now = at(0s);
    const auto rank = [&](const std::string& source, const std::string& name = "alice") {
        now += 1s;
        const auto verdict = throttle.take({source, name}, now);
        REQUIRE(looked_at(verdict));
        return verdict.rank;
    };
    CHECK(rank("10.0.0.1") == 1);  // nobody has signed in from there yet
    CHECK(rank("10.0.0.1", "bob") == 2);
    CHECK(rank("10.0.0.2") == 1);
    // Of those that were not looked at four count for one.
    for (int i = 0; i < 5; ++i) {
        throttle.give_back({"10.0.0.1", "bob"}, now);
        CHECK(rank("10.0.0.1", "bob") == (i < 3 ? 2u : 3u));
    }
    throttle.succeeded({"10.0.0.1", "bob"}, now);
    // Many of an office come at nine, and some mistype.
    for (int i = 0; i < 5; ++i) CHECK(rank("10.0.0.1", "carol") == 0);
    CHECK(rank("10.0.0.1", "carol") == 1);
    CHECK(rank("10.0.0.1", "dave") == 2);
    // Over a weekend it stays good, and not for ever.
    now += 72h;
    CHECK(rank("10.0.0.1") == 0);
    now += 31 * 24h;
    CHECK(rank("10.0.0.1") == 1);
}

TEST_CASE("a flood of other sources does not make a throttle forget where somebody has signed in") {
    auth::SignInThrottle throttle({4, 2s, 100, 0s}, {1000, 1ms, 1000, 0s}, {1000, 1ms, 1000, 0s});
    auto now = at(0s);
    REQUIRE(looked_at(throttle.take({"10.0.0.1", "alice"}, now)));
    throttle.succeeded({"10.0.0.1", "alice"}, now);
    for (int i = 0; i < 1000; ++i) {
        now += 1s;
        const auto source = "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250);
        if (looked_at(throttle.take({source, "bob"}, now))) throttle.give_back({source, "bob"}, now);
    }
    CHECK(throttle.take({"10.0.0.1", "carol"}, now).rank == 0);
    CHECK(throttle.take({"10.0.0.2", "carol"}, now).rank == 1);
}

TEST_CASE("a throttle can be told where somebody signed in before, and keeps the later moment") {
    auth::SignInThrottle throttle;
    const auto now = at(0s) + 24h * 100;
    throttle.signed_in_before("10.0.0.1", now - 29 * 24h);
    throttle.signed_in_before("10.0.0.1", now - 40 * 24h);
    throttle.signed_in_before("10.0.0.2", now - 31 * 24h);
    throttle.signed_in_before("2001:db8::1", now);
    CHECK(throttle.take({"10.0.0.1", "alice"}, now).rank == 0);
    CHECK(throttle.take({"10.0.0.2", "alice"}, now).rank == 1);
    CHECK(throttle.take({"2001:db8::2", "alice"}, now).rank == 0);
}

TEST_CASE("a new IPv6 /64 for each try has the rank of those before, once they are many") {
    auth::SignInThrottle throttle({1000, 2s, 10'000, 0s});
    unsigned last = 0;
    for (int i = 0; i < 160; ++i) {
        const auto name = std::to_string(i);
        last = throttle.take({"2001:db8:7:" + name + "::1", "n" + name}, at(0s)).rank;
    }
    CHECK(last == 1 + 159 / 16);
    CHECK(throttle.take({"2001:db8:8:1::1", "alice"}, at(0s)).rank == 1);
    // One account there makes its own /64 good, and of the others half of what was.
    throttle.succeeded({"2001:db8:7:1::1", "n1"}, at(0s));
    CHECK(throttle.take({"2001:db8:7:1::2", "bob"}, at(0s)).rank == 0);
    CHECK(throttle.take({"2001:db8:7:ffff::1", "bob"}, at(0s)).rank == 1 + 80 / 16);
}

TEST_CASE("certificates of an account or device are ten at once, then one a minute") {
    auth::SignInThrottle throttle;
    for (int i = 0; i < 10; ++i) CHECK(throttle.take_certificate("one", at(0s)).allowed);
    const auto verdict = throttle.take_certificate("one", at(0s));
    CHECK_FALSE(verdict.allowed);
    CHECK(verdict.retry_after == 60s);
    CHECK(throttle.take_certificate("other", at(0s)).allowed);
    CHECK(throttle.take_certificate("one", at(60s)).allowed);
    CHECK_FALSE(throttle.take_certificate("one", at(60s)).allowed);
}

TEST_CASE("a sign-in costs a token of the source and of the account, and success gives both back") {
    auth::SignInThrottle throttle({3, 10s, 100, 0s}, {2, 60s, 100, 0s});
    CHECK(looked_at(throttle.take({"10.0.0.1", "alice"}, at(0s))));
    CHECK(looked_at(throttle.take({"10.0.0.2", "alice"}, at(0s))));
    auto verdict = throttle.take({"10.0.0.3", "alice"}, at(0s));
    CHECK_FALSE(looked_at(verdict));
    CHECK(verdict.retry_after == 60s);
    verdict = throttle.take({"10.0.0.3", "alice"}, at(59s));
    CHECK_FALSE(looked_at(verdict));
    CHECK(verdict.retry_after == 1s);
    CHECK(looked_at(throttle.take({"10.0.0.3", "alice"}, at(60s))));

    for (int i = 0; i < 3; ++i) CHECK(looked_at(throttle.take({"10.9.9.9", "user" + std::to_string(i)}, at(60s))));
    CHECK(throttle.take({"10.9.9.9", "user3"}, at(60s)).retry_after == 10s);
    throttle.give_back({"10.9.9.9", "user0"}, at(60s));
    CHECK(looked_at(throttle.take({"10.9.9.9", "user3"}, at(60s))));
    // A refusal took nothing of the account either.
    for (int i = 0; i < 9; ++i) CHECK_FALSE(looked_at(throttle.take({"10.9.9.9", "zoe"}, at(60s))));
    CHECK(looked_at(throttle.take({"10.8.8.8", "zoe"}, at(60s))));
    // Giving back more than was taken fills no bucket beyond its burst.
    for (int i = 0; i < 50; ++i) throttle.give_back({"10.8.8.8", "zoe"}, at(60s));
    CHECK(looked_at(throttle.take({"10.8.8.1", "zoe"}, at(60s))));
    CHECK(looked_at(throttle.take({"10.8.8.2", "zoe"}, at(60s))));
    CHECK_FALSE(looked_at(throttle.take({"10.8.8.3", "zoe"}, at(60s))));
}

TEST_CASE("every spelling of a username shares one throttle, or is no username") {
    auth::SignInThrottle throttle({1000, 1s, 1000, 0s}, {10, 6s, 1000, 0s});
    int allowed = 0;
    const std::string name = "alice.b-c_d";
    for (unsigned i = 0; i < 50; ++i) {
        std::string spelling = name;
        unsigned letter = 0;
        for (char& c : spelling) {
            if (c >= 'a' && c <= 'z' && ((i >> letter++) & 1) != 0) c = static_cast<char>(c - 'a' + 'A');
        }
        const auto canonical = auth::canonical_username(spelling);
        REQUIRE(canonical == name);
        allowed += looked_at(throttle.take({"10.0.0.1", *canonical}, at(0s))) ? 1 : 0;
    }
    CHECK(allowed == 10);
    for (const char* text : {"", " alice", "alice ", "alice\t", "\talice", "alice\n", ".alice", "-alice", "_alice",
                             "al ice", "alice@x", "alice/", "alice%20", "a:b"}) {
        INFO(text);
        CHECK_FALSE(auth::canonical_username(text));
    }
    CHECK_FALSE(auth::canonical_username(std::string_view("alice\0", 6)));
    CHECK(auth::canonical_username(std::string(64, 'A')) == std::string(64, 'a'));
    CHECK_FALSE(auth::canonical_username(std::string(65, 'a')));
    CHECK(auth::canonical_username("0") == "0");
}

TEST_CASE("a full throttle forgets only buckets that have filled up again") {
    auth::SignInThrottle throttle({1000, 1ms, 1000, 0s}, {2, 10s, 3, 0s});
    CHECK(looked_at(throttle.take({"s", "victim"}, at(0s))));
    CHECK(looked_at(throttle.take({"s", "victim"}, at(0s))));
    CHECK(looked_at(throttle.take({"s", "b"}, at(0s))));
    CHECK(looked_at(throttle.take({"s", "c"}, at(0s))));
    // All three are in use until 10 s: no fourth.
    const auto verdict = throttle.take({"s", "d"}, at(5s));
    CHECK_FALSE(looked_at(verdict));
    CHECK(verdict.retry_after == 5s);
    CHECK(looked_at(throttle.take({"s", "d"}, at(10s))));
    CHECK(looked_at(throttle.take({"s", "e"}, at(10s))));
    CHECK_FALSE(looked_at(throttle.take({"s", "f"}, at(10s))));
    // The flood of names has not given the victim's bucket back: it has one token, by time alone.
    CHECK(looked_at(throttle.take({"s", "victim"}, at(10s))));
    CHECK_FALSE(looked_at(throttle.take({"s", "victim"}, at(10s))));
}

TEST_CASE("all addresses of an IPv6 /64 are one source, and an IPv4-mapped address is the IPv4 one") {
    auth::SignInThrottle throttle({2, 10s, 100, 0s}, {1000, 1s, 100, 0s});
    CHECK(looked_at(throttle.take({"2001:db8:0:1::1", "a"}, at(0s))));
    CHECK(looked_at(throttle.take({"2001:db8:0:1:ffff::2", "b"}, at(0s))));
    CHECK_FALSE(looked_at(throttle.take({"2001:db8:0:1::3", "c"}, at(0s))));
    CHECK(looked_at(throttle.take({"2001:db8:0:2::3", "c"}, at(0s))));
    throttle.give_back({"2001:db8:0:1::9", "a"}, at(0s));
    CHECK(looked_at(throttle.take({"2001:db8:0:1::3", "c"}, at(0s))));

    CHECK(looked_at(throttle.take({"10.0.0.1", "a"}, at(0s))));
    CHECK(looked_at(throttle.take({"::ffff:10.0.0.1", "a"}, at(0s))));
    CHECK_FALSE(looked_at(throttle.take({"10.0.0.1", "a"}, at(0s))));
    CHECK(looked_at(throttle.take({"10.0.0.2", "a"}, at(0s))));
}

TEST_CASE("a new IPv6 /64 for each guess buys sixteen sources and no more") {
    auth::SignInThrottle throttle({2, 10s, 100'000, 0s}, {1000, 1s, 100'000, 0s});
    int allowed = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto name = std::to_string(i);
        allowed += looked_at(throttle.take({"2001:db8:7:" + name + "::1", "n" + name}, at(0s)));
    }
    CHECK(allowed == 2 * 16);
    throttle.give_back({"2001:db8:7:1::1", "n1"}, at(0s));
    CHECK(looked_at(throttle.take({"2001:db8:7:4::1", "m"}, at(0s))));
    CHECK(looked_at(throttle.take({"2001:db8:8:1::1", "m"}, at(0s))));
}

TEST_CASE("an account's waits double where they are caused, up to a bound, and begin anew with a success") {
    auth::SignInThrottle throttle({10'000, 1ms, 100, 0s});
    auto now = at(0s);
    for (int i = 0; i < 10; ++i) CHECK(looked_at(throttle.take({"10.0.0.1", "alice"}, now)));
    std::vector<base::Microseconds> waits;
    for (int i = 0; i < 12; ++i) {
        const auto verdict = throttle.take({"10.0.0.1", "alice"}, now);
        REQUIRE_FALSE(looked_at(verdict));
        waits.push_back(verdict.retry_after);
        now += verdict.retry_after;
        CHECK(looked_at(throttle.take({"10.0.0.1", "alice"}, now)));
    }
    CHECK(waits == std::vector<base::Microseconds>{6s, 12s, 24s, 48s, 96s, 192s, 384s, 768s, 900s, 900s, 900s, 900s});
    // Its owner elsewhere does not notice.
    CHECK(looked_at(throttle.take({"10.0.0.2", "alice"}, now)));
    // A pause gives a try back, and not the short waits.
    now += 2h;
    for (int i = 0; i < 10; ++i) throttle.take({"10.0.0.1", "alice"}, now);
    CHECK(throttle.take({"10.0.0.1", "alice"}, now).retry_after > 10min);
    now += 24h;
    CHECK(looked_at(throttle.take({"10.0.0.1", "alice"}, now)));
    throttle.succeeded({"10.0.0.1", "alice"}, now);
    for (int i = 0; i < 10; ++i) CHECK(looked_at(throttle.take({"10.0.0.1", "alice"}, now)));
    CHECK(throttle.take({"10.0.0.1", "alice"}, now).retry_after == 6s);
}

TEST_CASE("many sources together have a rate for one account, which who is known does not share") {
    auth::SignInThrottle throttle;
    int allowed = 0;
    for (int i = 0; i < 200; ++i)
        allowed += looked_at(throttle.take({"10.0.1." + std::to_string(i), "alice"}, at(0s))) ? 1 : 0;
    CHECK(allowed == 30);
    CHECK_FALSE(looked_at(throttle.take({"10.0.0.1", "alice"}, at(0s))));
    CHECK(looked_at(throttle.take({"10.0.0.1", "alice", true}, at(0s))));
    CHECK(looked_at(throttle.take({"10.0.0.1", "bob"}, at(0s))));
}

TEST_CASE("an attempt that was not looked at leaves no longer waits") {
    auth::SignInThrottle throttle({10'000, 1ms, 100, 0s});
    for (int i = 0; i < 1000; ++i) {
        REQUIRE(looked_at(throttle.take({"10.0.0.1", "alice"}, at(0s))));
        throttle.give_back({"10.0.0.1", "alice"}, at(0s));
    }
    for (int i = 0; i < 10; ++i) CHECK(looked_at(throttle.take({"10.0.0.1", "alice"}, at(0s))));
    CHECK(throttle.take({"10.0.0.1", "alice"}, at(0s)).retry_after == 6s);
}

TEST_CASE("a name without tries is not told so, and its tries are none of what its source has for others") {
    auth::SignInThrottle throttle({3, 10s, 100, 0s}, {1000, 1ms, 100, 0s}, {2, 60s, 100, 0s});
    const auth::SignInThrottle::Try alice{"10.0.0.1", "alice"};
    for (int i = 0; i < 2; ++i) CHECK(looked_at(throttle.take(alice, at(0s))));
    // As many as a source has, behind everybody else's; then it is told what its own would be.
    for (int i = 0; i < 3; ++i) {
        const auto verdict = throttle.take(alice, at(0s));
        CHECK(verdict.allowed);
        CHECK(verdict.must_fail);
        CHECK(verdict.retry_after == 60s);
        CHECK(verdict.rank == std::numeric_limits<unsigned>::max());
    }
    const auto refused = throttle.take(alice, at(0s));
    CHECK_FALSE(refused.allowed);
    CHECK(refused.retry_after == 60s);
    // The office's third try is there, with the rank of two in vain before it.
    const auto bob = throttle.take({"10.0.0.1", "bob"}, at(0s));
    CHECK(looked_at(bob));
    CHECK(bob.rank == 3);
    // Without one of the source's own nobody is looked at.
    CHECK_FALSE(throttle.take({"10.0.0.1", "carol"}, at(0s)).allowed);
    CHECK(throttle.take({"10.0.0.1", "carol"}, at(0s)).retry_after == 10s);
    CHECK_FALSE(throttle.take(alice, at(0s)).allowed);

    // It comes back with time, and by what was not looked at, to where it was taken.
    CHECK(throttle.take(alice, at(10s)).must_fail);
    CHECK_FALSE(throttle.take(alice, at(10s)).allowed);
    throttle.give_back({"10.0.0.1", "alice", false, true}, at(10s));
    CHECK(throttle.take(alice, at(10s)).must_fail);
    CHECK(looked_at(throttle.take({"10.0.0.1", "carol"}, at(10s))));
    CHECK(looked_at(throttle.take(alice, at(60s))));
    CHECK(throttle.take(alice, at(60s)).must_fail);
}

TEST_CASE("a name that has no place in a full throttle is refused, and one that has used its tries up is not told so") {
    auth::SignInThrottle throttle({1000, 1ms, 1000, 0s}, {2, 10s, 2, 0s});
    for (int i = 0; i < 2; ++i) CHECK(looked_at(throttle.take({"s", "tried"}, at(0s))));
    CHECK(looked_at(throttle.take({"s", "other"}, at(0s))));
    CHECK(throttle.take({"s", "tried"}, at(5s)).must_fail);
    const auto verdict = throttle.take({"s", "never-tried"}, at(5s));
    CHECK_FALSE(verdict.allowed);
    CHECK_FALSE(verdict.must_fail);
    CHECK(verdict.retry_after == 5s);
}

TEST_CASE("a new IPv6 /64 for each try of a name without tries buys sixteen sources and no more") {
    auth::SignInThrottle throttle({2, 10s, 100'000, 0s}, {1, 60s, 100, 0s});
    CHECK(looked_at(throttle.take({"10.0.0.1", "alice"}, at(0s))));
    int allowed = 0;
    for (int i = 0; i < 1000; ++i)
        allowed += throttle.take({"2001:db8:7:" + std::to_string(i) + "::1", "alice"}, at(0s)).must_fail ? 1 : 0;
    CHECK(allowed == 2 * 16);
}

TEST_CASE("codes of a second factor are few: five, then with waits that double up to an hour") {
    auth::SignInThrottle throttle;
    auto now = at(0s);
    int tries = 0;
    for (; now < at(24h); now += 10s) tries += throttle.take_code("alice", now) ? 1 : 0;
    CHECK(tries >= 25);
    CHECK(tries <= 40);
    CHECK(throttle.take_code("bob", now));
    throttle.succeeded({"10.0.0.1", "alice"}, now);
    now += 1h;
    for (int i = 0; i < 5; ++i) CHECK(throttle.take_code("alice", now));
    CHECK_FALSE(throttle.take_code("alice", now));
}
