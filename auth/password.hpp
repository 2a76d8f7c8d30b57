#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::auth {

/// Argon2id (RFC 9106) through libsodium. The defaults are OWASP's second choice: 19 MiB, 2 passes; about 33 ms.
struct HashCost {
    std::uint64_t operations = 2;
    std::size_t memory_bytes = 19u << 20;
};

inline constexpr std::size_t password_bytes_min = 8;
inline constexpr std::size_t password_bytes_max = 1024;

/// The encoded hash "$argon2id$...". invalid_argument outside of the length bounds; resource_exhausted without memory.
base::Result<std::string> hash_password(const base::Secret& password, const HashCost& cost = {});
/// Constant time in the password. A malformed hash is false.
bool verify_password(std::string_view hash, const base::Secret& password) noexcept;

/// One thread of low priority (nice 10) that hashes, behind a bounded queue: a flood of sign-ins can neither take the workers' CPU
/// nor memory. Thread-safe.
class HashingWorker {
public:
    explicit HashingWorker(std::size_t queue_limit = 64, HashCost cost = {});
    ~HashingWorker();  ///< answers what is queued with unavailable

    using VerifyDone = std::function<void(base::Result<bool>)>;
    /// Verifies `password` against `hash`; an empty hash costs the same time and is false (an unknown account must not be told
    /// from a wrong password by the clock). `done` runs on the hashing thread. resource_exhausted at once when the
    /// queue is full.
    void verify(std::string hash, base::Secret password, VerifyDone done);
    using HashDone = std::function<void(base::Result<std::string>)>;
    void hash(base::Secret password, HashDone done);
    base::Result<std::string> hash_and_wait(base::Secret password);
    std::size_t queued() const noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Throttles sign-ins per source (/32 or /64) and per account by token buckets: `burst` at once, then one per `refill`. Sans-io,
/// bounded (the least recent entry goes; a full table of active entries refuses new ones). Failures cost a token, success gives it back.
/// Thread-safe.
class SignInThrottle {
public:
    struct Limits {
        unsigned burst = 10;
        base::Microseconds refill{6'000'000};
        std::size_t entries = 65536;
    };
    explicit SignInThrottle(Limits per_source, Limits per_account);
    SignInThrottle() : SignInThrottle(Limits{30, base::Microseconds{2'000'000}, 65536}, Limits{}) {}
    ~SignInThrottle();
    /// True and a token of each taken, or false and how long to wait.
    struct Verdict { bool allowed; base::Microseconds retry_after; };
    Verdict take(std::string_view source, std::string_view canonical_username, base::MonoTime now);
    void give_back(std::string_view source, std::string_view canonical_username, base::MonoTime now);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace usher::auth
