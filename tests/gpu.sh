#!/usr/bin/env bash
# Every check that needs a GPU, in steps of at most nine minutes on 16 cores that may be called one by one, for the build stays: builds without
# OpenCV, libsndfile, ICU and a shaper of texts, runs the tests on CUDA, runs them again under compute-sanitizer, measures. Needs nvcc, CMake,
# Ninja, g++, a python3 with torch, and the headers of Catch2, nlohmann-json, spdlog, OpenSSL and Google Benchmark: from the system, or from
# DIR, which `--pack` fills on a Debian 12 with a network. Without a GPU it builds, for GAZE_CUDA_ARCHITECTURES (90), and says what did not run.
#
#   tests/gpu.sh [--deps DIR] [--out DIR] [build tests sanitizer bench]
#   tests/gpu.sh --pack DIR
#
# What it saw goes to the folder of --out (build/gpu/report): summary.md is a table for docs/gpu-checks.md, performance-*.md one for
# docs/performance.md. A step that runs again replaces its own rows. A single tool of the sanitizer is a step too: memcheck, racecheck, ...
set -uo pipefail
cd "$(dirname "$0")/.." || exit

pack() {
  mkdir -p "$1" && cd "$1" || exit 1
  apt-get download -qq catch2 nlohmann-json3-dev libspdlog-dev libspdlog1.10 libfmt-dev libfmt9 libbenchmark-dev libbenchmark1debian \
    libssl-dev libssl3 || exit 1
  for package in *.deb; do dpkg -x "$package" . || exit 1; done
  # Debian's compiler looks in the folder of its architecture by itself; with a root of OpenSSL's own nobody does.
  cp usr/include/*-linux-gnu/openssl/*.h usr/include/openssl/ || exit 1
  rm -rf ./*.deb usr/share/doc usr/share/lintian usr/lib/*-linux-gnu/lib{ssl,crypto,spdlog,fmt}.a
  du -sh .
  exit
}

deps="" out=build/gpu/report
steps=()
while [ $# -gt 0 ]; do
  case $1 in
    --pack) pack "$2" ;;
    --deps) deps=$(realpath "$2"); shift 2 ;;
    --out) out=$2; shift 2 ;;
    build | tests | sanitizer | memcheck | racecheck | initcheck | synccheck | bench) steps+=("$1"); shift ;;
    *) echo "gpu.sh: expected build, tests, sanitizer (or memcheck, racecheck, initcheck, synccheck) or bench, got $1" >&2; exit 2 ;;
  esac
done
[ ${#steps[@]} -gt 0 ] || steps=(build tests sanitizer bench)
mkdir -p "$out/rows"
out=$(realpath "$out")
if [ -n "$deps" ]; then
  export CMAKE_PREFIX_PATH=$deps/usr OPENSSL_ROOT_DIR=$deps/usr LD_LIBRARY_PATH=$deps/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

limit=540  # seconds of a step
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit="$commit, changed"
gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1)
step="" begun=0 failures=0

# row NAME VERDICT SECONDS: into the report, and to the screen.
row() { printf '| %s | %s | %s | %s | %s | %s |\n' "$(date -u +%F)" "${gpu:-no GPU}" "$commit" "$1" "$2" "$3" | tee -a "$out/rows/$step"; }

# check NAME SECONDS COMMAND...: runs it with a limit of its own, or of what the step has left, and adds a row. Where $out/NAME.why exists
# afterwards, the row says that too. What fails is counted by those that call it.
check() {
  local name=$1 seconds=$2 start=$SECONDS status verdict=passed log
  shift 2
  log=$out/${name// /-}
  rm -f "$log.why"
  [ $((start - begun + seconds)) -le $limit ] || seconds=$((limit - start + begun))
  if [ "$seconds" -le 0 ]; then
    row "$name" "did not run: the step's $limit s were over" 0
    return 1
  fi
  timeout -k 10 "$seconds" "$@" >"$log.log" 2>&1
  status=$?
  case $status in
    0) ;;
    124 | 137) verdict="stopped at its limit of $seconds s" ;;
    *) verdict="failed ($status)" ;;
  esac
  if [ -e "$log.why" ]; then
    case $(cat "$log.why") in
      "not possible here"*) status=0 verdict=$(cat "$log.why") ;;
      *) verdict="$verdict: $(cat "$log.why")" ;;
    esac
  fi
  [ $status -eq 0 ] || tail -n 40 "$log.log"
  row "$name" "$verdict" "$((SECONDS - start)) s"
  return $((status != 0))
}

step_build() {
  local architectures=${GAZE_CUDA_ARCHITECTURES:-native}
  [ -n "$gpu" ] || architectures=${GAZE_CUDA_ARCHITECTURES:-90}
  local tool missing=
  for tool in cmake ninja g++ nvcc; do
    command -v "$tool" >/dev/null || { [ $tool = nvcc ] && { [ -n "${CUDACXX:-}" ] || ls /usr/local/cuda*/bin/nvcc >/dev/null 2>&1; }; } || missing="$missing $tool"
  done
  if [ -n "$missing" ]; then
    row build "did not run: missing$missing. ./get.sh installs all but nvcc, which CUDA's toolkit brings" 0
    return 1
  fi
  check configure 120 cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DGAZE_CUDA=ON -DGAZE_CUDA_ARCHITECTURES="$architectures" \
    -DGAZE_WITH_OPENCV=OFF -DGAZE_WITH_SNDFILE=OFF -DGAZE_WITH_ICU=OFF -DGAZE_WITH_TEXT=OFF -DGAZE_BUILD_SAMPLES=OFF -DGAZE_BUILD_BENCH=ON || return 1
  check build $limit cmake --build build/gpu --target gaze_cuda gaze_ops_tests gaze_hooks_device_tests gaze_render_frames_tests gaze_bench
}

# Cases that skip did not run: the one for two GPUs may, where there is one. What each program says of its cases stands in CTest's log.
run_tests() {
  local status=0 skipped
  rm -f build/gpu/Testing/Temporary/LastTest.log
  ctest --test-dir build/gpu -L cuda -j8 --output-on-failure --no-tests=error --timeout 240 || status=$?
  grep -hE '^skipped \(' build/gpu/Testing/Temporary/LastTest.log | sort | uniq >"$out/skipped.txt"
  skipped=$(grep -cv 'two devices' "$out/skipped.txt")
  [ "$skipped" -eq 0 ] || { echo "cases skipped: $skipped" | tee "$out/tests.why"; [ $status -ne 0 ] || status=1; }
  return $status
}
step_tests() {
  export -f run_tests
  export out
  check tests $limit bash -c run_tests
  local status=$?
  # A row for each of CTest's tests too.
  sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: (.*[^. ]) \.+ *\**(.*[^ ]) +([0-9.]+) sec.*$/\1|\2|\3 s/p' "$out/tests.log" |
    while IFS='|' read -r name verdict seconds; do row "$name" "${verdict,,}" "$seconds"; done
  return $status
}

# The tests of the operators under a tool of compute-sanitizer. Some machines do not let it at their GPU.
run_sanitizer() {
  local status=0
  "$sanitizer" --tool "$1" --error-exitcode 9 --print-limit 20 build/gpu/tests/ops/gaze_ops_tests '~*as safe by name*' '~*allocate nothing*' \
    >"$out/$1.txt" 2>&1 || status=$?
  cat "$out/$1.txt"
  [ $status -eq 0 ] || grep -m1 -oE 'Device not supported[^.]*' "$out/$1.txt" | sed 's/^/not possible here: compute-sanitizer says /' >"$out/$1.why"
  [ -s "$out/$1.why" ] || rm -f "$out/$1.why"
  return $status
}
sanitize() {
  local folder step=$1
  rm -f "$out/rows/sanitizer"
  : >"$out/rows/$step"
  sanitizer=$(command -v compute-sanitizer)
  for folder in /usr/local/cuda/bin /usr/local/cuda*/bin; do
    [ -n "$sanitizer" ] || [ ! -x "$folder/compute-sanitizer" ] || sanitizer=$folder/compute-sanitizer
  done
  if [ -z "$sanitizer" ]; then
    row "$1" "not possible here: compute-sanitizer is neither in PATH nor in /usr/local/cuda*/bin" 0
    return 0
  fi
  # torch's cache hides reads behind an end.
  export PYTORCH_NO_CUDA_MEMORY_CACHING=1 GAZE_TEST_DEVICE=cuda sanitizer out
  export -f run_sanitizer
  check "$1" $limit bash -c "run_sanitizer $1"
}
step_memcheck() { sanitize memcheck; }
step_racecheck() { sanitize racecheck; }
step_initcheck() { sanitize initcheck; }
step_synccheck() { sanitize synccheck; }
step_sanitizer() {
  local tool job jobs=() status=0
  for tool in memcheck racecheck initcheck synccheck; do
    sanitize "$tool" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || status=1; done
  return $status
}

# Some of the benchmark's lines, and how many gates they miss.
run_bench() {
  local status=0 missed
  build/gpu/tests/bench/gaze_bench --device=cuda --gates --rounds=15 --markdown="$out/performance-$1.md" --benchmark_filter="$2" || status=$?
  missed=$(grep -cF '**miss**' "$out/performance-$1.md")
  [ "${missed:-0}" -eq 0 ] || echo "gates missed: $missed" >"$out/bench-$1.why"
  return $status
}
measure() {
  export -f run_bench
  rm -f "$out/performance-$1.md"
  check "bench $1" "$2" bash -c "run_bench $1 '$3'"
  local status=$?
  tail -n 60 "$out/bench-$1.log"
  return $status
}
step_bench() {
  export out
  local status=0
  measure kernels 200 '-^step' || status=1
  measure steps $limit '^step' || status=1
  return $status
}

# Rows of every step so far, and what skipped.
summarise() {
  local each
  printf '| date | GPU, driver | commit | check | verdict | time |\n|---|---|---|---|---|---|\n'
  for each in build tests sanitizer memcheck racecheck initcheck synccheck bench; do cat "$out/rows/$each" 2>/dev/null; done
  [ ! -s "$out/skipped.txt" ] || { printf '\nSkipped cases:\n\n'; sed 's/^/- /' "$out/skipped.txt"; }
}

printf '%s, commit %s\n%s\n' "$(date -u +%F)" "$commit" "${gpu:-no GPU found}" | tee "$out/machine.txt"
for step in "${steps[@]}"; do
  begun=$SECONDS
  : >"$out/rows/$step"
  if [ "$step" != build ] && [ -z "$gpu" ]; then
    row "$step" "did not run: no GPU" 0
    failures=$((failures + 1))
  else
    "step_$step" || failures=$((failures + 1))
  fi
  summarise >"$out/summary.md"
done
exit $((failures > 0))
