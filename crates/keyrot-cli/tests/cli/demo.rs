//! `keyrot demo`: the whole of it, in real time.

use crate::place::Place;

#[test]
fn no_caller_sees_a_failure_and_the_users_settings_do_not_matter() {
    let place = Place::new()
        .file(".env", "this is no env file")
        .file("keys.json", "{ broken")
        .set("ENABLE_KEY_ROTATION", "true")
        .set("KEYROT_NONSENSE", "1")
        .set("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1")
        .set("HTTPS_PROXY", "http://127.0.0.1:1")
        .set("HTTP_PROXY", "http://127.0.0.1:1");
    let run = place.run(&["demo", "--json"]);
    let json = run.json();
    assert_eq!(json["caller_visible_failures"], 0, "{run:?}");
    assert!(json["strategies"].as_u64().unwrap() > 20, "{json}");
    let keys = json["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 6);
    let statuses = |id: &str| {
        let key = keys.iter().find(|key| key["key_id"] == id).unwrap();
        let refusals = key["refusals"].as_array().unwrap().iter();
        refusals.map(|refusal| refusal["status"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(statuses("birch_2"), [400], "{json}");
    assert_eq!(statuses("alder_2"), [403], "{json}");
    assert_eq!(statuses("dogwood_1"), [503], "{json}");
    for id in ["alder_1", "birch_1", "cedar_1"] {
        assert!(statuses(id).is_empty(), "{id}: {json}");
    }
    let accepted =
        |id: &str| keys.iter().find(|key| key["key_id"] == id).unwrap()["accepted"].as_u64().unwrap();
    assert_eq!(accepted("cedar_1"), 5, "the tiny quota is used up and not exceeded");
    assert!(accepted("alder_2") > 0 && accepted("dogwood_1") > 0, "before the leak, after the storm: {json}");
    assert!(run.stderr.contains("birch_2: key_rejected") && !run.stderr.contains('\u{1b}'), "{run:?}");
}
