#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "clients/common/table.hpp"
#include "usher/v1/access.pb.h"
#include "usher/v1/account.pb.h"
#include "usher/v1/audit.pb.h"
#include "usher/v1/device.pb.h"
#include "usher/v1/resource.pb.h"
#include "usher/v1/retention.pb.h"
#include "usher/v1/session.pb.h"
#include "usher/v1/sink.pb.h"
namespace usher::clients::control {

/// The texts of a range in one line.
template <class Texts>
std::string joined(const Texts& texts, std::string_view separator = ", ") {
    std::string out;
    for (const auto& text : texts) {
        if (!out.empty()) out += separator;
        out += text;
    }
    return out;
}

// How each thing looks in a table: its columns, and the cells of one row. The overloads are found by the message's
// type.
std::vector<Column> columns_of(const usher::v1::Account&);
std::vector<std::string> cells_of(const usher::v1::Account& account);
std::vector<Column> columns_of(const usher::v1::App&);
std::vector<std::string> cells_of(const usher::v1::App& app);
std::vector<Column> columns_of(const usher::v1::Policy&);
std::vector<std::string> cells_of(const usher::v1::Policy& policy);
std::vector<Column> columns_of(const usher::v1::Department&);
std::vector<std::string> cells_of(const usher::v1::Department& department);
std::vector<Column> columns_of(const usher::v1::PolicyDifference&);
std::vector<std::string> cells_of(const usher::v1::PolicyDifference& difference);
std::vector<Column> columns_of(const usher::v1::PolicyFlip&);
std::vector<std::string> cells_of(const usher::v1::PolicyFlip& flip);
std::vector<Column> columns_of(const usher::v1::RetentionClass&);
std::vector<std::string> cells_of(const usher::v1::RetentionClass& retention_class);
std::vector<Column> columns_of(const usher::v1::Hold&);
std::vector<std::string> cells_of(const usher::v1::Hold& hold);
std::vector<Column> columns_of(const usher::v1::Session&);
std::vector<std::string> cells_of(const usher::v1::Session& session);
std::vector<Column> columns_of(const usher::v1::ParkedRecord&);
std::vector<std::string> cells_of(const usher::v1::ParkedRecord& parked);
std::vector<Column> columns_of(const usher::v1::Sink&);
std::vector<std::string> cells_of(const usher::v1::Sink& sink);
std::vector<Column> columns_of(const usher::v1::ParkedSinkRecord&);
std::vector<std::string> cells_of(const usher::v1::ParkedSinkRecord& parked);
std::vector<Column> columns_of(const usher::v1::EnrolledDevice&);
std::vector<std::string> cells_of(const usher::v1::EnrolledDevice& device);
std::vector<Column> columns_of(const usher::v1::AccessRecord&);
std::vector<std::string> cells_of(const usher::v1::AccessRecord& record);

/// One account, all fields.
std::string details_of(const usher::v1::Account& account);
/// The line of an event in `audit tail`: time, event, user, app, destination, figures, reason. Ends with a newline.
std::string line_of(const usher::v1::AuditEvent& event);

}  // namespace usher::clients::control
