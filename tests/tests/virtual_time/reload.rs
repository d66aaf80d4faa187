//! A new keys.json while the pool works: a broken one changes nothing, a good one keeps what is known of the keys
//! that stay.

use std::collections::BTreeMap;

use gemini_sim::{Config, Fault, FaultKind};
use keyrot_core::{KeyHealth, KeyRequest, KeySet, ManualClock, Reason};
use keyrot_e2e::record::of_key;
use keyrot_e2e::world::{MODEL, World, entry, project};
use keyrot_testkit::run_virtual;

fn world() -> World {
    let config = Config::default()
        .project(project("p", &["bad"]))
        .project(project("q", &["good"]))
        .project(project("r", &["new"]))
        .fault(Fault::new(FaultKind::KeyInvalid).key("bad"));
    World::new(ManualClock::default(), config, [entry("bad", "p"), entry("good", "q")], 7)
}

/// Calls until each key has been tried.
async fn work(world: &World, calls: usize) {
    for _ in 0..calls {
        world.generate(&KeyRequest::model(MODEL)).await.expect("one key is good");
    }
}

fn file(ids: &[&str]) -> String {
    let projects = BTreeMap::from([("bad", "p"), ("good", "q"), ("new", "r")]);
    let entry = |id: &&str| {
        format!(r#"{{"key_id": "{id}", "model_name": "{MODEL}", "project": "{}"}}"#, projects[id])
    };
    format!(r#"{{"keys": [{}]}}"#, ids.iter().map(entry).collect::<Vec<_>>().join(", "))
}

#[test]
fn a_good_file_keeps_what_is_known_of_keys_that_stay() {
    let world = world();
    run_virtual(world.clock.clone(), async {
        work(&world, 20).await;
        let before = world.pool.health();
        assert_eq!(before["bad"].reason, Some(Reason::KeyRejected));
        world.pool.replace_keys(KeySet::parse(&file(&["bad", "good"])).unwrap());
        assert_eq!(world.pool.health(), before);
        let tried = of_key(&world.attempts(), "bad").len();
        work(&world, 20).await;
        assert_eq!(of_key(&world.attempts(), "bad").len(), tried, "the rejected key rests on");
        assert_eq!(world.pool.health()["good"].success_count, 40);
    });
}

#[test]
fn a_key_that_is_taken_out_is_used_no_more_and_comes_back_clean() {
    let world = world();
    run_virtual(world.clock.clone(), async {
        work(&world, 20).await;
        world.pool.replace_keys(KeySet::parse(&file(&["good"])).unwrap());
        assert!(!world.pool.health().contains_key("bad"));
        let tried = of_key(&world.attempts(), "bad").len();
        work(&world, 20).await;
        assert_eq!(of_key(&world.attempts(), "bad").len(), tried);
        world.pool.replace_keys(KeySet::parse(&file(&["good", "bad"])).unwrap());
        let health = &world.pool.health()["bad"];
        assert_eq!((health.error_count, health.success_count), (0, 0), "{health:?}");
    });
}

/// Each way in which a file can be broken: what is reported, and that nothing has changed.
#[test]
fn a_broken_file_changes_nothing_and_every_problem_is_named() {
    let duplicate = file(&["good", "good"]);
    let broken = [
        ("", "keys"),
        ("{\"keys\": [", ""),
        (r#"{"keys": {}}"#, "keys"),
        (r#"{"keys": [{"model_name": "m"}]}"#, "key_id"),
        (r#"{"keys": [{"key_id": "a/b", "model_name": "m"}]}"#, "key_id"),
        (r#"{"keys": [{"key_id": "a"}]}"#, "model_name"),
        (r#"{"keys": [{"key_id": "a", "model_name": "m", "rpm": -1}]}"#, "rpm"),
        (&duplicate, "good"),
    ];
    let world = world();
    run_virtual(world.clock.clone(), async {
        work(&world, 20).await;
        let before: BTreeMap<String, KeyHealth> = world.pool.health();
        for (text, named) in broken {
            let error = KeySet::parse(text).map(|keys| world.pool.replace_keys(keys));
            let error = error.expect_err("the file is broken").to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert_eq!(world.pool.health(), before, "{text}");
        }
    });
}
