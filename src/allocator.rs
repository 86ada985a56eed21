//! The allocator: mimalloc (<https://microsoft.github.io/mimalloc/>).
//!
//! Why not the mimalloc crate: it asks for an alignment each time, and mimalloc then takes a longer way for all that is
//! larger than a kilobyte, although whatever it gives is aligned well enough for nearly everything.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// What all memory comes from.
pub(crate) struct Allocator;

/// Whatever mimalloc gives is aligned so, as C asks of `malloc`: to 8 bytes, and to 16 from 16 bytes on.
const fn is_usual(size: usize, align: usize) -> bool {
    align <= 8 || (align == 16 && size >= 16)
}

// SAFETY: mimalloc gives memory of at least the size and the alignment asked for, or null, and each of these functions frees
// what any other of them gave.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size may be asked for, and the alignment of a layout is a power of two.
        unsafe { if is_usual(size, align) { mi_malloc(size) } else { mi_malloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        unsafe { if is_usual(size, align) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (align, start) = (layout.align(), start.cast());
        // SAFETY: as above; the caller has `start` from one of these functions.
        unsafe { if is_usual(size, align) { mi_realloc(start, size) } else { mi_realloc_aligned(start, size, align) } }
            .cast()
    }

    #[inline]
    unsafe fn dealloc(&self, start: *mut u8, _: Layout) {
        // SAFETY: the caller has it from one of these functions.
        unsafe { mi_free(start.cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memory_is_aligned_and_keeps_its_bytes() {
        for (size, align) in
            (1..300).chain([1024, 5000, 70_000]).flat_map(|size| [1, 8, 16, 64].map(|align| (size, align)))
        {
            let (layout, larger) = (Layout::from_size_align(size, align).unwrap(), 2 * size + 1);
            // SAFETY: the layout's size is not 0, and what is looked at was asked for.
            unsafe {
                let start = Allocator.alloc_zeroed(layout);
                assert!(start.addr().is_multiple_of(align) && (0..size).all(|at| *start.add(at) == 0), "{layout:?}");
                *start.add(size - 1) = 7;
                let start = Allocator.realloc(start, layout, larger);
                assert!(start.addr().is_multiple_of(align) && *start.add(size - 1) == 7, "{layout:?}");
                Allocator.dealloc(start, Layout::from_size_align(larger, align).unwrap());
                let start = Allocator.alloc(layout);
                assert!(start.addr().is_multiple_of(align), "{layout:?}");
                Allocator.dealloc(start, layout);
            }
        }
    }
}
