#pragma once
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::gateway::tls {

/// Where a certificate and its key are.
struct IdentityFiles {
    std::string certificate;  ///< PEM: the certificate, then its chain
    std::string private_key;  ///< PEM
};

/// Makes, once, a CA (ca.pem, ca.key: ECDSA P-256, 10 years) and a server certificate (server.pem, server.key: 397
/// days) for localhost, 127.0.0.1, ::1 and the host's name in `directory` (mode 0700), and returns the latter's files.
/// A server certificate that ends within 30 days is made anew from the same CA. Existing files are never overwritten by
/// anything else.
base::Result<IdentityFiles> ensure_generated_identity(const std::string& directory, base::UtcTime now);

}  // namespace usher::gateway::tls
