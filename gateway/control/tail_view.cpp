#include "gateway/control/tail_view.hpp"

#include "gateway/control/caller.hpp"
#include "gateway/control/personal_fields.hpp"

namespace usher::gateway::control {

TailView view_of(auth::Role role) { return sees_personal_fields(role) ? TailView::full : TailView::masked; }

void transform(TailView view, usher::v1::AuditEvent& event) {
    if (view == TailView::masked) mask_personal_fields(event);
}

}  // namespace usher::gateway::control
