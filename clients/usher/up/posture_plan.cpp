#include "clients/usher/up/posture_plan.hpp"

namespace usher::clients::agent {

using Outcome = ReportResult::Outcome;

bool PosturePlan::changed(const Posture& posture, base::MonoTime now) const {
    if (posture == posture_) return false;
    if (now - at_ >= posture_slow) return true;
    Posture lasting = posture;
    for (const auto field : {PostureField::battery_percent, PostureField::storage_free_bytes}) {
        // That one of them was declined or allowed counts at once.
        if (posture[field].empty() != posture_[field].empty()) return true;
        lasting[field] = posture_[field];
    }
    return lasting != posture_;
}

bool PosturePlan::due(const std::string& session_id, const Posture& posture, base::MonoTime now) const {
    if (session_id != session_id_) return true;
    switch (outcome_) {
        case Outcome::taken:
            return changed(posture, now) || now - at_ >= posture_rest;
        case Outcome::older_gateway:
        case Outcome::refused:
            return now - at_ >= posture_rest;
        case Outcome::later:
            break;
    }
    return true;
}

void PosturePlan::reported(const std::string& session_id, const Posture& posture, Outcome outcome, base::MonoTime now) {
    session_id_ = session_id;
    posture_ = posture;
    outcome_ = outcome;
    at_ = now;
}

}  // namespace usher::clients::agent
