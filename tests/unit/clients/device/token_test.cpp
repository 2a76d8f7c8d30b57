#include "clients/device/token.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "catch.hpp"
#include "clients/common/private_file.hpp"
#include "clients/device/token_error.hpp"
#include "fake_module.hpp"

using namespace usher::clients;
using namespace usher::clients::device;
using usher::base::Errc;
using usher::base::Result;
using Access = Token::Access;

namespace {

struct PinFile {
    explicit PinFile(const std::string& pin) {
        std::string name = std::filesystem::temp_directory_path() / "usher-pin-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        directory = name;
        write(pin);
    }
    ~PinFile() { std::filesystem::remove_all(directory); }
    void write(const std::string& pin) const { REQUIRE(write_private_file(path(), pin + "\n").ok()); }
    std::string path() const { return directory + "/pin"; }
    PinSource source() const { return {path(), PinAsking::never}; }
    std::string directory;
};

struct Bench {
    FakeModule module;
    PinFile pin{"1234"};
    Token token{TokenUri::parse("pkcs11:token=t").value(), [this](const TokenUri&) { return module.find(); }};

    Result<void> run(const std::function<CK_RV(const TokenSession&)>& work, Access access = Access::read) {
        return token.run(pin.source(), access, "do this", work);
    }
    Result<void> run() {
        return run([](const TokenSession&) -> CK_RV { return CKR_OK; });
    }
};

bool has(const Result<void>& result, Errc code, const std::string& words) {
    INFO((result ? "done" : result.error().message));
    const bool fits = !result && result.error().code == code && result.error().message.find(words) != std::string::npos;
    CHECK(fits);
    return fits;
}

}  // namespace

TEST_CASE("a token is logged in to once, and what changes it has a session that may write") {
    Bench bench;
    CHECK(bench.run().ok());
    CHECK(bench.run().ok());
    CHECK(bench.module.logins == std::vector<std::string>{"1234"});
    bool writes = false;
    CHECK(bench
              .run(
                  [&](const TokenSession& on) -> CK_RV {
                      writes = bench.module.sessions.at(on.handle);
                      return CKR_OK;
                  },
                  Access::write)
              .ok());
    CHECK(writes);
    CHECK(bench.module.sessions.size() == 1);
    bench.token.close();
    CHECK(bench.module.sessions.empty());
    CHECK(bench.run().ok());
    CHECK(bench.module.logins.size() == 2);
}

TEST_CASE("a session that the token has forgotten is opened and logged in anew, once") {
    for (const CK_RV lost : {CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_DEVICE_REMOVED,
                             CKR_KEY_HANDLE_INVALID, CKR_CRYPTOKI_NOT_INITIALIZED}) {
        Bench bench;
        int calls = 0;
        CHECK(bench.run([&](const TokenSession&) -> CK_RV { return ++calls == 1 ? lost : CKR_OK; }).ok());
        CHECK((calls == 2 && bench.module.logins.size() == 2));
        calls = 0;
        CHECK_FALSE(bench.run([&](const TokenSession&) -> CK_RV { return ++calls, lost; }).ok());
        CHECK(calls == 2);
    }
}

TEST_CASE("a token that was taken out is told, and used again when it is back") {
    Bench bench;
    CHECK(bench.run().ok());
    bench.module.forget_sessions();
    bench.module.present = false;
    const auto gone = [&](const TokenSession& on) -> CK_RV {
        return bench.module.sessions.count(on.handle) == 1 ? CKR_OK : CKR_DEVICE_REMOVED;
    };
    has(bench.run(gone), Errc::not_found, "there is no token");
    bench.module.present = true;
    CHECK(bench.run(gone).ok());
}

TEST_CASE("a refused PIN is never tried again, and another one is") {
    Bench bench;
    bench.pin.write("1111");
    has(bench.run(), Errc::permission_denied, "refuses the PIN");
    for (int i = 0; i < 5; ++i) has(bench.run(), Errc::permission_denied, "refused this PIN before");
    CHECK(bench.module.logins == std::vector<std::string>{"1111"});
    bench.pin.write("2222");
    has(bench.run(), Errc::permission_denied, "refuses the PIN");
    bench.pin.write("1111");
    has(bench.run(), Errc::permission_denied, "refused this PIN before");
    bench.pin.write("1234");
    CHECK(bench.run().ok());
    CHECK(bench.module.logins == std::vector<std::string>{"1111", "2222", "1234"});
    // No session of a login that failed is left.
    CHECK(bench.module.sessions.size() == 1);
}

TEST_CASE("no PIN is tried where that could lock the token or nobody can be asked") {
    Bench bench;
    bench.module.flags |= CKF_USER_PIN_FINAL_TRY;
    has(bench.run(), Errc::permission_denied, "one more wrong PIN");
    bench.module.flags |= CKF_USER_PIN_LOCKED;
    has(bench.run(), Errc::permission_denied, "is locked");
    bench.module.flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED;
    has(bench.run(), Errc::permission_denied, "no user PIN yet");
    bench.module.flags |= CKF_USER_PIN_INITIALIZED;
    has(bench.token.run({std::nullopt, PinAsking::never}, Access::read, "do this", {}), Errc::failed_precondition,
        "pin-source=file:/PATH");
    CHECK(bench.module.logins.empty());
}

TEST_CASE("a file with the PIN is its owner's alone") {
    Bench bench;
    REQUIRE(::chmod(bench.pin.path().c_str(), 0640) == 0);
    has(bench.run(), Errc::permission_denied, "chmod 600");
    has(bench.run(), Errc::permission_denied, "change the PIN if somebody may have seen it");
    bench.pin.write("");
    has(bench.run(), Errc::invalid_argument, "has no PIN");
    std::filesystem::remove(bench.pin.path());
    has(bench.run(), Errc::failed_precondition, "there is no file");
    CHECK(bench.module.logins.empty());
}

TEST_CASE("a token without a login, or with a keypad of its own, wants no PIN") {
    Bench bench;
    std::filesystem::remove(bench.pin.path());
    bench.module.flags = CKF_TOKEN_INITIALIZED;
    CHECK(bench.run().ok());
    CHECK(bench.module.logins.empty());
    bench.token.close();
    bench.module.flags =
        CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_PROTECTED_AUTHENTICATION_PATH;
    CHECK(bench.run().ok());
    CHECK(bench.module.logins == std::vector<std::string>{"keypad"});
}

TEST_CASE("what a token refuses is said with what to do") {
    const std::vector<std::tuple<CK_RV, Errc, std::string>> refusals{
        {CKR_DEVICE_MEMORY, Errc::resource_exhausted, "is full; remove a key"},
        {CKR_MECHANISM_INVALID, Errc::failed_precondition, "use another token"},
        {CKR_CURVE_NOT_SUPPORTED, Errc::failed_precondition, "use another token"},
        {CKR_TOKEN_WRITE_PROTECTED, Errc::failed_precondition, "write-protected"},
        {CKR_KEY_HANDLE_INVALID, Errc::failed_precondition, "usher enroll --replace"},
        {CKR_TOKEN_NOT_PRESENT, Errc::unavailable, "put it in"},
        {CKR_GENERAL_ERROR, Errc::internal, "was to do this"},
        {CKR_VENDOR_DEFINED | 0x99, Errc::internal, "0x80000099"},
    };
    for (const auto& [code, errc, words] : refusals) {
        Bench bench;
        has(bench.run([code = code](const TokenSession&) { return code; }), errc, words);
    }
    Bench bench;
    bench.module.login_answer = CKR_PIN_LOCKED;
    has(bench.run(), Errc::permission_denied, "is locked");
    bench.module.opening = CKR_SESSION_COUNT;
    has(bench.run(), Errc::internal, "open a session");
}

TEST_CASE("threads take turns on a token") {
    Bench bench;
    std::atomic<int> inside{0}, together{0}, done{0};
    const auto work = [&](const TokenSession&) -> CK_RV {
        if (++inside != 1) ++together;
        std::this_thread::yield();
        --inside;
        return CKR_OK;
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int turn = 0; turn < 200; ++turn)
                if (bench.token.run(bench.pin.source(), Access::read, "do this", work)) ++done;
        });
    for (auto& thread : threads) thread.join();
    CHECK(together == 0);
    CHECK(done == 800);
    CHECK(bench.module.logins.size() == 1);
}
