#pragma once
#include <openssl/ssl.h>

#include <memory>

#include "base/result.hpp"
#include "gateway/tls/generated_identity.hpp"

namespace usher::gateway::tls {

using ContextPtr = std::shared_ptr<SSL_CTX>;

/// A server context: TLS 1.2 and 1.3, forward-secret AEAD suites only, no renegotiation, no compression, no
/// resumption, no 0-RTT, ALPN
/// "h2" before "http/1.1" (a client that offers only other protocols is refused). The error names the file and what is
/// wrong with it: unreadable, no certificate, a key of another certificate, expired.
base::Result<ContextPtr> make_server_context(const IdentityFiles& files);

}  // namespace usher::gateway::tls
