#pragma once
#include <string>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::audit::sinks {

/// The password in a file: its only line, 1 to 1,024 bytes, without the end of the line. The file is a regular one of
/// the program's own user or of root, and others may not read it; what is found and what is wanted is in the error
/// (failed_precondition), which never holds a byte of it.
base::Result<base::Secret> read_password_file(const std::string& path);

}  // namespace usher::audit::sinks
