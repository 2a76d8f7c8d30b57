#include "clients/common/password.hpp"

#include <fcntl.h>
#include <termios.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/unique_fd.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;
using base::Secret;

namespace {

constexpr std::size_t password_limit_bytes = 1024;
constexpr std::size_t code_limit_bytes = 64;
constexpr char cancel_key = '\x03';  // control-C

/// A terminal that shows nothing of what is typed, until this goes. Keys that would send signals are read as
/// characters, so that no signal can end the program between the two settings and leave the terminal mute.
class QuietTerminal {
public:
    explicit QuietTerminal(int fd) : fd_(fd), ok_(::tcgetattr(fd, &before_) == 0) {
        if (!ok_) return;
        termios quiet = before_;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ISIG);
        quiet.c_cc[VEOL] = cancel_key;  // so that it is read at once, not behind the next newline
        ok_ = ::tcsetattr(fd, TCSAFLUSH, &quiet) == 0;
    }
    ~QuietTerminal() {
        if (ok_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
    }
    QuietTerminal(const QuietTerminal&) = delete;
    QuietTerminal& operator=(const QuietTerminal&) = delete;
    bool ok() const noexcept { return ok_; }

private:
    int fd_;
    termios before_{};
    bool ok_;
};

void say(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n <= 0) return;  // a prompt that cannot be shown stops nobody from typing
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

/// Byte by byte, so that nothing behind the line is taken from whoever reads the input next.
Result<std::string> read_raw_line(int fd) {
    std::string line;
    line.reserve(password_limit_bytes + 8);
    while (true) {
        char c = 0;
        const ssize_t n = ::read(fd, &c, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return {Errc::unavailable, std::string("cannot read the input: ") + std::strerror(errno)};
        if (n == 1) line.push_back(c);
        if (n == 1 && c == cancel_key) {
            base::wipe(line);
            return {Errc::failed_precondition, "cancelled"};
        }
        if (n == 0 || c == '\n' || line.size() > password_limit_bytes + 2) return line;
    }
}

Result<Secret> read_line(int fd) {
    auto line = read_raw_line(fd);
    if (!line) return std::move(line).error();
    auto password = password_line(*line);
    base::wipe(*line);
    return password;
}

Result<Secret> ask(int terminal, std::string_view prompt) {
    const QuietTerminal quiet(terminal);
    if (!quiet.ok()) return {Errc::unavailable, "cannot turn off the terminal's echo"};
    say(terminal, prompt);
    auto password = read_line(terminal);
    say(terminal, "\n");
    return password;
}

Result<Secret> read_code_line(int fd) {
    auto line = read_raw_line(fd);
    if (!line) return std::move(line).error();
    while (!line->empty() && (line->back() == '\n' || line->back() == '\r' || line->back() == ' ')) line->pop_back();
    Secret code{std::string_view(*line)};
    base::wipe(*line);
    if (code.size() > code_limit_bytes) return {Errc::invalid_argument, "the code is longer than 64 bytes"};
    return code;
}

}  // namespace

Result<Secret> read_code(std::string_view prompt, bool from_stdin) {
    if (from_stdin) return read_code_line(STDIN_FILENO);
    const base::UniqueFd terminal{::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)};
    if (!terminal)
        return {Errc::failed_precondition,
                "there is no terminal to ask for the code; give it with --code or --code-stdin"};
    const QuietTerminal quiet(terminal.get());
    if (!quiet.ok()) return {Errc::unavailable, "cannot turn off the terminal's echo"};
    say(terminal.get(), prompt);
    auto code = read_code_line(terminal.get());
    say(terminal.get(), "\n");
    return code;
}

Result<Secret> password_line(std::string_view text) {
    text = text.substr(0, text.find('\n'));
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) return {Errc::invalid_argument, "the password is empty"};
    if (text.size() > password_limit_bytes) return {Errc::invalid_argument, "the password is longer than 1024 bytes"};
    if (text.find('\0') != std::string_view::npos) return {Errc::invalid_argument, "the password has a NUL byte in it"};
    return Secret(text);
}

Result<Secret> read_password(std::string_view prompt, PasswordSource source) {
    if (source.from_stdin) return read_line(STDIN_FILENO);
    const base::UniqueFd terminal{::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)};
    if (!terminal)
        return {Errc::failed_precondition,
                "there is no terminal to ask for the password; give it with --password-stdin"};
    auto password = ask(terminal.get(), prompt);
    if (!password || !source.confirm) return password;
    auto again = ask(terminal.get(), "Again: ");
    if (!again) return again;
    if (!again->equals(password->reveal())) return {Errc::invalid_argument, "the two passwords differ"};
    return password;
}

}  // namespace usher::clients
