#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "audit/journal/file.hpp"
#include "audit/journal/format.hpp"

namespace usher::audit::journal::testing {

/// A disk in memory that knows what is durable and what is not, fails where it is told, and loses power.
///
/// Model: a write dirties sectors; sync() makes a file's dirty sectors durable; a sync that fails forgets which were
/// dirty, as Linux does. Names change at once and are durable, in order, after sync_directory(). A power cut keeps any
/// dirty sectors, or the first part of what is dirty, and any first part of the changes of names. What goes over zeros
/// may be there up to any word of 8 bytes, which even persistent memory keeps whole; a sector that held something is
/// there as before or as after, as disks promise.
class FakeDisk final : public Disk {
public:
    enum class Op { make_directory, create, open, write, read, sync, rename, unlink, sync_directory, list };
    /// Called before each operation, without the disk's mutex; an error is the operation's answer. A write that fails
    /// has written its first half.
    using Hook = std::function<std::optional<base::Error>(Op, const std::string& path)>;

    void set_hook(Hook hook) {
        const std::lock_guard lock(mutex_);
        hook_ = std::move(hook);
    }
    void set_capacity(std::uint64_t bytes) {
        const std::lock_guard lock(mutex_);
        capacity_ = bytes;
    }
    /// The changing operations so far.
    std::uint64_t changes() const {
        const std::lock_guard lock(mutex_);
        return changes_;
    }
    /// Power goes at the `n`th changing operation from now on: it fails, and all later ones.
    void cut_power_after(std::uint64_t n) {
        const std::lock_guard lock(mutex_);
        cut_at_ = changes_ + n;
    }
    /// Everything works again, as for the next process after a kill: nothing is lost.
    void restart_process() {
        const std::lock_guard lock(mutex_);
        off_ = false;
        cut_at_.reset();
    }
    /// Syncs of files, or of directories, that succeed and do nothing.
    void set_lies(bool of_files, bool of_directories) {
        const std::lock_guard lock(mutex_);
        files_lie_ = of_files;
        directories_lie_ = of_directories;
    }
    /// Writes up to the last byte of a file answer and do nothing: only a start's repair of a torn end writes so far.
    void ignore_writes_to_the_end() {
        const std::lock_guard lock(mutex_);
        ignores_ends_ = true;
    }
    /// From now on a sync that fails makes some of the dirty sectors durable, instead of none.
    void tear_failed_syncs(std::uint64_t seed) {
        const std::lock_guard lock(mutex_);
        tears_.emplace(seed);
    }
    bool power_is_off() const {
        const std::lock_guard lock(mutex_);
        return off_;
    }
    /// Power comes back; what was not durable is there in part, as `seed` has it.
    void restore_power(std::uint64_t seed) {
        const std::lock_guard lock(mutex_);
        std::mt19937_64 random(seed);
        const auto keep = random() % (pending_names_.size() + 1);
        for (std::size_t i = 0; i < keep; ++i) pending_names_[i](durable_names_);
        pending_names_.clear();
        names_ = durable_names_;
        // Nothing, some sectors, the first sectors of what was dirty, or these and a part of the next one.
        const auto mode = random() % 4;
        for (auto& [path, inode] : names_) {
            const auto count = inode->dirty.size();
            const auto first = count == 0 ? 0 : random() % (count + 1);
            std::size_t n = 0;
            for (const auto sector : inode->dirty) {
                if ((mode == 1 && random() % 2 == 0) || (mode >= 2 && n < first)) inode->make_durable(sector);
                if (mode == 3 && n == first && inode->is_blank(sector))
                    inode->make_durable(sector, random() % sector_bytes / word_bytes * word_bytes);
                ++n;
            }
            inode->dirty.clear();
            inode->content = inode->durable;
        }
        off_ = false;
        cut_at_.reset();
    }
    /// A file's bytes as a reader sees them, to look at and to damage.
    std::vector<std::uint8_t>& bytes(const std::string& path) { return names_.at(path)->content; }
    bool exists(const std::string& path) const {
        const std::lock_guard lock(mutex_);
        return names_.count(path) != 0;
    }

    base::Result<void> make_directory(const std::string& path) override { return change(Op::make_directory, path); }
    base::Result<std::unique_ptr<File>> create(const std::string& path, std::uint64_t bytes) override {
        if (auto changed = change(Op::create, path); !changed) return std::move(changed).error();
        const std::lock_guard lock(mutex_);
        if (names_.count(path) != 0) return base::Error{base::Errc::already_exists, path + " exists"};
        std::uint64_t used = bytes;
        for (const auto& [name, inode] : names_) used += inode->content.size();
        if (used > capacity_) return base::Error{base::Errc::resource_exhausted, path + ": No space left on device"};
        auto inode = std::make_shared<Inode>();
        inode->content.resize(bytes);
        rename_locked([path, inode](Names& names) { names[path] = inode; });
        return std::unique_ptr<File>(std::make_unique<FakeFile>(*this, path, inode));
    }
    base::Result<std::unique_ptr<File>> open(const std::string& path, bool) const override {
        if (auto failed = fault(Op::open, path)) return std::move(*failed);
        const std::lock_guard lock(mutex_);
        const auto found = names_.find(path);
        if (found == names_.end()) return base::Error{base::Errc::not_found, path + ": No such file"};
        return std::unique_ptr<File>(std::make_unique<FakeFile>(const_cast<FakeDisk&>(*this), path, found->second));
    }
    base::Result<void> rename(const std::string& from, const std::string& to) override {
        if (auto changed = change(Op::rename, to); !changed) return changed;
        const std::lock_guard lock(mutex_);
        if (names_.count(from) == 0) return {base::Errc::not_found, from + ": No such file"};
        rename_locked([from, to](Names& names) {
            names[to] = names[from];
            names.erase(from);
        });
        return {};
    }
    base::Result<void> unlink(const std::string& path) override {
        if (auto changed = change(Op::unlink, path); !changed) return changed;
        const std::lock_guard lock(mutex_);
        if (names_.count(path) == 0) return {base::Errc::not_found, path + ": No such file"};
        rename_locked([path](Names& names) { names.erase(path); });
        return {};
    }
    base::Result<void> sync_directory(const std::string& path) override {
        if (auto changed = change(Op::sync_directory, path); !changed) return changed;
        const std::lock_guard lock(mutex_);
        if (directories_lie_) return {};
        durable_names_ = names_;
        pending_names_.clear();
        return {};
    }
    base::Result<std::vector<std::string>> list(const std::string& path) const override {
        if (auto failed = fault(Op::list, path)) return std::move(*failed);
        const std::lock_guard lock(mutex_);
        std::vector<std::string> found;
        for (const auto& [name, inode] : names_)
            if (name.starts_with(path + "/")) found.push_back(name.substr(path.size() + 1));
        return found;
    }
    base::Result<std::unique_ptr<DirectoryLock>> lock(const std::string&) override {
        return std::make_unique<DirectoryLock>();
    }

private:
    struct Inode {
        std::vector<std::uint8_t> content;
        std::vector<std::uint8_t> durable;
        std::set<std::size_t> dirty;
        bool is_blank(std::size_t sector) const {
            const auto from = std::min(durable.size(), sector * sector_bytes);
            const auto to = std::min(durable.size(), from + sector_bytes);
            return std::all_of(durable.begin() + static_cast<std::ptrdiff_t>(from),
                               durable.begin() + static_cast<std::ptrdiff_t>(to), [](auto byte) { return byte == 0; });
        }
        void make_durable(std::size_t sector, std::size_t bytes = sector_bytes) {
            durable.resize(content.size());
            const auto from = sector * sector_bytes;
            const auto to = std::min(content.size(), from + bytes);
            std::copy(content.begin() + static_cast<std::ptrdiff_t>(from),
                      content.begin() + static_cast<std::ptrdiff_t>(to),
                      durable.begin() + static_cast<std::ptrdiff_t>(from));
        }
    };
    using Names = std::map<std::string, std::shared_ptr<Inode>>;

    class FakeFile final : public File {
    public:
        FakeFile(FakeDisk& disk, std::string path, std::shared_ptr<Inode> inode)
            : disk_(disk), path_(std::move(path)), inode_(std::move(inode)) {}
        base::Result<void> write_at(std::uint64_t offset, std::span<const std::uint8_t> bytes) override {
            auto changed = disk_.change(Op::write, path_);
            const std::lock_guard lock(disk_.mutex_);
            if (disk_.ignores_ends_ && changed && offset + bytes.size() == inode_->content.size()) return changed;
            if (!changed) bytes = bytes.first(bytes.size() / 2);
            if (offset + bytes.size() > inode_->content.size()) inode_->content.resize(offset + bytes.size());
            std::copy(bytes.begin(), bytes.end(), inode_->content.begin() + static_cast<std::ptrdiff_t>(offset));
            for (auto at = offset; at < offset + bytes.size(); at = (at / sector_bytes + 1) * sector_bytes)
                inode_->dirty.insert(at / sector_bytes);
            return changed;
        }
        base::Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) const override {
            if (auto failed = disk_.fault(Op::read, path_)) return std::move(*failed);
            const std::lock_guard lock(disk_.mutex_);
            if (offset >= inode_->content.size()) return std::size_t{0};
            const auto n = std::min<std::size_t>(out.size(), inode_->content.size() - offset);
            std::copy_n(inode_->content.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
            return n;
        }
        base::Result<void> sync() override {
            auto changed = disk_.change(Op::sync, path_);
            const std::lock_guard lock(disk_.mutex_);
            if (disk_.off_) return changed;
            if (disk_.files_lie_ && changed) return changed;
            inode_->durable.resize(inode_->content.size());
            for (const auto sector : inode_->dirty)
                if (changed || (disk_.tears_ && (*disk_.tears_)() % 2 == 0)) inode_->make_durable(sector);
            inode_->dirty.clear();
            return changed;
        }
        base::Result<std::uint64_t> size() const override {
            const std::lock_guard lock(disk_.mutex_);
            return inode_->content.size();
        }

    private:
        FakeDisk& disk_;
        std::string path_;
        std::shared_ptr<Inode> inode_;
    };

    std::optional<base::Error> fault(Op op, const std::string& path) const {
        Hook hook;
        {
            const std::lock_guard lock(mutex_);
            if (off_) return base::Error{base::Errc::unavailable, path + ": no power"};
            hook = hook_;
        }
        return hook ? hook(op, path) : std::nullopt;
    }
    base::Result<void> change(Op op, const std::string& path) {
        {
            const std::lock_guard lock(mutex_);
            ++changes_;
            if (cut_at_ && changes_ >= *cut_at_) off_ = true;
        }
        if (auto failed = fault(op, path)) return std::move(*failed);
        return {};
    }
    void rename_locked(std::function<void(Names&)> change_names) {
        change_names(names_);
        pending_names_.push_back(std::move(change_names));
    }

    mutable std::mutex mutex_;
    Names names_;
    Names durable_names_;
    std::vector<std::function<void(Names&)>> pending_names_;
    Hook hook_;
    std::uint64_t capacity_ = UINT64_MAX;
    std::uint64_t changes_ = 0;
    std::optional<std::uint64_t> cut_at_;
    bool off_ = false;
    bool files_lie_ = false;
    bool directories_lie_ = false;
    bool ignores_ends_ = false;
    std::optional<std::mt19937_64> tears_;
};

}  // namespace usher::audit::journal::testing
