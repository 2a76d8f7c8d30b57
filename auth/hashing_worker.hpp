#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "auth/password.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::auth {

/// Who waits for a hash.
struct HashingTurn {
    bool known = false;  ///< an administrator's call, or a sign-in on an enrolled device of the account
    /// Of those who are not known the least comes first: SignInThrottle::Verdict::rank. 0, the best, for whoever has
    /// just proved who they are.
    unsigned rank = 0;
};

/// One thread of low priority (nice 10) that hashes, behind bounded queues: a flood of sign-ins can neither take the
/// workers' CPU nor memory. Whom a stranger cannot pass for has a queue of their own, whose turn comes four times as
/// often: a flood of strangers keeps them waiting for one hash, and is kept out by none of them either. In the queue of
/// all others the least rank comes first, and takes the place of the highest where the queue is full; every fourth turn
/// is that of whoever waits for longest, so that nobody waits for ever. Thread-safe.
class HashingWorker {
public:
    /// Computes the hash that unknown accounts are checked against, which takes one hash's time. Throws
    /// std::runtime_error when the machine cannot hash at this cost: the daemon must not start then.
    explicit HashingWorker(std::size_t queue_limit = 64, HashCost cost = {});
    /// Answers what is queued with unavailable, on the destroying thread, and waits for the hash under way.
    ~HashingWorker();
    HashingWorker(const HashingWorker&) = delete;
    HashingWorker& operator=(const HashingWorker&) = delete;

    using VerifyDone = std::function<void(base::Result<bool>)>;
    /// Verifies `password` against `hash`; an empty or malformed hash costs the same time and is false (an unknown
    /// account must not be told from a wrong password by the clock). `done` runs on the hashing thread and must neither
    /// block nor throw. resource_exhausted when the queue is full: at once and on the calling thread, or later and on
    /// that of whoever has a lesser rank and comes into its place.
    void verify(std::string hash, base::Secret password, VerifyDone done, HashingTurn turn = {});
    /// Whether verify() would find room now; a moment later it may not. For whoever would do other work in vain.
    bool has_room(HashingTurn turn) const noexcept;
    using HashDone = std::function<void(base::Result<std::string>)>;
    /// As verify(), for hash_password().
    void hash(base::Secret password, HashDone done, HashingTurn turn = {});
    /// As known. Blocks until the hash is there. Never call it from a `done`.
    base::Result<std::string> hash_and_wait(base::Secret password);
    /// Whether the hash was made at less than today's cost.
    bool is_outdated(std::string_view hash) const noexcept;
    /// How many wait, without the one under way.
    std::size_t queued() const noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace usher::auth
