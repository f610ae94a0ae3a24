# What the programs say about themselves, as man pages, completions and /etc/phub/phubd.conf.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

set(phub_reference ${PROJECT_BINARY_DIR}/reference)
set(phub_man_folder ${PROJECT_SOURCE_DIR}/docs/man)
set(phub_server_pages phubd.8 phubctl.1 phubd.conf.5)
set(phub_manual phub.7)
set(phub_pages ${phub_server_pages} ${phub_manual})
set(phub_described phubd phubctl)
if(TARGET phub-perf)
  list(APPEND phub_described phub-perf)
  list(APPEND phub_pages phub-perf.1)
endif()

set(phub_described_files)
foreach(program ${phub_described})
  list(APPEND phub_described_files $<TARGET_FILE:${program}>)
endforeach()
set(phub_templates)
set(phub_page_files)
foreach(page ${phub_pages})
  list(APPEND phub_templates ${phub_man_folder}/${page}.in)
  list(APPEND phub_page_files ${phub_reference}/man/${page}.gz)
endforeach()

set(phub_base_config ${PROJECT_SOURCE_DIR}/deploy/debian/phubd.conf)
add_custom_command(
  OUTPUT ${phub_page_files} ${phub_reference}/phubd.conf
  COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/make_reference.py
          --version ${PROJECT_VERSION} --templates ${phub_man_folder} --config ${phub_base_config}
          --out ${phub_reference} ${phub_described_files}
  DEPENDS cmake/make_reference.py ${phub_base_config} ${phub_templates} ${phub_described}
  COMMENT "Man pages, completions and phubd.conf"
  VERBATIM)
add_custom_target(phub_reference ALL DEPENDS ${phub_page_files} ${phub_reference}/phubd.conf)

# phub_install_reference(COMPONENT PROGRAM...): the completions of these programs.
function(phub_install_reference component)
  foreach(program ${ARGN})
    install(FILES ${phub_reference}/bash/${program} COMPONENT ${component}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${phub_reference}/zsh/_${program} COMPONENT ${component}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  endforeach()
endfunction()

# phub_install_pages(COMPONENT PAGE...)
function(phub_install_pages component)
  foreach(page ${ARGN})
    string(REGEX MATCH "[0-9]$" section ${page})
    install(FILES ${phub_reference}/man/${page}.gz COMPONENT ${component}
            DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
endfunction()
