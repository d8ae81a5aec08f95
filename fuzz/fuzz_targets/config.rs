//! Any text is a config or a list of problems, never a panic and never a long wait.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tidegate::config;

fuzz_target!(|text: &str| {
    // A folder that does not exist, so that no path in the text leads anywhere by chance.
    match config::read(text, "fuzz.yaml", Path::new("/nonexistent"), &|_| None) {
        Ok(loaded) => assert!(!loaded.snapshot.listeners.is_empty()),
        Err(errors) => {
            assert!(!errors.problems().is_empty() && errors.problems().len() <= 100);
            assert!(!errors.to_string().is_empty());
        }
    }
});
