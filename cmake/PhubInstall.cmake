# The package: libphub, the one library that trainers link, and what `cmake --install` puts where.
# Trainers get a shared library with only the public symbols, so that what PHub is made of (JSON,
# HTTP, TLS, ...) cannot collide with what they are made of. The programs link the rooms statically.
include(CMakePackageConfigHelpers)

if(NOT TARGET phub_client)
  return()
endif()

# All of the client and of base: the public API's code lies in these two.
add_library(phub SHARED $<TARGET_OBJECTS:phub_client> $<TARGET_OBJECTS:phub_base>)
add_library(phub::phub ALIAS phub)
set(phub_symbols ${PROJECT_SOURCE_DIR}/cmake/libphub.map)
target_link_libraries(phub PRIVATE phub_flags phub::client)
target_link_options(phub PRIVATE -Wl,--version-script=${phub_symbols} -Wl,--no-undefined)
target_include_directories(phub INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                          $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(phub INTERFACE cxx_std_20)
set_target_properties(phub PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                                      LINK_DEPENDS ${phub_symbols})

# Components are packages (PhubPackage.cmake); `cmake --install` installs them all.
install(TARGETS phub EXPORT phubTargets LIBRARY COMPONENT library NAMELINK_COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/phub DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT development FILES_MATCHING PATTERN "*.h")
include(PhubReference)
install(TARGETS phubd phubctl COMPONENT server)
if(TARGET phub_dpdk_plugin)
  install(TARGETS phub_dpdk_plugin LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dpdk)
endif()
phub_install_reference(server phubd phubctl)
phub_install_pages(server ${phub_server_pages})
if(TARGET phub-perf)
  install(TARGETS phub-perf COMPONENT perf)
  phub_install_reference(perf phub-perf)
  phub_install_pages(perf phub-perf.1)
endif()
foreach(program phub-perf-openmpi phub-perf-gloo)
  if(TARGET ${program})
    install(TARGETS ${program} COMPONENT baselines)
  endif()
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/perf/models DESTINATION ${CMAKE_INSTALL_DATADIR}/phub
        COMPONENT perf FILES_MATCHING PATTERN "*.csv")
phub_install_pages(development ${phub_manual})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT source_notes)

set(phub_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/phub)
install(EXPORT phubTargets NAMESPACE phub:: DESTINATION ${phub_cmake_dir} COMPONENT development)
configure_package_config_file(cmake/phubConfig.cmake.in phubConfig.cmake
                              INSTALL_DESTINATION ${phub_cmake_dir})
write_basic_package_version_file(phubConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/phubConfig.cmake ${PROJECT_BINARY_DIR}/phubConfigVersion.cmake
        DESTINATION ${phub_cmake_dir} COMPONENT development)

file(RELATIVE_PATH PHUB_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/phub.pc.in phub.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/phub.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT development)

include(PhubPackage)
