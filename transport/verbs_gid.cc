#include "transport/verbs_gid.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/local_address.h"

namespace phub::transport {
namespace {

bool is_ipv4(const Gid& gid) {
  static constexpr std::array<uint8_t, 12> prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(prefix.begin(), prefix.end(), gid.begin());
}

bool is_link_local(const Gid& gid) { return gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80; }

bool is_zero(const Gid& gid) {
  return std::all_of(gid.begin(), gid.end(), [](uint8_t byte) { return byte == 0; });
}

std::string kind_of(const GidEntry& entry, bool is_infiniband) {
  if (is_infiniband) return "InfiniBand";
  return std::string(entry.type == GidType::roce_v2 ? "RoCE v2" : "RoCE v1") +
         (is_ipv4(entry.gid)         ? ", IPv4"
          : is_link_local(entry.gid) ? ", IPv6 link-local"
                                     : ", IPv6");
}

std::string shown(const GidEntry& entry, bool is_infiniband) {
  return "index " + std::to_string(entry.index) + ", " + to_text(entry.gid) + ": " +
         kind_of(entry, is_infiniband);
}

// The more, the better.
int merit(const GidEntry& entry) {
  return (entry.type == GidType::roce_v2 ? 4 : 0) + (is_ipv4(entry.gid) ? 2 : 0) +
         (is_link_local(entry.gid) ? -8 : 0);
}

const GidEntry* best_of(std::span<const GidEntry> table, bool is_infiniband) {
  const GidEntry* best = nullptr;
  for (const GidEntry& entry : table) {
    if (is_zero(entry.gid)) continue;
    if (best == nullptr || (!is_infiniband && merit(entry) > merit(*best))) best = &entry;
  }
  return best;
}

std::string list_of(std::span<const GidEntry> table, bool is_infiniband) {
  std::string list;
  for (const GidEntry& entry : table) {
    list += (list.empty() ? "" : "; ") + shown(entry, is_infiniband);
  }
  return list.empty() ? "the port has no address at all: give its network interface one"
                      : "the port has " + list;
}

// What `block`, written as for addresses of the machine, leaves of the table.
std::vector<GidEntry> inside(std::span<const GidEntry> table, std::string_view block) {
  std::vector<GidEntry> found;
  for (const GidEntry& entry : table) {
    const base::LocalAddress address{"gid", to_text(entry.gid)};
    if (base::choose_local_address(block, {&address, 1}).ok()) found.push_back(entry);
  }
  return found;
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "0000:0000:0000:0000:0000:ffff:0a01:0007"
bool parse_gid(const std::string& text, Gid* gid) {
  return ::inet_pton(AF_INET6, text.c_str(), gid->data()) == 1;
}

}  // namespace

std::string to_text(const Gid& gid) {
  char text[INET6_ADDRSTRLEN] = {};
  if (is_ipv4(gid)) {
    ::inet_ntop(AF_INET, gid.data() + 12, text, sizeof(text));
  } else {
    ::inet_ntop(AF_INET6, gid.data(), text, sizeof(text));
  }
  return text;
}

std::vector<GidEntry> read_gid_table(const std::string& port_path) {
  const std::filesystem::path port(port_path);
  std::vector<GidEntry> table;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(port / "gids", error)) {
    const std::string name = file.path().filename();
    GidEntry entry;
    const auto end = name.data() + name.size();
    if (std::from_chars(name.data(), end, entry.index).ptr != end) continue;
    if (!parse_gid(first_line(file.path()), &entry.gid) || is_zero(entry.gid)) continue;
    // InfiniBand ports of old kernels have no types.
    const std::filesystem::path types = port / "gid_attrs" / "types";
    const std::string type = first_line(types / name);
    if (type.empty() && std::filesystem::exists(types, error)) continue;
    entry.type = type == "RoCE v2" ? GidType::roce_v2 : GidType::infiniband_or_roce_v1;
    table.push_back(entry);
  }
  std::sort(table.begin(), table.end(),
            [](const GidEntry& a, const GidEntry& b) { return a.index < b.index; });
  return table;
}

Result<GidChoice> choose_gid(std::span<const GidEntry> table, std::string_view wanted,
                             bool is_infiniband) {
  const GidEntry* chosen = nullptr;
  std::vector<GidEntry> candidates;
  uint32_t index = 0;
  const auto end = wanted.data() + wanted.size();
  if (wanted.empty() || wanted == "auto") {
    chosen = best_of(table, is_infiniband);
  } else if (base::is_block(wanted)) {
    candidates = inside(table, wanted);
    chosen = best_of(candidates, is_infiniband);
  } else if (std::from_chars(wanted.data(), end, index).ptr == end) {
    const auto place = std::find_if(table.begin(), table.end(), [index](const GidEntry& entry) {
      return entry.index == index;
    });
    if (place != table.end()) chosen = &*place;
  } else {
    return Status(Code::invalid_argument,
                  "gid \"" + std::string(wanted) +
                      "\" is neither auto, nor an index such as 3, nor a block such as "
                      "10.1.0.0/16");
  }
  if (chosen == nullptr) {
    return Status(Code::not_found, "no address fits gid \"" + std::string(wanted) + "\"; " +
                                       list_of(table, is_infiniband));
  }
  return GidChoice{*chosen, shown(*chosen, is_infiniband)};
}

}  // namespace phub::transport
