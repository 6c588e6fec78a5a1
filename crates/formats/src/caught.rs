//! Panics of other crates that become errors.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
    thread,
};

thread_local! {
    /// Whether [`caught`] runs.
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

/// What `call` returns, or None if it panics. Such a panic is silent: the program's panic hook is not called.
///
/// ```
/// assert_eq!(resnet_formats::caught(|| "12".parse::<u32>().unwrap()), Some(12));
/// assert_eq!(resnet_formats::caught(|| "x".parse::<u32>().unwrap()), None);
/// ```
pub fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    // A thread that panics cannot set a hook.
    if !thread::panicking() {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                if !is_caught() {
                    before(panic);
                }
            }));
        });
    }
    let outer = RUNS.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    RUNS.set(outer);
    result.ok()
}

/// Whether a panic of this thread becomes an error, by [`caught`]. A panic hook that is set after the first call of
/// `caught` is called all the same, and asks this.
pub fn is_caught() -> bool {
    RUNS.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// Panics of this thread that a hook heard of.
        static HEARD: Cell<u32> = const { Cell::new(0) };
    }

    fn fail() {
        panic!("on purpose");
    }

    #[test]
    fn what_is_caught_is_silent() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            HEARD.set(HEARD.get() + 1);
            before(panic);
        }));
        assert_eq!(caught(|| 3), Some(3));
        assert_eq!(caught(fail), None);
        // One within another, and what comes after it.
        let inner = caught(|| {
            assert_eq!(caught(fail), None);
            assert!(is_caught());
            fail();
        });
        assert_eq!((inner, is_caught(), HEARD.get()), (None, false, 0));
        assert!(panic::catch_unwind(fail).is_err());
        assert_eq!(HEARD.get(), 1);
    }
}
