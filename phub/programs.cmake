# What operators touch: the hub over HTTP, and the programs phubd and phubctl.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(SPDLOG REQUIRED IMPORTED_TARGET spdlog)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
find_package(nlohmann_json REQUIRED)

phub_library(operate
  SOURCES http_server.cc json.cc metrics.cc new_job.cc
  DEPS phub::hub phub::exchange phub::config
  PRIVATE_DEPS PkgConfig::HTTPLIB nlohmann_json::nlohmann_json)

phub_library(doctor
  SOURCES
    doctor/cgroup_facts.cc
    doctor/checks.cc
    doctor/checks_dpdk.cc
    doctor/checks_hub.cc
    doctor/checks_memory.cc
    doctor/checks_network.cc
    doctor/checks_processor.cc
    doctor/checks_rdma.cc
    doctor/device_facts.cc
    doctor/facts.cc
    doctor/hub_probe.cc
    doctor/path_probe.cc
    doctor/report.cc
    doctor/try_machine.cc
  DEPS phub::exchange phub::transport phub::kernels phub::config phub::base
  PRIVATE_DEPS nlohmann_json::nlohmann_json ${CMAKE_DL_LIBS})

phub_library(ctl
  SOURCES
    phubctl.cc
    phubctl_client.cc
    phubctl_doctor.cc
    phubctl_drain.cc
    phubctl_plan.cc
    phubctl_tables.cc
    phubctl_top.cc
    table.cc
    terminal.cc
    top_rates.cc
    top_text.cc
  DEPS phub::doctor phub::exchange phub::config
  PRIVATE_DEPS PkgConfig::HTTPLIB nlohmann_json::nlohmann_json)
target_compile_definitions(phub_ctl PRIVATE PHUB_VERSION="${PROJECT_VERSION}")

phub_program(phubd
  SOURCES phubd_main.cc program.cc program_log.cc service_manager.cc
  DEPS phub::operate phub::hub PkgConfig::SPDLOG PkgConfig::SYSTEMD nlohmann_json::nlohmann_json)
phub_program(phubctl SOURCES phubctl_main.cc DEPS phub::ctl)
