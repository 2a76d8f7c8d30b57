#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "clients/common/yaml_tree.hpp"
#include "usher/v1/resource.pb.h"

namespace usher::clients::control {

constexpr std::size_t resource_file_limit_bytes = 1024 * 1024;
constexpr std::size_t resource_count_limit = 1000;

/// Apps, policies and departments, or classes and holds, as a file gave them, with the place of every field, so that an
/// error of the server can point at it.
struct ResourceFile {
    std::string file;
    usher::v1::ApplyRequest request;
    /// One per resource: "destinations[1]" or "allow[0].groups" -> its place; "" is the resource itself.
    std::vector<std::map<std::string, SourceMark>> marks;

    /// "resources[N].field: why" -> "FILE:LINE:COLUMN: field: why"; another text comes back escaped.
    std::string locate(std::string_view server_message) const;
};

/// Reads a multi-document YAML text. Strict: unknown keys (with the one that was meant), wrong types, missing names and
/// what parse_yaml refuses are errors with file, line and column. The server judges the values. Pure.
base::Result<ResourceFile> parse_resource_file(std::string_view text, std::string file);

/// The YAML that parse_resource_file reads, one document each, beginning with "---".
std::string to_yaml(const usher::v1::App& app);
std::string to_yaml(const usher::v1::Policy& policy);
std::string to_yaml(const usher::v1::Department& department);
std::string to_yaml(const usher::v1::RetentionClass& retention_class);
std::string to_yaml(const usher::v1::Hold& hold);

/// One line of a file or a terminal: `text` as a YAML scalar in double quotes. Used for every value from outside.
std::string yaml_quote(std::string_view text);

}  // namespace usher::clients::control
