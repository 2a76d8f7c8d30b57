#include "clients/usherctl/resource_input.hpp"

#include "clients/common/program.hpp"
#include "clients/usherctl/input_file.hpp"

namespace usher::clients::control {

ResourceFile read_resource_file(const std::string& path) {
    return must(
        parse_resource_file(read_input(path, resource_file_limit_bytes), path == "-" ? "standard input" : path));
}

void require(const ControlChannel& channel, const ResourceFile& file, const grpc::Status& status) {
    if (status.error_message().starts_with("resources[")) throw Failure{file.locate(status.error_message())};
    channel.require(status);
}

}  // namespace usher::clients::control
