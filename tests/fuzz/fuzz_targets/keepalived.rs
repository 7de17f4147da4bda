//! libFuzzer around [`ha_tests::fuzz::keepalived`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ha_tests::fuzz::keepalived(input);
});
