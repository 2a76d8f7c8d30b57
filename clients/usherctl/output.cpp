#include "clients/usherctl/output.hpp"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <functional>

#include "base/text.hpp"
#include "clients/common/program.hpp"
#include "clients/common/table.hpp"
#include "clients/usherctl/resource_file.hpp"

namespace usher::clients::control {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Timestamp;

bool is_timestamp(const FieldDescriptor& field) {
    return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
           field.message_type()->full_name() == "google.protobuf.Timestamp";
}

bool is_text(const FieldDescriptor& field) { return field.cpp_type() == FieldDescriptor::CPPTYPE_STRING; }

std::string rfc3339(const Message& holder, const FieldDescriptor& field) {
    // A generated message gives a generated Timestamp.
    const auto& value = static_cast<const Timestamp&>(holder.GetReflection()->GetMessage(holder, &field));
    return base::format_rfc3339(to_time(value));
}

/// A field that is no message and not repeated, as text; `text` fields unquoted.
std::string plain_value(const Message& message, const FieldDescriptor& field) {
    const auto* reflection = message.GetReflection();
    switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32:
            return std::to_string(reflection->GetInt32(message, &field));
        case FieldDescriptor::CPPTYPE_INT64:
            return std::to_string(reflection->GetInt64(message, &field));
        case FieldDescriptor::CPPTYPE_UINT32:
            return std::to_string(reflection->GetUInt32(message, &field));
        case FieldDescriptor::CPPTYPE_UINT64:
            return std::to_string(reflection->GetUInt64(message, &field));
        case FieldDescriptor::CPPTYPE_DOUBLE:
            return std::to_string(reflection->GetDouble(message, &field));
        case FieldDescriptor::CPPTYPE_FLOAT:
            return std::to_string(reflection->GetFloat(message, &field));
        case FieldDescriptor::CPPTYPE_BOOL:
            return reflection->GetBool(message, &field) ? "true" : "false";
        case FieldDescriptor::CPPTYPE_ENUM: {
            const int number = reflection->GetEnumValue(message, &field);
            const auto* value = field.enum_type()->FindValueByNumber(number);
            return value == nullptr ? std::to_string(number) : value->name();
        }
        case FieldDescriptor::CPPTYPE_STRING:
            return reflection->GetString(message, &field);
        case FieldDescriptor::CPPTYPE_MESSAGE:
            break;
    }
    return {};
}

void yaml_fields(const Message& message, int indent, std::string& out) {
    const auto* reflection = message.GetReflection();
    const std::string margin(static_cast<std::size_t>(indent), ' ');
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
        const FieldDescriptor& field = *message.GetDescriptor()->field(i);
        if (field.is_repeated()) {
            const int count = reflection->FieldSize(message, &field);
            if (count == 0) continue;
            out += margin + field.name() + ":";
            if (!is_text(field)) {
                out += "\n";
                for (int k = 0; k < count; ++k) {
                    std::string item;
                    yaml_fields(reflection->GetRepeatedMessage(message, &field, k), indent + 4, item);
                    if (item.empty()) item = margin + "    {}\n";
                    item.replace(static_cast<std::size_t>(indent) + 2, 1, "-");
                    out += item;
                }
                continue;
            }
            out += " [";
            for (int k = 0; k < count; ++k)
                out += (k == 0 ? "" : ", ") + yaml_quote(reflection->GetRepeatedString(message, &field, k));
            out += "]\n";
        } else if (is_timestamp(field)) {
            if (reflection->HasField(message, &field))
                out += margin + field.name() + ": " + rfc3339(message, field) + "\n";
        } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
            if (!reflection->HasField(message, &field)) continue;
            std::string below;
            yaml_fields(reflection->GetMessage(message, &field), indent + 2, below);
            out += margin + field.name() + ":" + (below.empty() ? " {}\n" : "\n" + below);
        } else if (!field.has_presence() || reflection->HasField(message, &field)) {
            const std::string value = plain_value(message, field);
            if (is_text(field) && value.empty()) continue;
            out += margin + field.name() + ": " + (is_text(field) ? yaml_quote(value) : value) + "\n";
        }
    }
}

void csv_titles(const Descriptor& descriptor, const std::string& prefix, CsvRow& row) {
    for (int i = 0; i < descriptor.field_count(); ++i) {
        const FieldDescriptor& field = *descriptor.field(i);
        if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !is_timestamp(field) && !field.is_repeated())
            csv_titles(*field.message_type(), prefix + field.name() + ".", row);
        else
            row.add_text(prefix + field.name());
    }
}

void csv_cells(const Message& message, CsvRow& row) {
    const auto* reflection = message.GetReflection();
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
        const FieldDescriptor& field = *message.GetDescriptor()->field(i);
        if (field.is_repeated()) {
            std::string joined;
            for (int k = 0; is_text(field) && k < reflection->FieldSize(message, &field); ++k)
                joined += (k == 0 ? "" : "; ") + reflection->GetRepeatedString(message, &field, k);
            row.add_text(joined);
        } else if (is_timestamp(field)) {
            row.add_plain(reflection->HasField(message, &field) ? rfc3339(message, field) : "");
        } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
            csv_cells(reflection->GetMessage(message, &field), row);
        } else if (is_text(field)) {
            row.add_text(plain_value(message, field));
        } else {
            row.add_plain(field.has_presence() && !reflection->HasField(message, &field) ? ""
                                                                                         : plain_value(message, field));
        }
    }
}

}  // namespace

std::string to_json_line(const Message& message) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.always_print_primitive_fields = true;
    std::string line;
    const auto status = google::protobuf::util::MessageToJsonString(message, &line, options);
    if (!status.ok()) throw Failure{"cannot write a message as JSON: " + base::escape_for_terminal(status.ToString())};
    return line + "\n";
}

std::string to_yaml_document(const Message& message) {
    std::string out = "---\n";
    yaml_fields(message, 0, out);
    return out;
}

std::string csv_header(const Descriptor& descriptor) {
    CsvRow row;
    csv_titles(descriptor, "", row);
    return std::move(row).finish();
}

std::string csv_row(const Message& message) {
    CsvRow row;
    csv_cells(message, row);
    return std::move(row).finish();
}

base::UtcTime to_time(const Timestamp& timestamp) {
    return base::UtcTime{std::chrono::seconds{timestamp.seconds()} + base::Microseconds{timestamp.nanos() / 1000}};
}

Timestamp to_timestamp(base::UtcTime time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    Timestamp timestamp;
    timestamp.set_seconds(seconds.time_since_epoch().count());
    timestamp.set_nanos(static_cast<int>((time - seconds).count() * 1000));
    return timestamp;
}

std::string shown_time(bool set, const Timestamp& timestamp) {
    return set ? short_time(to_time(timestamp)) : std::string{};
}

}  // namespace usher::clients::control
