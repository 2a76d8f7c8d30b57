#pragma once
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::clients {

/// How a password is come by: never from the command line, where everybody on the machine could see it.
struct PasswordSource {
    bool from_stdin = false;  ///< one line of standard input, its newline dropped
    bool confirm = false;     ///< ask twice (terminal only)
};

/// Reads a code of a second factor, of at most 64 bytes: from the terminal, where an empty line is an empty code, or
/// one line of standard input. Errors as read_password().
base::Result<base::Secret> read_code(std::string_view prompt, bool from_stdin);

/// Reads a password of 1 to 1024 bytes: from the terminal without echo, or one line of standard input.
/// failed_precondition: neither was told nor is there a terminal.
base::Result<base::Secret> read_password(std::string_view prompt, PasswordSource source);

/// The first line of `text` without its newline (LF or CRLF). Pure part of the above.
base::Result<base::Secret> password_line(std::string_view text);

}  // namespace usher::clients
