#pragma once
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::auth {

/// What a database may hold of a secret that the gateway needs again: nobody reads it without the key, which is not in
/// the database.
struct Sealed {
    std::string key_id;  ///< of the key that opens it
    std::string bytes;   ///< nonce, then ciphertext with its tag
    friend bool operator==(const Sealed&, const Sealed&) = default;
};

/// The keys that secrets are sealed with (XChaCha20-Poly1305 of libsodium). The first one seals; all of them open, so
/// that keys can be rotated. Immutable after of(); thread-safe.
class SealingKeys {
public:
    static constexpr std::size_t key_bytes = 32;
    static constexpr std::size_t keys_max = 8;

    /// invalid_argument when there is no key, more than eight, one of another length than 32 bytes, or one twice.
    static base::Result<SealingKeys> of(std::vector<base::Secret> keys);

    /// `context` says what the secret is and whose ("totp-seed ACCOUNT_ID"): it opens under the same context only, so a
    /// row that is copied to another account is worth nothing.
    Sealed seal(const base::Secret& secret, std::string_view context) const;
    /// failed_precondition, with the key's id, when none of the keys is the one; data_loss when the bytes or the
    /// context are not what was sealed.
    base::Result<base::Secret> open(const Sealed& sealed, std::string_view context) const;

    /// The id of the key that seals: 16 hex digits that follow from the key.
    const std::string& current_id() const noexcept { return keys_.front().id; }
    bool has(std::string_view key_id) const noexcept;

private:
    struct Key {
        std::string id;
        base::Secret bytes;
    };
    explicit SealingKeys(std::vector<Key> keys) : keys_(std::move(keys)) {}
    std::vector<Key> keys_;
};

}  // namespace usher::auth
