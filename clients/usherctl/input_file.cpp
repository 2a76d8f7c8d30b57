#include "clients/usherctl/input_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "base/text.hpp"
#include "clients/common/program.hpp"

namespace usher::clients::control {

std::string read_input(const std::string& path, std::size_t limit) {
    std::ifstream file;
    if (path != "-") {
        file.open(path, std::ios::binary);
        if (!file) throw Failure{"cannot read " + base::escape_for_terminal(path) + ": " + std::strerror(errno)};
    }
    std::istream& in = path == "-" ? std::cin : file;
    std::string text(limit + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) throw Failure{"cannot read " + base::escape_for_terminal(path)};
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (path != "-" && text.empty() && !in.eof())
        throw Failure{"cannot read " + base::escape_for_terminal(path) + ": is it a directory?"};
    return text;
}

}  // namespace usher::clients::control
