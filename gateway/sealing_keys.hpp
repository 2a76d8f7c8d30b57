#pragma once
#include <string>
#include <vector>

#include "auth/sealing.hpp"
#include "base/result.hpp"

namespace usher::gateway {

/// Reads the keys that secrets in the database are sealed with: each of `files` holds 64 hexadecimal digits and perhaps
/// a newline, belongs to this user or root, and nobody else may read it. Without files the key is
/// `own_directory`/sealing.key, which is made where it is missing (the directory with mode 0700, the file with 0600).
/// Errors name the file and hold nothing of it. Blocks on the file system.
base::Result<auth::SealingKeys> load_sealing_keys(const std::vector<std::string>& files,
                                                  const std::string& own_directory);

}  // namespace usher::gateway
