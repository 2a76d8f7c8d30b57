#pragma once
#include <string>

#include "clients/posture/posture.hpp"

namespace usher::clients::agent {

/// What this device would say of itself, for its user.
struct PostureView {
    /// As it goes out: declined fields empty, the uid made.
    Posture posture;
    PostureFields declined;
    enum class Gateway {
        unknown,        ///< nobody is signed in, or it cannot be asked
        takes_reports,  ///< and gave its key
        older,          ///< takes none
    };
    Gateway gateway = Gateway::unknown;
    std::string words{};  ///< what its user should know of it; may be empty
};

/// One row a field: its value, whether it is sent and when, and where it comes from.
std::string posture_table(const PostureView& view);
/// {"posture": the report's body, "at_sign_in": {...}, "not_known": [...], "declined": [...], "gateway", "words"}; with
/// an older gateway "posture" is empty.
std::string posture_json(const PostureView& view);
/// "battery_percent, screen", in the order of the fields.
std::string listed(const PostureFields& fields);

}  // namespace usher::clients::agent
