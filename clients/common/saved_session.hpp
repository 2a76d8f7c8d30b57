#pragma once
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "clients/common/endpoint.hpp"

namespace usher::clients {

/// What a sign-in leaves on this machine. The token belongs to one gateway and is never shown to another.
struct SavedSession {
    Endpoint gateway;
    std::string ca_file;  ///< absolute; empty: the system's certificates
    std::string username;
    std::string session_id;
    base::UtcTime expires_at;  ///< as the gateway said at sign-in; it may end sooner
    base::Secret token;
};

/// JSON, one object. The text holds the token: wipe it after use.
std::string encode_session(const SavedSession& session);
/// Strict: every member must be there, and the token must be 16 to 1024 characters that a header can carry.
base::Result<SavedSession> decode_session(std::string_view text);

base::Result<void> save_session(const std::string& path, const SavedSession& session);
/// nullopt: nobody signed in on this machine. See read_private_file for what is refused.
base::Result<std::optional<SavedSession>> load_session(const std::string& path);

}  // namespace usher::clients
