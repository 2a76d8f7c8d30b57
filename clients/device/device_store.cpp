#include "clients/device/device_store.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/secret.hpp"
#include "base/text.hpp"
#include "clients/common/private_file.hpp"
#include "clients/device/token_device_key.hpp"

namespace usher::clients::device {

using base::Errc;
using base::Error;
using base::Result;

namespace {

const std::string anew = "; enrol this device anew with: usher enroll --replace";

/// Of a file that names a key on a token; nullopt: there is none, or it holds the key itself.
Result<std::optional<TokenUri>> reference_in(const std::string& path) {
    using Found = std::optional<TokenUri>;
    auto text = read_private_file(path, true);
    if (!text) return std::move(text).error();
    if (!*text) return Found{};
    if (!(*text)->starts_with("pkcs11:")) {
        base::wipe(**text);
        return Found{};
    }
    auto uri = TokenDeviceKey::parse_reference(**text);
    if (!uri) return Error{Errc::data_loss, base::escape_for_terminal(path) + ": " + uri.error().message + anew};
    return Found(std::move(*uri));
}

/// Of what reference_in() gave; empty where that is no key on a token.
std::string id_of(const Result<std::optional<TokenUri>>& reference) {
    return reference && *reference ? (*reference)->id().value_or("") : "";
}

Result<bool> exists(const std::string& path) {
    auto text = read_private_file(path, true);
    if (!text) return std::move(text).error();
    if (*text) base::wipe(**text);
    return text->has_value();
}

}  // namespace

Result<KeyPlace> parse_key_place(std::string_view text) {
    if (text == "file") return KeyPlace{};
    auto uri = TokenUri::parse(text);
    if (!uri) return std::move(uri).error();
    if (uri->id()) return Error{Errc::invalid_argument, "id= is chosen when the key is made; leave it out"};
    return KeyPlace(std::move(*uri));
}

DeviceStore::DeviceStore(std::string directory, PinAsking asking)
    : certificate_(directory + "/device.pem"),
      new_key_(directory + "/device.key.new"),
      old_key_(directory + "/device.key.old"),
      key_(directory + "/device.key"),
      lock_(directory + "/enrolment.lock"),
      asking_(asking) {}

Result<DeviceStore::KeyPtr> DeviceStore::key_of(const std::string& path) const {
    auto reference = reference_in(path);
    if (!reference) return std::move(reference).error();
    if (*reference) return KeyPtr(std::make_unique<TokenDeviceKey>(path, std::move(**reference), asking_));
    return KeyPtr(std::make_unique<FileDeviceKey>(path));
}

Result<std::optional<DeviceIdentity>> DeviceStore::load() const {
    using Loaded = std::optional<DeviceIdentity>;
    auto pem = read_private_file(certificate_, true);
    if (!pem) return std::move(pem).error();
    auto place = key_of(key_);
    if (!place) return std::move(place).error();
    // Without a certificate the key is of no use, and no token is to be asked for it.
    if (!*pem) return Loaded{};
    auto key = (*place)->handle();
    if (!key) return std::move(key).error();
    if (!*key) return Loaded{};
    auto identity = DeviceIdentity::of(std::move(*key), **pem);
    if (!identity)
        return Error{Errc::data_loss, base::escape_for_terminal(certificate_) + ": " + identity.error().message + anew};
    return Loaded(std::move(*identity));
}

Result<std::optional<KeyPlace>> DeviceStore::place() const {
    using Found = std::optional<KeyPlace>;
    auto reference = reference_in(key_);
    if (!reference) return std::move(reference).error();
    if (*reference) return Found(KeyPlace(std::move(**reference)));
    auto there = exists(key_);
    if (!there) return std::move(there).error();
    return *there ? Found(KeyPlace{}) : Found{};
}

Result<std::optional<std::string>> DeviceStore::key_shown() const {
    using Found = std::optional<std::string>;
    auto enrolled = exists(certificate_);
    if (!enrolled) return std::move(enrolled).error();
    if (!*enrolled) return Found{};
    auto kept = place();
    if (!kept) return std::move(kept).error();
    if (!*kept) return Found{};
    return Found(**kept ? (**kept)->shown() : base::escape_for_terminal(key_));
}

Result<base::UniqueFd> DeviceStore::alone() const {
    base::UniqueFd lock(::open(lock_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock)
        return Error{Errc::unavailable,
                     "cannot open " + base::escape_for_terminal(lock_) + ": " + std::strerror(errno)};
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
        return Error{Errc::unavailable,
                     "this device is being enrolled by another usher enroll; wait until it has ended"};
    return lock;
}

Result<KeyHandle> DeviceStore::begin(const KeyPlace& place) {
    if (!place) return FileDeviceKey(new_key_).make();
    if (auto cut_off = reference_in(new_key_); cut_off && *cut_off)
        return Error{Errc::failed_precondition,
                     "the key of an enrolment that was cut off is still on its token; try again with the right PIN, or "
                     "remove " +
                         base::escape_for_terminal(new_key_) + " where that token is no more"};
    // One that cannot be read names nothing that could be spared.
    return TokenDeviceKey(new_key_, *place, asking_, id_of(reference_in(key_))).make();
}

Result<void> DeviceStore::check_fits(const std::string& path, const std::string& certificate_pem) const {
    auto place = key_of(path);
    if (!place) return std::move(place).error();
    auto key = (*place)->handle();
    if (!key) return std::move(key).error();
    if (auto fits = DeviceIdentity::of(*key, certificate_pem); !fits) return fits.error();
    return {};
}

Result<void> DeviceStore::commit(const std::string& certificate_pem) {
    if (auto fits = check_fits(new_key_, certificate_pem); !fits) return fits;
    // What names the present key on its token is kept until the key is removed there.
    if (const auto present = reference_in(key_); present && *present)
        if (auto kept = write_private_file(old_key_, (*present)->text() + "\n"); !kept) return kept;
    // An old certificate beside the new key would be a damaged store: it goes first.
    if (auto gone = remove_private_file(certificate_); !gone) return gone;
    if (std::rename(new_key_.c_str(), key_.c_str()) != 0)
        return Error{Errc::unavailable,
                     "cannot write " + base::escape_for_terminal(key_) + ": " + std::strerror(errno)};
    return write_private_file(certificate_, certificate_pem);
}

std::vector<Error> DeviceStore::clean_up() {
    std::vector<Error> kept;
    const auto present = reference_in(key_);
    // Where the present key cannot be told, either may be it: commit() writes the old one's file first, and whoever
    // puts files back from a backup may have both.
    if (!present) return kept;
    const std::string used = id_of(present);
    remove_unused(new_key_, used, kept);
    remove_unused(old_key_, used, kept);
    return kept;
}

void DeviceStore::remove_unused(const std::string& path, const std::string& used_id, std::vector<Error>& kept) const {
    auto key = key_of(path);
    const auto reference = reference_in(path);
    const bool in_use = reference && *reference && (*reference)->id() == used_id;
    auto gone = !key ? Result<void>(key.error()) : in_use ? remove_private_file(path) : (*key)->remove();
    if (gone) return;
    kept.push_back({gone.error().code, "a key that is not used any more" +
                                           (key ? ", " + (*key)->shown() + "," : std::string()) +
                                           " could not be removed: " + gone.error().message});
    // A PIN that was mistyped: the key is there, and this file is all that names it.
    if (gone.error().code == Errc::permission_denied) return;
    if (auto dropped = remove_private_file(path); !dropped) kept.push_back(dropped.error());
}

Result<void> DeviceStore::renew(const std::string& certificate_pem) {
    if (auto fits = check_fits(key_, certificate_pem); !fits) return fits;
    return write_private_file(certificate_, certificate_pem);
}

}  // namespace usher::clients::device
