#pragma once
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::base {

enum class LogLevel { debug, info, warning, error };
enum class LogFormat { text, json };

struct LogOptions {
    LogLevel level = LogLevel::info;
    LogFormat format = LogFormat::text;
    std::string file;  ///< empty: standard error
};

/// One key and value of a log line. Values are escaped; a value over 1 KiB is cut. No Secret converts to it.
struct LogField {
    std::string_view key;
    std::string value;
    LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
    LogField(std::string_view k, const char* v) : key(k), value(v) {}
    LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
    template <class Number>
        requires std::is_arithmetic_v<Number>
    LogField(std::string_view k, Number v) : key(k), value(std::to_string(v)) {}
};

/// Opens the log as told; called again (SIGHUP) it re-opens the file, and keeps the old log where that fails.
/// Thread-safe.
Result<void> configure_log(const LogOptions& options);

/// Writes one line: time, level, `message` (a fixed sentence, never data), then the fields. The operator's log is no
/// record: it holds ids and causes, no personal data and no secret. Thread-safe; never throws; before
/// configure_log() it goes to standard error as text.
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {}) noexcept;

inline void log_debug(std::string_view m, std::initializer_list<LogField> f = {}) noexcept { log(LogLevel::debug, m, f); }
inline void log_info(std::string_view m, std::initializer_list<LogField> f = {}) noexcept { log(LogLevel::info, m, f); }
inline void log_warning(std::string_view m, std::initializer_list<LogField> f = {}) noexcept { log(LogLevel::warning, m, f); }
inline void log_error(std::string_view m, std::initializer_list<LogField> f = {}) noexcept { log(LogLevel::error, m, f); }

}  // namespace usher::base
