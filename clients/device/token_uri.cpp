#include "clients/device/token_uri.hpp"

#include <p11-kit/uri.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <vector>

#include "base/text.hpp"

namespace usher::clients::device {

using base::Errc;
using base::Error;
using base::Result;

namespace {

constexpr std::size_t limit_bytes = 2048;
constexpr std::string_view example = "pkcs11:token=NAME?pin-source=file:/PATH";

// RFC 7512 §2.3. `id` and `type` belong to the form that is stored.
constexpr std::array<std::string_view, 14> path_names{"token",
                                                      "serial",
                                                      "manufacturer",
                                                      "model",
                                                      "object",
                                                      "id",
                                                      "type",
                                                      "slot-id",
                                                      "slot-description",
                                                      "slot-manufacturer",
                                                      "library-manufacturer",
                                                      "library-description",
                                                      "library-version",
                                                      "slot-version"};
constexpr std::array<std::string_view, 3> query_names{"module-path", "module-name", "pin-source"};

Error wrong(const std::string& why) { return {Errc::invalid_argument, why}; }

/// p11-kit takes the last of two attributes, keeps unknown ones of the query and drops blanks; a key must not depend
/// on which of two readings somebody had in mind.
Result<void> check_names(std::string_view part, char separator, std::span<const std::string_view> known,
                         std::vector<std::string_view>& seen) {
    while (!part.empty()) {
        std::string_view value = base::take_until(part, separator);
        const std::string_view name = base::take_until(value, '=');
        if (name == "pin-value")
            return wrong(
                "pin-value= would show the PIN to everybody on this machine; put the PIN into a file of mode "
                "0600 and name it with pin-source=file:/PATH, or leave both out to be asked");
        const std::string shown = base::escape_for_terminal(name, 40);
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            const auto near = base::closest(name, known);
            return wrong("its attribute '" + shown + "' is not known" +
                         (near ? "; did you mean '" + std::string(*near) + "'?" : std::string()));
        }
        if (value.empty()) return wrong("its attribute '" + shown + "' has no value");
        if (std::find(seen.begin(), seen.end(), name) != seen.end())
            return wrong("its attribute '" + shown + "' is there twice");
        seen.push_back(name);
    }
    return {};
}

Result<std::string> pin_path(std::string_view source) {
    if (source.starts_with('|'))
        return wrong("pin-source names a command; it has to name a file: pin-source=file:/PATH");
    const bool file_uri = source.starts_with("file:");
    if (file_uri) source.remove_prefix(5);
    if (file_uri && source.starts_with("//")) source.remove_prefix(2);  // an empty authority, RFC 8089 §2
    if (!source.starts_with('/'))
        return wrong("pin-source has to name a file by its whole path: pin-source=file:/PATH");
    // It was decoded once; whether a percent sign is to be decoded again is anybody's guess.
    if (file_uri && source.find('%') != std::string_view::npos)
        return wrong("pin-source has a percent sign in its file: URI; write the path alone: pin-source=/PATH");
    if (source.find('\0') != std::string_view::npos) return wrong("pin-source has a NUL byte in it");
    return std::string(source);
}

std::string formatted(const p11_kit_uri* uri, P11KitUriType parts) {
    char* text = nullptr;
    // It takes no const, and changes nothing.
    if (p11_kit_uri_format(const_cast<p11_kit_uri*>(uri), parts, &text) != P11_KIT_URI_OK) throw std::bad_alloc();
    const std::unique_ptr<char, decltype(&std::free)> held(text, &std::free);
    return text;
}

std::string text_or_empty(const char* text) { return text != nullptr ? text : ""; }

}  // namespace

Result<TokenUri> TokenUri::parse(std::string_view text) {
    if (text.size() > limit_bytes) return wrong("it is longer than 2,048 bytes");
    if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
        return wrong("it has a blank or another character that a URI cannot have; write %20 for a blank");
    if (base::to_lower(text.substr(0, 7)) != "pkcs11:")
        return wrong("it is no PKCS#11 URI; one looks like " + std::string(example));
    std::string_view query = text.substr(7);
    const std::string_view path = base::take_until(query, '?');
    std::vector<std::string_view> seen;
    if (auto fine = check_names(path, ';', path_names, seen); !fine) return std::move(fine).error();
    if (auto fine = check_names(query, '&', query_names, seen); !fine) return std::move(fine).error();
    const auto has = [&seen](std::string_view name) { return std::find(seen.begin(), seen.end(), name) != seen.end(); };
    if (!has("token") && !has("serial")) return wrong("it names no token; one looks like " + std::string(example));

    std::shared_ptr<p11_kit_uri> uri(p11_kit_uri_new(), p11_kit_uri_free);
    if (!uri) throw std::bad_alloc();
    const int code = p11_kit_uri_parse(std::string(text).c_str(), P11_KIT_URI_FOR_ANY, uri.get());
    if (code == P11_KIT_URI_NO_MEMORY) throw std::bad_alloc();
    if (code != P11_KIT_URI_OK) return wrong("it is no PKCS#11 URI: an attribute is not written as RFC 7512 has it");
    if (p11_kit_uri_any_unrecognized(uri.get()) != 0)
        return wrong("one of its attributes is longer than PKCS#11 lets it be (a token's name: 32 bytes)");
    const CK_ATTRIBUTE* type = p11_kit_uri_get_attribute(uri.get(), CKA_CLASS);
    if (type != nullptr && *static_cast<const CK_OBJECT_CLASS*>(type->pValue) != CKO_PRIVATE_KEY)
        return wrong("its type is not 'private'");
    TokenUri parsed(std::move(uri));
    const std::string module = parsed.module_path();
    if (has("module-path") && !module.starts_with('/')) return wrong("module-path has to be a whole path");
    if (const char* source = p11_kit_uri_get_pin_source(parsed.handle())) {
        if (auto file = pin_path(source); !file) return std::move(file).error();
    }
    return parsed;
}

TokenUri TokenUri::with_key(const std::string& label, const std::string& id) const {
    std::shared_ptr<p11_kit_uri> uri(p11_kit_uri_new(), p11_kit_uri_free);
    if (!uri || p11_kit_uri_parse(text().c_str(), P11_KIT_URI_FOR_ANY, uri.get()) != P11_KIT_URI_OK)
        throw std::bad_alloc();
    p11_kit_uri_clear_attributes(uri.get());
    CK_OBJECT_CLASS type = CKO_PRIVATE_KEY;
    // It copies the values, and takes no const.
    std::array<CK_ATTRIBUTE, 3> attributes{CK_ATTRIBUTE{CKA_LABEL, const_cast<char*>(label.data()), label.size()},
                                           CK_ATTRIBUTE{CKA_ID, const_cast<char*>(id.data()), id.size()},
                                           CK_ATTRIBUTE{CKA_CLASS, &type, sizeof type}};
    for (auto& one : attributes)
        if (p11_kit_uri_set_attribute(uri.get(), &one) != P11_KIT_URI_OK) throw std::bad_alloc();
    return TokenUri(std::move(uri));
}

std::string TokenUri::text() const { return formatted(handle(), P11_KIT_URI_FOR_ANY); }

std::string TokenUri::shown() const {
    const std::string all = text();
    return all.substr(0, all.find('?'));
}

std::string TokenUri::shown_token() const {
    const std::string token = formatted(
        handle(),
        static_cast<P11KitUriType>(P11_KIT_URI_FOR_TOKEN | P11_KIT_URI_FOR_SLOT | P11_KIT_URI_FOR_MODULE_WITH_VERSION));
    return token.substr(0, token.find('?'));
}

// A blank is in no URI, so that nothing can be read as something else.
std::string TokenUri::token_name() const { return shown_token() + " " + module_path() + " " + module_name(); }

std::optional<std::string> TokenUri::attribute(unsigned long type) const {
    const CK_ATTRIBUTE* found = p11_kit_uri_get_attribute(uri_.get(), type);
    if (found == nullptr) return std::nullopt;
    return std::string(static_cast<const char*>(found->pValue), found->ulValueLen);
}

std::optional<std::string> TokenUri::label() const { return attribute(CKA_LABEL); }
std::optional<std::string> TokenUri::id() const { return attribute(CKA_ID); }
std::string TokenUri::module_path() const { return text_or_empty(p11_kit_uri_get_module_path(handle())); }
std::string TokenUri::module_name() const { return text_or_empty(p11_kit_uri_get_module_name(handle())); }

std::optional<std::string> TokenUri::pin_file() const {
    const char* source = p11_kit_uri_get_pin_source(handle());
    if (source == nullptr) return std::nullopt;
    return pin_path(source).value();  // parse() has seen to it
}

}  // namespace usher::clients::device
