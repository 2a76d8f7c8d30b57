#pragma once
#include <string>

#include "base/clock.hpp"
#include "clients/posture/posture.hpp"
#include "clients/posture/report.hpp"

namespace usher::clients::agent {

/// How long a gateway that takes no reports, or not this one, is left alone: each try of a session that is over leaves
/// a denial on its record. A gateway that was upgraded meanwhile gets its report then. One that has taken a report gets
/// it again after that time, which costs it nothing where it knows it: 'usher posture' may have reported meanwhile,
/// from a terminal that knows less of the desktop.
constexpr base::Microseconds posture_rest = std::chrono::hours(1);

/// A battery that hovers between two tens, or storage between two GiB, is told no more often than this.
constexpr base::Microseconds posture_slow = std::chrono::minutes(10);

/// When the running agent reports: in each session once, then whenever what it would send has changed (battery and free
/// storage alone: every ten minutes at most), and each hour; again at the next look when that failed.
class PosturePlan {
public:
    /// Whether `posture` is to be sent now in the session.
    bool due(const std::string& session_id, const Posture& posture, base::MonoTime now) const;
    void reported(const std::string& session_id, const Posture& posture, ReportResult::Outcome outcome,
                  base::MonoTime now);

private:
    bool changed(const Posture& posture, base::MonoTime now) const;

    std::string session_id_;
    Posture posture_;
    ReportResult::Outcome outcome_ = ReportResult::Outcome::later;
    base::MonoTime at_{};
};

}  // namespace usher::clients::agent
