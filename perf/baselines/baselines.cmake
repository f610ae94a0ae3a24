# Drivers of the systems that phub-perf compares with, each built where its system is installed.
phub_library(perf_driver SOURCES ${CMAKE_CURRENT_LIST_DIR}/driver.cc DEPS phub::perf_core)

find_package(MPI QUIET COMPONENTS CXX)
if(MPI_CXX_FOUND)
  phub_program(phub-perf-openmpi
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/openmpi_allreduce.cc DEPS phub::perf_driver MPI::MPI_CXX)
  # Open MPI's C++ bindings, which nobody asked for, do not pass our warnings.
  target_compile_definitions(phub-perf-openmpi PRIVATE OMPI_SKIP_MPICXX)
endif()

find_package(Gloo QUIET)
if(Gloo_FOUND)
  phub_program(phub-perf-gloo
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/gloo_allreduce.cc DEPS phub::perf_driver gloo)
endif()
