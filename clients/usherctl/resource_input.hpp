#pragma once
#include <string>

#include "clients/usherctl/control_channel.hpp"
#include "clients/usherctl/resource_file.hpp"

namespace usher::clients::control {

/// Reads a file of resources; "-" is standard input. Throws Failure: what cannot be read, and what
/// parse_resource_file() refuses.
ResourceFile read_resource_file(const std::string& path);

/// Throws Failure unless the status is OK; an error about one of the file's resources with its place in the file.
void require(const ControlChannel& channel, const ResourceFile& file, const grpc::Status& status);

}  // namespace usher::clients::control
