//! Boxes whose content is made where it stays.

use std::pin::Pin;

/// What `make` gives, in a box. `Box::pin` makes it on the stack and copies it: of a future that has hardly begun, nearly all
/// of what is copied is room for later.
#[inline(always)]
pub fn pinned<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    Box::into_pin(boxed(make))
}

/// The same of what may be moved.
#[inline(always)]
pub fn boxed<T>(make: impl FnOnce() -> T) -> Box<T> {
    Box::write(Box::new_uninit(), make())
}
