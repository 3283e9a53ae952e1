# OpenCV's core, imgproc and imgcodecs without its CMake package, which only the large libopencv-dev holds. Defines gaze::opencv, of it
# gaze::opencv_drawing, which needs little else, and gaze_use_opencv for targets of which only some sources may include it.
include_guard(GLOBAL)
find_path(GAZE_OPENCV_INCLUDE opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4)
foreach(_part core imgproc imgcodecs)
  find_library(GAZE_OPENCV_${_part} opencv_${_part})
  if(NOT GAZE_OPENCV_${_part} OR NOT GAZE_OPENCV_INCLUDE)
    message(FATAL_ERROR "OpenCV: expected opencv2/imgcodecs.hpp and libopencv_${_part}, found ${GAZE_OPENCV_INCLUDE} ${GAZE_OPENCV_${_part}}. "
                        "apt-get install libopencv-imgcodecs-dev, or build without image files: -DGAZE_WITH_OPENCV=OFF")
  endif()
endforeach()
add_library(gaze::opencv_drawing INTERFACE IMPORTED GLOBAL)
target_include_directories(gaze::opencv_drawing SYSTEM INTERFACE "${GAZE_OPENCV_INCLUDE}")
target_link_libraries(gaze::opencv_drawing INTERFACE "${GAZE_OPENCV_core}" "${GAZE_OPENCV_imgproc}")
add_library(gaze::opencv INTERFACE IMPORTED GLOBAL)
target_include_directories(gaze::opencv SYSTEM INTERFACE "${GAZE_OPENCV_INCLUDE}")
target_link_libraries(gaze::opencv INTERFACE "${GAZE_OPENCV_core}" "${GAZE_OPENCV_imgproc}" "${GAZE_OPENCV_imgcodecs}")

# gaze_use_opencv(TARGET SOURCE...): links it, and lets these sources include it, no others. Without it, all others stay as they were built.
function(gaze_use_opencv target)
  get_target_property(_linked gaze::opencv INTERFACE_LINK_LIBRARIES)
  target_link_libraries(${target} PRIVATE ${_linked})
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "-isystem;${GAZE_OPENCV_INCLUDE}")
endfunction()
