# Debian packages, one per component: `cmake --build build/release --target package` puts them into
# build/release/packages. docs/operations.md says how to install, upgrade and remove them.
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PACKAGE_NAME phub)
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
    GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "The PHub authors <phub@phub.invalid>")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # Each package has its own.
set(CPACK_COMPONENTS_ALL library development server)
if(TARGET phub-perf)
  list(APPEND CPACK_COMPONENTS_ALL perf)
endif()
if(TARGET phub_dpdk_plugin)
  list(APPEND CPACK_COMPONENTS_ALL dpdk)
endif()
if(TARGET phub-perf-openmpi OR TARGET phub-perf-gloo)
  list(APPEND CPACK_COMPONENTS_ALL baselines)
endif()

set(phub_debian ${PROJECT_SOURCE_DIR}/deploy/debian)
set(phub_packed ${PROJECT_BINARY_DIR}/debian)
configure_file(${phub_debian}/changelog.in ${phub_packed}/changelog.Debian @ONLY)
configure_file(CHANGELOG.md ${phub_packed}/changelog COPYONLY)
foreach(name changelog changelog.Debian)
  execute_process(COMMAND gzip -9nkf ${phub_packed}/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

if(PHUB_IPSEC_MB_INCLUDE_DIR)  # Loaded where it is found: TLS is faster with it.
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_RECOMMENDS libipsec-mb1)
  set(CPACK_DEBIAN_SERVER_PACKAGE_RECOMMENDS libipsec-mb1)
endif()

# phub_package(COMPONENT NAME SECTION DEPENDS SUMMARY DETAIL)
macro(phub_package component name section depends summary detail)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}")
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${summary}\n${detail}")
  install(FILES ${phub_debian}/copyright ${phub_packed}/changelog.gz
                ${phub_packed}/changelog.Debian.gz
          DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} COMPONENT ${component} EXCLUDE_FROM_ALL)
  if(EXISTS ${phub_debian}/${name}.lintian-overrides)
    install(FILES ${phub_debian}/${name}.lintian-overrides RENAME ${name}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides
            COMPONENT ${component} EXCLUDE_FROM_ALL)
  endif()
endmacro()

set(same_version "(= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
phub_package(library libphub${PROJECT_VERSION_MAJOR} libs ""
  "parameter server for data-parallel training, worker library"
  "In every step of a training each worker pushes its gradient; a hub adds
them all, applies the optimizer if asked to, and hands every worker the
result.
.
This is the shared library that training programs are linked with.")
phub_package(development libphub-dev libdevel "libphub${PROJECT_VERSION_MAJOR} ${same_version}"
  "parameter server for data-parallel training, development files"
  "Headers for C++ and C, CMake and pkg-config files, a manual of the
variables that workers read, and scripts that start hub and workers with
mpirun, Slurm, torchrun and ssh.")
phub_package(server phub-server net adduser
  "parameter server for data-parallel training, the hub"
  "In every step of a training each worker pushes its gradient; a hub adds
them all, applies the optimizer if asked to, and hands every worker the
result.
.
This is the hub, phubd, with a systemd service that is not started until
asked for, and phubctl, which shows and changes what a hub does.")
phub_package(perf phub-perf utils "phub-server ${same_version}"
  "parameter server for data-parallel training, benchmark"
  "Measures exchanges of the gradients of real models, beside the time that
the machine needs just to read and write them; every result is checked.")
phub_package(baselines phub-perf-baselines utils "phub-perf ${same_version}, openmpi-bin"
  "parameter server for data-parallel training, compared systems"
  "Lets phub-perf measure the all-reduces of Open MPI and Gloo in turns with
PHub.")

phub_package(dpdk phub-dpdk net "librte-meta-net, librte-meta-mempool"
  "parameter server for data-parallel training, fabric over DPDK"
  "Lets hubs and workers exchange over dpdk:// addresses: UDP packets through
NICs that DPDK drives, or through its virtual devices.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${phub_debian}/triggers)
set(CPACK_DEBIAN_DPDK_PACKAGE_CONTROL_EXTRA ${phub_debian}/triggers)
set(CPACK_DEBIAN_SERVER_PACKAGE_SUGGESTS "phub-perf, libphub-dev")
set(CPACK_DEBIAN_PERF_PACKAGE_SUGGESTS phub-perf-baselines)
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA ${phub_debian}/conffiles ${phub_debian}/postinst
    ${phub_debian}/prerm ${phub_debian}/postrm)
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/phubd.service
        DESTINATION /lib/systemd/system COMPONENT server EXCLUDE_FROM_ALL)
install(FILES ${phub_reference}/phubd.conf DESTINATION /etc/phub COMPONENT server EXCLUDE_FROM_ALL)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples/hello ${PROJECT_SOURCE_DIR}/examples/launch
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libphub-dev/examples
        COMPONENT development EXCLUDE_FROM_ALL USE_SOURCE_PERMISSIONS)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/config/examples/
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/phub-server/examples
        COMPONENT server EXCLUDE_FROM_ALL)
include(CPack)
