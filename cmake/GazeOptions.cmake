# Warnings, sanitizers, the precompiled torch header, and the one way to declare a library of the house.
if(GAZE_SANITIZE STREQUAL "address")
  # vptr checks need type information that LibTorch hides.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(GAZE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
elseif(GAZE_SANITIZE)
  message(FATAL_ERROR "GAZE_SANITIZE: expected address, thread or nothing, got ${GAZE_SANITIZE}")
endif()

function(gaze_warnings target)
  # gcc 12 reports string concatenations as overflows at -O3 (its bug 105651).
  target_compile_options(${target} PRIVATE -Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow;-Wno-array-bounds;-Wno-restrict> $<$<BOOL:${GAZE_WERROR}>:-Werror>)
endfunction()

# gaze_library(<room> DIRECTORY <dir> SOURCES ... PUBLIC ... PRIVATE ...): shared library gaze_<room>, alias gaze::<room>, headers as a file set.
function(gaze_library room)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(target gaze_${room})
  add_library(${target} SHARED ${arg_SOURCES})
  add_library(gaze::${room} ALIAS ${target})
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/include/*.hpp")
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${headers})
  target_include_directories(${target} PRIVATE src)
  target_link_libraries(${target} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  target_compile_features(${target} PUBLIC cxx_std_20)
  # A host may dlclose a plugin that links us while a worker thread lives.
  target_link_options(${target} PRIVATE LINKER:-z,nodelete)
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${room} INSTALL_RPATH "$ORIGIN")
  gaze_warnings(${target})
endfunction()
