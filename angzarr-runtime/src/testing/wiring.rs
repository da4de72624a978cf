//! The wiring of a whole binary, as one test.

use crate::registry::Registry;

/// One test that checks the wiring of everything that is linked into the test binary: two components of one name, holes in
/// upcaster chains, domains that nobody declares, and whatever else [`Registry::collect`] tells. Write it once, outside
/// of any function.
///
/// Name the domains that must be there, and the test also notices a crate that the linker left out because nobody names it.
///
/// What it cannot check are instances: which components get theirs by `.with(…)` is said where the runtime is built.
/// [`Builder::check`](crate::Builder::check) checks that as well, so a `main` that builds its runtime in a function can have
/// a test for it.
///
/// ```
/// angzarr_runtime::wiring_test!();
///
/// mod with_domains {
///     angzarr_runtime::wiring_test!("account", "owner");
/// }
/// ```
#[macro_export]
macro_rules! wiring_test {
    ($($domain:expr),* $(,)?) => {
        #[test]
        fn the_wiring_is_sound() {
            $crate::testing::check_wiring(&[$($domain),*]);
        }
    };
}

/// What [`wiring_test!`](crate::wiring_test) runs.
#[doc(hidden)]
#[track_caller]
pub fn check_wiring(expected_domains: &[&str]) {
    let builder = crate::Builder::default().expect_domains(expected_domains.iter().copied());
    match builder.check_without_instances() {
        Ok(registry) => warn(&registry),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// Warnings do not fail; `cargo test -- --nocapture` shows them.
fn warn(registry: &Registry) {
    for warning in registry.warnings() {
        eprintln!("{warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::check_wiring;

    // The domains of `post_office`, which is linked into this very test.
    crate::wiring_test!("parcel", "bill");

    #[test]
    fn a_domain_that_is_not_linked_fails_the_test() {
        let panic = std::panic::catch_unwind(|| check_wiring(&["parcel", "stamp", "letter"])).unwrap_err();
        let text = crate::command::panic_text(panic.as_ref());
        assert!(text.starts_with("the program is not wired correctly, 2 mistakes:\n"), "{text}");
        for domain in ["stamp", "letter"] {
            assert!(text.contains(&format!("error: the domain `{domain}` is expected and not linked")), "{text}");
        }
        assert!(text.contains("write `use its_crate as _;`"), "{text}");
    }
}
