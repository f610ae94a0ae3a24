#include "transport/dpdk_plugin.h"

#include <dlfcn.h>

#include <filesystem>
#include <mutex>
#include <vector>

namespace phub::transport {
namespace {

// Beside the library or program that this code is in, and in the folder of libraries next to it.
std::vector<std::string> places() {
  std::vector<std::string> paths;
  Dl_info own{};
  static const char here = 0;
  std::vector<std::filesystem::path> files;
  if (::dladdr(&here, &own) != 0 && own.dli_fname != nullptr) files.emplace_back(own.dli_fname);
  std::error_code error;
  files.push_back(std::filesystem::read_symlink("/proc/self/exe", error));
  for (const std::filesystem::path& file : files) {
    const std::filesystem::path beside = file.parent_path() / kDpdkPluginFile;
    if (std::filesystem::exists(beside, error)) paths.push_back(beside);
  }
  paths.emplace_back(kDpdkPluginFile);
  return paths;
}

Result<const DpdkPlugin*> load() {
  const std::string advice =
      "; install the package phub-dpdk and DPDK 22.11 (Debian: librte-meta-net), or choose "
      "tcp:// instead";
  std::string reasons;
  for (const std::string& path : places()) {
    void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == nullptr) {
      reasons += (reasons.empty() ? "" : "; ") + std::string(::dlerror());
      continue;
    }
    const auto entry =
        reinterpret_cast<const DpdkPlugin* (*)()>(::dlsym(library, kDpdkPluginSymbol));
    const DpdkPlugin* const plugin = entry == nullptr ? nullptr : entry();
    if (plugin != nullptr && plugin->abi == kDpdkPluginAbi &&
        std::string(plugin->version) == PHUB_VERSION) {
      return plugin;
    }
    const std::string theirs = plugin == nullptr ? "no PHub plugin"
                                                 : "of PHub " + std::string(plugin->version) +
                                                       ", interface " + std::to_string(plugin->abi);
    return Status(Code::unavailable, "fabric dpdk: " + path + " is " + theirs +
                                         ", but this is PHub " + PHUB_VERSION + ", interface " +
                                         std::to_string(kDpdkPluginAbi) +
                                         "; install both from one release");
  }
  return Status(Code::unavailable, "fabric dpdk: " + reasons + advice);
}

}  // namespace

Result<const DpdkPlugin*> load_dpdk_plugin() {
  static std::mutex mutex;
  static const DpdkPlugin* loaded = nullptr;
  const std::scoped_lock lock(mutex);
  if (loaded != nullptr) return loaded;
  Result<const DpdkPlugin*> plugin = load();
  if (plugin.ok()) loaded = *plugin;
  return plugin;
}

}  // namespace phub::transport
