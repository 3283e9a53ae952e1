// SPDX-License-Identifier: MIT
// libgaze_preload.so: LD_PRELOAD it, and every TorchScript module that the process loads is attached, without a line of
// the host's. It stands before torch's loading functions, needs the C library alone and opens the rest, locally, with
// the first module: nothing of ours, or of what ours needs, reaches the host's global scope. Any process may be started
// with it, one without torch too.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

namespace {

// What loads a module returns it in memory of the caller's, whose address calls hand on as the ABI says.
struct Module {
  Module(const Module&);
  ~Module();
  void* object;
};
/// std::optional<c10::Device>: so small that it is passed in a register.
struct OptionalDevice {
  signed char type, index;
  bool there;
};

using AttachLoaded = void (*)(void* module, const char* file);
AttachLoaded attach_loaded = nullptr;

bool is_one_of(const char* text, const char* const* words) {
  for (; *words != nullptr; ++words) {
    if (strcasecmp(text, *words) == 0) return true;
  }
  return false;
}

/// As the library reads them; of the rest it says what is wrong.
bool wanted() {
  static const char* const kNo[] = {"", "0", "false", "no", "off", nullptr};
  const char* const capture = getenv("GAZE_CAPTURE");
  const char* const disabled = getenv("GAZE_DISABLED");
  return capture != nullptr && !is_one_of(capture, kNo) && (disabled == nullptr || is_one_of(disabled, kNo));
}

/// A symbol of torch's, which the host may have opened for itself alone, as Python does.
struct Wanted {
  const char* name;
  void* found;
};

int look_into(dl_phdr_info* info, size_t, void* given) {
  auto* const wanted = static_cast<Wanted*>(given);
  if (info->dlpi_name == nullptr || strstr(info->dlpi_name, "libtorch_cpu.so") == nullptr) return 0;
  if (void* const library = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD)) {
    wanted->found = dlsym(library, wanted->name);
    dlclose(library);
  }
  return wanted->found != nullptr ? 1 : 0;
}

void* behind_us(const char* name) {
  if (void* const next = dlsym(RTLD_NEXT, name)) return next;
  Wanted wanted = {name, nullptr};
  dl_iterate_phdr(&look_into, &wanted);
  if (wanted.found == nullptr) {
    fprintf(stderr, "[gaze] preload: expected torch's %s in this process, found none.\n", name);
    abort();  // whoever called us had it
  }
  return wanted.found;
}

/// Of the torch that runs: its version in the upper bytes.
unsigned long torch_version() {
  Wanted wanted = {"aoti_torch_abi_version", dlsym(RTLD_DEFAULT, "aoti_torch_abi_version")};
  if (wanted.found == nullptr) dl_iterate_phdr(&look_into, &wanted);
  return wanted.found == nullptr ? 0 : reinterpret_cast<unsigned long (*)()>(wanted.found)();
}

void open_rest() {
  const unsigned long version = torch_version(), major = version >> 56, minor = version >> 48 & 255;
  if (major != GAZE_TORCH_MAJOR || minor != GAZE_TORCH_MINOR) {
    fprintf(stderr,
            "[gaze] preload: expected torch %d.%d, which it was built for, got %lu.%lu: nothing is captured. Build "
            "Gaze with "
            "the torch that the host runs.\n",
            GAZE_TORCH_MAJOR, GAZE_TORCH_MINOR, major, minor);
    return;
  }
  Dl_info here;
  if (dladdr(reinterpret_cast<void*>(&open_rest), &here) == 0) return;
  char file[4096];
  const char* const name = strrchr(here.dli_fname, '/');
  const int folder = name == nullptr ? 0 : static_cast<int>(name - here.dli_fname) + 1;
  if (snprintf(file, sizeof file, "%.*s%s", folder, here.dli_fname, "libgaze_loaded.so") >=
      static_cast<int>(sizeof file))
    return;
  void* const rest = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (rest != nullptr) attach_loaded = reinterpret_cast<AttachLoaded>(dlsym(rest, "gaze_attach_loaded"));
  if (attach_loaded == nullptr) fprintf(stderr, "[gaze] preload: %s: nothing is captured.\n", dlerror());
}

/// Never throws: nothing of ours stands between the host and torch's exceptions.
void loaded(void* module, const char* file) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (!wanted()) return;
  pthread_once(&once, &open_rest);
  if (attach_loaded != nullptr) attach_loaded(module, file);
}

/// Of a std::string, as the ABI of torch's lays it out: where its text begins.
const char* text_of(const void* string) { return *static_cast<const char* const*>(string); }

}  // namespace

// `symbol` is torch's, `parameters` and `arguments` as it has them, whatever they refer to: what is passed by
// reference, or as the address of a temporary, is an address. `file` is the path, or an empty text.
#define GAZE_STANDS_BEFORE(function, symbol, parameters, arguments, file)                   \
  extern "C" __attribute__((visibility("default"))) Module function parameters asm(symbol); \
  Module function parameters {                                                              \
    static const auto next = reinterpret_cast<Module(*) parameters>(behind_us(symbol));     \
    Module module = next arguments;                                                         \
    loaded(&module, file);                                                                  \
    return module;                                                                          \
  }

#define GAZE_STRING "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
GAZE_STANDS_BEFORE(load_file, "_ZN5torch3jit4loadERK" GAZE_STRING "St8optionalIN3c106DeviceEEb",
                   (const void* path, OptionalDevice device, bool shapes), (path, device, shapes), text_of(path))
GAZE_STANDS_BEFORE(
    load_file_extra,
    "_ZN5torch3jit4loadERK" GAZE_STRING
    "St8optionalIN3c106DeviceEERSt13unordered_mapIS6_S6_St4hashIS6_ESt8equal_toIS6_ESaISt4pairIS7_S6_EEEb",
    (const void* path, OptionalDevice device, void* extra, bool shapes), (path, device, extra, shapes), text_of(path))
GAZE_STANDS_BEFORE(load_stream, "_ZN5torch3jit4loadERSiSt8optionalIN3c106DeviceEEb",
                   (void* stream, OptionalDevice device, bool shapes), (stream, device, shapes), "")
GAZE_STANDS_BEFORE(load_stream_extra,
                   "_ZN5torch3jit4loadERSiSt8optionalIN3c106DeviceEERSt13unordered_mapI" GAZE_STRING
                   "SC_St4hashISC_ESt8equal_toISC_ESaISt4pairIKSC_SC_EEEb",
                   (void* stream, OptionalDevice device, void* extra, bool shapes), (stream, device, extra, shapes), "")
GAZE_STANDS_BEFORE(
    load_reader,
    "_ZN5torch3jit4loadESt10shared_ptrIN6caffe29serialize20ReadAdapterInterfaceEESt8optionalIN3c106DeviceEEb",
    (void* reader, OptionalDevice device, bool shapes), (reader, device, shapes), "")
// Those that Python calls.
GAZE_STANDS_BEFORE(
    import_file,
    "_ZN5torch3jit16import_ir_moduleESt10shared_ptrINS0_15CompilationUnitEERK" GAZE_STRING
    "St8optionalIN3c106DeviceEERSt13unordered_mapIS9_S9_St4hashIS9_ESt8equal_toIS9_ESaISt4pairISA_S9_EEEbb",
    (void* unit, const void* path, OptionalDevice device, void* extra, bool shapes, bool reports),
    (unit, path, device, extra, shapes, reports), text_of(path))
GAZE_STANDS_BEFORE(
    import_stream,
    "_ZN5torch3jit16import_ir_moduleESt10shared_ptrINS0_15CompilationUnitEERSiSt8optionalIN3c106DeviceEERSt13unordered_"
    "mapI" GAZE_STRING "SF_St4hashISF_ESt8equal_toISF_ESaISt4pairIKSF_SF_EEEbb",
    (void* unit, void* stream, OptionalDevice device, void* extra, bool shapes, bool reports),
    (unit, stream, device, extra, shapes, reports), "")
