#include "clients/device/key_pair.hpp"

#include <algorithm>
#include <vector>

namespace usher::clients::device {

namespace {

using Handles = std::vector<CK_OBJECT_HANDLE>;

/// A template's entry. Modules take no const, and change nothing of what they are given to look for or to make.
CK_ATTRIBUTE entry(CK_ATTRIBUTE_TYPE type, std::string_view value) {
    return {type, const_cast<char*>(value.data()), value.size()};
}
template <class T>
CK_ATTRIBUTE entry_of(CK_ATTRIBUTE_TYPE type, T& value) {
    return {type, &value, sizeof value};
}

CK_RV find(const TokenSession& on, std::span<CK_ATTRIBUTE> pattern, Handles& found) {
    CK_RV code = on.call.C_FindObjectsInit(on.handle, pattern.data(), pattern.size());
    if (code != CKR_OK) return code;
    std::array<CK_OBJECT_HANDLE, 16> some{};
    CK_ULONG count = 0;
    // More than a thousand keys of one name are no token's.
    while (found.size() < 1024) {
        code = on.call.C_FindObjects(on.handle, some.data(), some.size(), &count);
        if (code != CKR_OK || count == 0) break;
        found.insert(found.end(), some.begin(), some.begin() + std::min<CK_ULONG>(count, some.size()));
    }
    const CK_RV ended = on.call.C_FindObjectsFinal(on.handle);
    return code != CKR_OK ? code : ended;
}

CK_RV find_half(const TokenSession& on, CK_OBJECT_CLASS half, const std::string& id, Handles& found) {
    std::array pattern{entry_of(CKA_CLASS, half), entry(CKA_ID, id)};
    return find(on, pattern, found);
}

/// An attribute of at most 256 bytes.
CK_RV read(const TokenSession& on, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, Bytes& value) {
    value.assign(256, 0);
    CK_ATTRIBUTE attribute{type, value.data(), value.size()};
    const CK_RV code = on.call.C_GetAttributeValue(on.handle, object, &attribute, 1);
    if (code != CKR_OK) return code;
    if (attribute.ulValueLen > value.size()) return CKR_ATTRIBUTE_VALUE_INVALID;
    value.resize(attribute.ulValueLen);
    return CKR_OK;
}

bool is(const TokenSession& on, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_BBOOL wanted) {
    Bytes value;
    return read(on, object, type, value) == CKR_OK && value.size() == sizeof wanted && value[0] == wanted;
}

bool has_id(const TokenSession& on, CK_OBJECT_HANDLE object, const std::string& id) {
    Bytes value;
    return read(on, object, CKA_ID, value) == CKR_OK &&
           std::equal(value.begin(), value.end(), id.begin(), id.end(),
                      [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); });
}

}  // namespace

CK_RV check_mechanisms(const TokenSession& on) {
    constexpr std::array<std::pair<CK_MECHANISM_TYPE, CK_FLAGS>, 2> needed{
        {{CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR}, {CKM_ECDSA, CKF_SIGN}}};
    for (const auto& [mechanism, flag] : needed) {
        CK_MECHANISM_INFO info{};
        const CK_RV code = on.call.C_GetMechanismInfo(on.slot, mechanism, &info);
        if (code != CKR_OK) return code;
        if ((info.flags & flag) == 0) return CKR_MECHANISM_INVALID;
    }
    return CKR_OK;
}

CK_RV generate_pair(const TokenSession& on, const std::string& label, const std::string& id) {
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    const auto curve = p256_parameters();
    std::array of_public{
        entry_of(CKA_TOKEN, yes),  entry_of(CKA_PRIVATE, no),
        entry_of(CKA_VERIFY, yes), entry(CKA_EC_PARAMS, {reinterpret_cast<const char*>(curve.data()), curve.size()}),
        entry(CKA_LABEL, label),   entry(CKA_ID, id),
    };
    std::array of_private{
        entry_of(CKA_TOKEN, yes),
        entry_of(CKA_PRIVATE, yes),
        entry_of(CKA_SENSITIVE, yes),
        entry_of(CKA_EXTRACTABLE, no),
        entry_of(CKA_SIGN, yes),
        entry(CKA_LABEL, label),
        entry(CKA_ID, id),
    };
    // A token may have made the pair and failed to say so; the work is then done again.
    if (const CK_RV code = destroy_pair(on, id); code != CKR_OK) return code;
    CK_MECHANISM how{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_HANDLE public_half = 0, private_half = 0;
    const CK_RV code = on.call.C_GenerateKeyPair(on.handle, &how, of_public.data(), of_public.size(), of_private.data(),
                                                 of_private.size(), &public_half, &private_half);
    if (code != CKR_OK) return code;
    // What the template asks for is what the whole key is worth; a module that takes it lightly is not believed.
    if (is(on, private_half, CKA_SENSITIVE, CK_TRUE) && is(on, private_half, CKA_EXTRACTABLE, CK_FALSE) &&
        is(on, private_half, CKA_TOKEN, CK_TRUE) && has_id(on, private_half, id) && has_id(on, public_half, id))
        return CKR_OK;
    // By what it has just said that they are: it may know them by no id of ours.
    on.call.C_DestroyObject(on.handle, private_half);
    on.call.C_DestroyObject(on.handle, public_half);
    return CKR_ATTRIBUTE_VALUE_INVALID;
}

CK_RV read_point(const TokenSession& on, const std::string& id, P256Point& point) {
    Handles private_half, public_half;
    CK_RV code = find_half(on, CKO_PRIVATE_KEY, id, private_half);
    if (code == CKR_OK) code = find_half(on, CKO_PUBLIC_KEY, id, public_half);
    if (code != CKR_OK) return code;
    if (private_half.empty() || public_half.empty()) return CKR_KEY_HANDLE_INVALID;
    Bytes value;
    code = read(on, public_half.front(), CKA_EC_POINT, value);
    if (code != CKR_OK) return code;
    const auto found = point_of(value);
    if (!found) return CKR_ATTRIBUTE_VALUE_INVALID;
    point = *found;
    return CKR_OK;
}

CK_RV count_others(const TokenSession& on, const std::string& label, const std::string& id, std::size_t& count) {
    count = 0;
    CK_OBJECT_CLASS half = CKO_PRIVATE_KEY;
    std::array pattern{entry_of(CKA_CLASS, half), entry(CKA_LABEL, label)};
    Handles found;
    if (const CK_RV code = find(on, pattern, found); code != CKR_OK) return code;
    // One whose id cannot be read is somebody else's.
    count = static_cast<std::size_t>(
        std::count_if(found.begin(), found.end(), [&](CK_OBJECT_HANDLE object) { return !has_id(on, object, id); }));
    return CKR_OK;
}

CK_RV sign_digest(const TokenSession& on, const std::string& id, std::span<const std::uint8_t> digest,
                  std::array<std::uint8_t, 64>& r_and_s) {
    Handles found;
    CK_RV code = find_half(on, CKO_PRIVATE_KEY, id, found);
    if (code != CKR_OK) return code;
    if (found.empty()) return CKR_KEY_HANDLE_INVALID;
    CK_MECHANISM how{CKM_ECDSA, nullptr, 0};
    code = on.call.C_SignInit(on.handle, &how, found.front());
    if (code != CKR_OK) return code;
    Bytes data(digest.begin(), digest.end());
    CK_ULONG length = r_and_s.size();
    code = on.call.C_Sign(on.handle, data.data(), data.size(), r_and_s.data(), &length);
    if (code != CKR_OK) return code;
    return length == r_and_s.size() ? CKR_OK : CKR_SIGNATURE_LEN_RANGE;
}

CK_RV destroy_pair(const TokenSession& on, const std::string& id) {
    for (const CK_OBJECT_CLASS half : {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY}) {
        Handles found;
        if (const CK_RV code = find_half(on, half, id, found); code != CKR_OK) return code;
        for (const auto object : found)
            if (const CK_RV code = on.call.C_DestroyObject(on.handle, object); code != CKR_OK) return code;
    }
    return CKR_OK;
}

}  // namespace usher::clients::device
