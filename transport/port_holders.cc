// Who listens at a port: the kernel's tables name the socket, and a process that has it open is
// found under /proc.
#include <dirent.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "transport/tcp_listen.h"

namespace phub::transport {
namespace {

constexpr size_t kNamedMax = 4;
constexpr std::string_view kListening = "0A";

// Listening sockets at the ports: inode by port.
void read_table(const char* path, uint16_t first, uint16_t last,
                std::map<uint16_t, std::string>* inodes) {
  std::ifstream table(path);
  std::string line;
  std::getline(table, line);  // The head.
  while (std::getline(table, line)) {
    std::istringstream words(line);
    std::string index, local, remote, state, queues, timer, retransmits, user, timeout, inode;
    words >> index >> local >> remote >> state >> queues >> timer >> retransmits >> user >>
        timeout >> inode;
    const size_t colon = local.rfind(':');
    if (state != kListening || colon == std::string::npos || inode.empty()) continue;
    const unsigned long port = std::strtoul(local.c_str() + colon + 1, nullptr, 16);
    if (port >= first && port <= last) inodes->emplace(static_cast<uint16_t>(port), inode);
  }
}

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

bool has_open(const std::string& process, const std::string& link) {
  const std::string path = "/proc/" + process + "/fd";
  const Folder folder(::opendir(path.c_str()), ::closedir);
  if (folder == nullptr) return false;
  while (const dirent* const entry = ::readdir(folder.get())) {
    std::array<char, 64> target{};
    const ssize_t bytes =
        ::readlink((path + "/" + entry->d_name).c_str(), target.data(), target.size() - 1);
    if (bytes > 0 && link == target.data()) return true;
  }
  return false;
}

std::string holder_of(const std::string& inode) {
  const std::string link = "socket:[" + inode + "]";
  const Folder processes(::opendir("/proc"), ::closedir);
  while (processes != nullptr) {
    const dirent* const entry = ::readdir(processes.get());
    if (entry == nullptr) break;
    const std::string process = entry->d_name;
    if (process.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!has_open(process, link)) continue;
    std::string name = "process";
    std::getline(std::ifstream("/proc/" + process + "/comm"), name);
    return name + " (process " + process + ")";
  }
  return "a process that this user cannot see";
}

}  // namespace

std::string describe_port_holders(uint16_t port_first, uint16_t port_last) {
  std::map<uint16_t, std::string> inodes;
  read_table("/proc/net/tcp", port_first, port_last, &inodes);
  read_table("/proc/net/tcp6", port_first, port_last, &inodes);
  std::string text;
  size_t named = 0;
  for (const auto& [port, inode] : inodes) {
    if (named++ == kNamedMax) return text + " and more";
    text += (text.empty() ? "" : ", ") + std::to_string(port) + " " + holder_of(inode);
  }
  return text.empty() ? "sockets that do not listen" : text;
}

}  // namespace phub::transport
