#include "clients/usherctl/resource_input.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "base/text.hpp"
#include "clients/common/program.hpp"

namespace usher::clients::control {

namespace {

/// At most one byte more than may be applied, so that the parser can say that it is too much.
std::string read_all(const std::string& path) {
    std::ifstream file;
    if (path != "-") {
        file.open(path, std::ios::binary);
        if (!file) throw Failure{"cannot read " + base::escape_for_terminal(path) + ": " + std::strerror(errno)};
    }
    std::istream& in = path == "-" ? std::cin : file;
    std::string text(resource_file_limit_bytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) throw Failure{"cannot read " + base::escape_for_terminal(path)};
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (path != "-" && text.empty() && !in.eof())
        throw Failure{"cannot read " + base::escape_for_terminal(path) + ": is it a directory?"};
    return text;
}

}  // namespace

ResourceFile read_resource_file(const std::string& path) {
    return must(parse_resource_file(read_all(path), path == "-" ? "standard input" : path));
}

void require(const ControlChannel& channel, const ResourceFile& file, const grpc::Status& status) {
    if (status.error_message().starts_with("resources[")) throw Failure{file.locate(status.error_message())};
    channel.require(status);
}

}  // namespace usher::clients::control
