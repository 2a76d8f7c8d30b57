#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/clock.hpp"
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
    std::string_view key;  ///< a literal; what is not a letter, digit, '_', '.' or '-' becomes '_'
    std::string value;
    bool bare = false;  ///< the value is a whole number or a truth value: no quotes in JSON
    LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
    LogField(std::string_view k, const char* v) : key(k), value(v) {}
    LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
    LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), bare(true) {}
    template <class Number>
    requires(std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>) LogField(std::string_view k, Number v)
        : key(k), value(std::to_string(v)), bare(std::is_integral_v<Number>) {}
};

/// Opens the log as told: a file is created with mode 0640, or appended to. Called again (SIGHUP) it re-opens the file,
/// and keeps the old log where that fails (unavailable, naming the file and the cause).
/// Thread-safe.
Result<void> configure_log(const LogOptions& options);

/// The line of log(), without its end. Text: "2026-11-23T10:20:30.123456Z INFO  message key=value", a value in quotes
/// where it would not end by itself. JSON: flat keys "time", "level", "message", then the fields (one of these names as
/// a field gets a "_" behind it). At most 32 fields are kept. No byte of a value can end the line. Pure.
std::string format_log_line(LogFormat format, UtcTime time, LogLevel level, std::string_view message,
                            std::initializer_list<LogField> fields);

/// Writes one line: time, level, `message` (a fixed sentence, never data), then the fields. The operator's log is no
/// record: it holds ids and causes, no personal data and no secret. Thread-safe; never throws; before
/// configure_log() it goes to standard error as text.
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {}) noexcept;

inline void log_debug(std::string_view m, std::initializer_list<LogField> f = {}) noexcept {
    log(LogLevel::debug, m, f);
}
inline void log_info(std::string_view m, std::initializer_list<LogField> f = {}) noexcept { log(LogLevel::info, m, f); }
inline void log_warning(std::string_view m, std::initializer_list<LogField> f = {}) noexcept {
    log(LogLevel::warning, m, f);
}
inline void log_error(std::string_view m, std::initializer_list<LogField> f = {}) noexcept {
    log(LogLevel::error, m, f);
}

}  // namespace usher::base
