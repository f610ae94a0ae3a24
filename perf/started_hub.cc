#include "perf/started_hub.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/try.h"
#include "perf/medium.h"

namespace phub::perf {
namespace {

constexpr std::chrono::seconds kReadyTimeout{20};

// hub.pem and hub.key: a certificate for this run, which workers take for their CA, too.
Status make_certificate(const std::string& folder) {
  PHUB_TRY_ASSIGN(const base::Fd output, make_output_file());
  PHUB_TRY_ASSIGN(Process openssl,
                  Process::start({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                  "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                                  "/CN=phub-perf", "-addext", "subjectAltName=IP:127.0.0.1",
                                  "-keyout", folder + "/hub.key", "-out", folder + "/hub.pem"},
                                 output.get()));
  const base::Instant deadline = base::now() + kReadyTimeout;
  while (!openssl.exit_status() && base::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (openssl.exit_status() == 0) return Status();
  return Status(Code::unavailable, "make a certificate: openssl said:\n" + tail_of(output));
}

std::string_view between(std::string_view text, std::string_view before, std::string_view behind) {
  const size_t begin = std::min(text.find(before), text.size() - before.size()) + before.size();
  const size_t end = std::min(text.find(behind, begin), text.size());
  return text.substr(begin, end - begin);
}

std::string listen_of(const Case& one, const std::string& folder, uint32_t number) {
  const std::string local = "shm://" + folder + "/hub" + std::to_string(number) + ".sock";
  const std::string remote = one.fabric + "://127.0.0.1:0";
  if (one.fabric == "shm") return local;
  return one.form.is_colocated ? local + "," + remote : remote;
}

Result<StartedHub> start_hub(const std::string& phubd, uint32_t number, const Case& one,
                             const std::string& folder, const base::Fd& output) {
  int ends[2];
  if (pipe(ends) != 0) return Status(Code::resource_exhausted, "pipe: " + base::errno_text());
  const base::Fd reader(ends[0]);
  base::Fd writer(ends[1]);
  std::vector<std::string> argv = {
      phubd,      "--listen",      listen_of(one, folder, number),  "--http",
      "off",      "--shards",      std::to_string(one.shards),      "--stores",
      one.stores, "--tcp-streams", std::to_string(one.tcp_streams), "--memory-limit",
      "90%",      "--ready-fd",    std::to_string(writer.get())};
  if (one.fabric == "tls") {
    argv.insert(argv.end(), {"--tls-cert", folder + "/hub.pem", "--tls-key", folder + "/hub.key"});
  }
  for (std::string& word : hub_medium(one, folder, number)) argv.push_back(std::move(word));
  PHUB_TRY_ASSIGN(Process hub, Process::start(argv, output.get(), {writer.get()}));
  writer = base::Fd();  // Now only the hub holds that end: its death is an end of file here.
  pollfd readable = {reader.get(), POLLIN, 0};
  const int timeout_ms = static_cast<int>(std::chrono::milliseconds(kReadyTimeout).count());
  std::array<char, 512> line{};
  if (::poll(&readable, 1, timeout_ms) != 1 || read(reader.get(), line.data(), line.size()) <= 0) {
    hub.stop(std::chrono::milliseconds(300));
    return Status(Code::unavailable, phubd + " did not get ready; output:\n" + tail_of(output));
  }
  // "phubd 0.1.0 ready: ADDRESS[,ADDRESS], http off, 2 shards"
  StartedHub started{std::move(hub), "", ""};
  std::istringstream addresses(std::string(between(line.data(), "ready: ", ", http")));
  for (std::string address; std::getline(addresses, address, ',');) {
    (address.starts_with("shm://") ? started.local : started.remote) = address;
  }
  return started;
}

}  // namespace

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "phub-perf-XXXXXX").string();
  if (mkdtemp(name.data()) != nullptr) path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Result<std::vector<StartedHub>> start_hubs(const std::string& phubd, const Case& one,
                                           const std::string& folder, const base::Fd& output) {
  if (one.fabric == "tls") PHUB_TRY(make_certificate(folder));
  std::vector<StartedHub> hubs;
  for (uint32_t number = 0; number < one.form.hubs; ++number) {
    PHUB_TRY_ASSIGN(StartedHub hub, start_hub(phubd, number, one, folder, output));
    hubs.push_back(std::move(hub));
  }
  return hubs;
}

std::string hubs_for(const Case& one, const std::vector<StartedHub>& hubs, uint32_t rank) {
  std::string list;
  for (uint32_t number = 0; number < hubs.size(); ++number) {
    const bool is_local = one.fabric == "shm" || (one.form.is_colocated && number == rank);
    list += (list.empty() ? "" : ",") + (is_local ? hubs[number].local : hubs[number].remote);
  }
  return list;
}

}  // namespace phub::perf
