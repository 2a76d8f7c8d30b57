#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::clients {

/// "$XDG_CONFIG_HOME/PROGRAM", or "~/.config/PROGRAM". Fails where there is neither that nor HOME.
base::Result<std::string> config_directory(std::string_view program);

/// Writes a file that only its owner may read (0600), in a directory that only its owner may enter (made with 0700
/// where it is missing). After a crash there is either the old content or the new one.
base::Result<void> write_private_file(const std::string& path, std::string_view content);

/// The content of a regular file of at most 64 KiB; nullopt when there is none. `secret`: refuses a file that others
/// may read or that somebody else owns, and says how to mend that. `if_seen`: what its owner is to do where somebody
/// may have seen it.
base::Result<std::optional<std::string>> read_private_file(const std::string& path, bool secret,
                                                           std::string_view if_seen = "sign in again");

/// Removes the file; that it is not there is no error.
base::Result<void> remove_private_file(const std::string& path);

}  // namespace usher::clients
