#include "wire/http1/request.hpp"

#include "base/secret.hpp"
#include "wire/http1/request_rules.hpp"

namespace usher::wire::http1 {

const std::string* Request::field(std::string_view lower_name) const noexcept {
    const std::string* found = nullptr;
    for (const auto& field : fields) {
        if (field.name != lower_name) continue;
        if (found) return nullptr;
        found = &field.value;
    }
    return found;
}

void Request::wipe_credentials() noexcept {
    for (auto& field : fields) {
        if (is_credentials(field.name)) base::wipe(field.value);
    }
}

}  // namespace usher::wire::http1
