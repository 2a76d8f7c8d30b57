#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "clients/common/device_key.hpp"
#include "clients/device/pin.hpp"
#include "clients/device/token_uri.hpp"

namespace usher::clients::device {

/// Where a device's key is to be made: on this token, or (empty) in a file of this machine.
using KeyPlace = std::optional<TokenUri>;

/// "file", or a PKCS#11 URI, of a token and a label, but of no key: which one it becomes is not its user's to say.
/// invalid_argument with what to write instead.
base::Result<KeyPlace> parse_key_place(std::string_view text);

/// What enrolment leaves on this machine: `directory`/device.pem, the certificate, and `directory`/device.key, which is
/// the key (PKCS#8, PEM) or names the one on a token (a PKCS#11 URI). Both have mode 0600. While an enrolment goes on
/// there is `device.key.new`, and until a replaced key is removed from its token `device.key.old`.
///
/// Objects are as cheap as the path; one process at a time may change what they name (alone()).
class DeviceStore {
public:
    /// `asking`: whether the PIN of a token may be asked for where the key's URI names no file with it.
    explicit DeviceStore(std::string directory, PinAsking asking = PinAsking::allowed);

    /// nullopt: this machine is not enrolled. Looks for a key on a token on it.
    base::Result<std::optional<DeviceIdentity>> load() const;
    /// Where the present key is, whether or not it can be reached. nullopt: there is none.
    base::Result<std::optional<KeyPlace>> place() const;
    /// The same for people, where this machine is enrolled: the file's path, or the key's URI without its query, in
    /// which the PIN's file is. nullopt: it is not.
    base::Result<std::optional<std::string>> key_shown() const;

    /// Held from before begin() until behind the last clean_up(). unavailable: another process has it.
    base::Result<base::UniqueFd> alone() const;
    /// Makes a key for an enrolment that is about to be asked for; the present one stays until commit().
    base::Result<KeyHandle> begin(const KeyPlace& place);
    /// The new key takes the place of the present one, which goes from its token with clean_up().
    base::Result<void> commit(const std::string& certificate_pem);
    /// Removes keys that are not used any more: that of an enrolment that came to no end, and the one that commit()
    /// has replaced. Gives what could not be removed and how to; it is not tried again, but where the
    /// token refused the PIN.
    std::vector<base::Error> clean_up();
    /// A new certificate of the present key.
    base::Result<void> renew(const std::string& certificate_pem);

private:
    using KeyPtr = std::unique_ptr<DeviceKey>;
    base::Result<KeyPtr> key_of(const std::string& path) const;
    /// Whether the certificate is one of the key that `path` holds or names.
    base::Result<void> check_fits(const std::string& path, const std::string& certificate_pem) const;
    void remove_unused(const std::string& path, const std::string& used_id, std::vector<base::Error>& kept) const;

    std::string certificate_, new_key_, old_key_, key_, lock_;
    PinAsking asking_;
};

}  // namespace usher::clients::device
