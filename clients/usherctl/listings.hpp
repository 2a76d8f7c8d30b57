#pragma once
#include <cstdint>
#include <string>

#include "clients/usherctl/settings.hpp"

namespace usher::clients::control {

// Each lists all there is of one kind on standard output, page by page. Throws Failure.
void list_accounts(const Settings& settings, const std::string& format);
void list_apps(const Settings& settings, const std::string& format);
void list_departments(const Settings& settings, const std::string& format);
void list_policies(const Settings& settings, const std::string& format);
/// `account` empty: of all.
void list_retention_classes(const Settings& settings, const std::string& format);
void list_holds(const Settings& settings, const std::string& format);
void list_sessions(const Settings& settings, const std::string& account, const std::string& format);
void list_devices(const Settings& settings, const std::string& account, const std::string& format);

struct AccessQuery {
    std::string filter;
    std::uint64_t limit = 0;  ///< 0: all
    bool oldest_first = false;
};
void list_accesses(const Settings& settings, const AccessQuery& query, const std::string& format);

}  // namespace usher::clients::control
