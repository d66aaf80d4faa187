//! Saving keys.json: only what was changed is written, and nobody else's change is lost.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use keyrot_core::{KeyId, KeyMetadata, KeySet, Limits};
use tempfile::TempDir;

const FILE: &str = r#"// our keys
{
  "owner": "team a", // unknown to keyrot
  "keys": [
    // the first
    {
      "key_id": "a", // its name
      "model_name": "m",
      "rpm":   60,           // 60 requests per minute
      "burst_capacity": 5,
      "tags": {"region": "us", /* why */ "tier": 1},
      "updated_at": "2024-01-01T00:00:00"
    },
    { "key_id": "b", "model_name": "m" } // the second
    /* the end */
  ]
}
"#;

fn id(text: &str) -> KeyId {
    KeyId::parse(text).unwrap()
}

/// 2026-01-05T12:00:00Z
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_614_400)
}

fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keys.json");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn edited(change: impl FnOnce(&mut KeyMetadata)) -> String {
    let mut keys = KeySet::parse(FILE).unwrap();
    let mut key = keys.get("a").unwrap().clone();
    change(&mut key);
    keys.upsert(key).unwrap();
    keys.to_text(now()).unwrap()
}

const UPDATED: [&str; 2] = ["\"2024-01-01T00:00:00\"", "\"2026-01-05T12:00:00Z\""];

#[test]
fn a_changed_field_is_all_that_changes() {
    let text = edited(|key| key.limits.rpm = Some(15));
    assert_eq!(text, FILE.replace("60, ", "15, ").replace(UPDATED[0], UPDATED[1]));
}

#[test]
fn a_changed_tag_leaves_the_others_as_they_are_written() {
    let text = edited(|key| drop(key.tags.insert("region".into(), "a \"b\"\n".into())));
    assert_eq!(text, FILE.replace("\"us\"", r#""a \"b\"\n""#).replace(UPDATED[0], UPDATED[1]));
}

#[test]
fn a_field_that_is_unset_goes_and_a_new_one_comes() {
    let text = edited(|key| {
        key.limits.rpm = None;
        key.active = false;
    });
    assert!(!text.contains("rpm") && text.contains("\"active\": false"), "{text}");
    assert!(text.contains("// its name") && text.contains("\"burst_capacity\": 5"), "{text}");
}

#[test]
fn an_upsert_without_a_change_writes_nothing() {
    assert_eq!(edited(|_| {}), FILE);
}

#[test]
fn a_new_entry_gets_its_dates_and_the_guides_fields() {
    let (_directory, path) = file(FILE);
    let mut keys = KeySet::load(&path).unwrap();
    let limits = Limits::new(Some(60), Some(1_000_000), None);
    let key =
        KeyMetadata::new(id("flash_03"), "gemini-2.5-flash").with_limits(limits).with_tag("region", "eu");
    keys.upsert(key.clone()).unwrap();
    keys.save(&path, now()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let entry = r#"
    {
      "key_id": "flash_03",
      "model_name": "gemini-2.5-flash",
      "provider": "gemini",
      "rpm": 60,
      "tpm": 1000000,
      "active": true,
      "tags": {
        "region": "eu"
      },
      "created_at": "2026-01-05T12:00:00Z",
      "updated_at": "2026-01-05T12:00:00Z"
    }"#;
    assert!(text.contains(entry), "{text}");
    assert!(text.starts_with(&FILE[..FILE.find("// the second").unwrap() - 1]), "{text}");
    let mut dated = key;
    dated.created_at = Some("2026-01-05T12:00:00Z".to_owned());
    dated.updated_at = dated.created_at.clone();
    assert_eq!(KeySet::load(&path).unwrap().get("flash_03"), Some(&dated));
    assert_eq!(keys.get("flash_03"), Some(&dated), "the set is what the file holds");
}

#[test]
fn a_removed_entry_goes_alone() {
    let mut keys = KeySet::parse(FILE).unwrap();
    assert!(keys.remove(&id("a")) && !keys.remove(&id("a")));
    let text = keys.to_text(now()).unwrap();
    assert_eq!(KeySet::parse(&text).unwrap().len(), 1);
    assert!(
        text.contains("// our keys")
            && text.contains(r#"{ "key_id": "b", "model_name": "m" } // the second"#)
    );
}

#[test]
fn another_writers_change_stays_even_in_the_same_entry() {
    let (_directory, path) = file(FILE);
    let mut ours = KeySet::load(&path).unwrap();
    let mut key = ours.get("a").unwrap().clone();
    key.active = false;
    ours.upsert(key).unwrap();
    ours.remove(&id("b"));
    let by_hand = FILE
        .replace("60, ", "7, ")
        .replace("team a", "team b")
        .replace("/* the end */", r#", { "key_id": "c", "model_name": "m" } /* the end */"#);
    fs::write(&path, by_hand).unwrap();
    ours.save(&path, now()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("team b"), "{text}");
    let saved = KeySet::parse(&text).unwrap();
    let ids: Vec<&str> = saved.iter().map(|key| key.key_id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    let key = saved.get("a").unwrap();
    assert_eq!((key.limits.rpm, key.active), (Some(7), false));
    assert_eq!(ours.get("a"), Some(key));
}

#[test]
fn an_entry_that_was_removed_meanwhile_is_not_brought_back_by_an_edit() {
    let (_directory, path) = file(FILE);
    let mut ours = KeySet::load(&path).unwrap();
    ours.upsert(ours.get("a").unwrap().clone().with_priority(2)).unwrap();
    let mut theirs = KeySet::load(&path).unwrap();
    theirs.remove(&id("a"));
    theirs.save(&path, now()).unwrap();
    let before = fs::read(&path).unwrap();
    let error = ours.save(&path, now()).unwrap_err().to_string();
    assert!(error.contains("a was changed here but removed from the file meanwhile"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn two_writers_that_add_one_id_make_one_entry() {
    let (_directory, path) = file(FILE);
    let [mut first, mut second] = [(); 2].map(|()| KeySet::load(&path).unwrap());
    first.upsert(KeyMetadata::new(id("new"), "m").with_project("p")).unwrap();
    second.upsert(KeyMetadata::new(id("new"), "n").with_priority(3)).unwrap();
    first.save(&path, now()).unwrap();
    second.save(&path, now()).unwrap();
    let key = KeySet::load(&path).unwrap().get("new").unwrap().clone();
    assert_eq!((key.model_name.as_str(), key.priority), ("n", 3));
    assert_eq!(key.quota_project().as_str(), "p");
}

#[test]
fn a_file_that_is_broken_now_is_left_alone() {
    let (_directory, path) = file(FILE);
    let mut keys = KeySet::load(&path).unwrap();
    keys.remove(&id("b"));
    fs::write(&path, "{\"keys\": [").unwrap();
    let error = keys.save(&path, now()).unwrap_err().to_string();
    assert!(error.contains("not JSON") && error.contains("was not changed"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"keys\": [");
    fs::write(&path, FILE).unwrap();
    keys.save(&path, now()).unwrap();
    assert_eq!(KeySet::load(&path).unwrap().len(), 1, "the change was kept for another try");
}

#[test]
fn a_conflict_that_only_the_newest_file_shows_is_refused() {
    let (_directory, path) = file(FILE);
    let mut keys = KeySet::load(&path).unwrap();
    let mut key = keys.get("b").unwrap().clone().with_project("q");
    key.secret = Some("one".to_owned());
    keys.upsert(key).unwrap();
    let theirs = FILE.replace("\"rpm\"", "\"secret\": \"one\", \"project\": \"p\", \"rpm\"");
    fs::write(&path, &theirs).unwrap();
    assert!(keys.save(&path, now()).unwrap_err().to_string().contains("a and b have the same secret"));
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
}

#[test]
fn a_missing_file_says_how_to_make_one_and_a_deleted_one_is_written_again() {
    let (_directory, path) = file(FILE);
    let mut keys = KeySet::load(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let error = KeySet::load(&path).unwrap_err().to_string();
    assert!(error.contains("cp keys_example.json keys.json"), "{error}");
    keys.save(&path, now()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), FILE);
}

#[test]
fn a_tag_that_looks_like_a_comment_is_a_text() {
    let mut keys = KeySet::default();
    let tag = "/**/ // note /* note */";
    keys.upsert(KeyMetadata::new(KeyId::parse("a").unwrap(), "m").with_tag("t", tag)).unwrap();
    let saved = keys.to_text(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(KeySet::parse(&saved).unwrap().get("a").unwrap().tags["t"], tag, "{saved}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere/keys.json");
    let error = KeySet::default().save(&path, SystemTime::UNIX_EPOCH).unwrap_err().to_string();
    let told = format!("cannot be written: there is no folder {}", path.parent().unwrap().display());
    assert!(error.ends_with(&told), "{error}");
}

#[test]
fn a_load_error_begins_with_the_path() {
    let (_directory, path) = file(r#"{"keys": [{"key_id": "a"}]}"#);
    let error = KeySet::load(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: keys[0] (a): model_name is missing", path.display())), "{error}");
}

#[test]
fn crlf_a_byte_order_mark_and_tabs_survive() {
    let text = format!("\u{feff}{}", FILE.replace("  ", "\t").replace('\n', "\r\n"));
    let mut keys = KeySet::parse(&text).unwrap();
    keys.upsert(keys.get("b").unwrap().clone().with_priority(1)).unwrap();
    keys.upsert(KeyMetadata::new(id("c"), "m")).unwrap();
    let saved = keys.to_text(now()).unwrap();
    assert!(saved.starts_with('\u{feff}') && !saved.replace("\r\n", "").contains('\n'), "{saved:?}");
    assert!(saved.contains("\r\n\t\t{\r\n\t\t\t\"key_id\": \"c\""), "{saved}");
    assert_eq!(KeySet::parse(&saved).unwrap().get("b").unwrap().priority, 1);
}

#[test]
fn a_save_leaves_only_the_file_and_its_lock() {
    let (directory, path) = file(FILE);
    fs::write(directory.path().join("keys.json.tmp"), "what a killed process left").unwrap();
    let mut keys = KeySet::load(&path).unwrap();
    keys.remove(&id("b"));
    keys.save(&path, now()).unwrap();
    let mut names: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["keys.json", "keys.json.lock"]);
}

#[test]
fn a_save_waits_for_the_lock_and_then_reads_the_newest_text() {
    let (directory, path) = file(FILE);
    let lock = fs::File::create(directory.path().join("keys.json.lock")).unwrap();
    lock.lock().unwrap();
    let mut keys = KeySet::load(&path).unwrap();
    keys.remove(&id("b"));
    let (begun, begins) = std::sync::mpsc::channel();
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            begun.send(()).unwrap();
            keys.save(&path, now()).unwrap();
        }
    });
    begins.recv().unwrap();
    fs::write(&path, FILE.replace("team a", "team b")).unwrap();
    drop(lock);
    writer.join().unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("team b"));
    assert_eq!(KeySet::load(&path).unwrap().len(), 1);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn change(path: &Path) {
        let mut keys = KeySet::load(path).unwrap();
        keys.remove(&id("b"));
        keys.save(path, now()).unwrap();
    }

    #[test]
    fn permissions_stay_and_a_new_file_is_for_its_owner_only() {
        let (directory, path) = file(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        change(&path);
        assert_eq!(mode(&path), 0o640);
        let new = directory.path().join("new.json");
        KeySet::default().save(&new, now()).unwrap();
        assert_eq!(mode(&new), 0o600);
        assert!(KeySet::load(&new).unwrap().is_empty());
    }

    #[test]
    fn a_symbolic_link_is_followed() {
        let (directory, path) = file(FILE);
        let link = directory.path().join("link.json");
        symlink("keys.json", &link).unwrap();
        change(&link);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(KeySet::load(&path).unwrap().len(), 1);
        assert!(directory.path().join("keys.json.lock").exists(), "one lock however the file is reached");
    }
}
