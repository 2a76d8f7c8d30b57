#pragma once
#include "clients/common/saved_session.hpp"

namespace usher::clients::agent {

/// Gets a new certificate when less than a third of the present one's time is left, in a session that was just begun on
/// it. That this fails ends nothing: it is said, and tried again at the next sign-in.
void renew_device(const SavedSession& session);

}  // namespace usher::clients::agent
