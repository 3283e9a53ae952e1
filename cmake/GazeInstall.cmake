# cmake --install, and find_package(Gaze) for hosts outside this tree: gaze::gaze is all a host links.
include(CMakePackageConfigHelpers)
set(_config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Gaze")

add_library(gaze_gaze INTERFACE)
add_library(gaze::gaze ALIAS gaze_gaze)
target_link_libraries(gaze_gaze INTERFACE gaze_ops gaze_render gaze_hooks)
set_target_properties(gaze_gaze PROPERTIES EXPORT_NAME gaze)

install(TARGETS gaze_ops gaze_render gaze_hooks gaze_gaze EXPORT GazeTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT GazeTargets NAMESPACE gaze:: DESTINATION "${_config_dir}")

file(READ "${GAZE_TORCH_ROOT}/version.py" _torch_version)
string(REGEX MATCH "__version__ = '([0-9]+\\.[0-9]+)" _torch_version "${_torch_version}")
set(GAZE_BUILT_WITH_TORCH "${CMAKE_MATCH_1}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/GazeConfig.cmake.in" "${PROJECT_BINARY_DIR}/GazeConfig.cmake"
                              INSTALL_DESTINATION "${_config_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/GazeConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/GazeConfig.cmake" "${PROJECT_BINARY_DIR}/GazeConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/GazeTorch.cmake" DESTINATION "${_config_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

if(GAZE_BUILD_SAMPLES)
  file(RELATIVE_PATH _lib_from_bin "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
  # The libraries' folder of the build tree, then of the installed one; LibTorch stays where it is.
  set_target_properties(gaze_cli PROPERTIES INSTALL_RPATH "$ORIGIN/lib;$ORIGIN/${_lib_from_bin};${GAZE_TORCH_ROOT}/lib")
  install(TARGETS gaze_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/samples/data" "${PROJECT_SOURCE_DIR}/samples/models"
          DESTINATION "${CMAKE_INSTALL_DATADIR}/gaze/samples" PATTERN "*.py" EXCLUDE PATTERN "__pycache__" EXCLUDE)
endif()
