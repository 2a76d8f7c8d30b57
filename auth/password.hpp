#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::auth {

/// Argon2id (RFC 9106) through libsodium. The defaults are OWASP's second choice: 19 MiB, 2 passes; about 33 ms.
struct HashCost {
    std::uint64_t operations = 2;
    std::size_t memory_bytes = 19u << 20;
};

inline constexpr std::size_t password_bytes_max = 1024;

/// The encoded hash "$argon2id$..." of the password in NFC. Of any length up to the bound: what a new one has to be is
/// in auth/password_rules.hpp. invalid_argument for a longer one and for what is not UTF-8; resource_exhausted without
/// memory; internal when libsodium cannot be initialised. Every character counts, NUL included.
base::Result<std::string> hash_password(const base::Secret& password, const HashCost& cost = {});

/// In NFC, and in constant time in the password. A malformed hash is false, and so is what is not UTF-8.
bool verify_password(std::string_view hash, const base::Secret& password) noexcept;

/// Whether `hash` is an encoded Argon2id hash at all.
bool is_password_hash(std::string_view hash) noexcept;

/// Whether the hash was made at less than this cost, in memory or in passes. False for what is no hash.
bool is_cheaper(std::string_view hash, const HashCost& cost) noexcept;

}  // namespace usher::auth

// The two other parts of signing in with a password.
#include "auth/hashing_worker.hpp"
#include "auth/sign_in_throttle.hpp"
