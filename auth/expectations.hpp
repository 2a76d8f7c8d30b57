#pragma once
#include <string>
#include <variant>
#include <vector>

#include "auth/directory.hpp"

namespace usher::auth {

/// Whether the directory, as it would be after a call, decides what its policies expect. A failed expectation of a
/// policy of the call (`resources`, in its order) is an invalid_argument that begins with "resources[N].expect[M]: ";
/// one that another policy holds is failed_precondition and names it. An expectation about an account or app that does
/// not exist fails when its policy is of the call; an older one is passed over, for it says nothing about anybody.
/// Pure.
base::Result<void> check_expectations(const DirectorySnapshot& after, const Resources& resources);

}  // namespace usher::auth
