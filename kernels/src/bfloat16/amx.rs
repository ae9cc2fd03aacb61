//! The bfloat16 product for processors with AMX.
//!
//! `TDPBF16PS` multiplies a tile of sixteen rows of 32 terms by a tile of sixteen columns and adds the result to
//! sixteen by sixteen sums. Both factors are packed by rows and panels ([`super::pack`]), filled up to whole tiles:
//! with zeros beyond the last term, with arbitrary values beyond the last row. Sums start at zero and are finished when
//! they are complete. Their order is the instruction's: the same for every row, and not that of AVX512-BF16.

use std::{
    arch::{
        asm,
        x86_64::{
            __cpuid, __cpuid_count, __m512, __m512i, _mm512_add_ps, _mm512_loadu_ps, _mm512_setzero_si512,
            _mm512_storeu_si512,
        },
    },
    sync::OnceLock,
};

use super::pack::{PANEL, pack_rows, paired_rows, panel_width};
use crate::{
    product::{
        Finish, Matrix,
        avx512::{LANES, Output, mask, transpose},
    },
    reserve,
};

/// Rows, columns and pairs of a tile.
const TILE: usize = 16;
/// Rows that are computed at once where that many are left.
const ROWS: usize = 2 * TILE;

/// Whether the processor has AMX and the system lets this process use it. A thread's tiles are kilobytes of state, and
/// Linux wants to be asked before a process uses them. Asked once.
pub(super) fn detect() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
        let leaf_seven = __cpuid(0).eax >= 7;
        leaf_seven && __cpuid_count(7, 0).edx & BF16_AND_TILES == BF16_AND_TILES && is_permitted()
    })
}

#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    use std::ffi::c_long;

    const SYS_ARCH_PRCTL: c_long = 158;
    const ARCH_REQ_XCOMP_PERM: c_long = 0x1023;
    const XFEATURE_XTILEDATA: c_long = 18;
    unsafe extern "C" {
        /// Of the C library that `std` links.
        fn syscall(number: c_long, ...) -> c_long;
    }
    // SAFETY: the signature is the C library's. The call asks for a permission and touches no memory of the process.
    unsafe { syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// Pairs of terms of a sum over k, filled up to whole tiles.
pub(super) fn pairs_of(k: usize) -> usize {
    k.div_ceil(2).next_multiple_of(TILE)
}

/// The operand of `LDTILECFG`: eight tiles, each of sixteen rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_a_row: [u16; 16],
    rows: [u8; 16],
}

static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_of_a_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Space kept between products.
#[derive(Default)]
pub(super) struct Scratch {
    /// The packed left factor, with rows up to whole tiles.
    left: Vec<u32>,
    /// `[ROWS, PANEL]` sums, on their way to the result.
    sums: Vec<f32>,
}

/// Lays out `a` `[m, k]` row after row. Rows beyond m, up to a whole tile, hold arbitrary values.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_left(a: Matrix, left: &mut Vec<u32>) {
    let (m, k) = (a.rows, a.cols);
    let pairs = pairs_of(k);
    reserve(left, m.next_multiple_of(TILE) * pairs);
    if a.has_contiguous_rows() {
        // SAFETY: the processor is the caller's, and `pairs` holds k.
        return unsafe { pack_rows(a, pairs, left) };
    }
    let (from, to) = (a.data.as_ptr(), left.as_mut_ptr());
    for row in (0..m).step_by(LANES) {
        let rows = mask(m, row);
        for pair in (0..pairs).step_by(LANES) {
            let mut square = [_mm512_setzero_si512(); LANES];
            for (index, paired) in square.iter_mut().enumerate() {
                let term = 2 * (pair + index);
                if term < k {
                    let low = from.wrapping_add(term * a.col_stride + row);
                    // SAFETY: `term` is below k, and the next is read only if it is too; lanes beyond the last row are
                    // masked.
                    *paired = unsafe { paired_rows(low, a.col_stride, term + 1 < k, rows) };
                }
            }
            // SAFETY: the processor is the caller's. `left` was grown to whole tiles of rows, and `pairs` is whole
            // tiles.
            unsafe {
                transpose(&mut square);
                for (index, paired) in square.iter().enumerate() {
                    _mm512_storeu_si512(to.add((row + index) * pairs + pair).cast(), *paired);
                }
            }
        }
    }
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished, where `right` is `b` packed.
///
/// # Safety
/// The processor has AMX, AVX-512F, BW and BF16, and the process may use tiles; `right` has `pairs_of(k)` pairs of n
/// columns; `out` and a mask or factors in `finish` are `[m, n]`, a bias is `[n]`, and k is not 0.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn product(
    a: Matrix,
    right: &[u32],
    out: &mut [f32],
    n: usize,
    finish: Finish,
    scratch: &mut Scratch,
) {
    let (m, pairs) = (a.rows, pairs_of(a.cols));
    scratch.sums.resize(ROWS * PANEL, 0.0);
    // SAFETY: the processor is the caller's.
    unsafe { pack_left(a, &mut scratch.left) };
    // SAFETY: `SHAPES` is a valid configuration, and the process may use tiles. Nothing else uses them until they are
    // released below.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
    let mut first = 0;
    while first < n {
        let width = panel_width(n - first);
        let panel = right[first * pairs..(first + width) * pairs].as_ptr();
        let output = Output {
            first,
            columns: n,
            finish,
            is_last: true,
        };
        let mut row = 0;
        while row < m {
            let left = scratch.left[row * pairs..].as_ptr();
            let rows = if m - row > TILE { ROWS } else { TILE };
            let sums = scratch.sums.as_mut_ptr();
            // SAFETY: `left` holds `rows` rows from here on, the panel `width` columns, and `sums` `[ROWS, PANEL]`: all
            // whole tiles, of which there is at least one, since k is not 0. Rows that are written are below m, and
            // `output` masks columns beyond the last.
            unsafe {
                match (rows, width) {
                    (ROWS, PANEL) => four_tiles(left, panel, pairs, sums),
                    _ => {
                        for tile in 0..rows / TILE * (width / TILE) {
                            let (down, right) = (tile / (width / TILE), tile % (width / TILE));
                            let (left, panel) = (left.add(down * TILE * pairs), panel.add(right * TILE));
                            one_tile(
                                left,
                                panel,
                                (pairs, width),
                                sums.add(down * TILE * PANEL + right * TILE),
                            );
                        }
                    }
                }
                for (index, row) in (row..m.min(row + rows)).enumerate() {
                    let sums = sums.add(index * PANEL);
                    match width {
                        LANES => output.write(&[with_initial_sums::<1>(&output, sums)], row, out.as_mut_ptr()),
                        _ => output.write(&[with_initial_sums::<2>(&output, sums)], row, out.as_mut_ptr()),
                    }
                }
            }
            row += rows;
        }
        first += width;
    }
    // SAFETY: releases the tiles; their contents are no longer needed.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// A row of sums, added to the values at which they should have begun.
///
/// # Safety
/// The processor has AVX-512F; `sums` has `V` vectors, and a bias has `output.columns` values.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn with_initial_sums<const V: usize>(output: &Output, sums: *const f32) -> [__m512; V] {
    // SAFETY: the caller's.
    unsafe {
        let mut row = output.initial_sums::<V>();
        for (v, sum) in row.iter_mut().enumerate() {
            *sum = _mm512_add_ps(_mm512_loadu_ps(sums.add(v * LANES)), *sum);
        }
        row
    }
}

/// The sums of two tiles of rows by two tiles of columns.
///
/// # Safety
/// The processor has AMX, and tiles are configured as [`SHAPES`]; `left` holds 32 rows of `pairs`, `panel` `pairs` rows
/// of 32 columns, `sums` is `[32, 32]`, and `pairs` is a positive multiple of 16.
unsafe fn four_tiles(left: *const u32, panel: *const u32, pairs: usize, sums: *mut f32) {
    // SAFETY: loads and stores stay within what the caller vouches for; nothing else uses the tiles.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {stride}*1]",
            "tileloadd tmm6, [{panel} + {columns}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{panel} + {columns}*1 + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {stride}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {upper}, 64",
            "add {lower}, 64",
            "add {panel}, 2048", // sixteen pairs of 32 columns
            "dec {tiles}",
            "jnz 2b",
            "tilestored [{sums} + {columns}*1], tmm0",
            "tilestored [{sums} + {columns}*1 + 64], tmm1",
            "tilestored [{sums} + {columns}*1 + 2048], tmm2",
            "tilestored [{sums} + {columns}*1 + 2112], tmm3",
            upper = inout(reg) left => _,
            lower = inout(reg) left.add(TILE * pairs) => _,
            panel = inout(reg) panel => _,
            tiles = inout(reg) pairs / TILE => _,
            stride = in(reg) pairs * size_of::<u32>(),
            columns = in(reg) PANEL * size_of::<u32>(),
            sums = in(reg) sums,
            options(nostack),
        );
    }
}

/// The sums of one tile of rows by one tile of columns.
///
/// # Safety
/// As for [`four_tiles`], with sixteen rows and columns; rows of `panel` are `width` columns long, those of `sums` 32.
unsafe fn one_tile(left: *const u32, panel: *const u32, (pairs, width): (usize, usize), sums: *mut f32) {
    // SAFETY: as in `four_tiles`.
    unsafe {
        asm!(
            "tilezero tmm0",
            "2:",
            "tileloadd tmm4, [{left} + {stride}*1]",
            "tileloadd tmm6, [{panel} + {columns}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "add {left}, 64",
            "add {panel}, {tile}",
            "dec {tiles}",
            "jnz 2b",
            "tilestored [{sums} + {row}*1], tmm0",
            left = inout(reg) left => _,
            panel = inout(reg) panel => _,
            tiles = inout(reg) pairs / TILE => _,
            stride = in(reg) pairs * size_of::<u32>(),
            columns = in(reg) width * size_of::<u32>(),
            tile = in(reg) TILE * width * size_of::<u32>(),
            sums = in(reg) sums,
            row = in(reg) PANEL * size_of::<f32>(),
            options(nostack),
        );
    }
}

// `pack_left` transposes squares that are as wide as a vector and as a tile.
const _: () = assert!(LANES == TILE && size_of::<__m512i>() == TILE * size_of::<u32>());
