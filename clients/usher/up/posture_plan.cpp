#include "clients/usher/up/posture_plan.hpp"

namespace usher::clients::agent {

using Outcome = ReportResult::Outcome;

bool PosturePlan::due(const std::string& session_id, const Posture& posture, base::MonoTime now) const {
    if (session_id != session_id_) return true;
    switch (outcome_) {
        case Outcome::taken:
            return posture != posture_;
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
