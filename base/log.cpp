#include "base/log.hpp"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <system_error>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace usher::base {
namespace {

constexpr std::size_t kMaxValueBytes = 1024;
constexpr std::size_t kMaxKeyBytes = 64;
constexpr std::size_t kMaxFields = 32;

struct Log {
    std::shared_ptr<spdlog::logger> logger;
    LogFormat format = LogFormat::text;
};

std::shared_ptr<const Log> make_log(spdlog::sink_ptr sink, LogFormat format) {
    auto logger = std::make_shared<spdlog::logger>("usher", std::move(sink));
    // The line is made here, and a crash must not take the last ones with it.
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
    return std::make_shared<const Log>(Log{std::move(logger), format});
}

/// Never destroyed: a thread may log while the program ends.
struct State {
    std::mutex mutex;
    std::shared_ptr<const Log> log = make_log(std::make_shared<spdlog::sinks::stderr_sink_mt>(), LogFormat::text);
    std::atomic<LogLevel> level{LogLevel::info};
};
State& state() {
    static State* const instance = new State;
    return *instance;
}

constexpr std::string_view level_name(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::debug:
            return "debug";
        case LogLevel::info:
            return "info";
        case LogLevel::warning:
            return "warning";
        case LogLevel::error:
            return "error";
    }
    return "error";
}

/// Five wide, so that the messages stand below each other.
constexpr std::string_view level_column(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::debug:
            return "DEBUG";
        case LogLevel::info:
            return "INFO ";
        case LogLevel::warning:
            return "WARN ";
        case LogLevel::error:
            return "ERROR";
    }
    return "ERROR";
}

constexpr spdlog::level::level_enum spdlog_level(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::debug:
            return spdlog::level::debug;
        case LogLevel::info:
            return spdlog::level::info;
        case LogLevel::warning:
            return spdlog::level::warn;
        case LogLevel::error:
            return spdlog::level::err;
    }
    return spdlog::level::err;
}

std::string safe_key(std::string_view key) {
    std::string out(key.substr(0, kMaxKeyBytes));
    for (char& c : out) {
        const bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                          c == '.' || c == '-';
        if (!safe) c = '_';
    }
    if (out.empty() || out == "time" || out == "level" || out == "message") out += '_';
    return out;
}

/// Escaped, and in quotes where it is empty or holds what separates fields. The backslash is already \x5c, so \" is
/// unambiguous.
std::string text_value(std::string_view value) {
    const std::string safe = escape_for_terminal(value, kMaxValueBytes);
    if (!safe.empty() && safe.find_first_of(" \"=") == std::string::npos) return safe;
    std::string out = "\"";
    for (const char c : safe) {
        if (c == '"') out += '\\';
        out += c;
    }
    out += '"';
    return out;
}

std::string json_value(std::string_view value) {
    if (value.size() <= kMaxValueBytes) return json_quote(value);
    // Cut between characters, or at the limit where the bytes are no UTF-8 anyway.
    std::size_t end = kMaxValueBytes - 3;
    for (std::size_t back = 0; back < 4; ++back) {
        if ((static_cast<unsigned char>(value[end - back]) & 0xc0) != 0x80) {
            end -= back;
            break;
        }
    }
    return json_quote(std::string(value.substr(0, end)) + "...");
}

}  // namespace

std::string format_log_line(LogFormat format, UtcTime time, LogLevel level, std::string_view message,
                            std::initializer_list<LogField> fields) {
    std::string line;
    line.reserve(256);
    std::size_t count = 0;
    if (format == LogFormat::json) {
        line.append("{\"time\":\"").append(format_rfc3339(time)).append("\",\"level\":\"").append(level_name(level));
        line.append("\",\"message\":").append(json_value(message));
        for (const LogField& field : fields) {
            if (count++ == kMaxFields) break;
            line.append(",\"").append(safe_key(field.key)).append("\":");
            line.append(field.bare ? field.value : json_value(field.value));
        }
        line += '}';
        return line;
    }
    line.append(format_rfc3339(time)).append(" ").append(level_column(level)).append(" ");
    line.append(escape_for_terminal(message, kMaxValueBytes));
    for (const LogField& field : fields) {
        if (count++ == kMaxFields) break;
        line.append(" ").append(safe_key(field.key)).append("=").append(text_value(field.value));
    }
    return line;
}

Result<void> configure_log(const LogOptions& options) {
    spdlog::sink_ptr sink;
    if (options.file.empty()) {
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
        // Opened here first: spdlog would create it with the mode of the umask, and missing folders along with it.
        const int fd = ::open(options.file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
        if (fd < 0) {
            return {Errc::unavailable, "cannot open the log file '" + escape_for_terminal(options.file) +
                                           "': " + std::generic_category().message(errno) +
                                           "; create its folder and let this user write there"};
        }
        ::close(fd);
        try {
            sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
        } catch (const spdlog::spdlog_ex& e) {
            return {Errc::unavailable, "cannot open the log file: " + escape_for_terminal(e.what())};
        }
    }
    auto log = make_log(std::move(sink), options.format);
    State& s = state();
    const std::lock_guard lock(s.mutex);
    s.log.swap(log);
    s.level = options.level;
    return {};
}

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) noexcept {
    try {
        State& s = state();
        if (level < s.level.load(std::memory_order_relaxed)) return;
        std::shared_ptr<const Log> current;
        {
            const std::lock_guard lock(s.mutex);
            current = s.log;
        }
        const std::string line = format_log_line(current->format, SystemClock{}.utc(), level, message, fields);
        current->logger->log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
    } catch (...) {
        // Out of memory: a line is lost. Whoever logs is often handling an error and must get through with that. Errors
        // of the file itself do not come here, spdlog reports them on standard error.
    }
}

}  // namespace usher::base
