#pragma once
#include "clients/common/saved_session.hpp"
#include "clients/posture/posture.hpp"

namespace usher::clients::agent {

/// What this machine's user declined; where that cannot be read it is said, and counts as everything.
PostureFields declined_or_all();

/// Reports this device in a session. That this fails ends nothing: it is said in one line.
void report_this_device(const SavedSession& session);

}  // namespace usher::clients::agent
