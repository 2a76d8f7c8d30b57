#include "gateway/control/tail_view.hpp"

namespace usher::gateway::control {

TailView view_of(auth::Role) { return TailView::full; }

void transform(TailView, usher::v1::AuditEvent&) {}

}  // namespace usher::gateway::control
