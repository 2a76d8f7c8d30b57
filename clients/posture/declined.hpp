#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "clients/common/sign_in.hpp"
#include "clients/posture/posture.hpp"

namespace usher::clients {

/// What the device's user does not want to be sent, as it is kept in posture.yaml:
///
///     decline: [battery_percent, screen]
///
/// Every field may be declined; a policy that asks for one then finds it not known.
/// Unknown keys and fields, and what is no list, are refused with file, line and column.
base::Result<PostureFields> parse_declined(std::string_view text, std::string_view file);
/// The text of the file.
std::string format_declined(const PostureFields& declined);

/// None where there is no such file.
base::Result<PostureFields> load_declined(const std::string& path);
/// Writes the file anew (see write_private_file); comments that somebody put there are gone.
base::Result<void> save_declined(const std::string& path, const PostureFields& declined);

/// Takes out what is declined. The random device id stays: it says nothing of the machine.
void withhold(DeviceClaims& claims, const PostureFields& declined);

}  // namespace usher::clients
