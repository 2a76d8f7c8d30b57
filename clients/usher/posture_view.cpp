#include "clients/usher/posture_view.hpp"

#include "base/text.hpp"
#include "clients/common/table.hpp"

namespace usher::clients::agent {

namespace {

using Gateway = PostureView::Gateway;

std::string_view name_of(Gateway gateway) {
    switch (gateway) {
        case Gateway::takes_reports:
            return "takes-reports";
        case Gateway::older:
            return "older";
        case Gateway::unknown:
            break;
    }
    return "unknown";
}

std::string sent(const PostureView& view, const PostureFieldInfo& info) {
    if (view.declined[index_of(info.field)]) return "declined";
    if (view.posture[info.field].empty()) return "not known";
    if (view.gateway == Gateway::older) return info.at_sign_in ? "at sign-in" : "not taken";
    return info.at_sign_in ? "at sign-in, in reports" : "in reports";
}

void append(std::string& list, std::string_view item) {
    if (!list.empty()) list += ',';
    list += item;
}

}  // namespace

std::string posture_table(const PostureView& view) {
    Table table({{"FIELD"}, {"VALUE"}, {"SENT"}, {"SOURCE"}});
    for (const auto& info : posture_field_infos())
        table.add({std::string(info.name), view.posture[info.field], sent(view, info), std::string(info.source)});
    std::string text = table.render();
    if (!view.words.empty()) text += view.words + "\n";
    return text;
}

std::string posture_json(const PostureView& view) {
    std::string at_sign_in, not_known, declined;
    for (const auto& info : posture_field_infos()) {
        const std::string name = base::json_quote(info.name);
        const auto& value = view.posture[info.field];
        if (view.declined[index_of(info.field)])
            append(declined, name);
        else if (value.empty())
            append(not_known, name);
        else if (info.at_sign_in)
            append(at_sign_in, name + ":" + base::json_quote(value));
    }
    const std::string body = view.gateway == Gateway::older ? "{}" : posture_body(view.posture);
    return "{\"posture\":" + body + ",\"at_sign_in\":{" + at_sign_in + "},\"not_known\":[" + not_known +
           "],\"declined\":[" + declined + "],\"gateway\":" + base::json_quote(name_of(view.gateway)) +
           ",\"words\":" + base::json_quote(view.words) + "}";
}

std::string listed(const PostureFields& fields) {
    std::string text;
    for (const auto& info : posture_field_infos()) {
        if (!fields[index_of(info.field)]) continue;
        if (!text.empty()) text += ", ";
        text += info.name;
    }
    return text;
}

}  // namespace usher::clients::agent
