#include "tests/net/network.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/check.h"

namespace phub::net {
namespace {

constexpr const char* kIp = "/usr/sbin/ip";

base::Fd new_network() {
  base::Fd network;
  std::thread([&network] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    network = base::Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  return network;
}

// True: done. False: `output` says why not.
bool run_ip(int network, const std::string& commands, std::string* output) {
  const base::Fd text(::memfd_create("ip", MFD_CLOEXEC));
  PHUB_CHECK(::write(text.get(), commands.data(), commands.size()) == std::ssize(commands));
  ::lseek(text.get(), 0, SEEK_SET);
  const base::Fd said(::memfd_create("said", MFD_CLOEXEC));
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(text.get(), STDIN_FILENO);
    ::dup2(said.get(), STDOUT_FILENO);
    ::dup2(said.get(), STDERR_FILENO);
    if (::setns(network, CLONE_NEWNET) == 0) ::execl(kIp, kIp, "-batch", "-", nullptr);
    ::_exit(127);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  output->resize(static_cast<size_t>(::lseek(said.get(), 0, SEEK_END)));
  [[maybe_unused]] const ssize_t bytes = ::pread(said.get(), output->data(), output->size(), 0);
  return status == 0;
}

std::string path_of(int fd) {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd);
}

void set_number(const std::string& path, int number) { std::ofstream(path) << number; }

}  // namespace

void Node::run(const std::function<void()>& body) const {
  std::thread([&] {
    PHUB_CHECK(::setns(network_.get(), CLONE_NEWNET) == 0);
    body();
  }).join();
}

void Node::ip(const std::string& commands) const {
  std::string output;
  const bool is_done = run_ip(network_.get(), commands, &output);
  if (!is_done) std::fprintf(stderr, "ip -batch:\n%s%s\n", commands.c_str(), output.c_str());
  PHUB_CHECK(is_done);
}

std::string Network::why_unavailable() {
  if (::geteuid() != 0) return "network namespaces need root";
  if (::access(kIp, X_OK) != 0) return "there is no /usr/sbin/ip; install iproute2";
  const base::Fd network = new_network();
  if (!network.valid()) return "this kernel or container refuses new network namespaces";
  std::string output;
  const bool has_all = run_ip(
      network.get(), "link add br0 type bridge\nlink add one type veth peer name two\n", &output);
  return has_all ? "" : "this kernel has no bridges or veth: " + output;
}

Network::Network() {
  switch_.network_ = new_network();
  switch_.run([] { set_number("/proc/sys/net/ipv6/conf/default/disable_ipv6", 1); });
  switch_.ip("link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n");
}

Node& Network::add(const NodeOptions& options) {
  Node& node = *nodes_.emplace_back(std::make_unique<Node>());
  node.network_ = new_network();
  const std::string number = std::to_string(nodes_.size());
  const std::string mtu = std::to_string(options.mtu);
  node.ipv4_ = "10.77.0." + number;
  node.ipv6_ = "fd77::" + number;
  node.port_ = "port" + number;
  node.run([] { set_number("/proc/sys/net/ipv6/conf/default/accept_dad", 0); });
  if (options.loss + options.duplicate + options.delay == 0) {
    switch_.ip("link add " + node.port_ + " mtu " + mtu + " type veth peer name eth0 mtu " + mtu +
               " netns " + path_of(node.network_.get()) + "\n");
  } else {
    wires_.emplace_back(
        std::vector<std::string>{PHUB_TEST_LOSSY_WIRE, path_of(switch_.network_.get()), node.port_,
                                 path_of(node.network_.get()), "eth0", std::to_string(options.loss),
                                 std::to_string(options.duplicate), std::to_string(options.delay)});
    PHUB_CHECK(wires_.back().wait_line("ready", std::chrono::seconds(20)).has_value());
  }
  switch_.ip("link set " + node.port_ + " master br0\nlink set " + node.port_ + " up\n");
  node.ip("link set lo up\nlink set eth0 addrgenmode none\nlink set eth0 up\naddr add " +
          node.ipv4_ + "/24 dev eth0\naddr add " + node.ipv6_ + "/64 dev eth0 nodad\n" +
          "addr add fe80::" + number + "/64 dev eth0 nodad\n");
  return node;
}

void Network::set_cable(const Node& node, const std::string& state) {
  switch_.ip("link set " + node.port_ + " " + state + "\n");
}

}  // namespace phub::net
