#include "perf/socket_bytes.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>

#include "base/fd.h"
#include "base/try.h"

namespace phub::perf {
namespace {

constexpr uint32_t kEstablished = 1u << 1;  // TCP_ESTABLISHED of the kernel's states.

// The socket's bytes, by inode: the process that has it open shows the same number.
using BytesByInode = std::map<uint64_t, uint64_t>;

Status cannot(const char* what) {
  return Status(Code::unavailable,
                std::string("count TCP bytes: ") + what + ": " + base::errno_text());
}

uint64_t bytes_of(const nlmsghdr* header) {
  const auto* const message = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof(*message)));
  const auto* attribute = reinterpret_cast<const rtattr*>(message + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != INET_DIAG_INFO) continue;
    tcp_info info{};
    std::memcpy(&info, RTA_DATA(attribute), std::min(sizeof(info), RTA_PAYLOAD(attribute)));
    return info.tcpi_bytes_acked + info.tcpi_bytes_received;
  }
  return 0;
}

Status dump(int netlink, uint8_t family, BytesByInode& bytes) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } ask{};
  ask.header.nlmsg_len = sizeof(ask);
  ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  ask.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  ask.request.sdiag_family = family;
  ask.request.sdiag_protocol = IPPROTO_TCP;
  ask.request.idiag_states = kEstablished;
  ask.request.idiag_ext = 1u << (INET_DIAG_INFO - 1);
  if (::send(netlink, &ask, sizeof(ask), 0) < 0) return cannot("ask the kernel");
  alignas(nlmsghdr) std::array<char, 32768> buffer;
  while (true) {
    const ssize_t count = ::recv(netlink, buffer.data(), buffer.size(), 0);
    if (count < 0) return cannot("hear the kernel");
    auto left = static_cast<uint32_t>(count);
    auto* header = reinterpret_cast<nlmsghdr*>(buffer.data());
    for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return Status();
      if (header->nlmsg_type == NLMSG_ERROR) return cannot("the kernel refuses");
      const auto inode = static_cast<const inet_diag_msg*>(NLMSG_DATA(header))->idiag_inode;
      if (inode != 0) bytes[inode] = bytes_of(header);  // 0: nobody has accepted it yet.
    }
  }
}

// "socket:[4711]": 4711; 0: another kind of file.
uint64_t inode_of(const std::string& target) {
  constexpr std::string_view kStart = "socket:[";
  return target.starts_with(kStart) ? std::stoull(target.substr(kStart.size())) : 0;
}

uint64_t sum_of(pid_t process, const BytesByInode& bytes) {
  uint64_t sum = 0;
  std::error_code error;
  const std::filesystem::path folder = "/proc/" + std::to_string(process) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::filesystem::path target = std::filesystem::read_symlink(entry.path(), error);
    const auto found = error ? bytes.end() : bytes.find(inode_of(target.string()));
    if (found != bytes.end()) sum += found->second;
  }
  return sum;
}

}  // namespace

Result<std::vector<uint64_t>> tcp_bytes(const std::vector<pid_t>& processes) {
  const base::Fd netlink(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink.valid()) return cannot("open a netlink socket");
  BytesByInode bytes;
  PHUB_TRY(dump(netlink.get(), AF_INET, bytes));
  PHUB_TRY(dump(netlink.get(), AF_INET6, bytes));
  std::vector<uint64_t> sums;
  for (const pid_t process : processes) sums.push_back(sum_of(process, bytes));
  return sums;
}

}  // namespace phub::perf
