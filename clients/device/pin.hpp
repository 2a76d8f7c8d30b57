#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::clients::device {

/// Whether a PIN may be asked for on the terminal. A program that serves has nobody to ask.
enum class PinAsking { allowed, never };

/// How the PIN of a token is come by.
struct PinSource {
    std::optional<std::string> file;  ///< absolute path; its first line is the PIN
    PinAsking asking = PinAsking::never;
};

/// The PIN of one token while this process uses it: asked for once, wiped at the end, and never tried again once the
/// token has refused it, because a few wrong ones lock a token. One thread at a time.
class Pin {
public:
    /// The PIN to try. `token` is safe for a terminal; `last_try`: the token says that it locks after one more wrong
    /// PIN, which is left to a person. permission_denied: it was refused before, others can read the file, or it is
    /// the last try; failed_precondition: there is neither a file nor anybody to ask.
    base::Result<base::Secret> get(const PinSource& source, const std::string& token, bool last_try);
    /// The token took `pin`. One that was asked for is kept for when the session has to be opened anew.
    void accepted(base::Secret pin, const PinSource& source);
    void refused(base::Secret pin);

private:
    std::optional<base::Secret> asked_;
    std::vector<base::Secret> refused_;
};

}  // namespace usher::clients::device
