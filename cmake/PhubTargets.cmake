# The project's three kinds of target. Every flag that all of them share stands here, nowhere else.

add_library(phub_flags INTERFACE)
target_compile_features(phub_flags INTERFACE cxx_std_20)
target_compile_options(phub_flags INTERFACE -Wall -Wextra -Wshadow
                                           $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> -Werror)
# g++ 12 at -O3 takes `"text" + std::string` for an overlapping copy (GCC bug 105651).
target_compile_options(phub_flags INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>)
target_include_directories(phub_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
if(PHUB_SANITIZE)
  target_compile_options(phub_flags INTERFACE -fsanitize=${PHUB_SANITIZE} -fno-omit-frame-pointer
                                              -fno-sanitize-recover=all)
  target_link_options(phub_flags INTERFACE -fsanitize=${PHUB_SANITIZE})
  # What sanitizers add makes g++ 12 warn about std::regex (GCC bug 105562).
  target_compile_options(phub_flags INTERFACE
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
endif()

# phub_library(NAME SOURCES a.cc ... [DEPS phub::base ...] [PRIVATE_DEPS ...])
# A static library phub_NAME, alias phub::NAME. Without sources: headers only.
function(phub_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(arg_SOURCES)
    add_library(phub_${name} STATIC ${arg_SOURCES})
    target_link_libraries(phub_${name} PUBLIC ${arg_DEPS} PRIVATE phub_flags ${arg_PRIVATE_DEPS})
    set_target_properties(phub_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  else()
    add_library(phub_${name} INTERFACE)
    target_link_libraries(phub_${name} INTERFACE ${arg_DEPS})
  endif()
  add_library(phub::${name} ALIAS phub_${name})
endfunction()

# phub_program(NAME SOURCES main.cc ... [DEPS ...])
function(phub_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE phub_flags ${arg_DEPS})
endfunction()

# phub_test(NAME SOURCES a_test.cc ... [DEPS ...] [LABELS ...] [TIMEOUT seconds] [PLAIN])
# One GoogleTest program, one ctest entry, NAME. PLAIN: the sources bring their own main.
function(phub_test name)
  cmake_parse_arguments(arg "PLAIN" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE phub_flags ${arg_DEPS})
  if(NOT arg_PLAIN)
    target_link_libraries(${name} PRIVATE GTest::gmock GTest::gtest_main)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
