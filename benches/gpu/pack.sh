#!/usr/bin/env bash
# Builds the rehearsal against libtorch's CUDA build and packs it, on a machine without a GPU.
#
#     benches/gpu/pack.sh        writes target/gpu/sac-gpu-rehearsal.tar.gz
#
# Everything lies in target/gpu: another build of the same checkout is left alone. libtorch itself is not packed.
set -euo pipefail

MOST_BYTES=60000000
# What the other machine has to have: PyTorch's libraries (and the CUDA runtime that comes with them), and its C++ library.
EXPECTED='^(libtorch|libtorch_cpu|libtorch_cuda|libc10|libc10_cuda|libcudart|libgomp|libstdc\+\+|libgcc_s|libm|libc|ld-linux-x86-64)\.so'

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
work=$root/target/gpu
mkdir -p "$work"
export CARGO_TARGET_DIR=$work SAC_NATIVE=$work/native
# Where set-up puts its links, so that it takes none of them for the user's own.
export LIBTORCH=$SAC_NATIVE/libtorch MUJOCO_DYNAMIC_LINK_DIR=$SAC_NATIVE/mujoco/lib
unset LIBTORCH_USE_PYTORCH CUDA_HOME
# Places of calls in our own code are in the report; those in libtorch's headers would be most of the archive.
export CXXFLAGS="${CXXFLAGS:+$CXXFLAGS }-g0"

cargo xtask setup --cuda
cargo build --release --config 'profile.release.debug="line-tables-only"' \
    --package sac-gpu-rehearsal --features cuda-graphs

name=sac-gpu-rehearsal
stage=$work/pack/$name
rm -rf "$work/pack"
mkdir -p "$stage"
cp "$work/release/$name" benches/gpu/run.sh benches/gpu/README.md "$stage/"
unexpected=$(readelf --dynamic "$stage/$name" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev "$EXPECTED" || true)
if [ -n "$unexpected" ]; then
    echo "error: the binary needs libraries that the other machine may not have:" $unexpected >&2
    exit 1
fi
tar --create --gzip --file "$work/$name.tar.gz" --directory "$work/pack" "$name"
bytes=$(stat --format %s "$work/$name.tar.gz")
if [ "$bytes" -gt $MOST_BYTES ]; then
    echo "error: the archive has $bytes bytes, and may have $MOST_BYTES" >&2
    exit 1
fi
newest() { readelf --version-info "$stage/$name" | grep -o "$1_[0-9.]*" | sort --unique --version-sort | tail -1; }
echo "target/gpu/$name.tar.gz: $bytes bytes; needs $(newest GLIBC), $(newest GLIBCXX), PyTorch 2.11 with CUDA 13" >&2
