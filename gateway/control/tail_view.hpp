#pragma once
#include "auth/model.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::gateway::control {

/// How much of an event somebody is shown. Whoever is shown the same shares what it costs to write it.
enum class TailView : char { full = 'f', masked = 'm' };

/// What a caller of this role is shown.
TailView view_of(auth::Role role);

/// Makes of the event what `view` shows of it: without personal fields where it is masked (personal_fields.hpp).
void transform(TailView view, usher::v1::AuditEvent& event);

}  // namespace usher::gateway::control
