# Warnings, sanitizers, hardening, run paths, and the one way to declare a library or a part of the house.
if(GAZE_SANITIZE STREQUAL "address")
  # vptr checks need type information that LibTorch hides.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(GAZE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
elseif(GAZE_SANITIZE)
  message(FATAL_ERROR "GAZE_SANITIZE: expected address, thread or nothing, got ${GAZE_SANITIZE}")
else()
  # Without .cu files, whose host code only launches.
  add_compile_options("$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release,RelWithDebInfo,MinSizeRel>>:-fstack-protector-strong;-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
  add_link_options(LINKER:-z,relro,-z,now,-z,noexecstack)
endif()
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

# Libraries lie in one folder, as when installed, and keep the run path they are linked with: CMake fills one that it means to rewrite with
# empty elements, and those mean the current directory.
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
set(CMAKE_INSTALL_RPATH "${CMAKE_LIBRARY_OUTPUT_DIRECTORY};${GAZE_TORCH_ROOT}/lib")  # of programs that are not installed
set(GAZE_LIBRARY_RPATH "$ORIGIN;${GAZE_TORCH_ROOT}/lib")

function(gaze_warnings target)
  # gcc 12 reports string concatenations as overflows at -O3 (its bug 105651).
  set(cxx -Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow;-Wno-array-bounds;-Wno-restrict> $<$<BOOL:${GAZE_WERROR}>:-Werror>)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${cxx}>" $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra$<$<BOOL:${GAZE_WERROR}>:,-Werror>>
                                           $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${GAZE_WERROR}>>:--Werror=all-warnings>)
endfunction()

# Sources of a target are compiled some at a time: LibTorch's headers cost more than the code behind them. Names of unnamed namespaces are
# therefore unique within a target; a file for which that cannot be has SKIP_UNITY_BUILD_INCLUSION.
function(gaze_unite target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
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
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${room} INSTALL_RPATH "${GAZE_LIBRARY_RPATH}" DEFINE_SYMBOL "")
  gaze_unite(${target})
  gaze_warnings(${target})
endfunction()

# gaze_part(<name> SOURCES ... LIBRARIES ...): libgaze_<name>.so, which nothing links: it is opened from the folder of the others when first
# needed, so that it may be missing, and what it links reaches no host that does not need it.
function(gaze_part name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  set(target gaze_${name})
  add_library(${target} MODULE ${arg_SOURCES})
  target_include_directories(${target} PRIVATE src)
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES})
  target_link_options(${target} PRIVATE LINKER:-z,nodelete)
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "${GAZE_LIBRARY_RPATH}" DEFINE_SYMBOL "")
  gaze_unite(${target})
  gaze_warnings(${target})
  add_dependencies(gaze_parts ${target})
  install(TARGETS ${target} LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endfunction()

# gaze_find_libraries(<variable> <otherwise> "<name> <header>"...): the files of Debian's lib<name>; without one the build ends and says what to do.
function(gaze_find_libraries variable otherwise)
  set(found)
  foreach(library IN LISTS ARGN)
    separate_arguments(library)
    list(GET library 0 name)
    list(GET library 1 header)
    find_path(GAZE_${name}_INCLUDE ${header})
    find_library(GAZE_${name}_LIBRARY ${name})
    if(NOT GAZE_${name}_INCLUDE OR NOT GAZE_${name}_LIBRARY)
      message(FATAL_ERROR "lib${name}: expected ${header} and lib${name}, found ${GAZE_${name}_INCLUDE} ${GAZE_${name}_LIBRARY}. "
                          "apt-get install lib${name}-dev, or build ${otherwise}")
    endif()
    list(APPEND found "${GAZE_${name}_LIBRARY}")
  endforeach()
  set(${variable} "${found}" PARENT_SCOPE)
endfunction()

# gaze_embed(<target> <file> <symbol>): the text of a file as `const std::string_view gaze::<symbol>`, which a header declares.
function(gaze_embed target file symbol)
  file(READ "${file}" text)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cpp")
  string(CONCAT content
    "// Made from @file@.\n#include <string_view>\n\nnamespace gaze {\nextern const std::string_view @symbol@;\n"
    "const std::string_view @symbol@ = R\"gaze_text(@text@)gaze_text\";\n}  // namespace gaze\n")
  file(CONFIGURE OUTPUT "${source}" CONTENT "${content}" @ONLY)
  target_sources(${target} PRIVATE "${source}")
endfunction()
