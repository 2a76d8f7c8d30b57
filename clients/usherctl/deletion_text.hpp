#pragma once
#include <string>

#include "usher/v1/account.pb.h"

namespace usher::clients::control {

/// What is said before an account is deleted, for people: whole lines. Pure.
std::string deletion_text(const usher::v1::PreviewAccountDeletionResponse& preview);

}  // namespace usher::clients::control
