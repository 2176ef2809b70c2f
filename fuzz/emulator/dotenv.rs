//! Any file, any of the values that are ever set: what was set reads back, a
//! second time changes nothing, and no input makes it slow or fail.
#![no_main]

use arbitrary::Arbitrary;
use emulator::dotenv::{Variable, assignments, set};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a [u8],
    value: u32,
}

fuzz_target!(|input: Input<'_>| {
    let value = format!("pck_{:x}", input.value);
    let variables = [
        Variable {
            name: "K",
            value: &value,
        },
        Variable {
            name: "STACK_PROJECT_ID",
            value: "p-1",
        },
    ];
    let out = set(input.text, &variables);
    for variable in variables {
        let mut found = assignments(&out)
            .into_iter()
            .filter(|a| &out[a.name.clone()] == variable.name.as_bytes())
            .peekable();
        assert!(found.peek().is_some(), "{variable:?} is not set");
        for assignment in found {
            assert_eq!(&out[assignment.value], variable.value.as_bytes());
        }
    }
    assert_eq!(set(&out, &variables), out, "a second time changes nothing");
});
