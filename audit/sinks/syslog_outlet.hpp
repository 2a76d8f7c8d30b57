#pragma once
#include <memory>

#include "audit/sinks/outlet.hpp"
#include "audit/sinks/settings.hpp"

namespace usher::audit::sinks {

/// Syslog over TLS (RFC 5424, RFC 5425). The protocol has no acknowledgement, so a batch has a connection of its own,
/// and counts as delivered when the receiver has closed it behind us (TlsClient::finish, decision 31). `host` is what
/// the machine calls itself in the messages. invalid_argument where the sink's files cannot be used.
base::Result<std::unique_ptr<Outlet>> make_syslog_outlet(Settings settings, std::string host);

}  // namespace usher::audit::sinks
