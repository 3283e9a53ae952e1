# What `pip install .` makes a wheel of: the target gaze_wheel, and the component wheel, which is the folder lib of the package. Its libraries find
# one another where they lie, and torch's, which Python has loaded before them, by name.
set(_archives)
set(_wheel gaze_ops gaze_render gaze_hooks gaze_python)
foreach(part icu text cuda)
  if(TARGET gaze_${part})
    list(APPEND _wheel gaze_${part})
  endif()
endforeach()

# The drawing part takes of OpenCV what it calls, where there are archives: the shared core brings OpenGL, LAPACK and X11.
if(TARGET gaze_opencv)
  find_library(GAZE_OPENCV_core_ARCHIVE libopencv_core.a)
  find_library(GAZE_OPENCV_imgproc_ARCHIVE libopencv_imgproc.a)
  find_library(GAZE_OPENCV_tbb tbb)
  find_library(GAZE_OPENCV_z z)
  mark_as_advanced(GAZE_OPENCV_core_ARCHIVE GAZE_OPENCV_imgproc_ARCHIVE GAZE_OPENCV_tbb GAZE_OPENCV_z)
  if(GAZE_OPENCV_core_ARCHIVE AND GAZE_OPENCV_imgproc_ARCHIVE AND GAZE_OPENCV_tbb AND GAZE_OPENCV_z)
    add_library(gaze_wheel_opencv MODULE EXCLUDE_FROM_ALL $<TARGET_OBJECTS:gaze_opencv>)
    target_link_libraries(gaze_wheel_opencv PRIVATE gaze_render ${GAZE_CODECS} "${GAZE_OPENCV_imgproc_ARCHIVE}" "${GAZE_OPENCV_core_ARCHIVE}"
                                                    -Wl,--as-needed "${GAZE_OPENCV_tbb}" "${GAZE_OPENCV_z}" -Wl,--no-as-needed)
    # OpenGL is named there and never called.
    target_link_options(gaze_wheel_opencv PRIVATE LINKER:-z,nodelete,--gc-sections,--exclude-libs,ALL,--defsym=glXGetProcAddressARB=0)
    set_target_properties(gaze_wheel_opencv PROPERTIES OUTPUT_NAME gaze_opencv LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/wheel"
                                                       LINKER_LANGUAGE CXX INSTALL_RPATH "${GAZE_LIBRARY_RPATH}")
    list(APPEND _wheel gaze_wheel_opencv)
    set(_archives "${GAZE_OPENCV_core_ARCHIVE}" "${GAZE_OPENCV_imgproc_ARCHIVE}")
  else()
    list(APPEND _wheel gaze_opencv)
  endif()
endif()

add_custom_target(gaze_wheel DEPENDS ${_wheel})
install(TARGETS ${_wheel} LIBRARY DESTINATION lib COMPONENT wheel EXCLUDE_FROM_ALL)
# What these need of the machine comes with them.
find_program(GAZE_PYTHON3 python3)
set(_python "${GAZE_PYTHON3}")
if(SKBUILD)
  set(_python "${Python3_EXECUTABLE}")
endif()
install(CODE "execute_process(COMMAND \"${_python}\" -B \"${CMAKE_CURRENT_LIST_DIR}/bundle_libraries.py\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib\" ${_archives}
  COMMAND_ERROR_IS_FATAL ANY)" COMPONENT wheel EXCLUDE_FROM_ALL)
