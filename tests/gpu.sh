#!/usr/bin/env bash
# Every check that needs a GPU, meant for nine minutes on 16 cores: builds without OpenCV and libsndfile, runs the tests on CUDA, runs them
# again under compute-sanitizer, measures. Needs nvcc, CMake, Ninja, g++, a python3 with torch, and the headers of Catch2, nlohmann-json,
# spdlog, OpenSSL and Google Benchmark: from the system, or from DIR, which `--pack` fills on a Debian 12 with a network.
#
#   tests/gpu.sh [--deps DIR] [--out DIR] [build tests sanitizer bench]
#   tests/gpu.sh --pack DIR
#
# What it saw goes to the folder of --out (build/gpu/report); docs/gpu-checks.md and docs/performance.md get it from there.
set -uo pipefail
cd "$(dirname "$0")/.."
deps= out=build/gpu/report
steps=()
while [ $# -gt 0 ]; do
  case $1 in
    --pack)
      mkdir -p "$2" && cd "$2" || exit 1
      apt-get download -qq catch2 nlohmann-json3-dev libspdlog-dev libspdlog1.10 libfmt-dev libfmt9 libbenchmark-dev libbenchmark1debian \
        libssl-dev libssl3 || exit 1
      for package in *.deb; do dpkg -x "$package" . || exit 1; done
      rm -rf ./*.deb usr/share/doc usr/share/lintian usr/lib/x86_64-linux-gnu/libssl*.a usr/lib/x86_64-linux-gnu/libcrypto.a \
        usr/lib/x86_64-linux-gnu/libspdlog.a usr/lib/x86_64-linux-gnu/libfmt.a
      du -sh .
      exit ;;
    --deps) deps=$(realpath "$2"); shift 2 ;;
    --out) out=$2; shift 2 ;;
    *) steps+=("$1"); shift ;;
  esac
done
[ ${#steps[@]} -gt 0 ] || steps=(build tests sanitizer bench)
mkdir -p "$out"
out=$(realpath "$out")
: >"$out/checks.md"
failures=0
deadline=540  # seconds of the whole run, whatever single limits would allow

# check NAME SECONDS COMMAND...: runs it with a limit, keeps its output, and adds a row to the report.
check() {
  local name=$1 limit=$2 begun=$SECONDS status
  shift 2
  [ $((begun + limit)) -le $deadline ] || limit=$((deadline - begun))
  [ "$limit" -gt 0 ] || limit=1
  timeout "$limit" "$@" >"$out/${name// /-}.log" 2>&1
  status=$?
  local verdict=passed
  [ $status -eq 0 ] || { verdict="failed ($status)"; failures=$((failures + 1)); tail -n 40 "$out/${name// /-}.log"; }
  printf '| %s | %s | %d s |\n' "$name" "$verdict" $((SECONDS - begun)) | tee -a "$out/checks.md"
}

if [ -n "$deps" ]; then
  export CMAKE_PREFIX_PATH=$deps/usr OPENSSL_ROOT_DIR=$deps/usr LD_LIBRARY_PATH=$deps/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

step_build() {
  check configure 120 cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DGAZE_CUDA=ON -DGAZE_CUDA_ARCHITECTURES="${GAZE_CUDA_ARCHITECTURES:-native}" \
    -DGAZE_WITH_OPENCV=OFF -DGAZE_WITH_SNDFILE=OFF -DGAZE_BUILD_SAMPLES=OFF -DGAZE_BUILD_BENCH=ON
  check build 420 cmake --build build/gpu --target gaze_cuda gaze_ops_tests gaze_hooks_device_tests gaze_render_frames_tests gaze_bench
}

# Cases that skip did not run: the one for two GPUs may, where there is one. What each program says of its cases stands in CTest's log.
run_tests() {
  ctest --test-dir build/gpu -L cuda -j4 --output-on-failure --no-tests=error --timeout 120 >"$out/ctest.txt" 2>&1
  local status=$? skipped
  cat "$out/ctest.txt"
  skipped=$(grep -E '^skipped \(' build/gpu/Testing/Temporary/LastTest.log | grep -cv 'two devices')
  [ "$skipped" -eq 0 ] || { echo "$skipped cases skipped"; status=1; }
  return $status
}
step_tests() {
  export -f run_tests
  export out
  check tests 200 bash -c run_tests
}

step_sanitizer() {
  export PYTORCH_NO_CUDA_MEMORY_CACHING=1 GAZE_TEST_DEVICE=cuda  # torch's cache hides reads behind an end
  local tool jobs=()
  for tool in memcheck racecheck initcheck synccheck; do
    (failures=0; check "$tool" 170 compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 20 build/gpu/tests/ops/gaze_ops_tests \
      '~*as safe by name*' '~*allocate nothing*'; exit $failures) &
    jobs+=($!)
  done
  local job
  for job in "${jobs[@]}"; do wait "$job" || failures=$((failures + 1)); done
  unset PYTORCH_NO_CUDA_MEMORY_CACHING GAZE_TEST_DEVICE
}

step_bench() {
  check bench 180 build/gpu/tests/bench/gaze_bench --device=cuda --gates --rounds=15 --markdown="$out/performance.md"
  tail -n 60 "$out/bench.log"
}

{
  printf '%s, commit %s\n' "$(date -u +%F)" "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo 'no GPU found'
} | tee "$out/machine.txt"
for step in "${steps[@]}"; do
  if [ "$step" != build ] && ! nvidia-smi >/dev/null 2>&1; then
    printf '| %s | did not run: no GPU | |\n' "$step" | tee -a "$out/checks.md"
    failures=$((failures + 1))
    continue
  fi
  "step_$step"
done
exit $((failures > 0))
