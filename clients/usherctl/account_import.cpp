// account import

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "base/unique_fd.hpp"
#include "clients/usherctl/account_file.hpp"
#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/input_file.hpp"
#include "usher/v1/account.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

constexpr std::size_t accounts_in_a_call = 1000;
constexpr std::size_t errors_shown = 20;

std::string shown(const std::string& username) { return base::escape_for_terminal(username, 100); }

/// 20 letters and digits that are not taken for each other, in fours: 98 bits.
std::string make_password() {
    constexpr std::string_view letters = "abcdefghjkmnpqrstuvwxyz23456789";
    std::string out;
    while (out.size() < 24) {
        std::array<std::uint8_t, 32> bytes;
        base::random_bytes(bytes);
        for (const auto byte : bytes) {
            // What is above the last whole multiple would make some letters likelier than others.
            if (byte >= 256 / letters.size() * letters.size() || out.size() == 24) continue;
            out += letters[byte % letters.size()];
            if (out.size() % 5 == 4 && out.size() < 24) out += '-';
        }
    }
    return out;
}

/// The passwords of new accounts, on disk before they are set: nobody else would know them.
class PasswordFile {
public:
    explicit PasswordFile(const std::string& path)
        : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) {
        if (!file_)
            throw Failure{errno == EEXIST ? shown(path) + " exists already; passwords go into a new file"
                                          : "cannot make " + shown(path) + ": " + std::strerror(errno)};
        write("username,password\r\n");
    }

    void add(const std::string& username, const std::string& password) {
        CsvRow row;
        row.add_plain(username);
        row.add_plain(password);
        write(std::move(row).finish());
    }

private:
    void write(std::string_view text) {
        while (!text.empty()) {
            const auto n = ::write(file_.get(), text.data(), text.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw Failure{"cannot write " + shown(path_) + ": " + std::strerror(errno)};
            text.remove_prefix(static_cast<std::size_t>(n));
        }
        if (::fsync(file_.get()) != 0) throw Failure{"cannot write " + shown(path_) + ": " + std::strerror(errno)};
    }

    std::string path_;
    base::UniqueFd file_;
};

/// One line on standard error that is written over, where somebody looks.
void progress(const std::string& what, std::size_t done, std::size_t all) {
    if (::isatty(STDERR_FILENO) == 0) return;
    const auto text =
        "\r" + what + " " + std::to_string(done) + " of " + std::to_string(all) + (done == all ? "\n" : "");
    (void)!::write(STDERR_FILENO, text.data(), text.size());
}

class Import {
public:
    Import(const Settings& settings, const AccountFile& file)
        : file_(file), channel_(open_channel(settings)), stub_(v1::AccountService::NewStub(channel_->channel())) {}

    /// What the file would do, account by account. Throws Failure that lists what is refused.
    std::vector<v1::ImportedAccount> check() {
        std::vector<v1::ImportedAccount> all = send(true);
        std::string refused;
        std::size_t count = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (all[i].outcome() != v1::ImportedAccount::REFUSED) continue;
            if (++count <= errors_shown)
                refused += (refused.empty() ? "" : "\n") + file_.located(i, renumbered(i, all[i].error()));
        }
        if (count > errors_shown) refused += "\nand " + std::to_string(count - errors_shown) + " more";
        if (count != 0)
            throw Failure{refused + "\nnothing was imported: " + std::to_string(count) + " of " +
                          std::to_string(all.size()) + " accounts were refused"};
        return all;
    }

    std::vector<v1::ImportedAccount> carry_out() { return send(false); }

    void set_password(const std::string& username, const std::string& password) {
        v1::SetPasswordRequest request;
        request.set_name("accounts/" + username);
        request.set_password(password);
        request.set_must_change_password(true);
        grpc::ClientContext context;
        channel_->prepare(context);
        v1::Account account;
        channel_->require(stub_->SetPassword(&context, request, &account));
    }

private:
    std::vector<v1::ImportedAccount> send(bool validate_only) {
        std::vector<v1::ImportedAccount> all;
        while (all.size() < file_.accounts.size()) {
            const auto first = all.size();
            v1::ImportAccountsRequest request;
            request.set_validate_only(validate_only);
            for (const auto& column : file_.columns) request.mutable_field_mask()->add_paths(column);
            for (auto i = first; i < std::min(first + accounts_in_a_call, file_.accounts.size()); ++i)
                *request.add_accounts() = file_.accounts[i];
            grpc::ClientContext context;
            channel_->prepare(context);
            v1::ImportAccountsResponse response;
            const auto status = stub_->ImportAccounts(&context, request, &response);
            if (!status.ok() && first != 0 && !validate_only)
                complain("usherctl", "the accounts before " + file_.located(first, "were imported"));
            channel_->require(status);
            if (response.accounts_size() != request.accounts_size())
                throw Failure{"the gateway answered for another number of accounts than it was asked for"};
            all.insert(all.end(), response.accounts().begin(), response.accounts().end());
            progress(validate_only ? "checked" : "imported", all.size(), file_.accounts.size());
        }
        return all;
    }

    /// The server counts the accounts of one call; a person reads lines.
    std::string renumbered(std::size_t index, const std::string& error) const {
        const auto at = error.find("accounts[");
        const auto end = at == std::string::npos ? at : error.find(']', at);
        if (end == std::string::npos) return error;
        const auto number =
            base::parse_unsigned(std::string_view(error).substr(at + 9, end - at - 9), accounts_in_a_call);
        const auto other = number ? index / accounts_in_a_call * accounts_in_a_call + *number : file_.lines.size();
        if (other >= file_.lines.size()) return error;
        return error.substr(0, at) + "line " + std::to_string(file_.lines[other]) + error.substr(end + 1);
    }

    const AccountFile& file_;
    std::unique_ptr<ControlChannel> channel_;
    std::unique_ptr<v1::AccountService::Stub> stub_;
};

void show(const AccountFile& file, const std::vector<v1::ImportedAccount>& accounts, bool dry_run,
          const std::string& format) {
    std::map<v1::ImportedAccount::Outcome, std::size_t> counts;
    Table table({{"LINE", true}, {"USERNAME"}, {dry_run ? "WOULD BE" : "OUTCOME"}, {"CHANGED"}});
    for (std::size_t i = 0; i < accounts.size(); ++i) {
        const auto& account = accounts[i];
        ++counts[account.outcome()];
        if (format == "json")
            print(to_json_line(account));
        else if (account.outcome() != v1::ImportedAccount::UNCHANGED)
            table.add({std::to_string(file.lines[i]), account.account().username(),
                       base::to_lower(v1::ImportedAccount::Outcome_Name(account.outcome())),
                       joined(account.changed_fields())});
    }
    if (format == "json") return;
    const auto changes = counts[v1::ImportedAccount::CREATED] + counts[v1::ImportedAccount::UPDATED];
    print((changes != 0 ? table.render() : "") + std::to_string(counts[v1::ImportedAccount::CREATED]) + " created, " +
          std::to_string(counts[v1::ImportedAccount::UPDATED]) + " updated, " +
          std::to_string(counts[v1::ImportedAccount::UNCHANGED]) + " unchanged" +
          (dry_run ? "; nothing was changed, this was a dry run\n" : "\n"));
}

}  // namespace

void add_account_import(CLI::App* account, const Settings& settings) {
    auto* command = account->add_subcommand(
        "import",
        "Create and change accounts from CSV. The first line names the columns: username, and any of display_name, "
        "department, groups (separated by ';'), office_mail, office_phone, employee_number, source, "
        "outside_id, role, valid_from, valid_until. Accounts and columns that the file does not have stay as they are");
    auto path = std::make_shared<std::string>();
    auto dry_run = std::make_shared<bool>(false);
    auto passwords = std::make_shared<std::string>();
    command->add_option("FILE", *path, "The CSV file; - is standard input")->required();
    command->add_flag("--dry-run", *dry_run, "Check everything and show what would be changed; change nothing");
    command->add_option("--passwords", *passwords,
                        "Give each new account a password that it has to change, and write them into this new file "
                        "(CSV, mode 0600). Else new accounts cannot sign in before account set-password");
    auto format = add_output(command, {"table", "json"});
    command->footer(examples({"usherctl account import staff.csv --dry-run",
                              "usherctl account import staff.csv --passwords first-passwords.csv"}));
    command->callback([=, &settings] {
        const auto file = must(
            parse_account_file(read_input(*path, account_file_limit_bytes), *path == "-" ? "standard input" : *path));
        Import import(settings, file);
        const auto planned = import.check();
        if (*dry_run) return show(file, planned, true, *format);
        std::optional<PasswordFile> written;
        if (!passwords->empty()) written.emplace(*passwords);
        const auto done = import.carry_out();
        show(file, done, false, *format);
        std::vector<std::string> fresh;
        for (const auto& one : done)
            if (one.outcome() == v1::ImportedAccount::CREATED) fresh.push_back(one.account().username());
        if (!written) {
            if (!fresh.empty())
                complain("usherctl", std::to_string(fresh.size()) +
                                         " new accounts have no password; usherctl account set-password gives one");
            return;
        }
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            auto password = make_password();
            written->add(fresh[i], password);
            try {
                import.set_password(fresh[i], password);
            } catch (const Failure& failure) {
                throw Failure{"the password of " + shown(fresh[i]) + " could not be set, nor those of " +
                              std::to_string(fresh.size() - i - 1) + " accounts after it: " + failure.message};
            }
            base::wipe(password);
            progress("passwords set", i + 1, fresh.size());
        }
    });
}

}  // namespace usher::clients::control
