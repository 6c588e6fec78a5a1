//! A round of one kind of call: valid, then with each argument wrong in turn, then valid again.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

use resnet_kernels::{Cpu, Isa};

use super::{
    caller::{Caller, Wrong},
    conv, layers, matrices, norm, plans,
};

/// A kind of call: its choices come from the caller.
type Kind = (&'static str, fn(&mut Caller<'_>, &Cpu));

pub(crate) const KINDS: &[Kind] = &[
    ("convolution", conv::convolution),
    ("convolution's sizes", conv::sizes),
    ("batch norm forward", norm::forward),
    ("batch norm in halves", norm::halves),
    ("batch norm applied", norm::apply),
    ("batch norm backward", norm::backward),
    ("linear", layers::linear),
    ("max pool", layers::max_pool),
    ("average pool", layers::average_pool),
    ("global max pool", layers::global_max_pool),
    ("average pool of windows", layers::average_of_windows),
    ("sum and ReLU", layers::sum_and_relu),
    ("shortcut", layers::shortcut),
    ("update", layers::update),
    ("AdamW", layers::adamw),
    ("norm", layers::norm),
    ("product", matrices::product),
    ("Muon", matrices::muon),
    ("loss", layers::loss),
    ("images", layers::images),
    ("memory", layers::memory),
    ("inference", plans::inference),
    ("training", plans::training),
];

/// How many calls of each kind there were.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) kinds: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.kinds.iter().map(|(kind, count)| format!("{kind} {count}"));
        f.write_str(&each.collect::<Vec<_>>().join(", "))
    }
}

/// One kind of call, and its choices.
///
/// # Panics
/// If a wrong call is not refused as it should, or a right one is, or its answer changes.
pub(crate) fn round(bytes: &[u8], isa: Isa, count: &mut Count) {
    quiet();
    let Some((&first, choices)) = bytes.split_first() else { return };
    // Half of them are convolutions, which are what may take most ways.
    let kind = if first < 128 { 0 } else { usize::from(first) % KINDS.len() };
    let (name, call) = KINDS[kind];
    let Some((&threads, choices)) = choices.split_first() else { return };
    let cpu = Cpu::with_isa(1 + usize::from(threads % 3), isa).unwrap();
    let answer = |wrong| {
        let mut caller = Caller::new(choices, wrong);
        let done = catch_unwind(AssertUnwindSafe(|| call(&mut caller, &cpu)));
        let why = done.map_err(|panic| message(&*panic).to_owned());
        (why, caller)
    };
    let (right, caller) = answer(None);
    assert_eq!(right, Ok(()), "{name} on {isa}: a right call is refused");
    let (sites, result, mut calls) = (caller.sites(), caller.result(), 2);
    for site in 0..sites {
        let way = choices.get(site).copied().unwrap_or(0);
        let wrong = Wrong { site, way };
        let (refused, caller) = answer(Some(wrong));
        // Some sites cannot be wrong: no slice is shorter than an empty one.
        let Some(what) = caller.wronged() else { continue };
        calls += 1;
        count.wrong += 1;
        let Err(why) = refused else { panic!("{name} on {isa}: {what} was taken") };
        // What arithmetic, an index or a thread stumbles over was not looked at before.
        let stumbled = [
            "attempt to",
            "out of range",
            "out of bounds",
            "worker thread",
            "mid > len",
            "chunk size",
            "too many items",
            "slice index",
            "source slice",
            "before a slice",
        ];
        let stumbled = stumbled.iter().any(|part| why.contains(part));
        assert!(!stumbled && !why.is_empty(), "{name} on {isa}: {what} ended in: {why}");
    }
    let (again, caller) = answer(None);
    assert!(again.is_ok() && caller.result() == result, "{name} on {isa}: another answer");
    count.right += 2;
    *count.kinds.entry(name).or_default() += calls;
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}

/// Expected panics print nothing.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let text = message(info.payload());
            if text.is_empty() || info.location().is_some_and(|at| at.file() == file!()) {
                before(info);
            }
        }));
    });
}
