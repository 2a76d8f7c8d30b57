#pragma once
#include <google/protobuf/message.h>

#include <cstdint>
#include <string>

#include "audit/journal/journal.hpp"
#include "base/result.hpp"
#include "gateway/control/caller.hpp"

namespace usher::gateway::control {

/// A read of the audit, as it goes on record (decision 33).
struct AuditRead {
    std::string action;    ///< "access.list"
    std::string resource;  ///< "accesses"
    std::uint64_t count = 0;
};

/// Records that `caller` is being given what `request` asked for. Blocks until that is durable; an error means that
/// nothing must be given.
base::Result<void> record_read(audit::Journal& journal, const Caller& caller, const AuditRead& read,
                               const google::protobuf::Message& request);

/// Records that a tail, whose start is on record, has ended and how many events it was given. Does not wait: a failure
/// is in the log.
void record_tail_end(audit::Journal& journal, const Caller& caller, std::uint64_t events, const std::string& why);

}  // namespace usher::gateway::control
