// Goal: every check says ok where all is well, names what is not, and gives the exact way out.
// Method: a made-up machine that is fit; one fact at a time is spoiled.
#include "phub/doctor/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "phub/doctor/report.h"
#include "tests/phub/doctor/fit_devices.h"

namespace phub::doctor {
namespace {

using testing::HasSubstr;

constexpr uint64_t kGiB = uint64_t{1} << 30;

Facts fit_machine() {
  Facts facts;
  facts.shards = 8;
  facts.locked_memory_bytes = Limit{kUnlimited, kUnlimited};
  facts.open_files = Limit{65'536, 65'536};
  facts.memory_bytes = 64 * kGiB;
  facts.memory_available_bytes = 60 * kGiB;
  facts.huge_pages = "madvise";
  facts.shared_huge_pages = "advise";
  facts.dev_shm_bytes = 32 * kGiB;
  facts.sealed_memfd = Attempt{true, ""};
  facts.allowed_cores = 8;
  facts.numa_nodes = 2;
  facts.isolated_cores = "2-7";
  facts.has_smt = false;
  facts.governor = "performance";
  facts.isa = "AVX2";
  facts.supported_isas = {"AVX2", "SSE4"};
  facts.interfaces = {{"lo", {"127.0.0.1"}, true, true, 65'536, std::nullopt},
                      {"eth0", {"10.0.0.7"}, true, false, 9000, 25'000},
                      {"eth1", {}, false, false, 1500, std::nullopt}};
  facts.tcp_receive_bytes_max = 16 << 20;
  facts.tcp_send_bytes_max = 16 << 20;
  facts.clock = Clock{true, 0.002};
  facts.clock_source = "tsc";
  facts.clock_read_ns = 22;
  facts.kernel = "6.1.0-18-amd64";
  facts.io_uring = Attempt{true, ""};
  facts.kernel_tls = Attempt{false, "no module"};
  facts.devices = fit_devices();
  facts.hub.uri = "tcp://10.0.0.9:7077";
  facts.hub.reach = Reach::greeted;
  facts.hub.peer = "10.0.0.9:7077";
  facts.hub.hub = "phubd 0.1.0 on node9";
  facts.hub.greeting_us = 250;
  facts.hub.round_trip_us = 60;
  facts.hub.path_mtu = 9000;
  facts.hub.own_address = "10.0.0.7";
  facts.hub.segment_bytes = 8948;
  facts.hub.full_datagram = FullDatagram::arrived;
  facts.door = {"10.0.0.9:7070", true, true, "ok"};
  return facts;
}

TEST(DoctorTest, AFitMachineHasNothingToMend) {
  const std::vector<Finding> findings = examine(fit_machine());
  EXPECT_EQ(findings.size(), all_checks().size());
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.verdict, Verdict::ok) << finding.name << ": " << finding.seen;
    EXPECT_FALSE(finding.seen.empty()) << finding.name;
    EXPECT_TRUE(finding.fix.empty()) << finding.name << ": " << finding.fix;
  }
  EXPECT_EQ(worst_of(findings), Verdict::ok);
}

TEST(DoctorTest, WhatIsNotKnownIsSkippedAndSaysWhy) {
  for (const Finding& finding : examine(Facts())) {
    EXPECT_NE(finding.verdict, Verdict::problem) << finding.name;
    EXPECT_FALSE(finding.seen.empty()) << finding.name;
  }
}

// How one fact is spoiled, and what must be said of it.
struct Spoiled {
  Check check;
  void (*spoil)(Facts& facts);
  Verdict verdict;
  const char* seen;  // A part of each.
  const char* fix;
};

const Spoiled kSpoiled[] = {
    {check_open_files,
     [](Facts& f) {
       f.open_files = Limit{1024, 1024};
     },
     Verdict::warning, "1024: room for 106 ranks at 8 shards", "ulimit -n 36928"},
    {check_open_files,
     [](Facts& f) {
       f.open_files = Limit{128, 128};
     },
     Verdict::problem, "room for 7 ranks", "--sessions-max 7"},
    {check_locked_memory,
     [](Facts& f) {
       f.locked_memory_bytes = Limit{65'536, 65'536};
     },
     Verdict::problem, "64 KiB", "ulimit -l unlimited"},
    {check_sealed_memory,
     [](Facts& f) {
       f.sealed_memfd = Attempt{false, "not permitted"};
     },
     Verdict::problem, "not permitted", "memfd_create"},
    {check_huge_pages, [](Facts& f) { f.huge_pages = "never"; }, Verdict::warning, "private never",
     "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"},
    {check_huge_pages, [](Facts& f) { f.shared_huge_pages = "never"; }, Verdict::warning,
     "shared never", "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"},
    {check_dev_shm, [](Facts& f) { f.dev_shm_bytes = 64 << 20; }, Verdict::warning, "64 MiB",
     "--shm-size"},
    {check_memory_limit, [](Facts& f) { f.cgroup_memory_bytes = 4 * kGiB; }, Verdict::problem,
     "may use 4 GiB: less than the 32 GiB", "--memory-limit 3072MiB"},
    {check_cores, [](Facts& f) { f.allowed_cores = 1; }, Verdict::warning, "1 for this process",
     "--cpuset-cpus"},
    {check_cpu_limit, [](Facts& f) { f.cgroup_cpus = 2.5; }, Verdict::warning,
     "a quota of 2.5 processors for 8 cores", "--shards 2"},
    {check_governor, [](Facts& f) { f.governor = "powersave"; }, Verdict::warning, "powersave",
     "cpupower frequency-set -g performance"},
    {check_instruction_set, [](Facts& f) { f.isa = "SSE4"; }, Verdict::warning, "PHUB_ISA",
     "unset PHUB_ISA"},
    {check_instruction_set,
     [](Facts& f) {
       f.isa = "SSE4";
       f.supported_isas = {"SSE4"};
     },
     Verdict::warning, "SSE4 of SSE4", "-cpu host"},
    {check_clock_source,
     [](Facts& f) {
       f.clock_source = "hpet";
       f.clock_read_ns = 1400;
     },
     Verdict::warning, "hpet, 1400 ns", "echo tsc >"},
    {check_clock,
     [](Facts& f) {
       f.clock = Clock{false, 16};
     },
     Verdict::warning, "not synchronised", "timedatectl"},
    {check_clock,
     [](Facts& f) {
       f.clock = Clock{true, 3};
     },
     Verdict::warning, "only within 3.0 s", "timedatectl"},
    {check_kernel, [](Facts& f) { f.kernel = "5.10.0-28-amd64"; }, Verdict::warning, "before 5.14",
     "5.14 or later"},
    {check_interfaces, [](Facts& f) { f.interfaces.resize(1); }, Verdict::warning, "none is up",
     "ip link set dev"},
    {check_interfaces, [](Facts& f) { f.interfaces[1].speed_mbps = 100; }, Verdict::warning,
     "100 Mb/s", "ethtool"},
    {check_mtu, [](Facts& f) { f.interfaces[1].mtu = 1500; }, Verdict::warning, "eth0 1500",
     "ip link set dev eth0 mtu 9000"},
    {check_tcp_buffers, [](Facts& f) { f.tcp_send_bytes_max = 1 << 20; }, Verdict::warning,
     "1 MiB out; 25 Gb/s with 500 us round trip want 2.98 MiB",
     "net.ipv4.tcp_wmem='4096 65536 3125000'"},
    {check_tcp_buffers, [](Facts& f) { f.hub.round_trip_us = 40'000; }, Verdict::warning,
     "40 ms round trip", "tcp_rmem"},
    {check_hub, [](Facts& f) { f.hub.greeting_us = 250'000; }, Verdict::warning, "250.00 ms",
     "phubctl top"},
    {check_hub, [](Facts& f) { f.hub.reason = "the hub has 4096 sessions"; }, Verdict::problem,
     "which refuses: the hub has 4096 sessions", "log"},
    {check_path, [](Facts& f) { f.hub.path_mtu = 1500; }, Verdict::warning,
     "MTU 1500, segments of 8948 bytes: less than this machine's interface sends (eth0 9000)",
     "mtu 1500"},
    {check_path, [](Facts& f) { f.hub.full_datagram = FullDatagram::too_big; }, Verdict::warning,
     "less than this machine's interface sends", "same MTU"},
    {check_path, [](Facts& f) { f.hub.full_datagram = FullDatagram::silent; }, Verdict::ok,
     "nothing told", ""},
    {check_path, [](Facts& f) { f.hub.full_datagram = FullDatagram::not_sent; }, Verdict::ok,
     "nothing was sent", ""},
    {check_door, [](Facts& f) { f.door.answer = "draining"; }, Verdict::warning, "draining",
     "phubctl undrain"},
    {check_door, [](Facts& f) { f.door.has_answered = false; }, Verdict::problem, "10.0.0.9:7070",
     "phubd --http 10.0.0.9:7070"},
    {check_door,
     [](Facts& f) {
       f.door.has_answered = false;
       f.door.is_given = false;
     },
     Verdict::skipped, "give --http", ""},
};

TEST(DoctorTest, WhatIsSpoiledIsSeenWithNumbersAndMended) {
  for (const Spoiled& spoiled : kSpoiled) {
    Facts facts = fit_machine();
    spoiled.spoil(facts);
    const Finding finding = spoiled.check(facts);
    EXPECT_EQ(finding.verdict, spoiled.verdict) << finding.name << ": " << finding.seen;
    EXPECT_THAT(finding.seen, HasSubstr(spoiled.seen));
    EXPECT_THAT(finding.fix, HasSubstr(spoiled.fix)) << finding.name;
  }
}

TEST(DoctorTest, EveryCheckIsSpoiledByATest) {
  for (const Check check : all_checks()) {
    const bool is_of_devices = std::find(std::begin(kDeviceChecks), std::end(kDeviceChecks),
                                         check) != std::end(kDeviceChecks);
    if (is_of_devices) continue;
    const bool is_spoiled = std::any_of(std::begin(kSpoiled), std::end(kSpoiled),
                                        [&](const Spoiled& one) { return one.check == check; });
    EXPECT_TRUE(is_spoiled) << check(fit_machine()).name;
  }
}

TEST(DoctorTest, EveryWayNotToReachAHubIsAProblemWithAFixOfItsOwn) {
  std::vector<std::string> fixes;
  for (const Reach reach :
       {Reach::bad_address, Reach::unknown_host, Reach::no_socket, Reach::denied, Reach::refused,
        Reach::unreachable, Reach::timed_out, Reach::not_a_hub}) {
    Facts facts = fit_machine();
    facts.hub.reach = reach;
    const Finding finding = check_hub(facts);
    EXPECT_EQ(finding.verdict, Verdict::problem);
    EXPECT_THAT(finding.seen, HasSubstr("tcp://10.0.0.9:7077 (10.0.0.9:7077): "));
    EXPECT_FALSE(finding.fix.empty());
    EXPECT_EQ(std::count(fixes.begin(), fixes.end(), finding.fix), 0) << finding.fix;
    fixes.push_back(finding.fix);
  }
  Facts facts = fit_machine();
  facts.hub.uri = "shm:///tmp/phub.sock";
  facts.hub.reach = Reach::refused;
  EXPECT_THAT(check_hub(facts).fix, HasSubstr("start phubd --listen shm:///tmp/phub.sock"));
}

TEST(DoctorTest, EachHubOfAListIsJudged) {
  Facts facts = fit_machine();
  facts.other_hubs.push_back(facts.hub);
  facts.other_hubs[0].uri = "tcp://10.0.0.10:7077";
  facts.other_hubs[0].reach = Reach::refused;
  const std::vector<Finding> findings = examine(facts);
  ASSERT_EQ(findings.size(), all_checks().size() + 2);
  const Finding& other = findings[all_checks().size()];
  EXPECT_EQ(other.verdict, Verdict::problem);
  EXPECT_THAT(other.seen, HasSubstr("tcp://10.0.0.10:7077"));
  EXPECT_THAT(check_path(facts).seen, HasSubstr("tcp://10.0.0.9:7077: MTU"));
}

TEST(DoctorTest, OverTlsNothingIsProvedAndTheFixNamesTls) {
  Facts facts = fit_machine();
  facts.hub.uri = "tls://10.0.0.9:7077";
  facts.hub.reach = Reach::not_greeted;
  EXPECT_EQ(check_hub(facts).verdict, Verdict::skipped);
  EXPECT_THAT(check_hub(facts).seen, HasSubstr("TLS is not tried here"));
  facts.hub.reach = Reach::refused;
  EXPECT_THAT(check_hub(facts).fix, HasSubstr("start phubd --listen tls://0.0.0.0:PORT"));
  facts.hub.uri = "tcp://10.0.0.9:7077";
  facts.hub.reach = Reach::not_a_hub;
  facts.hub.reason = "the peer speaks TLS; connect to it by tls://, not tcp://";
  EXPECT_EQ(check_hub(facts).fix, "--hub tls://10.0.0.9:7077");
}

TEST(DoctorTest, TheReportIsExactlyThis) {
  const std::vector<Finding> findings{{"cores", Verdict::ok, "8", ""},
                                      {"locked memory", Verdict::warning, "64 KiB", "ulimit -l"},
                                      {"hub", Verdict::problem, "refused", "start phubd"},
                                      {"clock", Verdict::skipped, "not known", ""}};
  EXPECT_EQ(report_text(findings, false),
            "ok       cores          8\n"
            "warning  locked memory  64 KiB\n"
            "                        fix: ulimit -l\n"
            "problem  hub            refused\n"
            "                        fix: start phubd\n"
            "skipped  clock          not known\n"
            "\n"
            "4 checks: 1 ok, 1 warnings, 1 problems, 1 skipped\n");
  EXPECT_THAT(report_text(findings, true), HasSubstr("\x1b[1;31mproblem  \x1b[0mhub"));
  const auto json = nlohmann::json::parse(report_json(findings));
  EXPECT_EQ(json["verdict"], "problem");
  EXPECT_EQ(json["findings"][1]["fix"], "ulimit -l");
  EXPECT_EQ(worst_of({findings[0], findings[1], findings[3]}), Verdict::warning);
}

}  // namespace
}  // namespace phub::doctor
