#pragma once
#include <string>

#include "clients/device/p256_encoding.hpp"
#include "clients/device/token.hpp"

namespace usher::clients::device {

// Work on the key pairs of a token, for Token::run(); each gives PKCS#11's code. A pair is named by its CKA_ID, which
// both halves have.

/// CKR_MECHANISM_INVALID where the token cannot make P-256 keys or sign with them.
CK_RV check_mechanisms(const TokenSession& session);

/// Makes a pair on the token: private, sensitive, not extractable, for signing only (PKCS#11 v2.40 §4.9). One that the
/// token made in another way is destroyed: CKR_ATTRIBUTE_VALUE_INVALID.
CK_RV generate_pair(const TokenSession& session, const std::string& label, const std::string& id);

/// The public key. CKR_KEY_HANDLE_INVALID: the token has no such private key, or not its public half.
CK_RV read_point(const TokenSession& session, const std::string& id, P256Point& point);

/// How many private keys of this label have another id than the one given.
CK_RV count_others(const TokenSession& session, const std::string& label, const std::string& id, std::size_t& count);

/// r and s of the ECDSA signature of a digest of at most 32 bytes. CKR_KEY_HANDLE_INVALID: there is no such key.
CK_RV sign_digest(const TokenSession& session, const std::string& id, std::span<const std::uint8_t> digest,
                  std::array<std::uint8_t, 64>& r_and_s);

/// Destroys both halves; that there are none is no error.
CK_RV destroy_pair(const TokenSession& session, const std::string& id);

}  // namespace usher::clients::device
