#pragma once
#include <cstddef>
#include <string>

namespace usher::clients::control {

/// The content of a file, or of standard input ("-"): at most one byte more than `limit`, so that a parser can say that
/// it is too much. Throws Failure when it cannot be read.
std::string read_input(const std::string& path, std::size_t limit);

}  // namespace usher::clients::control
