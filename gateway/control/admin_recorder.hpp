#pragma once
#include <string>
#include <vector>

#include "audit/journal/journal.hpp"
#include "auth/directory.hpp"
#include "base/result.hpp"
#include "gateway/control/caller.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::gateway::control {

/// A record with who the caller is and from where, and nothing of what was done. Pure.
usher::v1::AdminRecord record_of(const Caller& caller);

/// Keeps the record of one administrative call. An act is durable in the journal before it is committed; when it then
/// could not be, a FAILED record follows for each act that was announced. Blocks on the journal. One call, one thread.
class AdminRecorder {
public:
    AdminRecorder(audit::Journal& journal, const Caller& caller) : journal_(journal), caller_(caller) {}
    AdminRecorder(const AdminRecorder&) = delete;
    AdminRecorder& operator=(const AdminRecorder&) = delete;

    /// Records that `change` is being done; an error means that it must not be. A transaction that runs again announces
    /// its changes again: an equal one is not recorded twice, another one of the same act marks the first FAILED.
    base::Result<void> record(const auth::Change& change);
    /// record() as the directory takes it. Refers to this object.
    auth::RecordChange callback();

    /// Marks what was announced as FAILED. Returns `why`, so that a handler can end with it.
    base::Error failed(base::Error why);
    /// Marks as FAILED what another recorder announced.
    void failed(const auth::Change& change, const base::Error& why) { append_failed(change, why.message); }

    /// Records the outcome of an act that is announced and carried out by somebody else than a recorder.
    static base::Result<void> note(audit::Journal& journal, const Caller& caller, const auth::Change& change,
                                   usher::v1::AdminRecord::Outcome::Value outcome, const std::string& detail);

    /// Records a call that was refused for the caller's role.
    static void refused(audit::Journal& journal, const Caller& caller, std::string action, std::string resource);

private:
    void append_failed(const auth::Change& change, const std::string& detail);

    audit::Journal& journal_;
    const Caller& caller_;
    std::vector<auth::Change> announced_;
};

}  // namespace usher::gateway::control
