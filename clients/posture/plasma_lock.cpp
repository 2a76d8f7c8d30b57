#include "clients/posture/plasma_lock.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string_view>

#include "base/text.hpp"

namespace usher::clients {

namespace {

constexpr std::string_view blanks = " \t\r";

/// Takes "[$ie]" off the end of `text` and gives the letters; empty where there is none.
std::string_view take_options(std::string_view& text) {
    if (!text.ends_with(']')) return {};
    const auto begin = text.rfind("[$");
    if (begin == std::string_view::npos) return {};
    const auto options = text.substr(begin + 2, text.size() - begin - 3);
    text = text.substr(0, begin);
    return options;
}

/// The group [Daemon], as it is when one text after the other has been read, those that count more later.
class Daemon {
public:
    void read(std::string_view text) {
        if (closed_) return;
        const bool group_was_closed = group_closed_;
        bool inside = false;
        while (!text.empty()) {
            auto line = base::trimmed(base::take_until(text, '\n'), blanks);
            if (line.empty() || line.front() == '#') continue;
            if (line.front() == '[')
                inside = begins_group(line);
            else if (inside && !group_was_closed)
                entry(line);
        }
    }
    /// nullptr: it has its default.
    const std::string* value(const std::string& key) const {
        const auto found = values_.find(key);
        return found == values_.end() ? nullptr : &found->second;
    }

private:
    bool begins_group(std::string_view line) {
        const bool firm = take_options(line).find('i') != std::string_view::npos;
        if (line.empty()) {
            closed_ |= firm;
            return false;
        }
        if (line != "[Daemon]") return false;
        group_closed_ |= firm;
        return true;
    }
    void entry(std::string_view line) {
        const auto equals = line.find('=');
        auto key = base::trimmed(line.substr(0, equals), blanks);
        const auto options = take_options(key);
        const std::string name(key);
        const bool deleted = options.find('d') != std::string_view::npos;
        if (closed_keys_.contains(name) || (equals == std::string_view::npos && !deleted)) return;
        if (deleted)
            values_.erase(name);
        else
            values_[name] = base::trimmed(line.substr(equals + 1), blanks);
        if (options.find('i') != std::string_view::npos) closed_keys_.insert(name);
    }

    std::map<std::string, std::string> values_;
    std::set<std::string> closed_keys_;
    bool group_closed_ = false, closed_ = false;
};

/// As KConfig reads a truth: whatever is not a no.
bool is_no(const std::string* value) {
    if (value == nullptr) return false;
    const std::string word = base::to_lower(*value);
    return word == "false" || word == "no" || word == "off" || word == "0";
}

std::optional<double> number(const std::string* value, double otherwise) {
    if (value == nullptr) return otherwise;
    double out = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), out);
    if (error != std::errc{} || end != value->data() + value->size()) return std::nullopt;
    return out;
}

}  // namespace

std::optional<bool> plasma_locks(const std::vector<std::string>& texts) {
    Daemon daemon;
    std::for_each(texts.rbegin(), texts.rend(), [&](const auto& text) { daemon.read(text); });
    for (const char* key : {"Autolock", "Lock", "RequirePassword"})
        if (is_no(daemon.value(key))) return false;
    const auto minutes = number(daemon.value("Timeout"), 5);
    const auto grace_seconds = number(daemon.value("LockGrace"), 5);  // less than nothing: no password at all
    if (!minutes || !grace_seconds) return std::nullopt;
    return *minutes > 0 && *grace_seconds >= 0;
}

}  // namespace usher::clients
