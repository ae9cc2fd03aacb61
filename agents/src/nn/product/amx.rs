//! The kernel for processors with AMX: factors are rounded to bfloat16, sums are `f32`.
//!
//! `TDPBF16PS` multiplies a tile of sixteen rows of 32 numbers by one of sixteen columns, and adds that to sixteen by sixteen
//! sums. Both sides are laid out as for AVX512-BF16 ([`super::bf16`]), rows and pairs filled up to whole tiles; where terms
//! end, with zeros. Sums start at zero and are finished when they are whole. Their order is the instruction's, the same for
//! every row, whatever the others; it is not that of AVX512-BF16.

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

use super::{
    Finish, Matrix,
    avx512::{Goal, LANES, mask, transpose},
    bf16::{PANEL, pack_rows, paired_rows, width},
    reserve,
};

/// Rows, columns and pairs of a tile.
const TILE: usize = 16;
/// Rows that are multiplied at once, if there are so many left.
const ROWS: usize = 2 * TILE;

/// Whether the processor has it, and the system lets this process use it: tiles are a kilobyte of state a thread, which
/// has to be asked for.
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
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: it asks for a permission, and touches no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// Pairs of a sum over k, filled up.
pub(super) fn pairs_of(k: usize) -> usize {
    k.div_ceil(2).next_multiple_of(TILE)
}

/// What tiles look like: all of sixteen rows of 64 bytes.
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

/// Room for a left side, and for sums on their way to the result.
#[derive(Default)]
pub(super) struct Room {
    left: Vec<u32>,
    sums: Vec<f32>,
}

/// Lays out `a` `[m, k]` row after row, rows filled up with whatever is there.
///
/// # Safety
/// AVX-512F, BW and BF16 are there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_left(a: Matrix, left: &mut Vec<u32>) {
    let (m, k) = (a.rows, a.cols);
    let pairs = pairs_of(k);
    reserve(left, m.next_multiple_of(TILE) * pairs);
    if a.col_stride == 1 {
        // SAFETY: the processor is the caller's.
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
                    // SAFETY: terms are below k, and rows beyond the last are masked.
                    *paired = unsafe { paired_rows(low, a.col_stride, term + 1 < k, rows) };
                }
            }
            // SAFETY: the processor is the caller's; rows are filled up to whole tiles.
            unsafe {
                transpose(&mut square);
                for (index, paired) in square.iter().enumerate() {
                    _mm512_storeu_si512(to.add((row + index) * pairs + pair).cast(), *paired);
                }
            }
        }
    }
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished, where `right` holds b's panels.
///
/// # Safety
/// AMX, AVX-512F, BW and BF16 are there; `out` and a mask are `[m, n]`, a bias `[n]`, and `right` is whole.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn product(a: Matrix, right: &[u32], out: &mut [f32], n: usize, finish: Finish, room: &mut Room) {
    let (m, pairs) = (a.rows, pairs_of(a.cols));
    room.sums.resize(ROWS * PANEL, 0.0);
    // SAFETY: the processor is the caller's.
    unsafe { pack_left(a, &mut room.left) };
    // SAFETY: shapes of tiles as the processor wants them. Nothing else uses tiles until they are given back below.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
    let mut first = 0;
    while first < n {
        let width = width(n - first);
        let panel = right[first * pairs..(first + width) * pairs].as_ptr();
        let goal = Goal {
            first,
            columns: n,
            finish,
            ends: true,
        };
        let mut row = 0;
        while row < m {
            let left = room.left[row * pairs..].as_ptr();
            let rows = if m - row > TILE { ROWS } else { TILE };
            let sums = room.sums.as_mut_ptr();
            // SAFETY: rows of `left`, filled up, columns of the panel and the room for sums hold whole tiles; rows that
            // are written are below m, and columns beyond the last are masked.
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
                        LANES => goal.write(&[finished::<1>(&goal, sums)], row, out.as_mut_ptr()),
                        _ => goal.write(&[finished::<2>(&goal, sums)], row, out.as_mut_ptr()),
                    }
                }
            }
            row += rows;
        }
        first += width;
    }
    // SAFETY: tiles are given back.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// A row of sums and what they should have begun with.
///
/// # Safety
/// AVX-512F is there, and there are so many sums.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn finished<const V: usize>(goal: &Goal, sums: *const f32) -> [__m512; V] {
    // SAFETY: the caller's.
    unsafe {
        let mut row = goal.start::<V>();
        for (v, sum) in row.iter_mut().enumerate() {
            *sum = _mm512_add_ps(_mm512_loadu_ps(sums.add(v * LANES)), *sum);
        }
        row
    }
}

/// Sums of two tiles of rows by two of columns.
///
/// # Safety
/// AMX is there and set up; `left` holds 32 rows of `pairs`, `panel` `pairs` of 32 columns, `sums` 32 by 32.
unsafe fn four_tiles(left: *const u32, panel: *const u32, pairs: usize, sums: *mut f32) {
    // SAFETY: loads and stores stay within what the caller says; tiles are nobody else's.
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

/// Sums of a tile of rows by one of columns.
///
/// # Safety
/// As above, of sixteen rows and columns; the panel has `width` columns.
unsafe fn one_tile(left: *const u32, panel: *const u32, (pairs, width): (usize, usize), sums: *mut f32) {
    // SAFETY: as above.
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

/// A square of pairs is as wide as a vector, and as a tile.
const _: () = assert!(LANES == TILE && size_of::<__m512i>() == TILE * size_of::<u32>());
