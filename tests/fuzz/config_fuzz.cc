// Goal: no text of a configuration file or of a quantity crashes the hub's start.
// Method: libFuzzer; every refusal must give a reason and say where.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "config/hub_config.h"
#include "config/quantity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phub::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_hub_file(text, "fuzz.conf", Machine{16, uint64_t{64} << 30});
  if (config.ok()) {
    PHUB_CHECK(config->shards >= 1 && config->shards <= 16);
    PHUB_CHECK(config->job_memory_limit_bytes <= config->memory_limit_bytes);
  } else {
    PHUB_CHECK(config.status().message().starts_with("fuzz.conf:"));
  }
  const auto bytes = parse_bytes(text);
  PHUB_CHECK(bytes.ok() || !bytes.status().message().empty());
  const auto address = phub::base::parse_host_port(text);
  PHUB_CHECK(!address.ok() || phub::base::parse_host_port(to_text(*address)).ok());
  const auto door = phub::base::parse_listen_host_port(text);
  PHUB_CHECK(!door.ok() || phub::base::parse_listen_host_port(to_text(*door)).ok());
  return 0;
}
