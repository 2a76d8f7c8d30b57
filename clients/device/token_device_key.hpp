#pragma once
#include <string>

#include "clients/common/device_key.hpp"
#include "clients/device/pin.hpp"
#include "clients/device/token_uri.hpp"

namespace usher::clients::device {

/// A key pair on a PKCS#11 token (v2.40): a smart card, a USB token, an HSM or a TPM. The private key cannot leave it.
/// What is on this machine is a file of mode 0600 that names the pair: one line, the URI with the pair's CKA_ID.
class TokenDeviceKey final : public DeviceKey {
public:
    /// The label of a key whose URI has none.
    static constexpr std::string_view default_label = "usher";

    /// `path`: of the file that names the key. `uri`: of the key, or, before make(), of its token. `replaces`: the id
    /// of a pair that may have the same label, because make() comes before its removal.
    TokenDeviceKey(std::string path, TokenUri uri, PinAsking asking, std::string replaces = {});

    /// Logs in and finds the key; what signs with it may be used by any thread, and keeps the token open.
    base::Result<KeyHandle> handle() const override;
    /// Names the new pair in the file before it makes it: what a crash leaves on the token can be found.
    /// already_exists: the label is another key's.
    base::Result<KeyHandle> make() override;
    /// Both halves from the token, then the file. The file stays where the token cannot be reached.
    base::Result<void> remove() override;
    std::string shown() const override { return uri_.shown(); }

    /// The file's content: such a URI, alone in its line. data_loss else.
    static base::Result<TokenUri> parse_reference(std::string_view text);

private:
    PinSource pin_source() const { return {uri_.pin_file(), asking_}; }

    std::string path_;
    TokenUri uri_;
    PinAsking asking_;
    std::string replaces_;
};

}  // namespace usher::clients::device
