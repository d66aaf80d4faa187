//! What the command does with a secret is the same in each store; the store is an argument.

use gemini_sim::{Fault, FaultKind, Operation, Project, SimServer};
use keyrot_testkit::leak::assert_absent;
use serde_json::{Value, json};

use crate::place::{Place, Run, provider, serve};

/// The guide's first key, and the one that follows it.
const OLD: &str = "secret-of-flash-01";
const NEW: &str = "new-key-77c1e0b4";
const UNKNOWN: &str = "unknown-key-5a92d8";

/// A provider that knows the guide's keys, and the new one.
pub(crate) async fn with_a_new_key() -> SimServer {
    serve(provider().project(Project::new("new").key("new", NEW))).await
}

fn rotate(place: &Place, new: &str) -> Run {
    let run = place
        .run_with(&["secrets", "rotate", "flash_01", "--patience", "1ms", "--json"], &format!("{new}\n"));
    assert_absent(&format!("{run:?}"), &[NEW, UNKNOWN]);
    run
}

/// A key that the provider does not know is not written; one that it does not take once it is written gives way to the
/// one before it; a good one stays. `stored` looks into the store by the vendor's own means.
pub(crate) async fn rotates(place: &Place, provider: &SimServer, stored: impl AsyncFn() -> String) {
    let in_force = |run: &Run| serde_json::from_str::<Value>(&run.stdout).unwrap()["in_force"].clone();
    let refused = rotate(place, UNKNOWN);
    refused.fails(1, &["the provider does not accept the new key, nothing was written"]);
    assert_eq!((in_force(&refused), stored().await), (json!("old"), OLD.to_owned()));

    let models = FaultKind::Verbatim { status: 200, body: "{\"models\": []}".to_owned(), content_type: None };
    let accepted_once = Fault::new(models).key("new").operation(Operation::ListModels).times(1);
    provider.add_fault(accepted_once).unwrap();
    // not a refusal of the key, which the simulator would look at first
    provider.add_fault(Fault::new(FaultKind::Internal).key("new").operation(Operation::ListModels)).unwrap();
    let back = rotate(place, NEW);
    back.fails(1, &["the provider has refused the new key once it was written", "the old key was put back"]);
    assert_eq!((in_force(&back), stored().await), (json!("old"), OLD.to_owned()));

    provider.clear_faults();
    let done = rotate(place, NEW);
    assert_eq!((done.json()["in_force"].clone(), stored().await), (json!("new"), NEW.to_owned()));
    assert_eq!(place.run(&["check", "--probe"]).code, 0, "what was written is used");
}

/// Every command that reads a secret, writes one or shows what is known of keys says none of these texts, whatever is
/// logged. `value` is put and rotated in.
pub(crate) fn says_none_of(place: &Place, value: &str, secrets: &[&str]) {
    let silent = |run: Run| {
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        assert_absent(&format!("{run:?}"), secrets);
    };
    for command in [
        &["check"][..],
        &["check", "--json"],
        &["check", "--probe"],
        &["generate", "RSI", "--deadline", "3s", "--no-verify"],
        &["keys", "list"],
        &["status"],
        &["explain"],
    ] {
        silent(place.run(command));
    }
    silent(place.run_with(&["secrets", "put", "flash_01"], value));
    silent(place.run_with(&["secrets", "rotate", "flash_01", "--patience", "1ms"], &format!("{value}-2")));
}
