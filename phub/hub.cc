#include "phub/hub.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <future>
#include <set>

#include "base/local_address.h"
#include "base/log.h"
#include "base/try.h"
#include "config/rdma_devices.h"
#include "config/topology.h"
#include "exchange/listen_address.h"
#include "exchange/rails.h"
#include "transport/open.h"

namespace phub::hub {
namespace {

constexpr std::chrono::milliseconds kControlTick{100};
constexpr std::chrono::milliseconds kLastWords{200};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

// Every shard has one door to each network, however many addresses workers may come to.
std::vector<exchange::Address> first_of_each_fabric(const std::vector<exchange::Address>& listen) {
  std::vector<exchange::Address> firsts;
  for (const exchange::Address& address : listen) {
    const bool is_new = std::none_of(
        firsts.begin(), firsts.end(),
        [&](const exchange::Address& first) { return first.fabric == address.fabric; });
    if (is_new) firsts.push_back(address);
  }
  return firsts;
}

// What a shard's door to this fabric must know; all shards share the range of ports.
transport::FabricOptions door_options(const config::HubConfig& config,
                                      const std::vector<exchange::Address>& listen,
                                      const std::string& fabric, const std::string& advertise) {
  transport::FabricOptions options;
  std::vector<std::string> hosts = exchange::link_hosts(listen, fabric);
  options.tcp.listen = base::HostPort{hosts.front(), config.port_first};
  options.tcp.also_listen.assign(hosts.begin() + 1, hosts.end());
  options.tcp.port_last = config.port_last;
  options.tcp.streams = config.tcp_streams;
  options.tcp.advertise = advertise;
  options.rdma = config.devices.rdma;
  options.dpdk = config.devices.dpdk;
  return options;
}

// A shard's door to RDMA has the NICs of its node, in the order in which the map counts them.
void take_rails(const exchange::HubShape& shape, uint32_t shard, config::RdmaOptions& rdma) {
  const std::vector<uint32_t> nics = exchange::nics_of_shard(shape, shard);
  if (nics.empty()) return;
  rdma.devices.clear();
  for (const uint32_t nic : nics) rdma.devices.push_back(shape.nics[nic].name);
}

// Opens every shard's doors, one to each network.
struct Doors {
  const config::HubConfig& config;
  const std::vector<exchange::Address>& listen;
  const std::string& advertise;
  std::shared_ptr<const transport::TlsContext> tls;
  const exchange::HubShape& shape;
  std::set<std::string> said;  // Shards on one node choose alike: the log has it once.

  Result<std::vector<std::unique_ptr<transport::Fabric>>> open(uint32_t shard) {
    std::vector<std::unique_ptr<transport::Fabric>> fabrics;
    for (const exchange::Address& address : first_of_each_fabric(listen)) {
      transport::FabricOptions door = door_options(config, listen, address.fabric, advertise);
      if (address.is_encrypted()) door.tcp.tls = tls;
      take_rails(shape, shard, door.rdma);
      door.shard = shard;
      door.shard_count = static_cast<uint32_t>(shape.shards.size());
      PHUB_TRY_ASSIGN(std::unique_ptr<transport::Fabric> fabric,
                      transport::open_fabric(address.fabric, door));
      for (const std::string& line : fabric->choices()) {
        if (said.insert(line).second) base::log(base::LogLevel::info, address.fabric + ": " + line);
      }
      fabrics.push_back(std::move(fabric));
    }
    return fabrics;
  }
};

HubLimits limits_of(const config::HubConfig& config) {
  HubLimits limits;
  limits.memory_limit_bytes = config.memory_limit_bytes;
  limits.job_memory_limit_bytes = config.job_memory_limit_bytes;
  limits.jobs_max = config.jobs_max;
  limits.sessions_max = config.sessions_max;
  limits.peer_timeout = std::chrono::milliseconds(config.peer_timeout_ms);
  limits.join_timeout = std::chrono::milliseconds(config.join_timeout_ms);
  limits.allow_create = config.can_workers_create;
  return limits;
}

}  // namespace

const char* version() { return PHUB_VERSION; }

Result<std::unique_ptr<Hub>> Hub::start(const config::HubConfig& config) {
  std::unique_ptr<Hub> hub(new Hub());
  PHUB_TRY(hub->build(config));
  hub->thread_ = base::Thread("phub-control", -1, [raw = hub.get()] { raw->run(); });
  return hub;
}

// NICs count where chunks travel by them: over verbs. The kernel's networks choose on their own.
Result<exchange::HubShape> Hub::make_shape(const config::HubConfig& config,
                                           const std::vector<exchange::Address>& listen) {
  PHUB_TRY_ASSIGN(const config::Topology topology, config::discover_topology());
  exchange::HubShape shape;
  for (const config::Core& core : config::choose_shard_cores(topology, config.shards)) {
    shape.shards.push_back({core.numa_node, config.is_pinned ? core.index : -1});
  }
  const bool has_verbs = std::any_of(listen.begin(), listen.end(),
                                     [](const auto& address) { return address.fabric == "verbs"; });
  if (!has_verbs) return shape;
  for (config::Nic& nic : config::find_rdma_devices(topology, config.devices.rdma.devices, "")) {
    shape.nics.push_back({std::move(nic.name), nic.numa_node});
  }
  return shape;
}

Status Hub::build(const config::HubConfig& config) {
  const std::vector<base::LocalAddress> machine = base::local_addresses();
  PHUB_TRY_ASSIGN(const std::vector<exchange::Address> listen,
                  exchange::parse_listen(config.listen, machine));
  PHUB_TRY_ASSIGN(const std::string advertise,
                  exchange::parse_advertise(config.advertise, machine));
  PHUB_TRY_ASSIGN(exchange::HubShape shape, make_shape(config, listen));

  SessionServerOptions server;
  server.listen = listen;
  server.peer_timeout = std::chrono::milliseconds(config.peer_timeout_ms);
  server.sessions_max = config.sessions_max;
  if (!config.tls_cert.empty()) {
    PHUB_TRY_ASSIGN(server.tls, transport::TlsContext::for_hub(
                                    {config.tls_client_ca, config.tls_cert, config.tls_key}));
  }
  server.advertise = advertise;
  server.name = name_ = std::string("phubd ") + version() + " on " + host_name();
  server.socket_access.mode = config.socket_mode;
  if (config.socket_group) server.socket_access.group = *config.socket_group;
  PHUB_TRY_ASSIGN(server_, SessionServer::listen(server));

  const kernels::Stores stores = config.stores == config::StorePolicy::ordinary
                                     ? kernels::Stores::ordinary
                                     : kernels::Stores::non_temporal;
  std::vector<Shard*> shards;
  Doors doors{config, listen, advertise, server.tls, shape, {}};
  for (uint32_t i = 0; i < shape.shards.size(); ++i) {
    PHUB_TRY_ASSIGN(std::vector<std::unique_ptr<transport::Fabric>> fabrics, doors.open(i));
    shards_.push_back(
        std::make_unique<Shard>(i, std::move(fabrics), stores, [this](const RankFault& fault) {
          control_->tasks().post([this, fault] { control_->on_rank_fault(fault); });
        }));
    shards.push_back(shards_.back().get());
  }

  ControlOptions options;
  options.version = version();
  options.host = host_name();
  options.name = name_;
  options.shape = shape;
  for (const exchange::Address& address : first_of_each_fabric(listen)) {
    options.fabric_names.push_back(address.fabric);
  }
  options.peer_timeout = server.peer_timeout;
  options.join_timeout = std::chrono::milliseconds(config.join_timeout_ms);
  options.memory_limit_bytes = config.memory_limit_bytes;
  options.job_memory_limit_bytes = config.job_memory_limit_bytes;
  options.jobs_max = config.jobs_max;
  options.allow_create = config.can_workers_create;
  control_ = std::make_unique<Control>(std::move(options), shards, server_.get());
  server_->attach(control_.get());

  for (uint32_t i = 0; i < shards.size(); ++i) {
    runners_.push_back(std::make_unique<Runner>(
        shards[i],
        RunnerOptions{shape.shards[i].core, std::chrono::microseconds(config.idle_spin_us)}));
  }
  return {};
}

void Hub::run() {
  while (!is_stopping_.load(std::memory_order_acquire) && !control_->is_finished()) {
    server_->poll(kControlTick);
  }
  if (!control_->is_finished()) control_->stop(name_ + " was stopped");
  server_->flush(kLastWords);
  const std::scoped_lock lock(mutex_);
  has_ended_ = true;
  control_->tasks().run();  // Nobody who has asked waits in vain.
  ended_.notify_all();
}

Hub::~Hub() {
  is_stopping_.store(true, std::memory_order_release);
  if (control_ != nullptr) control_->tasks().wake();
  thread_.join();
  runners_.clear();  // Before the shards and the control they post to.
}

std::string Hub::listen_text() const {
  std::string text;
  for (const exchange::Address& address : server_->addresses()) {
    text += (text.empty() ? "" : ",") + exchange::to_text(address);
  }
  return text;
}

void Hub::ask_alive(std::function<void()> done) {
  control_->tasks().post([this, done = std::move(done)] {
    const auto missing = std::make_shared<std::atomic<size_t>>(shards_.size());
    for (const std::unique_ptr<Shard>& shard : shards_) {
      shard->tasks().post([missing, done] {
        if (missing->fetch_sub(1) == 1) done();
      });
    }
  });
}

Status Hub::wait() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return has_ended_; });
  return {};
}

template <typename Answer>
Answer Hub::ask_control(std::function<Answer()> ask) {
  auto promise = std::make_shared<std::promise<Answer>>();
  std::future<Answer> answer = promise->get_future();
  {
    const std::scoped_lock lock(mutex_);
    if (has_ended_) return Status(Code::unavailable, "the hub has ended");
    control_->tasks().post([promise, ask = std::move(ask)] { promise->set_value(ask()); });
  }
  if (answer.wait_for(kAdminTimeout) != std::future_status::ready) {
    return Status(Code::timed_out,
                  "the hub's control thread did not answer; it is ending or stuck");
  }
  return answer.get();
}

Result<HubSnapshot> Hub::snapshot() {
  return ask_control<Result<HubSnapshot>>([this] { return control_->snapshot(); });
}

Result<std::vector<LateSnapshot>> Hub::late(const std::string& job) {
  using Answer = Result<std::vector<LateSnapshot>>;
  auto promise = std::make_shared<std::promise<Answer>>();
  std::future<Answer> answer = promise->get_future();
  control_->tasks().post([this, job, promise] {
    control_->late(job, [promise](Answer late) { promise->set_value(std::move(late)); });
  });
  if (answer.wait_for(kAdminTimeout) != std::future_status::ready) {
    return Status(Code::timed_out, "a shard did not answer; it is ending or stuck");
  }
  return answer.get();
}

Result<std::string> Hub::map_text(const std::string& job) {
  return ask_control<Result<std::string>>([this, job] { return control_->map_text(job); });
}

Status Hub::create_job(const JobSpec& spec) {
  return ask_control<Status>([this, spec] { return control_->create_job(spec); });
}

Status Hub::remove_job(const std::string& job, const std::string& reason) {
  return ask_control<Status>([this, job, reason] { return control_->remove_job(job, reason); });
}

Status Hub::drain() {
  control_->tasks().post([this] { control_->drain(); });
  return {};
}

Status Hub::undrain() {
  if (is_stopping_.load(std::memory_order_acquire)) {
    return Status(Code::failed_precondition, name_ + " is being stopped; start it again");
  }
  return ask_control<Status>([this] {
    control_->undrain();
    return Status();
  });
}

Status Hub::change(const config::HubConfig& config) {
  const HubLimits limits = limits_of(config);
  for (const std::unique_ptr<Runner>& runner : runners_) {
    runner->set_idle_spin(std::chrono::microseconds(config.idle_spin_us));
  }
  return ask_control<Status>([this, limits] {
    server_->set_limits(limits);
    control_->set_limits(limits);
    return Status();
  });
}

Status Hub::stop() {
  is_stopping_.store(true, std::memory_order_release);
  control_->tasks().wake();
  return {};
}

}  // namespace phub::hub
