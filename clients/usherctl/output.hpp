#pragma once
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace usher::clients::control {

/// The proto3 JSON mapping of one message on one line: the field names of the .proto, fields without presence always
/// there. Ends with a newline.
std::string to_json_line(const google::protobuf::Message& message);

/// One YAML document, beginning with "---": the fields that are set, in the order of the .proto.
std::string to_yaml_document(const google::protobuf::Message& message);

/// CSV of any message: one column per field, those of a message field as "device.name"; repeated texts joined by "; ".
/// Times are RFC 3339, enums their names, numbers exact, text guarded (see CsvRow).
std::string csv_header(const google::protobuf::Descriptor& descriptor);
std::string csv_row(const google::protobuf::Message& message);

base::UtcTime to_time(const google::protobuf::Timestamp& timestamp);
google::protobuf::Timestamp to_timestamp(base::UtcTime time);
/// For tables: whole seconds; "" when it is not set.
std::string shown_time(bool set, const google::protobuf::Timestamp& timestamp);

}  // namespace usher::clients::control
