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

string(REGEX MATCH "^[0-9]+\\.[0-9]+" GAZE_BUILT_WITH_TORCH "${GAZE_TORCH_RELEASE}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/GazeConfig.cmake.in" "${PROJECT_BINARY_DIR}/GazeConfig.cmake"
                              INSTALL_DESTINATION "${_config_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/GazeConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/GazeConfig.cmake" "${PROJECT_BINARY_DIR}/GazeConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/GazeTorch.cmake" DESTINATION "${_config_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/README.md" "${PROJECT_SOURCE_DIR}/CHANGELOG.md" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES "${PROJECT_SOURCE_DIR}/docs/profile.schema.json" DESTINATION "${CMAKE_INSTALL_DATADIR}/gaze")
install(FILES "${PROJECT_SOURCE_DIR}/samples/wrap/wrap.cpp" "${PROJECT_SOURCE_DIR}/samples/wrap/CMakeLists.txt" DESTINATION "${CMAKE_INSTALL_DATADIR}/gaze/samples/wrap")

# The public headers' own texts as pages: cmake --build BUILD --target reference, then BUILD/reference/html/index.html.
find_package(Doxygen QUIET)
if(DOXYGEN_FOUND)
  set(DOXYGEN_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/reference")
  set(DOXYGEN_EXTRACT_ALL YES)
  set(DOXYGEN_QUIET YES)
  set(DOXYGEN_JAVADOC_AUTOBRIEF YES)
  set(DOXYGEN_GENERATE_TREEVIEW YES)
  set(DOXYGEN_PREDEFINED GAZE_API=)
  set(DOXYGEN_MACRO_EXPANSION YES)
  # A parameter whose name says it all has no sentence.
  set(DOXYGEN_WARN_IF_UNDOCUMENTED NO)
  set(DOXYGEN_WARN_IF_INCOMPLETE_DOC NO)
  set(DOXYGEN_PROJECT_BRIEF "${PROJECT_DESCRIPTION}")
  doxygen_add_docs(reference cuda/include render/include hooks/include COMMENT "The public headers as pages in ${PROJECT_BINARY_DIR}/reference/html")
endif()

if(GAZE_BUILD_SAMPLES)
  file(RELATIVE_PATH _lib_from_bin "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
  # The libraries' folder of the build tree, then of the installed one; LibTorch stays where it is.
  set_target_properties(gaze_cli PROPERTIES INSTALL_RPATH "$ORIGIN/lib;$ORIGIN/${_lib_from_bin};${GAZE_TORCH_ROOT}/lib")
  install(TARGETS gaze_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/samples/data" "${PROJECT_SOURCE_DIR}/samples/models"
          DESTINATION "${CMAKE_INSTALL_DATADIR}/gaze/samples" PATTERN "*.py" EXCLUDE PATTERN "__pycache__" EXCLUDE)
endif()
