#pragma once
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/result.hpp"
#include "gateway/tls/generated_identity.hpp"

namespace usher::gateway::tls {

using ContextPtr = std::shared_ptr<SSL_CTX>;

/// A server context: TLS 1.2 and 1.3, forward-secret AEAD suites only, no renegotiation, no compression, no
/// resumption, no 0-RTT, ALPN
/// "h2" before "http/1.1" (a client that offers only other protocols is refused). The error names the file and what is
/// wrong with it: unreadable, no certificate, a key of another certificate, expired.
///
/// With `device_authority` (a certificate, DER) clients are asked for a certificate of that authority alone, by its
/// name (RFC 8446 §4.2.4), and go on without one. One that is shown must be the authority's own, for TLS clients, and
/// good now: the handshake fails otherwise, with the alert that says why.
base::Result<ContextPtr> make_server_context(const IdentityFiles& files, const std::string& device_authority = {});

}  // namespace usher::gateway::tls
