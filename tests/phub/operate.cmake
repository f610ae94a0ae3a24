find_package(PkgConfig REQUIRED)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(SPDLOG REQUIRED IMPORTED_TARGET spdlog)
find_package(nlohmann_json REQUIRED)

phub_test(operate_test
  SOURCES http_test.cc json_test.cc metrics_test.cc
  DEPS phub::operate PkgConfig::HTTPLIB nlohmann_json::nlohmann_json
  LABELS concurrent)
target_compile_definitions(operate_test PRIVATE PHUB_DOCS="${PROJECT_SOURCE_DIR}/docs")
phub_test(phubctl_test
  SOURCES phubctl_plan_test.cc phubctl_test.cc program_log_test.cc top_test.cc
          ${PROJECT_SOURCE_DIR}/phub/program_log.cc
  DEPS phub::ctl phub::operate PkgConfig::SPDLOG nlohmann_json::nlohmann_json)
target_compile_definitions(phubctl_test PRIVATE
  PHUB_CONFIG_EXAMPLES="${PROJECT_SOURCE_DIR}/config/examples"
  PHUB_TEST_MODELS="${PROJECT_SOURCE_DIR}/perf/models")
phub_test(doctor_test
  SOURCES doctor/checks_test.cc doctor/device_checks_test.cc doctor/device_facts_test.cc
          doctor/facts_test.cc
  DEPS phub::doctor nlohmann_json::nlohmann_json)
