#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

struct p11_kit_uri;

namespace usher::clients::device {

/// Which key on which token, by which module, and where its PIN is: a PKCS#11 URI (RFC 7512). A value; copies share
/// what was parsed, which does not change any more.
///
/// Stricter than RFC 7512 where that protects its user: no attribute twice, none that is not known, none without a
/// value, no `pin-value` (a secret on a command line), no command as `pin-source`, absolute paths, no blanks, at most
/// 2,048 bytes.
class TokenUri {
public:
    /// invalid_argument, with what to write instead. The message holds nothing of the query: a PIN may be in it.
    static base::Result<TokenUri> parse(std::string_view text);

    /// The same token by the same module with the same PIN source; the private key that has this id and label.
    TokenUri with_key(const std::string& label, const std::string& id) const;

    /// All of it, in p11-kit's spelling; parse() reads it.
    std::string text() const;
    /// Without the query (paths of this machine); all of it printable ASCII.
    std::string shown() const;
    /// The same of the token alone, without the key.
    std::string shown_token() const;
    /// Names the token and the module, not the key: equal for two keys of one token that were named in the same way.
    std::string token_name() const;

    /// CKA_LABEL and CKA_ID, as bytes.
    std::optional<std::string> label() const;
    std::optional<std::string> id() const;
    /// An absolute path; empty: the modules that p11-kit has registered, or the one of them that module_name() names.
    std::string module_path() const;
    std::string module_name() const;
    /// An absolute path.
    std::optional<std::string> pin_file() const;
    /// For p11-kit's matching; lives as long as this object or a copy of it.
    const p11_kit_uri* handle() const noexcept { return uri_.get(); }

private:
    explicit TokenUri(std::shared_ptr<p11_kit_uri> uri) : uri_(std::move(uri)) {}
    std::optional<std::string> attribute(unsigned long type) const;
    std::shared_ptr<p11_kit_uri> uri_;
};

}  // namespace usher::clients::device
